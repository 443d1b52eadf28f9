"""What minutes of training on two cores give: the presets gw_small and gw_ligo, held against the truth.

gw_small is trained and asked about 1,000 injections that it has not seen: P-P, TARP and density ranks,
coverage, importance sampling efficiency event by event. gw_ligo is trained on PSDs estimated from the files
of GW150914 and GW170104 and asked about the two events; beside its chirp masses stand the published ones.

Every command is one that a user types. What is finished in the folder is not made again, so that an
interrupted run goes on.

Run from the repository, with GWOSC's files in data/gwosc: python benchmarks/gw_preset.py
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from result_page import command_line, write_page

from lightning_itwin import presets

LIMIT_S = 15 * 60
# Detector-frame chirp masses: source frame times (1 + z), GWTC-1, arXiv:1811.12907, table III.
PUBLISHED = {"GW150914": 31.2, "GW170104": 25.7}


def real_events(gwosc: Path) -> list[dict[str, Any]]:
    """Give the preset's real events with their files in a folder; end where one is missing."""
    config = yaml.safe_load(presets.find("gw_ligo").read_text(encoding="utf-8"))
    events = config["data"]["init_args"]["real_events"]
    for event in events:
        event["files"] = {name: str(gwosc / Path(path).name) for name, path in event["files"].items()}
    missing = [path for event in events for path in event["files"].values() if not Path(path).is_file()]
    if missing:
        told = "They come from https://gwosc.org; --gwosc names their folder."
        sys.exit(f"No such file: {', '.join(missing)}. {told}")
    return events


