"""How much of the simulated detector's noise the preset virgo_denoiser removes, beside what can be removed.

For each seed, another instrument and other noise: the preset is trained, then asked about the test part,
the last quarter of the data, which no statistic or weight has seen. Beside it stand, on the same windows,

- the oracle: the true background, the part of the strain that no witness sees;
- a linear Wiener filter in closed form, with as many taps as the network's kernels;
- the same, given every product of a fast witness and an alignment angle: what is to be learned is handed
  to it;
- the trained network on an instrument whose couplings are others: what a change of the detector does.

A second table trains and tests it where there is little or nothing to remove.

Run from the repository: python benchmarks/virgo_noise_removed.py
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from lightning.pytorch import Trainer, seed_everything
from result_page import command_line, write_page
from scipy import linalg, signal

from lightning_itwin import presets
from lightning_itwin.datamodules import VirgoDataModule, VirgoSimulator
from lightning_itwin.models import VirgoDenoiser
from lightning_itwin.models.noise_removal import NoiseRemoval
from lightning_itwin.strain.hdf5_channels import read_channels


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one method left of the noise.

    Args:
        asd_ratio: mean ASD ratio in the band.
        removed_fraction: fraction of the noise power in the band that was removed.
        worst_asd_ratio: highest ASD ratio of any band of 1 Hz.
        line_asd_ratio: ASD ratio from 49 to 51 Hz, around the mains line.
        fit_s: time to fit; None where nothing was fitted.
    """

    asd_ratio: float
    removed_fraction: float
    worst_asd_ratio: float
    line_asd_ratio: float
    fit_s: float | None


ORACLE = "oracle: the true background"


def preset() -> dict:
    return yaml.safe_load(presets.find("virgo_denoiser").read_text())


def datamodule(
    data_dir: str, noise_seed: int, instrument_seed: int, coupling_strength: float = 1.0
) -> VirgoDataModule:
    settings = preset()["data"]["init_args"]
    simulated = settings.pop("simulator") | {
        "noise_seed": noise_seed,
        "instrument_seed": instrument_seed,
        "coupling_strength": coupling_strength,
    }
    module = VirgoDataModule(**settings | {"data_dir": data_dir, "simulator": VirgoSimulator(**simulated)})
    module.prepare_data()
    module.setup()
    return module


