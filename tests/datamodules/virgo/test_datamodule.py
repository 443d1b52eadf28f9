import itertools

import h5py
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from lightning_itwin.datamodules import VirgoDataModule, VirgoSimulator
from lightning_itwin.datamodules.virgo.datamodule import FILTER_S, GUARD_S
from lightning_itwin.strain.hdf5_channels import Channel, ChannelError, write_channels

SHORT = VirgoSimulator(duration_s=64.0)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("virgo"))


@pytest.fixture(scope="module")
def data(data_dir):
    module = VirgoDataModule(data_dir, simulator=SHORT, batch_size=8)
    module.prepare_data()
    module.setup()
    return module


def own_channels(rate_hz=512.0, duration_s=80.0, witnesses=2, seed=0):
    rng = np.random.default_rng(seed)
    samples = round(rate_hz * duration_s)
    return [
        Channel(
            name=f"V1:{name}",
            values=1e-21 * rng.standard_normal(samples),
            sample_rate_hz=rate_hz,
            gps_start_s=1e9,
        )
        for name in ("STRAIN", *(f"W{number}" for number in range(witnesses)))
    ]


def own_file(tmp_path, channels, name="own.h5"):
    write_channels(tmp_path / name, channels)
    return str(tmp_path / name)


def test_batches_have_the_documented_shapes_and_scales(data):
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        witnesses, strain = next(iter(loader))
        assert witnesses.shape[1:] == (8, 2048)
        assert strain.shape == (len(witnesses), 2048)
        assert witnesses.dtype == strain.dtype == torch.float32
        assert torch.isfinite(witnesses).all()
    assert data.num_witnesses == 8
    train = data.windows("train")
    assert train.strain.std().item() == pytest.approx(1.0, abs=1e-3)


def test_the_file_is_made_once_and_named_by_its_parameters(data, data_dir):
    made = data.simulated_file.stat().st_mtime_ns
    again = VirgoDataModule(data_dir, simulator=VirgoSimulator(duration_s=64.0))
    again.prepare_data()
    assert again.simulated_file == data.simulated_file
    assert again.simulated_file.stat().st_mtime_ns == made
    for changes in ({"noise_seed": 2}, {"instrument_seed": 2}, {"coupling_strength": 0.5}):
        other = VirgoDataModule(data_dir, simulator=VirgoSimulator(duration_s=64.0, **changes))
        assert other.simulated_file != data.simulated_file


def test_predict_goes_over_all_the_data(data):
    class Echo(BoringModel):
        def predict_step(self, batch, batch_idx):
            return batch[1]

    runner = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False)
    strain = torch.cat(runner.predict(Echo(), datamodule=data))
    assert strain.shape == (len(data.windows("all")), 2048)
    assert torch.equal(strain[3, :1024], strain[2, 1024:])


def test_the_parts_follow_each_other_with_a_guard_in_between(data):
    spans = [data.span(part) for part in ("train", "val", "test")]
    assert spans[0][0] == 0
    assert spans[2][1] == pytest.approx(64 * 512, abs=4)
    for (_, before), (after, _) in itertools.pairwise(spans):
        assert after - before == GUARD_S * 512
        assert after - before >= FILTER_S * 512
    assert data.span("all") == (0, 64 * 512)
    with pytest.raises(ValueError, match="no part 'dev'; the parts are train, val, test and all"):
        data.span("dev")


def test_no_window_leaves_its_part_and_gps_times_are_right(data):
    for part in ("train", "val", "test", "all"):
        windows = data.windows(part)
        begin, end = (SHORT.gps_start_s + sample / 512 for sample in data.span(part))
        assert windows.gps_start_s(0) == pytest.approx(begin + FILTER_S / 2, abs=2 / 512)
        assert windows.gps_start_s(len(windows) - 1) + 4.0 <= end - FILTER_S / 2 + 2 / 512


def test_later_data_change_nothing_in_the_training_part(tmp_path):
    channels = own_channels()
    changed = [
        Channel(
            name=c.name,
            values=np.r_[c.values[: round(0.6 * 72 * 512)], 30 * c.values[round(0.6 * 72 * 512) :]],
            sample_rate_hz=512.0,
            gps_start_s=1e9,
        )
        for c in channels
    ]
    names = [c.name for c in channels]
    one, other = (
        VirgoDataModule(path=own_file(tmp_path, cs, name), channels=names)
        for cs, name in ((channels, "a.h5"), (changed, "b.h5"))
    )
    one.setup()
    other.setup()
    assert torch.equal(one.windows("train").strain, other.windows("train").strain)
    assert torch.equal(one.windows("train").witnesses, other.windows("train").witnesses)
    torch.testing.assert_close(other.windows("test").strain, 30 * one.windows("test").strain)


def test_training_windows_are_shuffled_the_others_in_order(data):
    order = [strain for _, strain in data.val_dataloader()]
    assert torch.equal(torch.cat(order)[1], data.windows("val")[1][1])
    first = [next(iter(data.train_dataloader()))[1] for _ in range(2)]
    assert not torch.equal(*first)
    assert len(data.train_dataloader()) == len(data.windows("train", data.stride)) // 8


