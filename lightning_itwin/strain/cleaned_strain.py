"""A cleaned strain in a file: the strain at its own rate and times, less a noise of another rate."""

# T samples

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.strain.channel_pieces import Channel, ChannelSeries
from lightning_itwin.strain.gwf_channels import write_gwf
from lightning_itwin.strain.hdf5_channels import new_hdf5, open_hdf5, read_pieces
from lightning_itwin.strain.resampling import Resampler

_CHUNK = 2**16
_BLOCK = 2**20
GWF_S = 4096


@dataclass(frozen=True, kw_only=True)
class NoiseRun:
    """Noise over one stretch of time without a gap.

    Args:
        gps_start_s: GPS time of the first sample.
        blocks: samples in the strain's own units, float64, in the order of time.
    """

    gps_start_s: float
    blocks: Iterable[np.ndarray]


def write_cleaned(
    path: str | Path,
    strain: ChannelSeries,
    noise: Iterable[NoiseRun],
    noise_rate_hz: float,
    attributes: Mapping[str, str] | None = None,
) -> None:
    """Write ``strain - noise`` to HDF5, with the strain's own GPS times, sample rate and unit.

    The noise is brought to the strain's rate and onto its clock by a polyphase filter of zero phase. Where
    there is no noise, the strain stays as it is; where there is no strain, there is NaN. The file appears
    whole or not at all; neither strain nor noise need fit into memory.

    A file of frames, of gwpy or of this package gives a file with one dataset, which
    ``gwpy.timeseries.TimeSeries.read`` opens; a file of GWOSC (``strain/Strain``) gives one of its layout.

    Args:
        path: the file; its folder is made, an older file is replaced.
        strain: as it was.
        noise: runs in the order of time.
        noise_rate_hz: its sample rate.
        attributes: text attributes of the file itself.
    """
    with new_hdf5(path, attributes) as h5:
        dataset = _copy(h5, strain)
        for run in noise:
            _subtract(dataset, strain, run, noise_rate_hz)


def write_frames(folder: str | Path, path: str | Path, name: str, label: str) -> list[Path]:
    """Write a channel of an HDF5 file as GWF frames of at most 4096 s, one a file; NaN stay NaN.

    Args:
        folder: where to.
        path: HDF5 file.
        name: of the channel.
        label: what the frames hold, for their names, such as ``"V1_CLEANED"``. Names follow LIGO-T010150:
            observatory, label, GPS start and duration in whole seconds.

    Returns:
        The files, in the order of time.

    Raises:
        ChannelError: GWF has no such unit.
        MissingExtraError: lalsuite is not installed.
    """
    (piece,) = read_pieces(path, [name])
    samples = round(GWF_S * piece.sample_rate_hz)
    written = []
    with open_hdf5(Path(path)) as h5:
        for first in range(0, piece.samples, samples):
            channel = Channel(
                name=_frame_name(name, label),
                values=h5[name][first : first + samples],
                sample_rate_hz=piece.sample_rate_hz,
                gps_start_s=piece.gps_start_s + first / piece.sample_rate_hz,
                unit=piece.unit,
            )
            begin_s = int(np.floor(channel.gps_start_s))
            seconds = int(np.ceil(channel.gps_end_s)) - begin_s
            file = Path(folder) / f"{label[:1]}-{label}-{begin_s}-{seconds}.gwf"
            write_gwf(file, [channel])
            written.append(file)
    return written


def _frame_name(name: str, label: str) -> str:
    """Give the name of a channel in frames: GWOSC's datasets have none that frames would take."""
    return name if ":" in name else f"{label.split('_')[0]}:{name.rpartition('/')[2].upper()}"


def _copy(h5: Any, strain: ChannelSeries) -> Any:
    """Write the strain into a new dataset, gaps as NaN."""
    rate_hz = strain.sample_rate_hz
    samples = round((strain.gps_end_s - strain.gps_start_s) * rate_hz)
    dataset = h5.create_dataset(
        strain.name, (samples,), np.float64, chunks=(min(_CHUNK, samples),), fillvalue=np.nan
    )
    if strain.name == "strain/Strain":
        _gwosc_head(h5, dataset, strain, samples)
    else:
        # gwpy's names and no others: it hands every attribute to its TimeSeries.
        dataset.attrs.update(
            name=strain.name, unit=strain.unit, x0=strain.gps_start_s, dx=1.0 / rate_hz, xunit="s"
        )
    for piece in strain.pieces:
        at = round((piece.gps_start_s - strain.gps_start_s) * rate_hz)
        for block in piece.blocks():
            dataset[at : at + len(block)] = block
            at += len(block)
    return dataset


def _gwosc_head(h5: Any, dataset: Any, strain: ChannelSeries, samples: int) -> None:
    dataset.attrs.update(
        Npoints=samples,
        Xlabel="GPS time",
        Xspacing=1.0 / strain.sample_rate_hz,
        Xstart=strain.gps_start_s,
        Xunits="second",
        Ylabel="Strain",
        Yunits=strain.unit,
    )
    h5["meta/GPSstart"] = int(strain.gps_start_s)
    h5["meta/Duration"] = round(samples / strain.sample_rate_hz)
    h5["meta/Type"] = "StrainTimeSeries"
    detector = strain.pieces[0].path.name.split("-")[1:2]  # H-H1_LOSC_4_V2-1126259446-32.hdf5
    if detector:
        h5["meta/Detector"] = detector[0][:2]


def _subtract(dataset: Any, strain: ChannelSeries, run: NoiseRun, noise_rate_hz: float) -> None:
    start_s = run.gps_start_s - strain.gps_start_s
    resampler = Resampler("noise", noise_rate_hz, strain.sample_rate_hz, start_s)
    at = resampler.first
    for values in _resampled(resampler, run.blocks):
        first, last = max(at, 0), min(at + len(values), len(dataset))
        if last > first:
            dataset[first:last] = dataset[first:last] - values[first - at : last - at]
        at += len(values)


def _resampled(resampler: Resampler, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    pushed = 0
    for block in blocks:
        pushed += len(block)
        yield resampler.push(np.asarray(block, dtype=np.float64))
    if pushed >= resampler.shortest:
        yield resampler.flush()
