"""The simulated detector: its ranges over several instruments, what could be known, its speed, its parts.

- Range of binary neutron stars, raw and of the oracle, for the strong and the Virgo-like detector; between
  them, what one who knows the instrument could recover from the recorded witnesses.
- What that leaves of each part, relative to the background.
- Agreement of the range with gwpy's, where gwpy is installed.
- Matched-filter SNR of injected signals, raw and after an ideal subtraction.
- Speed, in processor time on one core.

Run from the repository: python benchmarks/virgo_simulator.py
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from result_page import RESULTS, command_line, write_page
from scipy import signal
from virgo_knowable import estimates

from lightning_itwin.strain.bns_range import bns_range_mpc
from lightning_itwin.strain.chirp import binary_chirp
from lightning_itwin.strain.matched_filter import MatchedFilter
from lightning_itwin.strain.simulator import SimulatedData, VirgoSimulator
from lightning_itwin.strain.simulator.background import Background
from lightning_itwin.strain.simulator.transients import Injection
from lightning_itwin.strain.spectra import power_spectrum

BAND_HZ = (12.0, 400.0)
_SEGMENT_S = 4.0


def range_mpc(values: np.ndarray, rate_hz: float) -> float:
    frequency_hz, psd = power_spectrum(values, rate_hz, _SEGMENT_S)
    return float(bns_range_mpc(psd, frequency_hz))


def range_rows(duration_s: float, seeds: Sequence[int]) -> tuple[list[str], dict[str, list[float]]]:
    """Give the table of ranges, and the largest residual of each part over the background's ASD."""
    lines = [
        "| detector | instrument | raw Mpc | oracle Mpc | to win | knowable of it |",
        "|---|---|---|---|---|---|",
    ]
    left: dict[str, list[float]] = {}
    for name in ("strong", "virgo_like"):
        found = []
        for seed in seeds:
            simulator = VirgoSimulator.preset(
                name, duration_s=duration_s, instrument_seed=seed, noise_seed=1000 + seed
            )
            data = simulator.simulate()
            rate_hz, known = data.strain.sample_rate_hz, estimates(simulator, data)
            raw, oracle = data.ranges_mpc()
            best = range_mpc(data.whole.values - sum(known.values()), rate_hz)
            found.append((raw, oracle, 100 * (oracle / raw - 1), 100 * (best - raw) / (oracle - raw)))
            lines.append("| {} | {} | {:.2f} | {:.2f} | {:.1f} % | {:.1f} % |".format(name, seed, *found[-1]))
            if name == "strong":
                for part, estimate in known.items():
                    left.setdefault(part, []).append(residual(simulator, data, part, estimate))
        mean = [statistics.mean(column) for column in zip(*found)]
        lines.append("| {} | mean | {:.2f} | {:.2f} | {:.1f} % | {:.1f} % |".format(name, *mean))
    return lines, left


def residual(simulator: VirgoSimulator, data: SimulatedData, part: str, estimate: np.ndarray) -> float:
    """Give the largest ratio of what an estimate leaves to the background, both in ASD, in bands of 1 Hz."""
    ends = round(
        5 * data.strain.sample_rate_hz
    )  # where the estimate's filters lack what came before or after
    left = (data.part(part) - estimate)[ends:-ends]
    frequency_hz, psd = signal.welch(left, data.strain.sample_rate_hz, nperseg=1024)
    inside = (frequency_hz > BAND_HZ[0]) & (frequency_hz < BAND_HZ[1])
    background = Background(scale=simulator.background).asd(frequency_hz[inside])
    return float((np.sqrt(psd[inside]) / background).max())


def agreement_percent(duration_s: float) -> float | None:
    """Give the largest difference of the range from gwpy's over spectra of data and other settings."""
    if importlib.util.find_spec("gwpy") is None:
        return None
    from gwpy.astro import sensemon_range
    from gwpy.frequencyseries import FrequencySeries

    data = VirgoSimulator.strong(duration_s=duration_s).simulate()
    worst = 0.0
    for channel in (data.whole, data.oracle):
        frequency_hz, psd = power_spectrum(channel.values, channel.sample_rate_hz, _SEGMENT_S)
        series = FrequencySeries(psd, df=frequency_hz[1], f0=0.0, unit="1/Hz")
        for masses, lowest_hz in (((1.4, 1.4), 10.0), ((1.4, 1.4), 20.0), ((2.5, 1.1), 15.0)):
            theirs = sensemon_range(series, mass1=masses[0], mass2=masses[1], fmin=lowest_hz).value
            ours = float(bns_range_mpc(psd, frequency_hz, *masses, lowest_hz))
            worst = max(worst, abs(100 * (ours / theirs - 1)))
    return worst


