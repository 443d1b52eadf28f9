import json

import h5py
import numpy as np
import pytest
import torch

from lightning_itwin.datamodules.gw import EventData, GWDataModule
from lightning_itwin.datamodules.gw.hdf5_export import export_hdf5
from lightning_itwin.datamodules.gw.hdf5_source import EventFile, EventFileError
from lightning_itwin.datamodules.gw.shard_reader import ShardReader
from lightning_itwin.datamodules.gw.simulate import simulate
from lightning_itwin.detectors import Observation
from lightning_itwin.inference import Prior
from tests.datamodules.gw.small import OBSERVATION, WAVEFORM, data_set

EVENTS = 40
NAMES = Prior.from_file("ligo_bbh").names


@pytest.fixture(scope="module")
def observation():
    return Observation(OBSERVATION)


@pytest.fixture
def file(tmp_path, observation):
    """A file as somebody else might write it, and its content."""
    path = tmp_path / "own.h5"
    generator = torch.Generator().manual_seed(1)
    strain = observation.to_series(observation.noise(EVENTS, generator)).numpy()
    with h5py.File(path, "w") as h5:
        h5["strain"] = strain
        h5["strain"].attrs.update(sample_rate_hz=1024.0, detectors="H1,L1")
        for column, name in enumerate(NAMES[:4]):
            h5[f"parameters/{name}"] = np.arange(EVENTS) + 100.0 * column
        for column, name in enumerate(NAMES[4:8], start=4):
            h5[name] = np.arange(EVENTS) + 100.0 * column
        for column, name in enumerate(NAMES[8:], start=8):
            h5.attrs[name] = np.arange(EVENTS) + 100.0 * column
        h5["psd_index"] = np.arange(EVENTS) % 2
    return path, strain


def module(path, **events):
    events = EventData(**{"path": str(path), "val_events": 8, "test_events": 8, **events})
    return GWDataModule(OBSERVATION, WAVEFORM, prior="ligo_bbh", events=events, batch_size=6)


def edit(path, **changes):
    with h5py.File(path, "a") as h5:
        for name, value in changes.items():
            if name in h5:
                del h5[name]
            if value is not None:
                h5[name] = value


def test_events_of_an_own_file_are_read_as_they_are(file):
    path, strain = file
    own = module(path)
    own.setup()
    batches = [own.finish(batch) for batch in own.train_dataloader()]
    events = torch.cat([batch.theta[:, 0] for batch in batches]).numpy().astype(int)
    assert sorted(events) == list(range(24))
    assert torch.cat([batch.strain for batch in batches]).equal(torch.from_numpy(strain[events]))
    theta = torch.cat([batch.theta for batch in batches]).numpy()
    np.testing.assert_array_equal(theta, events[:, None] + 100.0 * np.arange(len(NAMES)))
    assert torch.cat([batch.psd_index for batch in batches]).tolist() == (events % 2).tolist()


def test_raw_strain_is_whitened_with_its_psd(file, observation):
    path, strain = file
    spectrum = observation.to_spectrum(torch.from_numpy(strain.astype(np.float64)))
    psd_index = torch.arange(EVENTS) % 2
    raw = np.zeros((EVENTS, 2, 1025), complex)
    first, last = observation.first, observation.first + observation.num_frequencies
    raw[..., first:last] = spectrum * observation.standard_deviation[psd_index] * 1024.0
    edit(path, strain=np.fft.irfft(raw, 2048))
    own = module(path, whitened=False)
    own.setup()
    batch = own.finish(next(iter(own.test_dataloader())))
    middle = slice(512, 1536)  # where the window is 1
    np.testing.assert_allclose(batch.strain[..., middle].numpy(), strain[32:38, :, middle], atol=0.05)


@pytest.mark.parametrize("content", ["strain", "signal"])
def test_what_is_exported_is_read_again(content, tmp_path):
    simulate(data_set(events=100, content=content, blocks_per_shard=1), tmp_path / "shards", workers=0)
    export_hdf5(tmp_path / "shards", tmp_path / "events.h5")
    reader = ShardReader(tmp_path / "shards")
    records = np.empty((100, *reader.manifest.record.shape), reader.manifest.record.dtype)
    reader.read_into(np.arange(100), records.reshape(-1).view(np.uint8).data)
    file = EventFile(tmp_path / "events.h5", Observation(OBSERVATION), reader.manifest.names)
    np.testing.assert_array_equal(file.read(np.arange(100)), records)
    np.testing.assert_array_equal(file.theta, reader.theta)
    np.testing.assert_array_equal(file.psd_index, reader.psd_index)
    with h5py.File(tmp_path / "events.h5") as h5:
        assert json.loads(h5.attrs["settings"])["seed"] == 7
        assert h5[content].chunks is None
    own = module(tmp_path / "events.h5")
    own.setup()
    batch = own.finish(next(iter(own.val_dataloader())))
    assert batch.strain.var().item() == pytest.approx(own.observation.num_frequencies / 1024, rel=0.25)
    assert {path.name for path in tmp_path.iterdir()} == {"shards", "events.h5"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"strain": np.zeros((40, 2, 1000), "f4")}, r"\(40, 2, 1000\); wanted is \(events, 2, 2048\)"),
        ({"strain": np.zeros((40, 3, 2048), "f4")}, r"wanted is \(events, 2, 2048\): the detectors H1, L1"),
        ({"strain": np.zeros((0, 2, 2048), "f4")}, r"wanted is \(events"),
        ({"strain": np.zeros((40, 2, 2048), "i4")}, "holds int32"),
        ({"strain": None}, "no dataset 'strain'"),
        ({NAMES[5]: None}, f"no parameter {NAMES[5]!r}"),
        ({NAMES[5]: np.arange(39.0)}, r"has the shape \(39,\), not \(40,\)"),
        ({NAMES[5]: np.full(40, np.nan)}, "Parameters of event 0"),
        ({"psd_index": np.full(40, 2)}, "must be 40 numbers below 2"),
    ],
)
def test_files_that_do_not_fit_are_refused_at_setup(file, changes, says):
    edit(file[0], **changes)
    with pytest.raises(EventFileError, match=says):
        module(file[0]).setup()


@pytest.mark.parametrize(
    ("attribute", "value", "says"),
    [
        ("sample_rate_hz", 2048.0, "sampled at 2048 Hz, the observation at 1024 Hz"),
        ("detectors", '["L1", "H1"]', "the order counts"),
        ("whitened", False, "says whitened=False"),
    ],
)
def test_attributes_that_disagree_are_refused(file, attribute, value, says):
    with h5py.File(file[0], "a") as h5:
        h5["strain"].attrs[attribute] = value
    with pytest.raises(EventFileError, match=says):
        module(file[0]).setup()


@pytest.mark.parametrize(
    ("value", "length", "says"),
    [
        (np.nan, 1, "Event 33 in .* holds NaN"),
        (-np.inf, 1, "Event 33 in .* holds NaN or infinity"),
        (0.0, 200, "Event 33 in .* has a gap: detector 1"),
    ],
)
def test_samples_that_are_no_recording_are_refused(file, value, length, says):
    with h5py.File(file[0], "a") as h5:
        h5["strain"][33, 1, 700 : 700 + length] = value
    own = module(file[0])
    own.setup()
    with pytest.raises(EventFileError, match=says):
        list(own.test_dataloader())


def test_what_is_no_hdf5_is_refused(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("no HDF5")
    with pytest.raises(EventFileError, match="cannot be read as HDF5"):
        module(path).setup()
