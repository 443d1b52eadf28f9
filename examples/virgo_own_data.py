"""From frames and HDF5 files of your own to a cleaned strain: python examples/virgo_own_data.py

Makes files as they come from elsewhere: strain at 4096 Hz in two files of frames (HDF5 where lalsuite is not
installed), a file a witness with the attributes of gwpy and DeepClean, at 1000 and 50 Hz, one of them with a
gap of NaN, one that begins late, a channel list, a segment file. Then a linear filter in closed form, the
simplest of models, writes what every model of this package writes.

Needs the extra: pip install 'lightning-itwin[virgo,gwf]'
"""

from pathlib import Path

import h5py
import numpy as np
import torch
from scipy import signal

from lightning_itwin.datamodules import VirgoDataModule
from lightning_itwin.datamodules.virgo.settings import SegmentSettings
from lightning_itwin.optional import available
from lightning_itwin.strain import Channel, resample, write_channels, write_segments
from lightning_itwin.strain.gwf_channels import write_gwf
from lightning_itwin.subtraction.outputs.outputs import SubtractionOutputs

FOLDER = Path("data/virgo_own_data")
GPS_S, SECONDS, TAPS = 1_300_000_000, 256, 1025


def make_files(folder: Path) -> None:
    """Write strain with a seismometer's noise in it, seismometer, angle, channel list, segments."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    ground = rng.standard_normal(1000 * SECONDS)
    heard = signal.lfilter(*signal.iirpeak(70.0, 5.0, 1000.0), ground)
    quiet = 3e-22 * signal.lfilter(*signal.butter(1, 30.0, fs=4096.0), rng.standard_normal(4096 * SECONDS))
    strain = quiet + 2e-23 * rng.standard_normal(4096 * SECONDS) + 2e-22 * resample(heard, 1000.0, 4096.0)
    for first in (0, SECONDS // 2):  # two files that follow each other
        half = strain[4096 * first : 4096 * (first + SECONDS // 2)]
        channel = Channel(
            name="V1:Hrec", values=half, sample_rate_hz=4096.0, gps_start_s=GPS_S + first, unit="strain"
        )
        name = f"V-HREC-{GPS_S + first}-{SECONDS // 2}"
        if available("lalframe"):
            write_gwf(folder / f"{name}.gwf", [channel])
        else:
            write_channels(folder / f"{name}.h5", [channel])
    ground[1000 * 200 : 1000 * 203] = np.nan  # the sensor was off
    angle = np.cumsum(rng.standard_normal(50 * SECONDS))
    for name, values, rate_hz, late_s in (("SEIS", ground, 1000.0, 0.0), ("ANGLE", angle, 50.0, 0.5)):
        with h5py.File(folder / f"{name.lower()}.hdf5", "w") as h5:
            dataset = h5.create_dataset(f"V1:{name}", data=values.astype(np.float32))
            dataset.attrs.update(dx=1 / rate_hz, x0=GPS_S + late_s)
    (folder / "channels.ini").write_text("# strain, then witnesses\nV1:Hrec\nV1:SEIS 1000\nV1:ANGLE 50\n")
    write_segments(folder / "science.txt", np.array([[GPS_S, GPS_S + 250]]), "Science mode")


def linear_filter(data: VirgoDataModule) -> np.ndarray:
    """Fit the filter of the first witness that leaves the least power in the training part, (TAPS,)."""
    begin, end = data.stretches("train")[0].tolist()
    strain, witness, _ = data.read(begin, end)
    lags = np.arange(TAPS) - TAPS // 2
    own = signal.correlate(witness, witness, method="fft")[len(witness) - 1 :][:TAPS]
    wanted = signal.correlate(strain, witness, method="fft")[len(witness) - 1 + lags]
    own[0] *= 1.001
    return np.asarray(torch.linalg.solve(_toeplitz(own), torch.from_numpy(wanted)))


def _toeplitz(first: np.ndarray) -> torch.Tensor:
    at = np.arange(len(first))
    return torch.from_numpy(first[np.abs(at[:, None] - at)])


def main() -> None:
    """Make the files, read them, fit, predict."""
    make_files(FOLDER)
    data = VirgoDataModule(
        data_dir=str(FOLDER / "made"),
        path=[str(FOLDER / "V-HREC-*"), str(FOLDER / "*.hdf5")],
        channels=str(FOLDER / "channels.ini"),
        sample_rate_hz=1024.0,
        band_hz=(20.0, 400.0),
        evaluation_window_s=16.0,
        segments=SegmentSettings(files=[str(FOLDER / "science.txt")]),
    )
    data.prepare_data()
    data.setup()
    print(f"{data.channel_names}: {data.aligned.segments / data.sample_rate_hz} s after the first sample")
    taps = torch.from_numpy(linear_filter(data))[None, None]
    outputs = SubtractionOutputs.open(FOLDER / "cleaned", data, model="linear filter of V1:SEIS")
    for batch in data.predict_dataloader():
        witness = batch.witnesses[:, :1].double()
        noise = torch.nn.functional.conv1d(witness, taps.flip(-1), padding=TAPS // 2)[:, 0]
        outputs.add(batch.start, noise, edge=TAPS // 2)
    outputs.close()
    outputs.finish()
    print(*sorted(path.name for path in (FOLDER / "cleaned").iterdir()), sep="\n")


if __name__ == "__main__":
    main()
