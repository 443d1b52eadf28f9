"""A driver whose trials are light ones: ``python -m tests.hpo.driver_process FOLDER TRIALS``."""

from __future__ import annotations

import sys
from pathlib import Path

from lightning_itwin.hpo import tuning, worlds
from lightning_itwin.hpo.study_plan import StudyError, StudyPlan
from tests.hpo.conftest import CHECKED, CONFIG, SPACE


def main() -> int:
    """Run or join a study; give the exit code of the command line."""
    worlds._PROCESS = "tests.hpo.light_trial"
    tuning.check = lambda *given: CHECKED  # type: ignore[assignment]
    tuning._write_report = lambda *given: None  # type: ignore[assignment]
    folder, trials = Path(sys.argv[1]), int(sys.argv[2])
    plan = StudyPlan(
        config=CONFIG,
        space=SPACE,
        metric="val_loss",
        trials=trials,
        policy="promotion",
        parallel_trials=2,
        repeats=0,
        accelerator="cpu",
    )
    try:
        if sys.argv[3:] == ["join"]:
            tuning.join(plan, folder, progress=False)
        else:
            print(tuning.run(plan, folder))
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
