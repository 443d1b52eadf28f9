import itertools
import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from lightning_itwin.datamodules import VirgoDataModule, VirgoSimulator
from lightning_itwin.datamodules.virgo.settings import SegmentSettings, SplitSettings
from lightning_itwin.datamodules.virgo.whitened import FILTER_S
from lightning_itwin.strain.hdf5_channels import Channel, ChannelError, write_channels
from lightning_itwin.strain.segments import write_segments

SHORT = VirgoSimulator(duration_s=64.0)
NAMES = ["V1:STRAIN", "V1:W0", "V1:W1"]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("virgo"))


@pytest.fixture(scope="module")
def whitened(data_dir):
    return set_up(data_dir, simulator=SHORT, batch_size=8, whiten=True)


def set_up(data_dir, **arguments):
    module = VirgoDataModule(str(data_dir), **arguments)
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


def trainer(**arguments):
    quiet = {"logger": False, "accelerator": "cpu", "enable_checkpointing": False}
    quiet |= {"enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(**quiet | arguments)


class Still(BoringModel):
    """Learns nothing, and remembers the windows it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch.start.tolist())
        return self.layer(torch.ones(1, 32)).sum()

    def validation_step(self, batch, batch_idx):
        pass

    def predict_step(self, batch, batch_idx):
        return batch


def test_raw_batches_are_the_samples_of_the_file(tmp_path):
    channels = own_channels()
    module = set_up(tmp_path, path=own_file(tmp_path, channels), channels=NAMES, batch_size=4)
    batch = next(iter(module.train_dataloader()))
    assert batch.witnesses.shape == (4, 2, 2048)
    assert (batch.strain.dtype, batch.gps_s.dtype, batch.start.dtype) == (
        torch.float32,
        torch.float64,
        torch.int64,
    )
    for row, start in enumerate(batch.start.tolist()):
        expected = np.float32([channel.values[start : start + 2048] for channel in channels])
        np.testing.assert_array_equal(batch.strain[row], expected[0])
        np.testing.assert_array_equal(batch.witnesses[row], expected[1:])
        assert batch.gps_s[row] == 1e9 + start / 512
    assert module.channel_names == tuple(NAMES)
    np.testing.assert_array_equal(module.read(10, 20)[1], np.float32(channels[1].values[10:20]))


def test_whitened_batches_have_the_documented_shapes_and_scales(whitened):
    for loader in (whitened.train_dataloader(), whitened.val_dataloader(), whitened.test_dataloader()):
        batch = next(iter(loader))
        assert batch.witnesses.shape[1:] == (8, 2048)
        assert torch.isfinite(batch.witnesses).all()
    assert whitened.num_witnesses == 8
    (train,) = whitened.series("train")
    assert train.values[0].std() == pytest.approx(1.0, abs=1e-3)
    ((begin, end),) = whitened.stretches("train")
    assert (train.start - begin, end - train.end) == (511, 511)  # half a filter


def test_whitening_filters_are_those_of_the_training(whitened, data_dir):
    other = VirgoDataModule(data_dir, simulator=VirgoSimulator(duration_s=72.0, noise_seed=2), whiten=True)
    other.load_state_dict(whitened.state_dict())
    other.setup()
    np.testing.assert_array_equal(other.filters[0].taps, whitened.filters[0].taps)


def test_the_file_is_made_once_and_named_by_its_parameters(whitened, data_dir):
    made = whitened.simulated_file.stat().st_mtime_ns
    again = VirgoDataModule(data_dir, simulator=VirgoSimulator(duration_s=64.0))
    again.prepare_data()
    assert again.simulated_file == whitened.simulated_file
    assert again.simulated_file.stat().st_mtime_ns == made
    for changes in ({"noise_seed": 2}, {"instrument_seed": 2}, {"coupling_strength": 0.5}):
        other = VirgoDataModule(data_dir, simulator=VirgoSimulator(duration_s=64.0, **changes))
        assert other.simulated_file != whitened.simulated_file


@pytest.mark.parametrize("seconds", [(None, None), (16.0, 4.0)])
def test_evaluation_covers_every_sample_of_a_part(tmp_path, seconds):
    module = set_up(
        tmp_path,
        path=own_file(tmp_path, own_channels()),
        channels=NAMES,
        batch_size=8,
        evaluation_window_s=seconds[0],
        evaluation_overlap_s=seconds[1],
    )
    for part in ("val", "test", "all"):
        covered = np.zeros(module.aligned.values.shape[1], dtype=int)
        windows = module.windows(part)
        for start, length in zip(windows.starts, windows.lengths):
            covered[start : start + length] += 1
        expected = np.zeros_like(covered, dtype=bool)
        for begin, end in module.stretches(part):
            expected[begin:end] = True
        np.testing.assert_array_equal(covered > 0, expected)
    told = trainer().predict(Still(), datamodule=module)
    starts = torch.cat([batch.start for batch in told]).tolist()
    assert starts == module.windows("all").starts.tolist()


def test_the_parts_follow_each_other_with_a_guard_in_between(whitened):
    spans = [whitened.stretches(part)[0] for part in ("train", "val", "test")]
    assert spans[0][0] == 0
    assert spans[2][1] == pytest.approx(64 * 512, abs=4)
    for (_, before), (after, _) in itertools.pairwise(spans):
        assert after - before == 4 * 512
        assert after - before >= FILTER_S * 512
    assert whitened.stretches("all").tolist() == [[0, 64 * 512]]
    with pytest.raises(ValueError, match="no part 'dev'; the parts are train, val, test and all"):
        whitened.stretches("dev")


def test_no_window_leaves_its_part_and_gps_times_are_right(whitened):
    for part in ("train", "val", "test", "all"):
        windows = whitened.windows(part)
        ((begin, end),) = SHORT.gps_start_s + whitened.stretches(part) / 512
        assert windows.gps_start_s(0) == pytest.approx(begin + FILTER_S / 2, abs=2 / 512)
        assert windows.gps_start_s(len(windows) - 1) + 4.0 <= end - FILTER_S / 2 + 2 / 512


@pytest.mark.parametrize("whiten", [False, True])
def test_no_sample_of_a_file_enters_two_parts(tmp_path, whiten):
    """Also by way of the filter that resamples a slow channel, which reaches further than the guard."""
    channels = own_channels(duration_s=160.0)
    rng = np.random.default_rng(1)
    slow = Channel(name="V1:W1", values=rng.standard_normal(160 * 8), sample_rate_hz=8.0, gps_start_s=1e9)
    channels[2] = slow
    whole = set_up(tmp_path, path=own_file(tmp_path, channels), channels=NAMES, whiten=whiten, window_s=2.0)
    parts = ("train", "val", "test")
    for changed_part in parts:
        edges = whole.stretches(changed_part)
        begin_s, end_s = edges[0, 0] / 512, edges[-1, 1] / 512
        changed = []
        for channel in channels:
            values = channel.values.copy()
            inside = slice(
                max(0, int(np.ceil(begin_s * channel.sample_rate_hz)) - 1),
                int(end_s * channel.sample_rate_hz) + 1,
            )
            values[inside] *= 3.0
            changed.append(
                Channel(
                    name=channel.name,
                    values=values,
                    sample_rate_hz=channel.sample_rate_hz,
                    gps_start_s=1e9,
                )
            )
        path = own_file(tmp_path, changed, f"{changed_part}.h5")
        other = set_up(tmp_path, path=path, channels=NAMES, whiten=whiten, window_s=2.0)
        if whiten and changed_part == "train":
            continue  # it sets the filters of all parts
        for part in parts:
            same = [
                np.array_equal(one.values, two.values)
                for one, two in zip(whole.series(part), other.series(part))
            ]
            assert all(same) == (part != changed_part)


def test_two_ranks_share_no_window_and_miss_none(tmp_path):
    module = set_up(tmp_path, path=own_file(tmp_path, own_channels()), channels=NAMES, batch_size=8)
    dealt = {part: [] for part in ("train", "val", "all")}
    for rank in range(3):
        ranked = VirgoDataModule(str(tmp_path), path=module.path, channels=NAMES, batch_size=8)
        ranked.setup()
        ranked.trainer = type("Ranked", (), {"global_rank": rank, "world_size": 3, "current_epoch": 0})()
        loaders = {
            "train": ranked.train_dataloader(),
            "val": ranked.val_dataloader(),
            "all": ranked.predict_dataloader(),
        }
        for part, loader in loaders.items():
            dealt[part].append([batch.start.tolist() for batch in loader])
    for part, ranks in dealt.items():
        windows = module.windows(part, module.stride if part == "train" else None)
        starts = [start for rank in ranks for batch in rank for start in batch]
        assert sorted(starts) == sorted(windows.starts.tolist())
        assert len({len(rank) for rank in ranks}) == 1


def test_blocks_hold_each_segment_once_on_any_number_of_ranks(tmp_path):
    module = set_up(tmp_path, path=own_file(tmp_path, own_channels()), channels=NAMES)
    segment, hop = 1024, 512
    ((begin, end),) = module.stretches("train")
    expected = list(range(begin, end - segment + 1, hop))
    for world in (1, 2, 3):
        found = []
        for rank in range(world):
            module.trainer = type("Ranked", (), {"global_rank": rank, "world_size": world})()
            for first, last in module.blocks("train", segment, hop, per_block=7):
                found += range(first, last - segment + 1, hop)
        assert found == expected


def test_a_training_goes_on_with_the_very_next_batch(tmp_path):
    module = set_up(tmp_path, path=own_file(tmp_path, own_channels()), channels=NAMES, batch_size=16)
    whole = [batch.start.tolist() for batch in module.train_dataloader()]
    loader = module.train_dataloader()
    list(itertools.islice(loader, 3))
    state = loader.state_dict()
    again = module.train_dataloader()
    again.load_state_dict(state)
    assert [batch.start.tolist() for batch in again] == whole[3:]
    first, second = Still(), Still()
    trainer(max_epochs=2).fit(first, datamodule=module)
    trainer(max_epochs=2).fit(second, datamodule=module)
    assert first.seen == second.seen
    assert first.seen[: len(whole)] == whole != first.seen[len(whole) :]


def test_own_files_of_other_rates(tmp_path):
    channels = own_channels(rate_hz=4096.0)
    slow = Channel(
        name="V1:SLOW", values=channels[1].values[::64].copy(), sample_rate_hz=64.0, gps_start_s=1e9
    )
    paths = [own_file(tmp_path, [c], f"{c.name[3:]}.h5") for c in [*channels, slow]]
    module = set_up(tmp_path / "made", path=paths, channels=["V1:STRAIN", "V1:W1", "V1:SLOW"])
    assert module.num_witnesses == 2
    assert module.aligned.bandwidth_hz == (256.0, 256.0, 32.0)
    batch = next(iter(module.train_dataloader()))
    assert batch.witnesses.shape == (32, 2, 2048)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["channels"]


def test_frames_beside_hdf5(tmp_path):
    pytest.importorskip("lalframe")
    from lightning_itwin.strain.gwf_channels import write_gwf

    channels = own_channels(rate_hz=2048.0, duration_s=60.0)
    for first in (0, 30):
        halves = [
            Channel(
                name=channel.name,
                values=channel.values[2048 * first : 2048 * (first + 30)],
                sample_rate_hz=2048.0,
                gps_start_s=1e9 + first,
                unit="strain",
            )
            for channel in channels[:2]
        ]
        write_gwf(tmp_path / "frames" / f"V-TEST-{1_000_000_000 + first}-30.gwf", halves)
    paths = [str(tmp_path / "frames" / "*.gwf"), own_file(tmp_path, channels[2:], "witness.h5")]
    frames = set_up(tmp_path, path=paths, channels=NAMES)
    hdf5 = set_up(tmp_path, path=own_file(tmp_path, channels), channels=NAMES)
    np.testing.assert_array_equal(frames.aligned.values, hdf5.aligned.values)
    assert frames.aligned.segments.tolist() == [[0, 60 * 512]]


def test_a_channel_list_names_the_channels(tmp_path):
    (tmp_path / "list.ini").write_text("# strain\nV1:STRAIN 512\n\nV1:W1  # a witness\n")
    module = set_up(tmp_path, path=own_file(tmp_path, own_channels()), channels=str(tmp_path / "list.ini"))
    assert module.channel_names == ("V1:STRAIN", "V1:W1")


def test_a_file_of_our_simulator_needs_no_channel_names(tmp_path):
    SHORT.write(tmp_path / "sim.h5")
    assert set_up(tmp_path, path=str(tmp_path / "sim.h5")).num_witnesses == 8


def test_a_channel_list_beside_the_files_is_found(tmp_path):
    (tmp_path / "own").mkdir()
    own_file(tmp_path / "own", own_channels())
    (tmp_path / "own" / "channels.txt").write_text("V1:STRAIN\nV1:W1\n")
    module = set_up(tmp_path / "made", path=str(tmp_path / "own"))
    assert module.channel_names == ("V1:STRAIN", "V1:W1")


def test_a_file_that_does_not_name_its_strain_is_refused(tmp_path):
    path = own_file(tmp_path, own_channels())
    with pytest.raises(
        ChannelError, match=r"give channels=\[strain.*Channels there: V1:STRAIN, V1:W0, V1:W1"
    ):
        VirgoDataModule(str(tmp_path), path=path).setup()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h5: h5["V1:W0"].write_direct(np.full(80 * 512, 3.0)), "V1:W0: constant"),
        (lambda h5: h5["V1:W0"].write_direct(np.full(80 * 512, np.nan)), "V1:W0: all of its 40960 samples"),
        (lambda h5: h5["V1:W0"].write_direct(h5["V1:W1"][()]), "V1:W1: the same samples as V1:W0"),
        (lambda h5: h5.move("V1:W0", "V1:W_0"), r"V1:W0: not in .*own.h5\. Did you mean V1:W_0"),
        (lambda h5: h5["V1:W0"].attrs.__delitem__("dx"), "V1:W0 in .* tells no sample rate"),
        (lambda h5: h5["V1:W0"].attrs.__setitem__("x0", 2e9), "no time in common"),
        (lambda h5: h5["V1:W0"].attrs.__setitem__("dx", 0.0019537), "V1:W0: 511.849 Hz and 512 Hz have no"),
        (lambda h5: h5["V1:STRAIN"].attrs.__setitem__("unit", "m"), "the strain has the unit 'm'"),
        (lambda h5: h5["V1:W0"].__setitem__(slice(0, 30000), 1.0), "Constant over the training part.*V1:W0"),
    ],
    ids=["constant", "nan", "copy", "missing", "no rate", "gps", "rate", "unit", "still"],
)
def test_a_fault_is_named_before_the_training(tmp_path, change, message):
    path = own_file(tmp_path, own_channels())
    with h5py.File(path, "a") as h5:
        change(h5)
    module = VirgoDataModule(str(tmp_path), path=path, channels=NAMES)
    with pytest.raises(ChannelError, match=message):
        trainer(max_epochs=1).fit(BoringModel(), datamodule=module)


@pytest.mark.parametrize(
    ("change", "message", "segments"),
    [
        (
            lambda h5: h5["V1:W0"].__setitem__(slice(20480, 20490), np.nan),
            "V1:W0: 10 of 40960 samples are NaN.*79.9805 of 80 s are used, in 2 segments",
            [[0, 20480], [20490, 40960]],
        ),
        (lambda h5: h5["V1:W0"].attrs.__setitem__("x0", 1e9 + 0.3 / 512), "V1:W0: starts 0.3 of a", None),
        (lambda h5: h5["V1:W0"].attrs.__setitem__("x0", 1e9 + 2.0), "78 s in common: V1:W0 begins", None),
        (lambda h5: h5["V1:STRAIN"].write_direct(np.random.randn(40960)), "the strain reaches", None),
    ],
    ids=["nan", "offset", "late", "size"],
)
def test_what_can_be_put_right_is_with_a_word(tmp_path, change, message, segments):
    path = own_file(tmp_path, own_channels())
    with h5py.File(path, "a") as h5:
        change(h5)
    for _ in range(2):  # made, and opened again
        module = VirgoDataModule(str(tmp_path), path=path, channels=NAMES)
        with pytest.warns(UserWarning, match=f"(?s){message}"):
            module.setup()
    if segments is not None:
        assert module.aligned.segments.tolist() == segments
        for part in ("train", "val", "test", "all"):
            for batch in map(module.windows(part).gather, np.arange(len(module.windows(part)))[:, None]):
                assert torch.isfinite(batch.witnesses).all()


def test_faulty_witnesses_are_left_out_where_that_is_asked_for(tmp_path):
    path = own_file(tmp_path, own_channels())
    with h5py.File(path, "a") as h5:
        h5["V1:W0"][:] = 3.0
    wanted = SegmentSettings(leave_out_faulty=True)
    with pytest.warns(UserWarning, match=r"V1:GONE: not in .*left out(.|\n)*V1:W0: constant .*left out"):
        module = set_up(tmp_path, path=path, channels=[*NAMES, "V1:GONE"], segments=wanted)
    assert module.channel_names == ("V1:STRAIN", "V1:W1")
    with pytest.raises(ChannelError, match="V1:GONE: not in"):
        set_up(tmp_path, path=path, channels=["V1:GONE", "V1:W1"], segments=wanted)


def test_segment_files_and_times_choose_what_is_used(tmp_path):
    path = own_file(tmp_path, own_channels())
    write_segments(tmp_path / "use.txt", np.array([[1e9 + 10, 1e9 + 70]]))
    write_segments(tmp_path / "veto.txt", np.array([[1e9 + 30, 1e9 + 31], [1e9 + 33, 1e9 + 34]]))
    chosen = SegmentSettings(
        files=[str(tmp_path / "use.txt")],
        veto_files=[str(tmp_path / "veto.txt")],
        gps_start_s=1e9 + 12,
    )
    with pytest.warns(UserWarning, match="of 80 s are used") as told:
        module = set_up(
            tmp_path, path=path, channels=NAMES, segments=chosen, split=SplitSettings(train=1, val=0, test=0)
        )
    assert (module.aligned.segments / 512).tolist() == [[12, 30], [34, 70]]
    text = str(told[-1].message)
    assert text.startswith("54 of 80 s are used, in 2 segments; left out: 12 s by gps_start_s")
    assert "10 s by segment files, 2 s by veto files, 2 s by segments shorter than a window of 4 s" in text
    assert sum(len(one) for one in map(np.diff, module.stretches("train"))) == 2


def test_flags_of_the_files_choose_what_is_used(tmp_path):
    path = own_file(tmp_path, own_channels())
    with h5py.File(path, "a") as h5:
        mask = np.full(80, 3, dtype=np.int32)
        mask[20:25], mask[40:42] = 1, 0
        h5["quality/simple/DQmask"] = mask
        h5["quality/simple/DQmask"].attrs.update(Xstart=1e9, Xspacing=1.0)
        h5["quality/simple/DQShortnames"] = [b"DATA", b"CBC_CAT1"]
    for flags, expected in (
        (None, [[0, 20], [25, 40], [42, 80]]),
        (["DATA"], [[0, 40], [42, 80]]),
        ([], [[0, 80]]),
    ):
        module = set_up(tmp_path, path=path, channels=NAMES, segments=SegmentSettings(flags=flags))
        assert (module.aligned.segments / 512).tolist() == expected
    with pytest.raises(ChannelError, match="has no flag CBC_CAT2"):
        set_up(tmp_path, path=path, channels=NAMES, segments=SegmentSettings(flags=["CBC_CAT2"]))


def test_too_short_data_are_refused_with_what_is_needed(tmp_path):
    path = own_file(tmp_path, own_channels(duration_s=20.0))
    with pytest.raises(ChannelError, match=r"have 20 s in common .* needs 48 s or more .*short: val, test"):
        VirgoDataModule(str(tmp_path), path=path, channels=NAMES, whiten=True).setup()
    path = own_file(tmp_path, own_channels(duration_s=48.0), "longer.h5")
    VirgoDataModule(str(tmp_path), path=path, channels=NAMES, whiten=True).setup()


def test_predict_needs_no_training_part(tmp_path):
    path = own_file(tmp_path, own_channels(duration_s=8.0))
    module = VirgoDataModule(str(tmp_path), path=path, channels=NAMES)
    told = trainer().predict(Still(), datamodule=module)
    assert torch.cat([batch.start for batch in told]).tolist() == [0, 1024, 2048]
    with pytest.raises(ChannelError, match="Too short: train, val, test"):
        module.setup()
    with pytest.raises(ChannelError, match="Too short: test"):
        module.setup("test")


def test_a_strain_without_the_band_is_refused(tmp_path):
    path = own_file(tmp_path, own_channels(rate_hz=256.0))
    with pytest.raises(ChannelError, match="V1:STRAIN, the strain, holds nothing above 128 Hz"):
        VirgoDataModule(str(tmp_path), path=path, channels=["V1:STRAIN", "V1:W0"]).setup()


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
        ({"evaluation_window_s": 2.0}, "evaluation_window_s must be at least window_s"),
        ({"evaluation_overlap_s": 4.0}, "evaluation_overlap_s at least 0 and below"),
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


_WORLD = """
import json, sys
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning_itwin.datamodules import VirgoDataModule

folder, path = sys.argv[1:]

class Told(BoringModel):
    def training_step(self, batch, batch_idx):
        told["train"] += batch.start.tolist()
        return self.layer(torch.ones(1, 32)).sum()
    def validation_step(self, batch, batch_idx):
        told["val"] += batch.start.tolist()
    def predict_step(self, batch, batch_idx):
        told["all"] += batch.start.tolist()

told = {"train": [], "val": [], "all": []}
data = VirgoDataModule(folder, path=path, channels=["V1:STRAIN", "V1:W0", "V1:W1"], batch_size=8)
trainer = Trainer(strategy="ddp", devices=2, accelerator="cpu", logger=False, max_epochs=1,
    enable_progress_bar=False, enable_checkpointing=False, num_sanity_val_steps=0)
trainer.fit(Told(), datamodule=data)
trainer.predict(Told(), datamodule=data, return_predictions=False)
open(f"{folder}/told-{trainer.global_rank}.json", "w").write(json.dumps(told))
"""


@pytest.mark.world
def test_two_processes_train_on_each_window_once(tmp_path):
    path = own_file(tmp_path, own_channels())
    script = tmp_path / "world.py"
    script.write_text(_WORLD)
    subprocess.run(
        [sys.executable, str(script), str(tmp_path), path],
        timeout=180,
        check=True,
        env={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"},
    )
    told = [json.loads((tmp_path / f"told-{rank}.json").read_text()) for rank in range(2)]
    alone = set_up(tmp_path, path=path, channels=NAMES, batch_size=8)
    for part in ("train", "val", "all"):
        expected = alone.windows(part, alone.stride if part == "train" else None).starts.tolist()
        assert sorted(told[0][part] + told[1][part]) == sorted(expected)
    made = [one for one in (tmp_path / "channels").iterdir() if not one.name.startswith(".")]
    assert len(made) == 1