def run(command: str, preset: str, folder: Path, threads: int, *more: str, accelerator: str = "cpu") -> None:
    """Run one command of LightningCLI, unless it has ended well before in this folder."""
    done = folder / f"{command}.json"
    if done.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "lightning_itwin", command, "--config", preset, *more]
    words += ["--trainer.accelerator", accelerator, "--trainer.default_root_dir", str(folder / command)]
    begun_s, used_s = time.perf_counter(), _children_s()
    with open(folder / f"{command}.log", "wb") as log:
        ended = subprocess.run(
            [*words, "--trainer.enable_progress_bar", "false"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            check=False,
        )
    if ended.returncode:
        sys.exit(f"{preset} {command} ended with {ended.returncode}; see {folder / command}.log")
    told = {"wall_s": time.perf_counter() - begun_s, "cpu_s": _children_s() - used_s, "threads": threads}
    done.write_text(json.dumps(told), encoding="utf-8")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def option_words(changed: Mapping[str, object]) -> list[str]:
    """Give the words of a command line that change options by their names."""
    return [word for name, value in changed.items() for word in (f"--{name}", json.dumps(value).strip('"'))]


def trained(preset: str, folder: Path, threads: int, *more: str, accelerator: str = "cpu") -> str:
    """Train a preset and give the path of its checkpoint."""
    run("fit", preset, folder, threads, *more, accelerator=accelerator)
    return str(next((folder / "fit").rglob("*.ckpt")))


def scalars(folder: Path) -> dict[str, list[Any]]:
    """Read the scalars of a run: all events, with step, value and wall time, of each."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = next(folder.rglob("events.out.tfevents*")).parent
    events = EventAccumulator(str(found), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}


def small(folder: Path, threads: int) -> tuple[list[str], float]:
    """Train gw_small; tell how it does on 1,000 injections, and the p of its P-P plot."""
    checkpoint = trained("gw_small", folder, threads)
    run("test", "gw_small", folder, threads, "--ckpt_path", checkpoint)
    told = {tag: events[-1].value for tag, events in scalars(folder / "test").items()}
    with open(next((folder / "test").rglob("ranks.csv")), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    efficiencies = sorted(float(row["efficiency"]) for row in rows if row["efficiency"] != "nan")
    tenths = statistics.quantiles(efficiencies, n=10)
    held = [f"{100 * told[f'test/coverage_{level}']:.1f} %" for level in (50, 90)]
    lines = [
        "## gw_small: Einstein Telescope, 2 s at 1024 Hz, five free parameters",
        "",
        f"Training: {_cost(folder)}. {len(rows)} injections, 1,000 samples each.",
        "",
        "| | found | goal |",
        "|---|---|---|",
        f"| p, P-P, all parameters | {told['test/pp_p_value']:.3f} | > 0.05 |",
        f"| p, P-P, lowest of a parameter | {told['test/pp_lowest_p_value']:.3f} | |",
        f"| p, TARP | {told['test/tarp_p_value']:.3f} | |",
        f"| p, rank of the density | {told['test/density_p_value']:.3f} | |",
        f"| 50 % and 90 % intervals hold | {held[0]} and {held[1]} | |",
        f"| efficiency, median of {len(efficiencies)} events | {statistics.median(efficiencies):.3f} | |",
        f"| efficiency, one tenth of the events below / above | {tenths[0]:.3f} / {tenths[-1]:.3f} | |",
        f"| efficiency, lowest / highest | {efficiencies[0]:.3f} / {efficiencies[-1]:.3f} | |",
        "",
        f"Event by event, ascending: {', '.join(f'{efficiency:.2f}' for efficiency in efficiencies)}.",
        "",
    ]
    return lines, told["test/pp_p_value"]


def real(folder: Path, threads: int, events: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Train gw_ligo; tell the chirp masses of two events beside the published ones, and how many it holds."""
    told, count = asked_of_real_events(folder, threads, events, {})
    lines = [
        "## gw_ligo: GW150914 and GW170104 in H1 and L1, eleven free parameters",
        "",
        f"Training: {_cost(folder)}. PSDs from the events' own files. Priors: the preset's.",
        *told,
    ]
    return lines, count


def asked_of_real_events(
    folder: Path,
    threads: int,
    events: list[dict[str, Any]],
    changed: Mapping[str, object],
    accelerator: str = "cpu",
) -> tuple[list[str], int]:
    """Train gw_ligo with changed options and ask it; a table, and how many of the flow's intervals cover."""
    words = option_words({**changed, "data.init_args.real_events": events})
    checkpoint = trained("gw_ligo", folder, threads, *words, accelerator=accelerator)
    run("predict", "gw_ligo", folder, threads, *words, "--ckpt_path", checkpoint, accelerator=accelerator)
    lines = [
        "Chirp mass in the detector frame, solar masses, median and 90 % interval.",
        "",
        "| event | published | the flow | covers | weighed by the likelihood | efficiency | log evidence |",
        "|---|---|---|---|---|---|---|",
    ]
    count = 0
    for name, published in PUBLISHED.items():
        told = json.loads(next((folder / "predict").rglob(f"{name}.summary.json")).read_text("utf-8"))
        flow, weighed = (_interval(told[kind]) for kind in ("intervals_of_the_flow", "intervals"))
        low, _, high = told["intervals_of_the_flow"]["chirp_mass"]
        count += low <= published <= high
        lines.append(
            f"| {name} | {published} | {flow} | {'yes' if low <= published <= high else '**no**'} | "
            f"{weighed} | {100 * told['efficiency']:.3f} % | "
            f"{told['log_evidence']:.2f} +- {told['log_evidence_error']:.2f} |"
        )
    lines += [
        "",
        "Log evidence is over noise alone. Published: GWTC-1, Abbott et al. 2019, arXiv:1811.12907, table",
        "III, source frame times 1 + z. Where the efficiency is below 0.1 %, the weighed interval rests on a",
        "handful of samples and is not to be trusted.",
    ]
    return lines, count


def _interval(intervals: dict[str, Any]) -> str:
    low, median, high = intervals["chirp_mass"]
    return f"{median:.1f} ({low:.1f} to {high:.1f})"


def _cost(folder: Path) -> str:
    told = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
    within = "within" if told["cpu_s"] <= 2 * LIMIT_S else "above"
    threads = f"{told['threads']} thread" + ("" if told["threads"] == 1 else "s")
    minutes = f"{told['cpu_s'] / 60:.1f} minutes of processor time on {threads}"
    return f"{minutes}, {within} the 15 minutes on 2 cores that are allowed"


def parser_with_folders(description: str | None, folder: str) -> argparse.ArgumentParser:
    """Make a parser that knows where GWOSC's files lie and where trainings go."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gwosc", type=Path, default=Path("data/gwosc"), help="GWOSC's files (%(default)s)")
    parser.add_argument("--folder", type=Path, default=Path(folder), help="trainings go there (%(default)s)")
    return parser


def main() -> None:
    """Train what is not trained, ask, and write the page."""
    parser = parser_with_folders(__doc__, "gw_preset")
    parser.add_argument("--threads", type=int, default=2, help="threads of a training (%(default)s)")
    options = parser.parse_args()
    events = real_events(options.gwosc)
    injected, p_value = small(options.folder / "gw_small", options.threads)
    asked, held = real(options.folder / "gw_ligo", options.threads, events)
    lines = [*injected, *asked]
    lines += ["", f"P-P p over the 0.05 that it has to exceed: **{p_value / 0.05:.1f}**"]
    lines += [f"Published chirp masses held: **{held} of {len(PUBLISHED)}**"]
    write_page("gw_preset", "What minutes of training give", command_line(), lines)


if __name__ == "__main__":
    main()