def injection_snrs(duration_s: float) -> tuple[int, float, float]:
    """Give the number of injections, and their mean matched-filter SNR raw and with the oracle."""
    simulator = VirgoSimulator.strong(duration_s=duration_s, scene={"injections_per_hour": 180.0})
    data = simulator.simulate()
    rate_hz, found = data.strain.sample_rate_hz, []
    without = data.part("injections")
    for channel in (data.whole, data.oracle):
        frequency_hz, psd = power_spectrum(channel.values - without, rate_hz, _SEGMENT_S)
        row = []
        for event in data.events:
            if not isinstance(event, Injection):
                continue
            chirp = binary_chirp(
                event.mass_1_msun, event.mass_2_msun, rate_hz, distance_mpc=event.distance_mpc
            )
            start = round((event.gps_s - data.strain.gps_start_s) * rate_hz) - chirp.merger
            if start >= 0:
                matched = MatchedFilter(chirp.values, rate_hz, psd, frequency_hz)
                near = channel.values[start : start + len(chirp.values)]
                row.append(matched.loudest(np.pad(near, 64))[1])
        found.append(row)
    return len(found[0]), statistics.mean(found[0]), statistics.mean(found[1])


def speeds(duration_s: float, repeats: int) -> list[tuple[str, float, float, float]]:
    """Give seconds of data for a second of processor time: median, least and most; by kind."""
    kinds = {
        "strong, 10 witnesses": VirgoSimulator.strong(duration_s=duration_s),
        "strong, 100 witnesses": VirgoSimulator.strong(
            duration_s=duration_s, recording={"neighbours": 11, "dummies": 80}
        ),
        "preset `virgo_denoiser`, 8 witnesses at 512 Hz": VirgoSimulator(duration_s=duration_s),
    }
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(repeats):
        for name, simulator in kinds.items():
            begun_s = time.process_time()
            simulator.simulate()
            found[name].append(duration_s / (time.process_time() - begun_s))
    return [(name, statistics.median(one), min(one), max(one)) for name, one in found.items()]


