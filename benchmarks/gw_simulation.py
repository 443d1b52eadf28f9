"""Simulated events a second: parameters, waveform, projection, whitening, noise, (3, 65536) float32 series.

Every chain makes the same binaries in batches, with fresh noise that depends on an event's number alone;
bilby's own chain does it event by event. A round runs all chains, one after another. The mismatch is that
of the polarisations with lalsimulation at every frequency, its own multibanding off, weighted with ET-D.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from result_page import command_line, write_page

from lightning_itwin.datamodules.gw.event_inputs import EventInputs
from lightning_itwin.datamodules.gw.finishing import BatchFinisher
from lightning_itwin.detectors import Observation, ObservationSettings, SignalModel
from lightning_itwin.inference import Prior
from lightning_itwin.waveforms import Binary, Waveform, make_waveform
from lightning_itwin.waveforms.lalsimulation_waveform import LALSimulationWaveform
from lightning_itwin.waveforms.phenom_pv2 import IMRPhenomPv2

NAMES = [
    *("chirp_mass", "mass_ratio", "luminosity_distance", "ra", "dec", "psi", "theta_jn", "phase"),
    *("a_1", "a_2", "tilt_1", "tilt_2", "phi_12", "phi_jl", "geocent_time"),
]
CHIRP_MASS_MSUN = (20.0, 60.0)
MASS_RATIO = (0.125, 1.0)
REFERENCE_EVENTS_PER_S = 2.17  # one core, what the data set of 10^6 events in 128 core hours was made with
GOALS = {"lalsimulation:IMRPhenomPv2": 250.0, "lalsimulation:IMRPhenomXPHM": 100.0}


def draw(number: int, seed: int) -> torch.Tensor:
    """Draw parameters, (number, 15): isotropic in sky, orientation and spins, spins to 0.99."""
    rng = np.random.default_rng(seed)

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, number)

    def polar() -> np.ndarray:
        return np.arccos(uniform(-1, 1))

    turn = 2 * math.pi
    columns = [
        *(uniform(*CHIRP_MASS_MSUN), uniform(*MASS_RATIO), uniform(300, 5000), uniform(0, turn)),
        *(math.pi / 2 - polar(), uniform(0, math.pi), polar(), uniform(0, turn)),
        *(uniform(0, 0.99), uniform(0, 0.99), polar(), polar()),
        *(uniform(0, turn), uniform(0, turn), uniform(-0.1, 0.1)),
    ]
    return torch.from_numpy(np.stack(columns, axis=1))


class WholeBand:
    """A waveform that is always asked for the same frequencies, as a compiled one wants it."""

    def __init__(self, waveform: IMRPhenomPv2) -> None:
        self.waveform, self.name = waveform, waveform.name

    def __call__(self, binary: Binary, frequency_hz: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.waveform(binary, frequency_hz)

    def highest_frequency_hz(self, binary: Binary) -> float:
        lightest = Binary.from_table(NAMES, draw(1, 0))
        total = CHIRP_MASS_MSUN[0] * 2**1.2  # of equal masses
        half = torch.tensor([total / 2], dtype=torch.float64)
        lightest.__dict__.update(mass_1_msun=half, mass_2_msun=half)
        return self.waveform.highest_frequency_hz(lightest)


def batched(waveform: Waveform, observation: Observation, batch: int) -> Callable[[torch.Tensor], None]:
    """Give our chain: it makes the events of a table."""
    model = SignalModel(waveform, observation)

    def run(theta: torch.Tensor) -> None:
        for start in range(0, len(theta), batch):
            rows = theta[start : start + batch]
            noise = observation.noise(len(rows), [(1, start + row) for row in range(len(rows))])
            series = observation.to_series(noise.add_(model(Binary.from_table(NAMES, rows))))
            assert series.shape == (len(rows), 3, observation.samples)

    return run


def bilbys(approximant: str, settings: ObservationSettings) -> Callable[[torch.Tensor], None]:
    """Give bilby's chain."""
    import bilby

    bilby.core.utils.logger.setLevel("ERROR")
    highest_hz = settings.sample_rate_hz / 2
    generator = bilby.gw.WaveformGenerator(
        duration=settings.duration_s,
        sampling_frequency=settings.sample_rate_hz,
        frequency_domain_source_model=bilby.gw.source.lal_binary_black_hole,
        parameter_conversion=bilby.gw.conversion.convert_to_lal_binary_black_hole_parameters,
        waveform_arguments={
            "waveform_approximant": approximant,
            "reference_frequency": 20.0,
            "minimum_frequency": settings.minimum_frequency_hz,
            "maximum_frequency": highest_hz,
        },
    )

    def run(theta: torch.Tensor) -> None:
        for values in theta.tolist():
            parameters = dict(zip(NAMES, values))
            parameters["geocent_time"] += settings.gps_time_s
            detectors = bilby.gw.detector.InterferometerList(settings.detectors)
            for one in detectors:
                one.minimum_frequency, one.maximum_frequency = settings.minimum_frequency_hz, highest_hz
            detectors.set_strain_data_from_power_spectral_densities(
                settings.sample_rate_hz, settings.duration_s, start_time=settings.start_time_s
            )
            detectors.inject_signal(parameters, waveform_generator=generator, raise_error=False)
            spectra = np.stack([one.whitened_frequency_domain_strain for one in detectors])
            series = np.fft.irfft(spectra).astype(np.float32)
            assert series.shape[0] == 3

    return run


