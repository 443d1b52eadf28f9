"""Glitches predicted, generated and vetoed by GlitchFlow: noise never trained on, several instruments.

Run: ``python benchmarks/glitch_flow.py``. Each instrument's couplings are learned from one stretch of its
noise, and tested on another stretch with other noise and other glitches.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings

from result_page import command_line, write_page

ROWS = {
    "mismatch_median": "median whitened mismatch",
    "mismatch_90_percent": "mismatch, 90 % quantile",
    "residual_snr_median": "median SNR left",
    "residual_snr_below_5_fraction": "left with SNR < 5",
    "unwitnessed_altered_median": "glitches without a witness altered, median",
    "unwitnessed_altered_95_percent": "the same, 95 % quantile",
    "two_sample_auc": "two-sample AUC, generated against true",
    "population_two_sample_auc": "the same, generated without witnesses",
    "population_best_match_median": "best match with a training glitch, median: generated without witnesses",
    "best_match_median": "the same of true glitches",
    "coverage_80_percent": "coverage of 80 % intervals",
    "veto_auc": "veto, area under the ROC",
    "false_vetoes_at_95_percent_efficiency": "quiet windows vetoed at 95 % efficiency",
    "witnessed_glitches": "witnessed glitches of SNR >= 5",
    "unwitnessed_glitches": "glitches without a witness",
    "fit_cpu_s": "fit, seconds of one core",
}
GOALS = {
    "mismatch_median": "<= 0.01",
    "residual_snr_below_5_fraction": ">= 0.95",
    "unwitnessed_altered_median": "<= 0.005",
    "two_sample_auc": "<= 0.55",
    "population_two_sample_auc": "<= 0.55",
}


def measure(arguments: argparse.Namespace, instrument: int, folder: str, target: str) -> dict[str, float]:
    """Train on one noise seed of an instrument, test on another."""
    from lightning.pytorch import Trainer, seed_everything

    from lightning_itwin.datamodules.virgo.glitches import GlitchDataModule
    from lightning_itwin.datamodules.virgo.settings import SplitSettings
    from lightning_itwin.models.glitch_flow import GlitchFlow
    from lightning_itwin.models.glitch_settings import GeneratorSettings
    from lightning_itwin.strain.simulator import VirgoSimulator

    def data(noise_seed: int, duration_s: float, split: SplitSettings) -> GlitchDataModule:
        simulator = VirgoSimulator.strong(
            duration_s=duration_s,
            noise_seed=noise_seed,
            instrument_seed=instrument,
            scene={
                "glitches_per_hour": arguments.glitches_per_hour,
                "unwitnessed_glitches_per_hour": arguments.glitches_per_hour / 4,
            },
        )
        return GlitchDataModule(data_dir=folder, simulator=simulator, split=split)

    seed_everything(arguments.seed, verbose=False)
    training = data(arguments.train_seed, arguments.train_s, SplitSettings(train=1.0, val=0.0, test=0.0))
    training.prepare_data()
    training.setup("fit")
    model = GlitchFlow(num_witnesses=training.num_witnesses, generator=GeneratorSettings(target=target))
    trainer = Trainer(
        accelerator="cpu",
        max_steps=arguments.steps,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    start_s = time.process_time()
    trainer.fit(model, training)
    fit_cpu_s = time.process_time() - start_s
    unseen = data(arguments.test_seed, arguments.test_s, SplitSettings(train=0.0, val=0.0, test=1.0))
    unseen.load_state_dict(training.state_dict())
    (figures,) = trainer.test(model, unseen, verbose=False)
    found = {name.removeprefix("test/"): value for name, value in figures.items()}
    return found | {"fit_cpu_s": fit_cpu_s}


def told(arguments: argparse.Namespace, columns: dict[str, dict[str, float]]) -> list[str]:
    """Give the lines of the page."""
    heads = list(columns)
    lines = [
        f"{arguments.train_s:g} s of training, {arguments.test_s:g} s of test with another noise seed; ten "
        f"witnesses, {arguments.glitches_per_hour:g} witnessed glitches an hour, a quarter as many without "
        "a witness; `VirgoSimulator.strong`. The mean of the glitch is fitted to the noisy strain alone; the "
        "flows learn from the true glitches but in the column that says otherwise. The two-sample tests look "
        "at events in the detector's own whitened noise; the standard error of an AUC is about 0.02.",
        "",
        "| | goal | " + " | ".join(heads) + " |",
        "|---|---|" + "---|" * len(heads),
    ]
    for name, words in ROWS.items():
        values = " | ".join(f"{columns[head].get(name, float('nan')):.4g}" for head in heads)
        lines.append(f"| {words} | {GOALS.get(name, '')} | {values} |")
    worst = max(columns[head]["mismatch_median"] for head in heads)
    auc = max(columns[head].get("two_sample_auc", float("nan")) for head in heads)
    alone = max(columns[head].get("population_two_sample_auc", float("nan")) for head in heads)
    left = min(columns[head]["residual_snr_below_5_fraction"] for head in heads)
    altered = max(columns[head]["unwitnessed_altered_median"] for head in heads)
    lines += [
        "",
        f"Worst of all columns: mismatch {100 * worst:.2f} %, left with SNR < 5 {100 * left:.1f} %, altered "
        f"without a witness {100 * altered:.3f} %, two-sample AUC {auc:.3f}, {alone:.3f} without witnesses.",
    ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instruments", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--train_seed", type=int, default=1)
    parser.add_argument("--test_seed", type=int, default=202)
    parser.add_argument("--train_s", type=float, default=4096.0)
    parser.add_argument("--test_s", type=float, default=4096.0)
    parser.add_argument("--glitches_per_hour", type=float, default=720.0)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument(
        "--no_strain_target", action="store_true", help="leave out the training without truth"
    )
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    columns: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for instrument in arguments.instruments:
            columns[f"instrument {instrument}"] = measure(arguments, instrument, folder, "auto")
            print(columns, flush=True)
        if not arguments.no_strain_target:
            first = arguments.instruments[0]
            columns[f"instrument {first}, trained on strain alone"] = measure(
                arguments, first, folder, "strain"
            )
    lines = told(arguments, columns)
    write_page("glitch_flow", "Glitches from their witnesses", command_line(), lines, "one thread")


if __name__ == "__main__":
    main()
