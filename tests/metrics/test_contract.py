"""What every metric promises: a world of two is one process, NaN is left out, leads and groups are apart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchmetrics import MetricCollection

from lightning_itwin.metrics import (
    KlingGuptaEfficiency,
    MeanBias,
    NashSutcliffeEfficiency,
    RootMeanSquaredError,
)
from tests.metrics.cases import CELLS, LEADS, Case, cases, flat, groups

CASES = cases()
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def value_of(case: Case, **options: int) -> Tensor:
    make, updates = case
    metric = make(**options)
    for batch, cells in zip(updates, groups()):
        metric.update(*batch, **({"groups": cells} if "num_groups" in options else {}))
    return flat(metric.compute())


def assert_same(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_a_lead_is_as_if_it_were_alone(case: Case) -> None:
    make, updates = case
    together = value_of(case, num_outputs=LEADS)
    alone = []
    for lead in range(LEADS):
        metric = make()
        for batch in updates:
            metric.update(*(value[:, lead] for value in batch))
        alone.append(metric.compute())
    parts = zip(*alone) if isinstance(alone[0], tuple) else [alone]
    assert_same(together, torch.cat([torch.stack(list(part)).double().flatten() for part in parts]))
    assert not together.isnan().all()


def test_a_group_is_as_if_it_were_alone(case: Case) -> None:
    make, updates = case
    together = make(num_outputs=LEADS, num_groups=CELLS)
    alone = [make(num_outputs=LEADS) for _ in range(CELLS)]
    for batch, cells in zip(updates, groups()):
        together.update(*batch, groups=cells)
        for cell, metric in enumerate(alone):
            metric.update(*(value[cells == cell] for value in batch))
    found = [metric.compute() for metric in alone]
    parts = zip(*found) if isinstance(found[0], tuple) else [found]
    assert_same(
        flat(together.compute()), torch.cat([torch.stack(list(part)).double().flatten() for part in parts])
    )


def test_forward_gives_a_batch_and_keeps_the_whole(case: Case) -> None:
    make, updates = case
    metric, one = make(num_outputs=LEADS), make(num_outputs=LEADS)
    of_batch = [flat(metric(*batch)) for batch in updates][-1]
    one.update(*updates[-1])
    assert_same(of_batch, flat(one.compute()))
    assert_same(flat(metric.compute()), value_of(case, num_outputs=LEADS))


def test_missing_targets_change_nothing(case: Case) -> None:
    make, updates = case
    metric = make(num_outputs=LEADS)
    for batch in updates:
        metric.update(*batch)
    before = flat(metric.compute())
    metric.update(*(torch.full_like(value, torch.nan) for value in updates[0]))
    assert_same(flat(metric.compute()), before)


def test_without_a_sample_there_is_no_value(case: Case) -> None:
    make, updates = case
    metric = make(num_outputs=LEADS)
    metric.update(*(value[:0] for value in updates[0]))
    counts = "samples" in getattr(metric.compute(), "_fields", ())
    assert flat(metric.compute()).isnan().any() if counts else flat(metric.compute()).isnan().all()


def test_state_stays_double_when_a_model_is_halved(case: Case) -> None:
    make, updates = case
    module = torch.nn.Module()
    module.metric = make(num_outputs=LEADS)
    module.half()
    for batch in updates:
        module.metric.update(*batch)
    assert_same(flat(module.metric.compute()), value_of(case, num_outputs=LEADS))


def test_reset_forgets(case: Case) -> None:
    make, updates = case
    metric = make(num_outputs=LEADS)
    metric.update(*updates[0])
    metric.reset()
    for batch in updates:
        metric.update(*batch)
    assert_same(flat(metric.compute()), value_of(case, num_outputs=LEADS))


def test_collections_share_what_is_the_same() -> None:
    prediction, target = torch.rand(40, LEADS), torch.rand(40, LEADS)
    kinds = (NashSutcliffeEfficiency, KlingGuptaEfficiency, RootMeanSquaredError, MeanBias)
    collection = MetricCollection([kind(num_outputs=LEADS) for kind in kinds])
    for _ in range(2):
        collection.update(prediction, target)
    assert len(collection.compute_groups) == 1  # one update serves all four
    for kind in kinds:
        alone = kind(num_outputs=LEADS)
        alone.update(prediction, target)
        assert_same(collection.compute()[kind.__name__], alone.compute())


def test_states_may_be_merged_by_hand(case: Case) -> None:
    make, updates = case
    first, second = make(num_outputs=LEADS), make(num_outputs=LEADS)
    for number, batch in enumerate(updates):
        (first if number < 2 else second).update(*batch)
    first.merge_state(second)
    assert_same(flat(first.compute()), value_of(case, num_outputs=LEADS))


@pytest.mark.world
def test_a_world_of_two_gives_what_one_process_gives(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(__file__).parent / "metrics_world.py")]
    world = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path)], env=environment, stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in world]
    assert [process.returncode for process in world] == [0, 0], errors
    told = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name, case in CASES.items():
        wanted = value_of(case, num_outputs=LEADS, num_groups=CELLS)
        assert_same(told[0][name], told[1][name])
        assert_same(told[0][name], wanted)
