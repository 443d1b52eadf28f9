"""A small subtraction of which everything is known."""

from types import SimpleNamespace

import numpy as np
from scipy import signal

from lightning_itwin.strain.aligned_channels import AlignedChannels
from lightning_itwin.strain.channel_pieces import Channel
from lightning_itwin.subtraction.outputs.veto_list import VetoList
from lightning_itwin.subtraction.report.evidence import Subtraction

RATE_HZ, GPS_S, DURATION_S = 512.0, 1262304018.0, 100.0
# seconds after the start, frequency in Hz, and SNR or so
WITNESSED = ((12.0, 150.0, 20.0), (40.0, 180.0, 15.0), (77.0, 120.0, 30.0))
UNWITNESSED = ((25.0, 200.0, 18.0),)
SIGNALS = (33.0, 60.0, 90.0)
_SCALE = 1e-22


def burst(time_s, at_s, hz, snr):
    envelope = np.exp(-(((time_s - at_s) * hz / 2) ** 2))
    shape = envelope * np.cos(2 * np.pi * hz * (time_s - at_s))
    return snr * shape / np.linalg.norm(shape)


def parts():
    """Give time, the witness, and the parts of the strain by name."""
    rng = np.random.default_rng(0)
    time_s = np.arange(round(DURATION_S * RATE_HZ)) / RATE_HZ
    witness = rng.standard_normal(len(time_s))
    chirps = np.zeros_like(time_s)
    for at_s in SIGNALS:
        since_s = time_s - (at_s - 1.0)
        inside = (since_s > 0) & (since_s < 1.0)
        sweep = np.sin(2 * np.pi * (40 * since_s + 60 * since_s**2)) * since_s * inside
        chirps += 20 * sweep / np.linalg.norm(sweep)
    found = {
        "truth/background": rng.standard_normal(len(time_s)),
        "truth/linear/W": signal.lfilter(*signal.iirpeak(80.0, 8.0, RATE_HZ), witness) * 12,
        "truth/glitches/witnessed": sum(burst(time_s, *one) for one in WITNESSED),
        "truth/glitches/unwitnessed": sum(burst(time_s, *one) for one in UNWITNESSED),
        "truth/injections": chirps,
    }
    return time_s, witness, {name: _SCALE * values for name, values in found.items()}


def data_and_noise(with_truth=True):
    """Give aligned channels, the noise that could be subtracted, and the truth."""
    _, witness, truth = parts()
    other = np.random.default_rng(1).standard_normal(len(witness))
    strain = sum(truth.values())
    aligned = AlignedChannels(
        names=("V1:S", "V1:WITNESS", "V1:OTHER"),
        values=np.stack([strain, witness, other]),
        sample_rate_hz=RATE_HZ,
        gps_start_s=GPS_S,
        bandwidth_hz=(RATE_HZ / 2,) * 3,
        units=("strain", "", ""),
    )
    noise = truth["truth/linear/W"] + truth["truth/glitches/witnessed"]
    return aligned, noise, truth if with_truth else {}


def subtraction(share=1.0, with_truth=True, vetoes=None, extra=0.0):
    """Give a subtraction of a share of what the witnesses know, plus something more."""
    aligned, noise, truth = data_and_noise(with_truth)
    taken = share * noise + extra
    return Subtraction(
        data=aligned,
        noise=lambda begin, end: taken[begin:end],
        covered=np.array([[0, aligned.values.shape[1]]]),
        vetoes=VetoList.of(np.zeros((0, 3)) if vetoes is None else vetoes),
        truth=truth,
    )


def datamodule(tmp_path):
    """Give what predict needs of a datamodule, with the strain in a file."""
    from lightning_itwin.strain.hdf5_channels import write_channels

    aligned, noise, truth = data_and_noise()
    channels = [
        Channel(name=name, values=values, sample_rate_hz=RATE_HZ, gps_start_s=GPS_S, unit=unit)
        for name, values, unit in zip(aligned.names, aligned.values, aligned.units)
    ]
    channels += [
        Channel(name=name, values=values, sample_rate_hz=RATE_HZ, gps_start_s=GPS_S)
        for name, values in truth.items()
    ]
    write_channels(tmp_path / "source.h5", channels)
    return SimpleNamespace(aligned=aligned, source_files=[tmp_path / "source.h5"]), noise
