import json

import pytest
import torch

from lightning_itwin import optional
from lightning_itwin.optional import MissingExtraError, available
from lightning_itwin.strategies import DeepSpeedStrategy

installed = pytest.mark.skipif(not available("deepspeed"), reason="no DeepSpeed")
RUNS = [
    "2,now,32-true,full",
    "3,now,32-true,full",
    "3,late,32-true,full",
    "1,now,bf16-mixed,full",
    "3,late,bf16-true,full",
    "2,now,32-true,sharded",
    "3,now,32-true,sharded",
]


def test_missing_deepspeed_is_named(monkeypatch):
    monkeypatch.setattr(optional.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lightning-itwin\[deepspeed\]'"):
        DeepSpeedStrategy()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"stage": 4}, "stages 0, 1, 2 and 3"), ({"checkpoint": "whole"}, "'full' or 'sharded'")],
)
def test_arguments_are_checked_early(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeepSpeedStrategy(**arguments)


@pytest.fixture(scope="module")
def runs(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deepspeed")
    end = world("deepspeed_world.py", folder, *RUNS)
    assert end.status == 0, end.output[-5000:]
    return json.loads((folder / "results.json").read_text())


@installed
@pytest.mark.world
@pytest.mark.parametrize("run", RUNS)
class TestOddModule:
    """Tied weights, a frozen layer, buffers, a scalar, odd numbers of elements, an empty parameter group."""

    def test_resumes_to_the_same_curve(self, runs, run):
        assert runs[run]["resumed"] == pytest.approx(runs[run]["whole"], rel=1e-6)
        assert runs[run]["whole"][-1] < runs[run]["whole"][3]

    def test_evaluates_what_was_saved(self, runs, run):
        validated, tested, validated_after_fit = runs[run]["scores"]
        assert validated == pytest.approx(validated_after_fit, rel=1e-6)
        assert tested == pytest.approx(validated_after_fit, rel=1e-6)

    def test_all_stages_agree(self, runs, run):
        _, built, precision, _ = run.split(",")
        tolerance = 1e-5 if precision == "32-true" else 1e-2
        alike = "3,late,32-true,full" if built == "late" else "2,now,32-true,full"
        assert runs[run]["whole"] == pytest.approx(runs[alike]["whole"], rel=tolerance)
        assert runs[run]["predictions"] == pytest.approx(runs[alike]["predictions"], rel=5 * tolerance)

    def test_full_checkpoint_is_a_plain_file(self, runs, run):
        if run.endswith("sharded"):
            pytest.skip("a folder")
        checkpoint = torch.load(runs[run]["path"], weights_only=True)
        state = checkpoint["state_dict"]
        assert state["scale"].shape == ()
        assert state["encoder.weight"].shape == (5, 7)
        assert state["encoder.weight"].dtype == torch.float32
        assert torch.equal(state["encoder.weight"], state["twin.weight"])
        optimizer = checkpoint["optimizer_states"][0]
        groups = [group["params"] for group in optimizer["param_groups"]]
        assert groups == [[0, 1, 2], [], [3, 4, 5, 6, 7, 8, 9]]
        assert 2 not in optimizer["state"]  # the frozen weight
        assert optimizer["state"][0]["exp_avg"].shape == (5, 7)
        assert all(entry["step"] == 8 for entry in optimizer["state"].values())
