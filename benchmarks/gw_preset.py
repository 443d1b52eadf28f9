"""What a preset of GWFlow reaches: calibration on injections, efficiency event by event, real events.

It trains a preset as it stands, tests it on 1,000 injections, and writes the posteriors of its events: the
real ones of ``gw_ligo``, whose files of GWOSC ``--gwosc`` names, ten injections of ``gw_small``. On 2 cores
each preset takes about 15 minutes of training.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.result_page import command_line, write_page
from lightning_itwin import presets
from lightning_itwin.cli import ItwinCLI

GOALS = {"P-P p": 0.05}


def run(command: str, preset: str, given: dict[str, object]) -> ItwinCLI:
    """Run one subcommand of LightningCLI in this process."""
    words = [word for name, value in given.items() for word in (f"--{name}", _text(value))]
    sys.argv = sys.argv[:1]
    return ItwinCLI(args=[command, "--config", str(presets.find(preset)), *words], save_config_callback=None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def settings(preset: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Settings of all three subcommands."""
    given: dict[str, object] = {
        "trainer.accelerator": arguments.accelerator,
        "trainer.default_root_dir": str(arguments.out / preset),
        "trainer.enable_progress_bar": False,
        "trainer.logger": False,
        "model.init_args.posteriors.folder": str(arguments.out / preset / "posteriors"),
    }
    if arguments.epochs is not None:
        given["trainer.max_epochs"] = arguments.epochs
    if arguments.train_events is not None:
        given["data.init_args.events.train_events"] = arguments.train_events
    if arguments.bank_events is not None:
        given["data.init_args.events.bank_events"] = arguments.bank_events
    return given


def real_events(gwosc: Path) -> list[dict[str, object]]:
    """The preset's real events with their files in a folder."""
    import yaml

    config = yaml.safe_load(presets.find("gw_ligo").read_text(encoding="utf-8"))
    events = config["data"]["init_args"]["real_events"]
    for event in events:
        event["files"] = {name: str(gwosc / Path(path).name) for name, path in event["files"].items()}
    return events


def measure(preset: str, arguments: argparse.Namespace) -> Iterator[str]:
    """Train, test and predict one preset, and tell what came of it, line by line."""
    given = settings(preset, arguments)
    if preset == "gw_ligo":
        given["data.init_args.real_events"] = real_events(arguments.gwosc)
    begin = time.perf_counter()
    fitted = run("fit", preset, given)
    fit_s = time.perf_counter() - begin
    checkpoint = {"ckpt_path": fitted.trainer.checkpoint_callback.best_model_path, "weights_only": True}
    steps, learned = fitted.trainer.global_step, dict(fitted.trainer.callback_metrics)
    begin = time.perf_counter()
    tested = run("test", preset, {**given, **checkpoint})
    metrics = {name: float(value) for name, value in tested.trainer.callback_metrics.items()}
    test_s = time.perf_counter() - begin
    ranks = arguments.out / preset / "calibration" / "ranks.csv"
    efficiency = np.genfromtxt(ranks, delimiter=",", names=True)["efficiency"]
    injections, efficiency = len(efficiency), efficiency[np.isfinite(efficiency)]
    begin = time.perf_counter()
    more = {"trainer.limit_predict_batches": 1, "data.init_args.batch_size": 10}
    run("predict", preset, {**given, **checkpoint, **(more if preset == "gw_small" else {})})
    predict_s = time.perf_counter() - begin
    yield f"## {preset}"
    yield ""
    yield (
        f"Parameters of the flow: {', '.join(tested.model.names)}. Training {fit_s / 60:.1f} minutes in all, "
        f"{steps} steps; test {test_s / 60:.1f} minutes; predict {predict_s / 60:.1f} minutes. Validation: "
        f"{float(learned['val/information_nat']):.2f} nat of information."
    )
    yield ""
    yield "| on | P-P p, all | lowest p | TARP p | density p | 50 % holds | 90 % holds |"
    yield "|---|---|---|---|---|---|---|"
    numbers = ("pp_p_value", "pp_lowest_p_value", "tarp_p_value", "density_p_value")
    cells = [f"{metrics[f'test/{name}']:.3g}" for name in numbers]
    cells += [f"{100 * metrics[f'test/coverage_{level}']:.1f} %" for level in (50, 90)]
    yield f"| {injections} injections | {' | '.join(cells)} |"
    yield ""
    low, middle, high = np.quantile(efficiency, [0.05, 0.5, 0.95])
    yield (
        f"Importance sampling efficiency of {len(efficiency)} injections: median {100 * middle:.1f} %, 90 % of "
        f"them {100 * low:.2g} to {100 * high:.1f} %. One by one, in per cent: "
        f"{', '.join(f'{100 * value:.2g}' for value in efficiency)}."
    )
    yield ""
    yield from events(arguments.out / preset / "posteriors")
    ratio = metrics["test/pp_p_value"] / GOALS["P-P p"]
    yield f"P-P p over the {GOALS['P-P p']} that it has to exceed: **{ratio:.2f}**"
    yield ""


def events(folder: Path) -> Iterator[str]:
    """Tell the chirp mass of every event that was predicted."""
    head = (
        "event",
        "chirp mass, flow alone",
        "weighed",
        "known",
        "held (both)",
        "efficiency",
        "log evidence",
    )
    yield f"| {' | '.join(head)} |"
    yield "|---|---|---|---|---|---|---|"
    for path in sorted(folder.glob("*.summary.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        known = (told["truth"] or {}).get("chirp_mass", PUBLISHED.get(told["label"]))
        intervals = [told[name]["chirp_mass"] for name in ("intervals_of_the_flow", "intervals")]
        cells = [f"{middle:.2f} ({low:.2f} to {high:.2f})" for low, middle, high in intervals]
        held = ["yes" if low <= known <= high else "no" for low, _, high in intervals]
        yield (
            f"| {told['label']} | {cells[0]} | {cells[1]} | {known:.2f} | {', '.join(held)} | "
            f"{100 * told['efficiency']:.2g} % | {told['log_evidence']:.2f} +- "
            f"{told['log_evidence_error']:.2f} |"
        )
    yield ""


# Detector-frame chirp masses: source frame times (1 + z), GWTC-1, arXiv:1811.12907, table III.
PUBLISHED = {"GW150914": 31.2, "GW170104": 25.7}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--presets", nargs="+", default=["gw_small", "gw_ligo"], help="default: %(default)s")
    parser.add_argument("--gwosc", type=Path, default=Path("data/gwosc"), help="folder of GWOSC's files")
    parser.add_argument("--out", type=Path, default=Path("gw_preset"), help="checkpoints and posteriors")
    parser.add_argument("--epochs", type=int, help="instead of the preset's")
    parser.add_argument("--train-events", type=int, help="an epoch, instead of the preset's")
    parser.add_argument("--bank-events", type=int, help="instead of the preset's")
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--page", default="gw_preset", help="name in benchmarks/results")
    arguments = parser.parse_args()
    command = command_line()
    torch.set_num_threads(arguments.threads)
    lines = [line for preset in arguments.presets for line in measure(preset, arguments)]
    note = f"{arguments.threads} threads on {arguments.accelerator}"
    write_page(arguments.page, "Presets of GWFlow: calibration and real events", command, lines, note)


if __name__ == "__main__":
    main()
