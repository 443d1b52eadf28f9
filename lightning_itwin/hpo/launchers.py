"""The launchers that a study can be asked for by name."""

from __future__ import annotations

from lightning_itwin.hpo.study_plan import LAUNCHERS, StudyError
from lightning_itwin.launch import Launcher, LocalLauncher


def make_launcher(name: str) -> Launcher:
    """Make a launcher.

    Args:
        name: one of :data:`~lightning_itwin.hpo.study_plan.LAUNCHERS`.

    Raises:
        StudyError: it is none of them, or cannot be used here.
    """
    if name == "local":
        return LocalLauncher()
    raise StudyError(f"launcher {name!r}: it has to be one of {', '.join(LAUNCHERS)}")
