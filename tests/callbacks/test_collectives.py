import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import atexit, os, sys, glob

def threads():
    return sorted(open(path).read().strip() for path in glob.glob("/proc/self/task/*/comm"))

# What was registered first comes last at the end.
atexit.register(lambda: print("left with", [name for name in threads() if "gloo" in name], flush=True))

from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning_itwin.callbacks import EpochTimer

class Model(BoringModel):
    def training_step(self, batch, batch_idx):
        if sys.argv[1] == "fails" and batch_idx == 1 and self.current_epoch == 1:
            raise RuntimeError("on purpose")
        return super().training_step(batch, batch_idx)

trainer = Trainer(
    accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, limit_train_batches=3, logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    callbacks=[EpochTimer()],
)
trainer.fit(Model())
print("trained with", [name for name in threads() if name == "gloo_tcp_loop"], flush=True)
"""


def world(tmp_path: Path, kind: str) -> subprocess.CompletedProcess:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, str(script), kind],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
    )


@pytest.mark.world
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_thread_of_gloo_outlives_the_interpreter(tmp_path: Path) -> None:
    told = world(tmp_path, "ends well")
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("trained with ['gloo_tcp_loop']") == 2
    assert told.stdout.count("left with []") == 2


@pytest.mark.world
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_rank_that_fails_does_not_wait_for_the_others_to_leave(tmp_path: Path) -> None:
    told = world(tmp_path, "fails")
    assert told.returncode != 0
    assert "on purpose" in told.stderr
    assert "left with []" not in told.stdout
