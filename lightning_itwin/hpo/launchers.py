"""The launchers that a study can be asked for by name."""

from __future__ import annotations

from lightning_itwin.hpo.study_plan import LAUNCHERS, StudyError
from lightning_itwin.launch import Launcher, LocalLauncher, SlurmLauncher


def make_launcher(name: str) -> Launcher:
    """Make a launcher.

    Args:
        name: one of :data:`~lightning_itwin.hpo.study_plan.LAUNCHERS`.

    Raises:
        StudyError: it is none of them, or cannot be used here.
    """
    if name == "local":
        return LocalLauncher()
    if name == "slurm":
        try:
            return SlurmLauncher()
        except RuntimeError as error:
            raise StudyError(f"launcher slurm: {error}") from None
    if name == "ray":
        raise StudyError(
            "launcher ray: Ray starts no worlds here. On a cluster without SLURM, let every machine join: "
            "python -m lightning_itwin.hpo worker --study URL"
        )
    raise StudyError(f"launcher {name!r}: it has to be one of {', '.join(LAUNCHERS)}")