def compare(data: VirgoDataModule, before: np.ndarray, after: np.ndarray, fit_s: float | None) -> Row:
    """Compare two series of the test part over windows like those of the model's test."""
    edge = preset()["model"]["init_args"]["kernel_size"] // 2
    removal = NoiseRemoval(sample_rate_hz=data.sample_rate_hz, band_hz=data.band_hz)
    windows = (
        torch.from_numpy(x.astype(np.float32)).unfold(0, data.window, data.window // 2)[:, edge:-edge]
        for x in (before, after)
    )
    removal.update(*windows)
    return row(removal, fit_s)


def row(removal: NoiseRemoval, fit_s: float | None) -> Row:
    frequency_hz = removal.frequency_hz
    before, after = removal.band_power

    def asd_ratio(low_hz: int, high_hz: int) -> float:
        band = (frequency_hz >= low_hz) & (frequency_hz < high_hz)
        return float((after[band].sum() / before[band].sum()).sqrt())

    lowest_hz, highest_hz = int(frequency_hz[0]), int(frequency_hz[-1])
    return Row(
        asd_ratio=removal.asd_ratio,
        removed_fraction=removal.removed_fraction,
        worst_asd_ratio=max(asd_ratio(low_hz, low_hz + 1) for low_hz in range(lowest_hz, highest_hz)),
        line_asd_ratio=asd_ratio(49, 51),
        fit_s=fit_s,
    )


def oracle(data: VirgoDataModule) -> Row:
    ((begin, end),) = data.stretches("test")
    background = read_channels(data.simulated_file, ["truth/background"])[0].values[begin:end]
    strain = data.series("test")[0].values[0]
    return compare(data, strain, data.filters[0](background), None)


def wiener(data: VirgoDataModule, products: bool) -> Row:
    """Fit the filters that leave the least power in the training part; subtract in the test part."""
    start = time.perf_counter()
    taps = preset()["model"]["init_args"]["kernel_size"]
    train, test = data.series("train")[0].values, data.series("test")[0].values
    x, y = features(train[1:], products), train[0].astype(np.float64)
    count, samples = x.shape
    length = 1 << (2 * samples - 1).bit_length()
    spectra, target = np.fft.rfft(x, length), np.fft.rfft(y, length)
    half = taps // 2
    lags = np.arange(-half, half + 1)
    normal = np.empty((count * taps, count * taps))
    wanted = np.empty(count * taps)
    for i in range(count):
        rows = slice(i * taps, (i + 1) * taps)
        wanted[rows] = np.fft.irfft(target * spectra[i].conj(), length)[lags]
        for j in range(i, count):
            columns = slice(j * taps, (j + 1) * taps)
            # sum_t x_i(t - k) x_j(t - l) is their correlation at lag k - l
            correlation = np.fft.irfft(spectra[j] * spectra[i].conj(), length)
            block = correlation[lags[:, None] - lags[None, :]]
            normal[rows, columns] = block
            normal[columns, rows] = block.T
    normal[np.diag_indices_from(normal)] += 1e-3 * np.diag(normal).mean()
    filters = linalg.solve(normal, wanted, assume_a="pos").reshape(count, taps)
    fit_s = time.perf_counter() - start
    strain = test[0].astype(np.float64)
    heard = features(test[1:], products)
    noise = sum(signal.oaconvolve(h, f, mode="same") for h, f in zip(heard, filters))
    return compare(data, strain, strain - noise, fit_s)


def features(witnesses: np.ndarray, products: bool) -> np.ndarray:
    """Give the witnesses, and if asked for the products of the first five with both angles."""
    witnesses = witnesses.astype(np.float64)
    if not products:
        return witnesses
    low_pass = signal.firwin(257, 5.0, fs=preset()["data"]["init_args"]["sample_rate_hz"])
    angles = signal.oaconvolve(witnesses[5:7], low_pass[None], mode="same", axes=1)
    return np.concatenate([witnesses, *(witnesses[:5] * angle for angle in angles)])


def train(data: VirgoDataModule, seed: int, epochs: int) -> tuple[Trainer, VirgoDenoiser, float]:
    seed_everything(seed, verbose=False)
    model = VirgoDenoiser(**preset()["model"]["init_args"])
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    start = time.perf_counter()
    trainer.fit(model, datamodule=data)
    return trainer, model, time.perf_counter() - start


def tested(trainer: Trainer, model: VirgoDenoiser, data: VirgoDataModule, fit_s: float | None) -> Row:
    trainer.test(model, datamodule=data, verbose=False)
    return row(model.removal, fit_s)


def measure(seed: int, epochs: list[int], data_dir: str) -> dict[str, Row]:
    data = datamodule(data_dir, noise_seed=100 + seed, instrument_seed=seed)
    taps = preset()["model"]["init_args"]["kernel_size"]
    rows = {
        ORACLE: oracle(data),
        f"linear Wiener filter, closed form, {taps} taps": wiener(data, products=False),
        "the same, products of witness and angle given": wiener(data, products=True),
    }
    for count in epochs:
        trainer, model, fit_s = train(data, seed, count)
        rows[f"VirgoDenoiser, {count} epoch{'s' if count > 1 else ''}"] = tested(trainer, model, data, fit_s)
    other = datamodule(data_dir, noise_seed=100 + seed, instrument_seed=seed + 1000)
    rows[f"VirgoDenoiser, {epochs[-1]} epochs, on another instrument"] = tested(trainer, model, other, None)
    return rows


def weak(seed: int, epochs: int, data_dir: str) -> dict[str, Row]:
    rows = {}
    for strength in (0.1, 0.0):
        data = datamodule(data_dir, 100 + seed, seed, coupling_strength=strength)
        name = f"couplings x {strength:g}"
        rows[f"{name}: oracle"] = oracle(data)
        trainer, model, fit_s = train(data, seed, epochs)
        rows[f"{name}: VirgoDenoiser, {epochs} epochs"] = tested(trainer, model, data, fit_s)
    return rows


def table(runs: list[dict[str, Row]]) -> str:
    lines = [
        "| | ASD ratio in band | noise power removed | of the oracle's | 49 to 51 Hz | worst 1 Hz | fit |",
        "|---|---|---|---|---|---|---|",
    ]
    best = [run[ORACLE].removed_fraction if ORACLE in run else None for run in runs]
    for name in runs[0]:
        rows = [run[name] for run in runs]
        seconds = [one.fit_s for one in rows if one.fit_s is not None]
        cells = [
            name,
            spread([one.asd_ratio for one in rows], ".3f"),
            spread([100 * one.removed_fraction for one in rows], ".1f", " %"),
            spread([100 * one.removed_fraction / b for one, b in zip(rows, best) if b], ".0f", " %"),
            spread([one.line_asd_ratio for one in rows], ".2f"),
            spread([one.worst_asd_ratio for one in rows], ".2f"),
            f"{statistics.median(seconds):.1f} s" if seconds else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: list[float], form: str, unit: str = "") -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    if len(values) == 1:
        return f"{low:{form}}{unit}"
    return f"{statistics.median(values):{form}}{unit} ({low:{form}} to {high:{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="0,1,2,3,4", help="seeds, separated by commas (%(default)s)")
    parser.add_argument("--epochs", default="1,3", help="lengths of training to compare (%(default)s)")
    parser.add_argument("--data-dir", default="data/virgo", help="folder of simulated files (%(default)s)")
    parser.add_argument("--out", default="benchmarks/results/virgo_noise_removed.md", help="(%(default)s)")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    epochs = sorted(int(count) for count in options.epochs.split(","))
    runs, weak_runs = [], []
    for seed in seeds:
        runs.append(measure(seed, epochs, options.data_dir))
        weak_runs.append(weak(seed, epochs[-1], options.data_dir))
        print(f"seed {seed}\n{table(runs[-1:])}\n{table(weak_runs[-1:])}\n", flush=True)
    write_page(
        Path(options.out),
        "Noise that the virgo preset removes from a simulated strain",
        command_line(),
        [
            f"Median (lowest to highest) over {len(seeds)} seeds, each with an instrument, noise and weights",
            "of its own. Band 20 to 200 Hz; powers are of the whitened strain. The test part is the last",
            "quarter of 1024 s; the fit saw the first 60 %. '49 to 51 Hz' is the ASD ratio around the mains",
            "line, 'worst 1 Hz' the highest of any band of 1 Hz.",
            "",
            table(runs),
            "",
            "Where there is little or nothing to remove:",
            "",
            table(weak_runs),
        ],
        "one thread",
    )


if __name__ == "__main__":
    main()