class EveryFrequency(LALSimulationWaveform):
    """lalsimulation at every frequency, with the multibanding of IMRPhenomXPHM off."""

    def __init__(self, approximant: str) -> None:
        super().__init__(approximant, 20.0, multibanding=None)
        self._options = self._lal.CreateDict()
        for mode in ("XPHM", "XHM"):
            switch = f"SimInspiralWaveformParamsInsertPhenom{mode}ThresholdMband"
            getattr(self._lalsimulation, switch)(self._options, 0.0)
        library, options = self._lalsimulation, self._options

        class Patched:
            def __getattr__(self, name: str) -> Any:
                if name == "SimInspiralChooseFDWaveform":
                    return lambda *values: library.SimInspiralChooseFDWaveform(
                        *values[:-2], options, values[-1]
                    )
                return getattr(library, name)

        self._lalsimulation = Patched()


def mismatch(
    waveform: Waveform, truth: Waveform, observation: Observation, theta: torch.Tensor
) -> tuple[float, float]:
    """Give the largest and the median mismatch, neither maximised over time nor over phase."""
    # lalsimulation leaves the highest frequency that it is asked for empty
    frequency_hz = observation.frequency_hz[: int(1024 * observation.settings.duration_s)]
    weight = observation.standard_deviation[0, 0, : len(frequency_hz)] ** -2
    weight[-1] = 0.0
    found = []
    for start in range(0, len(theta), 20):
        binary = Binary.from_table(NAMES, theta[start : start + 20])
        for made, exact in zip(waveform(binary, frequency_hz), truth(binary, frequency_hz)):
            a, b = made.to(torch.complex128) * 1e23, exact * 1e23

            def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
                return (a * b.conj() * weight).sum(1).real

            found.append(1 - product(a, b) / (product(a, a) * product(b, b)).sqrt())
    values = torch.cat(found).clamp_min(0)
    return values.max().item(), values.median().item()


