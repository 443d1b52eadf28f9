"""CRPS of ensembles: torchmetrics, scoringrules and ours, the same values; and a climatology's set-up rate.

One thread, processor time, interleaved. The ratio at the end is torchmetrics over ours, metric to metric.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import scoringrules
import torch
from torchmetrics.classification import MultilabelROC
from torchmetrics.regression import ContinuousRankedProbabilityScore

from benchmarks.flow_sizes import interleaved, ratio, shown
from benchmarks.result_page import write_page
from lightning_itwin.hydrology import Climatology, ReferenceForecasts
from lightning_itwin.metrics import EnsembleCRPS, QuantileCRPS, ROCCurve, crps_ensemble

DAYS, LEADS = 1096, [1, 3, 7, 14, 21, 30, 45, 60]
SETUP_CELLS = 100_000


def metric_of(kind: type, *data: torch.Tensor, **settings: Any) -> Callable[[], Any]:
    """Give the work of a whole metric: make it, update it, compute it."""

    def work() -> Any:
        metric = kind(**settings)
        metric.update(*data)
        return metric.compute()

    return work


def crps_lines(samples: int, members: int, rounds: int) -> tuple[list[str], float]:
    """Give a table of CRPS works and the ratio of torchmetrics over ours."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(samples, generator=generator)
    ensemble = target.unsqueeze(-1) / 2 + torch.randn(samples, members, generator=generator)
    levels = torch.arange(1, 14) / 14
    quantiles = ensemble.quantile(levels, dim=-1).T.contiguous()
    y, x, q = target.numpy(), ensemble.numpy(), quantiles.numpy()
    works: dict[str, Callable[[], Any]] = {
        "ours, EnsembleCRPS": metric_of(EnsembleCRPS, ensemble, target),
        "torchmetrics, ContinuousRankedProbabilityScore": metric_of(
            ContinuousRankedProbabilityScore, ensemble, target
        ),
        "ours, function": lambda: crps_ensemble(ensemble, target).mean(),
        "scoringrules, numpy": lambda: scoringrules.crps_ensemble(
            y, x, estimator="qd", backend="numpy"
        ).mean(),
        "scoringrules, torch": lambda: scoringrules.crps_ensemble(
            target, ensemble, estimator="qd", backend="torch"
        ).mean(),
        "ours, 13 quantiles": metric_of(QuantileCRPS, quantiles, target, levels=levels),
        "scoringrules, 13 quantiles, numpy": lambda: scoringrules.crps_quantile(
            y, q, levels.numpy(), backend="numpy"
        ).mean(),
    }
    exact = float(np.mean(scoringrules.crps_ensemble(y.astype(float), x.astype(float), estimator="nrg")))
    times = interleaved(works, rounds)
    ours = times["ours, EnsembleCRPS"]
    lines = [
        f"CRPS of {samples:,} samples, {members} members, float32, {rounds} rounds",
        "",
        "| | value | ms | over ours (lowest-highest) |",
        "|---|---|---|---|",
    ]
    for name, work in works.items():
        lines.append(
            f"| {name} | {float(work()):.7f} | {1e3 * min(times[name]):.2f} | {shown(times[name], ours)} |"
        )
    lines += ["", f"In float64 scoringrules has {exact:.7f} for the ensemble.", ""]
    return lines, ratio(times["torchmetrics, ContinuousRankedProbabilityScore"], ours)[0]


def roc_lines(samples: int, rounds: int) -> list[str]:
    """Compare the ROC of 8 leads."""
    generator = torch.Generator().manual_seed(1)
    probability = torch.rand(samples, len(LEADS), generator=generator)
    outcome = (torch.rand(samples, len(LEADS), generator=generator) < probability).long()
    edges = torch.linspace(0, 1, 201)
    times = interleaved(
        {
            "ours": metric_of(ROCCurve, probability, outcome, num_outputs=len(LEADS)),
            "theirs": metric_of(MultilabelROC, probability, outcome, num_labels=len(LEADS), thresholds=edges),
        },
        rounds,
    )
    return [
        f"ROC of {samples:,} samples, 8 leads, 200 thresholds: torchmetrics, MultilabelROC, takes "
        f"{shown(times['theirs'], times['ours'])} times as long as ROCCurve.",
        "",
    ]


def setup_lines(cells: int) -> list[str]:
    """Time climatology and reference forecasts of some cells with gaps, in blocks."""
    fraction = (torch.arange(DAYS) % 365).double() / 365
    generator = torch.Generator().manual_seed(2)
    values = torch.randn(cells, DAYS, generator=generator)
    values[torch.rand(cells, DAYS, generator=generator) < 0.02] = torch.nan
    begun_s = time.process_time()
    climatology = Climatology.from_blocks(values.split(2000), fraction)
    known_s = time.process_time() - begun_s
    begun_s = time.process_time()
    blocks = torch.arange(cells).split(2000)
    anomalies = (climatology.anomaly(values[some], some, fraction) for some in blocks)
    ReferenceForecasts.fit(anomalies, fraction, LEADS, [k / 14 for k in range(1, 14)])
    fitted_s = time.process_time() - begun_s
    scale = SETUP_CELLS / cells
    return [
        f"Set-up of {cells:,} cells of {DAYS} days with 2 % gaps, in blocks of 2,000",
        "",
        f"| | cells/s | s for {SETUP_CELLS:,} cells |",
        "|---|---|---|",
        f"| climatology, 37 centres, 3 percentiles | {cells / known_s:,.0f} | {known_s * scale:.1f} |",
        f"| anomalies and reference forecasts, 8 leads | {cells / fitted_s:,.0f} | {fitted_s * scale:.1f} |",
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--cells", type=int, default=20_000, help="of the set-up")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines, times_faster = crps_lines(options.samples, options.members, options.rounds)
    lines += roc_lines(options.samples, options.rounds)
    lines += setup_lines(options.cells)
    lines.append(f"torchmetrics over ours, processor time of the CRPS: {times_faster:.1f}")
    command = f"python benchmarks/drought_metrics.py --samples {options.samples} --members {options.members}"
    write_page(
        "drought_metrics", "CRPS and set-up of a climatology", command, lines, "one thread, processor time"
    )


if __name__ == "__main__":
    main()