def test_own_file_of_other_rates(tmp_path):
    channels = own_channels(rate_hz=4096.0)
    slow = Channel(
        name="V1:SLOW", values=channels[1].values[::64].copy(), sample_rate_hz=64.0, gps_start_s=1e9
    )
    path = own_file(tmp_path, [*channels, slow])
    module = VirgoDataModule(path=path, channels=["V1:STRAIN", "V1:W1", "V1:SLOW"])
    module.prepare_data()
    module.setup()
    assert module.num_witnesses == 2
    witnesses, _ = next(iter(module.train_dataloader()))
    assert witnesses.shape == (32, 2, 2048)
    assert not (tmp_path / "data").exists()


def test_one_file_a_channel(tmp_path):
    channels = own_channels()
    paths = [own_file(tmp_path, [c], f"{index}.h5") for index, c in enumerate(channels)]
    module = VirgoDataModule(path=paths, channels=[c.name for c in channels])
    module.setup()
    assert module.num_witnesses == 2


def test_a_file_of_our_simulator_needs_no_channel_names(tmp_path):
    SHORT.write(tmp_path / "sim.h5")
    module = VirgoDataModule(path=str(tmp_path / "sim.h5"))
    module.setup()
    assert module.num_witnesses == 8


def test_a_file_that_does_not_name_its_strain_is_refused(tmp_path):
    path = own_file(tmp_path, own_channels())
    with pytest.raises(
        ChannelError, match=r"give channels=\[strain.*Channels there: V1:STRAIN, V1:W0, V1:W1"
    ):
        VirgoDataModule(path=path).setup()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h5: h5["V1:W0"].write_direct(np.full(80 * 512, 3.0)), "V1:W0: constant"),
        (lambda h5: h5["V1:W0"].__setitem__(slice(100, 110), np.nan), "V1:W0: 10 of 40960 samples are NaN"),
        (lambda h5: h5.__delitem__("V1:W0"), r"V1:W0\. Channels there: V1:STRAIN, V1:W1"),
        (lambda h5: h5["V1:W0"].attrs.__delitem__("dx"), "V1:W0 in .* tells no sample rate"),
        (lambda h5: h5["V1:W0"].attrs.__setitem__("x0", 2e9), "no time in common"),
        (lambda h5: h5["V1:W0"].attrs.__setitem__("x0", 1e9 + 0.3 / 512), "V1:.*of a sample off"),
        (lambda h5: h5["V1:W0"].__setitem__(slice(0, 30000), 1.0), "Constant over the training part.*V1:W0"),
    ],
    ids=["constant", "nan", "missing", "rate", "gps", "offset", "still"],
)
def test_a_fault_is_named_before_the_training(tmp_path, change, message):
    path = own_file(tmp_path, own_channels())
    with h5py.File(path, "a") as h5:
        change(h5)
    module = VirgoDataModule(path=path, channels=["V1:STRAIN", "V1:W0", "V1:W1"])
    trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False, enable_model_summary=False)
    with pytest.raises(ChannelError, match=message):
        trainer.fit(BoringModel(), datamodule=module)


def test_too_short_data_are_refused_with_what_is_needed(tmp_path):
    names = [c.name for c in own_channels()]
    with pytest.raises(ChannelError, match=r"have 20 s in common; a window of 4 s .* needs 48 s or more"):
        VirgoDataModule(path=own_file(tmp_path, own_channels(duration_s=20.0)), channels=names).setup()
    VirgoDataModule(path=own_file(tmp_path, own_channels(duration_s=48.0)), channels=names).setup()


def test_a_strain_without_the_band_is_refused(tmp_path):
    path = own_file(tmp_path, own_channels(rate_hz=256.0))
    with pytest.raises(ChannelError, match="V1:STRAIN, the strain, holds nothing above 128 Hz"):
        VirgoDataModule(path=path, channels=["V1:STRAIN", "V1:W0"]).setup()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"band_hz": (2.0, 200.0)}, "between 7 and 254 Hz"),
        ({"band_hz": (20.0, 255.0)}, "between 7 and 254 Hz"),
        ({"band_hz": (200.0, 20.0)}, "must rise"),
        ({"channels": ["V1:STRAIN"]}, "at least one witness"),
        ({"channels": ["V1:STRAIN", "V1:A", "V1:A"]}, "each once"),
        ({"stride_s": 5.0}, "stride_s must be > 0 and at most window_s"),
        ({"batch_size": 0}, "batch_size at least 1"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        VirgoDataModule(**arguments)


def test_data_before_setup_are_refused():
    with pytest.raises(RuntimeError, match="no data before setup"):
        VirgoDataModule().train_dataloader()


def test_making_a_datamodule_touches_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    VirgoDataModule()
    assert not list(tmp_path.iterdir())