def on_cpu(options: argparse.Namespace) -> None:
    """Time all chains on one core and write the page."""
    torch.set_num_threads(1)
    settings = ObservationSettings()
    observation = Observation(settings)
    ours = {
        "lalsimulation:IMRPhenomPv2": "lalsimulation IMRPhenomPv2, our back half",
        "lalsimulation:IMRPhenomXP": "lalsimulation IMRPhenomXP, our back half",
        "lalsimulation:IMRPhenomXPHM": "lalsimulation IMRPhenomXPHM, our back half",
        "IMRPhenomPv2": "our IMRPhenomPv2 in torch",
    }
    waveforms: dict[str, Waveform] = {name: make_waveform(name) for name in ours}
    chains = {name: batched(waveform, observation, options.batch) for name, waveform in waveforms.items()}
    labels = dict(ours)
    for name in ("lalsimulation:IMRPhenomPv2", "lalsimulation:IMRPhenomXPHM"):
        plain = LALSimulationWaveform(name.split(":")[1], 20.0, multibanding=None)
        waveforms[f"{name} plain"] = plain
        chains[f"{name} plain"] = batched(plain, observation, options.batch)
        labels[f"{name} plain"] = f"{ours[name]}, as lalsimulation evaluates it"
    if not options.no_compile:
        compiled = WholeBand(IMRPhenomPv2().compile())
        waveforms["compiled"], labels["compiled"] = compiled, "our IMRPhenomPv2 in torch, compiled"
        chains["compiled"] = batched(compiled, observation, options.batch)
    if not options.no_bilby:
        for approximant in ("IMRPhenomPv2", "IMRPhenomXPHM"):
            name = f"bilby {approximant}"
            chains[name], labels[name] = bilbys(approximant, settings), f"bilby alone, {approximant}"
    theta = draw(options.events, 1)
    for run in chains.values():
        run(theta[: options.batch])
    speeds: dict[str, list[float]] = {name: [] for name in chains}
    for _ in range(options.rounds):
        for name, run in chains.items():
            rows = theta[: max(options.batch, len(theta) // 8)] if name.startswith("bilby") else theta
            begun_s = time.process_time()
            run(rows)
            speeds[name].append(len(rows) / (time.process_time() - begun_s))
    lines = [
        f"Events a second of one core (one thread, processor time), {options.events} events in batches of "
        f"{options.batch}, ET triangle, 8 s at 8192 Hz from 10 Hz, chirp mass 20 to 60, mass ratio to 1/8, "
        f"spins to 0.99; median of {options.rounds} interleaved rounds, lowest and highest in brackets.",
        "",
        "| chain | events/s | over 2.17 | mismatch, worst (median) |",
        "|---|---|---|---|",
    ]
    checked = draw(options.checked, 2)
    for name, measured in speeds.items():
        cell = "reference"
        if name in waveforms:
            approximant = getattr(waveforms[name], "approximant", "IMRPhenomPv2")
            worst, median = mismatch(waveforms[name], EveryFrequency(approximant), observation, checked)
            cell = f"{worst:.0e} ({median:.0e})"
        median_speed = statistics.median(measured)
        lines.append(
            f"| {labels[name]} | {median_speed:.0f} ({min(measured):.0f} to {max(measured):.0f}) "
            f"| {median_speed / REFERENCE_EVENTS_PER_S:.0f} x | {cell} |"
        )
    lines += ["", f"Mismatches over {options.checked} binaries, both polarisations, not maximised.", ""]
    for name, goal in GOALS.items():
        reached = statistics.median(speeds[name])
        lines.append(f"{ours[name]}: {reached:.0f} events/s, goal {goal:.0f}: ratio {reached / goal:.2f}.  ")
    write_page("gw_simulation", "Simulating events on one core", command_line(), lines, "one thread")


def on_cuda(options: argparse.Namespace) -> None:
    """Time the simulation of training batches on a GPU, noise and all, and write what 10^6 events take."""
    prior = Prior.from_file("et_14", ObservationSettings().gps_time_s)
    lines = [
        "| events a batch | events/s | 10^6 events | highest memory |",
        "|---|---|---|---|",
    ]
    best_s, waveform = math.inf, IMRPhenomPv2()
    highest_hz = prior.highest_frequency_hz(waveform)
    for batch in options.batches:
        model = SignalModel(waveform, Observation(ObservationSettings()), highest_hz).to("cuda")
        torch.cuda.reset_peak_memory_stats()
        finish = BatchFinisher(model, prior)
        theta = prior.sample(batch, 1).cuda()
        psd_index = torch.zeros(batch, dtype=torch.int64, device="cuda")
        spans = []
        for number in range(options.rounds + 3):
            torch.cuda.synchronize()
            begun_s = time.perf_counter()
            for seed in range(10):
                finish(EventInputs(theta, psd_index, None, None, 10 * number + seed))
            torch.cuda.synchronize()
            spans.append((time.perf_counter() - begun_s) / 10)
        million_s = 1e6 / batch * statistics.median(spans[3:])
        best_s = min(best_s, million_s)
        peak_gib = torch.cuda.max_memory_allocated() / 2**30
        cells = f"{1e6 / million_s:.0f} | {million_s:.1f} s | {peak_gib:.1f} GiB"
        lines.append(f"| {batch} | {cells} |")
    lines += [
        "",
        "Whitened strain of three interferometers, 8 s at 8192 Hz, noise in it, as a training step gets it.",
        "",
        f"10^6 events in {best_s:.1f} s, goal 60 s: ratio {60 / best_s:.1f}",
    ]
    name = torch.cuda.get_device_name()
    write_page("gw_simulation_cuda", "Simulating events on a GPU", command_line(), lines, name)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=128, help="events a chain and round (default: 128)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default: 5)")
    parser.add_argument("--batch", type=int, default=16, help="events a batch (default: 16)")
    parser.add_argument("--checked", type=int, default=200, help="binaries for the mismatch (default: 200)")
    parser.add_argument("--no-compile", action="store_true", help="leave the compiled waveform out")
    parser.add_argument("--no-bilby", action="store_true", help="leave bilby's own chain out")
    parser.add_argument("--cuda", action="store_true", help="time training batches on a GPU instead")
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 1024], help="their sizes, on a GPU")
    options = parser.parse_args(arguments)
    if options.cuda:
        on_cuda(options)
    else:
        on_cpu(options)


if __name__ == "__main__":
    main()
