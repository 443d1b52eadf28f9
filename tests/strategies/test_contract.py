"""One contract over all strategies: real worlds of 2 processes against one process of the same global batch.

Tolerance: 1e-5 relative for losses and metrics, where a world differs from a single process by the order of a
sum alone; 2e-2 for bfloat16, where DeepSpeed's mixed precision also rounds the weights and torch's does not.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_itwin.optional import available

pytestmark = pytest.mark.world

DEEPSPEED = [f"deepspeed_stage_{stage}" for stage in range(4)]
STRATEGIES = [
    "ddp",
    pytest.param("horovod", marks=pytest.mark.skipif(not available("horovod.torch"), reason="no Horovod")),
    *(
        pytest.param(name, marks=pytest.mark.skipif(not available("deepspeed"), reason="no DeepSpeed"))
        for name in DEEPSPEED
    ),
]
EPOCH = 6  # batches


@pytest.fixture(scope="module")
def contract(world, tmp_path_factory):
    """Results by strategy, and how each world ended: every world resumes from what the earlier ones saved."""
    folder = tmp_path_factory.mktemp("contract")
    results: dict[str, Any] = {}
    ends: dict[str, Any] = {}

    def run(key: str, *names: str, raise_on: int | None = None, starter: str = "python", devices: int = 2):
        saved = [f"{name}={result['checkpoint']}" for name, result in results.items()]
        failing = [] if raise_on is None else ["--raise-on", raise_on]
        arguments = [*names, "--devices", devices, "--folder", folder / key, *failing, "--resume", *saved]
        end = world("contract_world.py", *arguments, starter=starter, workers=devices)
        for name in names:
            ends[name] = (end, folder / key / "raised_at", raise_on)
            file = folder / key / name / "results.json"
            if file.exists():
                results[name if name != "auto" else key] = json.loads(file.read_text())

    run("single", "auto", devices=1)
    run("ddp", "ddp", raise_on=1)
    if available("deepspeed"):
        run("torchrun", *DEEPSPEED[::3], raise_on=0, starter="torchrun")
        run("plain", *DEEPSPEED[1:3], raise_on=1)
    if available("horovod.torch"):
        run("horovod", "horovod", raise_on=0)
    run("last", "auto", devices=1)
    return results, ends


@pytest.fixture
def results(contract, strategy):
    every, ends = contract
    assert strategy in every, ends[strategy][0].output[-5000:]
    return every[strategy]


@pytest.fixture
def single(contract):
    every, ends = contract
    assert "single" in every, ends["auto"][0].output[-5000:]
    return every["single"]


def assert_same_curve(given: dict, expected: dict, *, skip: int = 0, relative: float = 1e-5) -> None:
    assert given["steps"] == expected["steps"]
    assert given["rates"] == pytest.approx(expected["rates"][skip:], rel=1e-9)
    assert given["losses"] == pytest.approx(expected["losses"][skip:], rel=relative, abs=1e-6)
    given_scores, expected_scores = torch.tensor(given["validation"]), torch.tensor(expected["validation"])
    torch.testing.assert_close(given_scores, expected_scores[skip // EPOCH :], rtol=relative, atol=1e-6)


def assert_same_weights(given: dict, expected: dict) -> None:
    assert given["weights"].keys() == expected["weights"].keys()
    for name, values in given["weights"].items():
        assert values == pytest.approx(expected["weights"][name], abs=2e-5), name


@pytest.mark.parametrize("strategy", STRATEGIES)
class TestContract:
    def test_curve_is_that_of_one_process(self, results, single, strategy):
        assert_same_curve(results["curve"], single["curve"])
        assert_same_weights(results["curve"], single["curve"])
        assert len(results["curve"]["losses"]) == 2 * EPOCH

    def test_learning_rate_is_the_users_own(self, results, single, strategy):
        assert results["curve"]["rates"] == pytest.approx([2e-2 * 0.95**step for step in range(2 * EPOCH)])

    @pytest.mark.parametrize("case", ["accumulate", "clip_norm", "manual", "idle"])
    def test_case_has_the_curve_of_one_process(self, results, single, strategy, case):
        assert_same_curve(results[case], single[case])
        assert_same_weights(results[case], single[case])

    def test_accumulation_steps_with_what_an_epoch_leaves_over(self, results, strategy):
        assert results["accumulate"]["steps"] == 4  # 6 batches, 4 at a time, 2 epochs

    def test_clipping_changes_the_curve(self, results, strategy):
        assert results["clip_norm"]["losses"][-1] != pytest.approx(results["idle"]["losses"][-1], rel=1e-3)

    def test_bfloat16(self, results, single, strategy):
        assert_same_curve(results["bf16"], single["bf16"], relative=2e-2)

    def test_bfloat16_resumes_to_the_same_curve(self, results, strategy):
        assert_same_curve(results["bf16_resumed"], results["bf16"], skip=EPOCH, relative=1e-6)

    def test_metrics_are_reduced(self, results, single, strategy):
        assert results["validate"] == pytest.approx(single["validate"], rel=1e-5)
        for torchmetrics_mse, logged_loss in results["curve"]["validation"]:
            assert torchmetrics_mse == pytest.approx(logged_loss, rel=1e-5)

    def test_resumes_to_the_same_curve(self, results, single, strategy):
        assert_same_curve(results["resumed"]["itself"], results["curve"], skip=EPOCH, relative=1e-6)
        assert_same_weights(results["resumed"]["itself"], results["curve"])

    def test_resumes_from_the_others(self, results, single, strategy):
        assert len(results["resumed"]) > 1
        for resumed in results["resumed"].values():
            assert_same_curve(resumed, single["curve"], skip=EPOCH)
            assert_same_weights(resumed, single["curve"])

    def test_one_process_resumes_from_it(self, contract, results, single, strategy):
        resumed = contract[0]["last"]["resumed"][strategy]
        assert_same_curve(resumed, single["curve"], skip=EPOCH)
        assert_same_weights(resumed, single["curve"])

    def test_plain_torch_loads_it(self, results, single, strategy):
        ours = torch.load(results["checkpoint"], weights_only=True)
        theirs = torch.load(single["checkpoint"], weights_only=True)
        assert ours.keys() == theirs.keys()
        for name, value in theirs["state_dict"].items():
            assert ours["state_dict"][name].dtype == value.dtype
            torch.testing.assert_close(ours["state_dict"][name], value, rtol=1e-5, atol=1e-5)
        ours, theirs = ours["optimizer_states"][0], theirs["optimizer_states"][0]
        assert ours["param_groups"] == theirs["param_groups"]
        assert ours["state"].keys() == theirs["state"].keys()
        for number, entry in theirs["state"].items():
            assert ours["state"][number].keys() == entry.keys()
            for key, value in entry.items():
                torch.testing.assert_close(ours["state"][number][key], value, rtol=1e-4, atol=1e-6)

    def test_exception_on_one_rank_ends_all_within_seconds(self, contract, results, strategy):
        end, raised_at, _ = contract[1][strategy]
        assert "ArithmeticError: the detector is on fire" in end.output
        assert end.status != 0
        assert end.ended_unix_s - float(raised_at.read_text()) < 30  # torch's own patience is 30 minutes

    def test_clipping_by_value(self, results, single, strategy):
        if strategy in DEEPSPEED:
            assert "DeepSpeed does not support clipping gradients by value" in results["clip_value"]
        else:
            assert_same_curve(results["clip_value"], single["clip_value"])

    def test_several_optimizers(self, results, single, strategy):
        if strategy in DEEPSPEED:
            assert "DeepSpeed currently only supports single optimizer" in results["gan"]
        else:
            assert_same_curve(results["gan"], single["gan"])
            assert_same_weights(results["gan"], single["gan"])


@pytest.mark.parametrize("strategy", STRATEGIES[:2])
def test_ranks_may_go_different_ways_through_the_module(results, single):
    assert_same_curve(results["rank_dependent"], single["rank_dependent"])
    assert_same_weights(results["rank_dependent"], single["rank_dependent"])


@pytest.mark.parametrize("strategy", STRATEGIES[2:])
def test_half_precision_needs_a_gpu(results):
    assert "needs a GPU" in results["fp16"]


def test_folders_hold_one_file_a_checkpoint(contract):
    for result in contract[0].values():
        assert Path(result["checkpoint"]).is_file()