def draw(path: Path, duration_s: float) -> None:
    """Draw the ASD of the parts, fringes over the bench's motion, and glitches."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    data = VirgoSimulator.strong(duration_s=duration_s).simulate()
    rate_hz = data.strain.sample_rate_hz
    figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(9, 12), constrained_layout=True)
    for channel in (data.whole, *data.truth):
        frequency_hz, psd = signal.welch(channel.values, rate_hz, nperseg=round(4 * rate_hz))
        name = channel.name.removeprefix("truth/")
        heavy = name in ("whole", "background")
        colour = {"whole": "black", "background": "gray", "glitches/witnessed": "tab:cyan"}.get(name)
        line = {"lw": 1.8 if heavy else 0.9, "label": name, "zorder": 3 - heavy, "color": colour}
        top.loglog(frequency_hz[1:], np.sqrt(psd[1:]), **line)
    top.set(xlim=(10, 500), ylim=(1e-25, 1e-20), xlabel="frequency (Hz)", ylabel="ASD (1/√Hz)")
    top.set_title("Parts of the strain (mean over time)")
    top.legend(fontsize=8, ncols=2)

    bench_um = next(one.values for one in data.witnesses if one.name.endswith("BENCH_POSITION"))
    slow = signal.butter(4, 2.0, fs=rate_hz, output="sos")
    bench_um = signal.sosfiltfilt(slow, bench_um.astype(np.float64))
    spectrogram(middle, data.part("scattering/BENCH_POSITION"), rate_hz, (0.0, 30.0), 0.5, 70.0)
    fringes_hz = np.abs(np.gradient(bench_um) * rate_hz) * 2 / 1.064
    time_s = np.arange(len(bench_um)) / rate_hz
    middle.plot(time_s, fringes_hz, color="white", lw=0.8, ls="--", label="2 |v| / λ of the bench")
    middle.legend(loc="upper right", fontsize=8)
    middle.set_title("Scattered light: arches, in units of the background's ASD")

    witnessed = [event for event in data.events if event.witnessed]
    first = next(one for one in witnessed if one.kind == "whistle")
    centre_s = first.gps_s - data.strain.gps_start_s
    begin_s = min(max(0.0, centre_s - 15.0), duration_s - 30.0)
    glitches = data.part("glitches/witnessed") + data.part("glitches/unwitnessed")
    glitches = glitches + data.part("background")
    spectrogram(bottom, glitches, rate_hz, (begin_s, begin_s + 30.0), 0.125, 400.0)
    for event in data.events:
        at_s = event.gps_s - data.strain.gps_start_s
        if begin_s < at_s < begin_s + 30 and event.kind != "binary":
            seen = "" if event.witnessed else "\n(no witness)"
            bottom.text(
                at_s, 385, f"{event.kind}{seen}\nSNR {event.snr:.0f}", color="white", fontsize=7, va="top"
            )
    bottom.set_title("Glitches in the background, in units of its ASD")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def spectrogram(
    axes: Axes,
    values: np.ndarray,
    rate_hz: float,
    times_s: tuple[float, float],
    segment_s: float,
    highest_hz: float,
) -> None:
    """Draw a spectrogram in units of the strong detector's background."""
    samples, whole = len(values), round(segment_s * rate_hz)
    asd = Background(scale=VirgoSimulator.strong().background).asd(np.fft.rfftfreq(samples, 1 / rate_hz))
    white = np.fft.irfft(np.fft.rfft(values) / asd, samples)
    frequency_hz, time_s, psd = signal.spectrogram(white, rate_hz, nperseg=whole, noverlap=whole * 7 // 8)
    rows = (frequency_hz > 8) & (frequency_hz < highest_hz)
    columns = (time_s >= times_s[0]) & (time_s <= times_s[1])
    level = 0.5 * np.log10(psd[np.ix_(rows, columns)] + 1e-6)
    image = axes.pcolormesh(
        time_s[columns], frequency_hz[rows], level, vmin=-0.5, vmax=1.0, shading="nearest", rasterized=True
    )
    axes.figure.colorbar(image, ax=axes, label="log10 of the ratio")
    axes.grid(False)
    axes.set(xlim=times_s, ylim=(8, highest_hz), xlabel="time (s)", ylabel="frequency (Hz)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--duration_s", type=float, default=512.0)
    parser.add_argument("--instruments", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5, help="of the timed simulations")
    parser.add_argument("--figure", type=Path, default=RESULTS.parents[1] / "docs/images/virgo_simulator.png")
    parser.add_argument("--page", type=str, default="virgo_simulator")
    given = parser.parse_args()
    timed = speeds(given.duration_s, given.repeats)
    ranges, left = range_rows(given.duration_s, range(given.instruments))
    percent = agreement_percent(given.duration_s)
    count, raw, oracle = injection_snrs(given.duration_s)
    draw(given.figure, min(given.duration_s, 256.0))
    lines = [
        f"{given.duration_s:g} s at 1024 Hz; spectra are the median over segments of 4 s. Knowable: what",
        "one who knows the instrument recovers from the recorded witnesses, whose sensors have noise.",
        "",
        *ranges,
        "",
        "Of the strong detector, the most that this leaves of a part, relative to the background's ASD in",
        f"bands of 1 Hz from {BAND_HZ[0]:g} to {BAND_HZ[1]:g} Hz: in the worst instrument, and the mean.",
        "",
        "| part | most | mean |",
        "|---|---|---|",
        *(f"| {part} | {max(one):.3f} | {statistics.mean(one):.3f} |" for part, one in left.items()),
        "",
        f"{count} injected binary black holes, mean matched-filter SNR: {raw:.2f} in the strain as it is, "
        f"{oracle:.2f} with the oracle.",
        "",
        "| simulated | times real time (median) | least | most |",
        "|---|---|---|---|",
        *(f"| {name} | {middle:.0f} | {low:.0f} | {high:.0f} |" for name, middle, low, high in timed),
        "",
        "Processor time of one thread.",
        "",
        "The picture of the parts stands on the simulator's card.",
        "",
        "Range against gwpy's `sensemon_range`: "
        + (
            "gwpy is not installed."
            if percent is None
            else f"differs by at most {percent:.3f} % (goal: 1 %)."
        ),
        f"Speed with ten witnesses: {timed[0][1]:.0f} times real time (goal: 150).",
    ]
    write_page(given.page, "The simulated detector", command_line(), lines, "one thread")


if __name__ == "__main__":
    main()
