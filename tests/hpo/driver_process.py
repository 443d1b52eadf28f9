"""A driver whose trials are light ones: ``python -m tests.hpo.driver_process FOLDER TRIALS [PLAN]``.

``PLAN`` is JSON of what differs in the plan; a last word ``join`` makes it one that joins.
"""

from __future__ import annotations

import json
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
    folder, trials, *more = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
    join = more[-1:] == ["join"] and bool(more.pop())
    plan = StudyPlan(
        **{
            "config": CONFIG,
            "space": SPACE,
            "metric": "val_loss",
            "trials": trials,
            "policy": "promotion",
            "parallel_trials": 2,
            "repeats": 0,
            "accelerator": "cpu",
            **(json.loads(more[0]) if more else {}),
        }
    )
    try:
        if join:
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
