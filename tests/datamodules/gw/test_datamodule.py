import dataclasses

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_itwin.cuda_graph import RecordedFunction
from lightning_itwin.datamodules.gw import EventData, GWDataModule
from lightning_itwin.datamodules.gw.finishing import FinishedAhead
from lightning_itwin.datamodules.gw.shard_format import ShardError
from lightning_itwin.datamodules.gw.simulate import simulate
from lightning_itwin.detectors import SignalModel
from lightning_itwin.waveforms import Binary
from tests import stand_in_graph
from tests.datamodules.gw.small import OBSERVATION, WAVEFORM, data_set

SIMULATED = EventData(train_events=64, val_events=21, test_events=10)


class Listener(LightningModule):
    """Notes what it is given: parameters and samples of every batch."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.stop_after = stop_after
        self.train_seen, self.val_seen, self.test_seen = [], [], []

    def note(self, batch, seen):
        seen.append((batch.theta.clone(), batch.strain.clone(), batch.psd_index.clone()))
        return (self.weight * batch.strain.std()).sum()

    def training_step(self, batch, batch_idx):
        if self.stop_after is not None and len(self.train_seen) == self.stop_after:
            raise KeyboardInterrupt
        return self.note(batch, self.train_seen)

    def validation_step(self, batch, batch_idx):
        self.note(batch, self.val_seen)

    def test_step(self, batch, batch_idx):
        self.note(batch, self.test_seen)

    def predict_step(self, batch, batch_idx):
        return batch

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(**settings):
    defaults = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
    defaults |= {"enable_model_summary": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}
    return Trainer(**{**defaults, **settings})


def simulated(events=SIMULATED, **changes):
    settings = {"observation": OBSERVATION, "waveform": WAVEFORM, "prior": "ligo_bbh", "batch_size": 16}
    return GWDataModule(**{**settings, "events": events, **changes})


def stored(folder, **changes):
    events = EventData(path=str(folder), val_events=40, test_events=30, **changes)
    return GWDataModule(events=events, batch_size=32, seed=5)


@pytest.fixture(scope="module", params=["strain", "signal"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    simulate(data_set(events=230, content=request.param), folder, workers=0)
    return folder


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(a, b) for one, other in zip(first, second) for a, b in zip(one, other)
    )


def whole(seen):
    return [torch.cat(column) for column in zip(*seen)]


def batch_of(module, split="val"):
    module.setup()
    return module.finish(next(iter(getattr(module, f"{split}_dataloader")())))


def test_a_batch_has_the_shapes_and_scales_that_are_promised():
    module = simulated()
    batch = batch_of(module)
    assert batch.strain.shape == (16, 2, 2048)
    assert batch.strain.dtype == torch.float32
    assert batch.theta.shape == (16, 11)
    assert batch.theta.dtype == torch.float64
    assert set(batch.psd_index.tolist()) <= {0, 1}
    assert torch.isfinite(module.prior.log_prob(batch.theta)).all()
    assert (module.waveform_name, module.reference_frequency_hz) == (WAVEFORM, 20.0)


def test_the_strain_is_the_signal_of_its_parameters_and_noise():
    module = simulated()
    batch = batch_of(module)
    binary = Binary.from_table(*module.prior.with_fixed(batch.theta))
    signals = module.signal_model(binary, batch.psd_index)
    noise = module.observation.to_spectrum(batch.strain) - signals
    assert torch.view_as_real(noise).var().item() == pytest.approx(1.0, rel=0.03)


def test_training_has_new_events_every_epoch_and_validation_the_same():
    model = Listener()
    trainer(max_epochs=2).fit(model, simulated())
    assert [len(theta) for theta, _, _ in model.train_seen] == [16] * 8
    theta = whole(model.train_seen)[0]
    assert len(torch.unique(theta[:, 0])) == 128
    assert same(model.val_seen[:2], model.val_seen[2:])
    again = Listener()
    trainer(max_epochs=2).fit(again, simulated())
    assert same(model.train_seen, again.train_seen)


def test_validation_does_not_depend_on_the_batch_size():
    a, b = Listener(), Listener()
    trainer().validate(a, simulated(), verbose=False)
    trainer().validate(b, simulated(batch_size=5), verbose=False)
    first, second = whole(a.val_seen), whole(b.val_seen)
    assert torch.equal(first[0], second[0])
    assert (first[1] - second[1]).abs().max() < 1e-5


def test_splits_and_seeds_share_no_event():
    draws = [batch_of(simulated(), split).theta[0, 0].item() for split in ("train", "val", "test")]
    draws += [batch_of(simulated(seed=1), split).theta[0, 0].item() for split in ("train", "val", "test")]
    apart = simulated()
    apart.setup()
    draws.append(apart.simulator.parameters([0])[0, 0].item())  # those of `signals`
    assert len(set(draws)) == 7


@pytest.mark.parametrize("kind", ["simulated", "bank", "stored"])
def test_resumes_in_the_middle_of_an_epoch_with_the_very_next_batch(kind, folder, tmp_path):
    def module():
        if kind == "stored":
            return stored(folder)
        return simulated(dataclasses.replace(SIMULATED, bank_events=32 if kind == "bank" else 0))

    straight = Listener()
    trainer(max_epochs=2).fit(straight, module())
    per_epoch = len(straight.train_seen) // 2
    stop = per_epoch + 2
    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    first = Listener(stop_after=stop)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        trainer(max_epochs=2, enable_checkpointing=True, callbacks=[keep]).fit(first, module())
    checkpoint = tmp_path / f"step={stop}.ckpt"
    resumed = Listener()
    trainer(max_epochs=2).fit(resumed, module(), ckpt_path=checkpoint)
    assert same(resumed.train_seen, straight.train_seen[stop:])


def test_ranks_share_the_events_of_an_epoch(folder):
    seen = []
    for rank in range(3):
        module = stored(folder)
        module.trainer = type(
            "Rank",
            (),
            {"global_rank": rank, "world_size": 3, "current_epoch": 0, "strategy": trainer().strategy},
        )()
        module.setup()
        loader = module.train_dataloader()
        batches = [batch.theta.clone() for batch in loader]
        assert len(batches) == len(loader) == 2
        seen += batches
    theta = torch.cat(seen)
    assert len(theta) == 160
    assert len(torch.unique(theta[:, 0])) == 160


def test_stored_events_bring_their_settings_and_splits(folder):
    model, module = Listener(), stored(folder)
    trainer(max_epochs=2).fit(model, module)
    trainer().test(model, module, verbose=False)
    assert module.waveform_name == WAVEFORM
    parts = [whole(seen)[0] for seen in (model.train_seen, model.val_seen, model.test_seen)]
    assert [len(part) for part in parts] == [320, 80, 30]
    assert torch.equal(parts[2], torch.from_numpy(module._shards.theta[200:]))
    assert same(model.val_seen[:2], model.val_seen[2:])


def test_signals_without_noise_get_new_noise_every_epoch_and_strain_stays(folder):
    model, module = Listener(), stored(folder)
    trainer(max_epochs=2).fit(model, module)
    (theta, strain, _), half = whole(model.train_seen), 160
    order = [np.argsort(theta[part, 0].numpy()) for part in (slice(half), slice(half, None))]
    first, second = strain[:half][order[0]], strain[half:][order[1]]
    if folder.name.startswith("signal"):
        noise = module.observation.to_spectrum(first - second)
        assert torch.view_as_real(noise).var().item() == pytest.approx(2.0, rel=0.02)
    else:
        assert torch.equal(first, second)


def test_a_bank_gives_the_chain_without_one_the_same_distribution():
    module = simulated(EventData(train_events=160, val_events=8, test_events=8, bank_events=24))
    model = Listener()
    trainer(max_epochs=2).fit(model, module)
    theta, strain, psd_index = whole(model.train_seen)
    chirp_mass = module.prior.names.index("chirp_mass")
    distance = module.prior.names.index("luminosity_distance")
    assert len(torch.unique(theta[:, chirp_mass])) <= 24
    assert len(torch.unique(theta[:, distance])) == 320
    signals = module.signal_model(Binary.from_table(*module.prior.with_fixed(theta)), psd_index)
    noise = module.observation.to_spectrum(strain) - signals
    assert torch.view_as_real(noise).var().item() == pytest.approx(1.0, rel=0.01)


def test_predict_without_real_events_gives_the_test_events():
    module = simulated()
    (batch,) = trainer().predict(Listener(), module)
    assert len(batch.theta) == 10
    assert module.predict_events(0)[3] == ("test_000003", None)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            {"observation": dataclasses.replace(OBSERVATION, duration_s=4.0)},
            "duration_s: stored 2.0, asked 4.0",
        ),
        ({"observation": dataclasses.replace(OBSERVATION, psds=["aplus"])}, "psds: the stored events"),
        ({"waveform": "IMRPhenomPv2"}, "waveform: stored lalsimulation:IMRPhenomD, asked IMRPhenomPv2"),
        ({"prior": "et_14"}, "prior: stored"),
    ],
)
def test_stored_events_of_other_settings_are_refused(folder, asked, says):
    module = GWDataModule(events=EventData(path=str(folder), val_events=40, test_events=30), **asked)
    with pytest.raises(ShardError, match=says):
        module.setup()


def test_stored_events_of_the_same_settings_are_taken(folder):
    events = EventData(path=str(folder), val_events=40, test_events=30)
    GWDataModule(OBSERVATION, WAVEFORM, prior="ligo_bbh", events=events).setup()


def test_too_few_stored_events_are_told(folder):
    module = GWDataModule(events=EventData(path=str(folder)))
    with pytest.raises(ShardError, match="holds 230 events: too few for 10000"):
        module.setup()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"val_events": 0}, "val_events=0"),
        ({"train_events": 0}, "train_events=0"),
        ({"read_ahead": -1}, "read_ahead=-1"),
        ({"path": "x", "bank_events": 5}, "bank_events is for events that are simulated"),
    ],
)
def test_numbers_outside_their_range_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        EventData(**settings)


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"seed": -1}])
def test_batch_size_and_seed_are_checked(settings):
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        GWDataModule(**settings)


def test_nothing_is_there_before_setup():
    with pytest.raises(RuntimeError, match="before setup"):
        _ = GWDataModule().observation


def test_a_missing_folder_is_told():
    with pytest.raises(FileNotFoundError, match="No such file: /no/such/file"):
        GWDataModule(events=EventData(path="/no/such/file")).setup()


def test_psds_of_real_events_need_real_events():
    with pytest.raises(ValueError, match="needs real_events"):
        GWDataModule(dataclasses.replace(OBSERVATION, psds=["real_events"])).setup()


@pytest.mark.parametrize("bank_events", [0, 24])
def test_batches_from_a_graph_are_the_same(monkeypatch, bank_events):
    monkeypatch.setattr("lightning_itwin.cuda_graph.recorded_function.record", stand_in_graph.record)
    monkeypatch.setattr(SignalModel, "_evaluated", lambda model, binary: model.num_audible)  # as on a GPU
    events = dataclasses.replace(SIMULATED, bank_events=bank_events)
    module = simulated(events, waveform="IMRPhenomPv2")
    module.setup()
    batches = [*module.train_dataloader(), *module.val_dataloader()]
    assert {len(inputs.theta) for inputs in batches} == {16, 5}
    plain = [module.finish(inputs) for inputs in batches]
    (finisher,) = module._finishers.values()
    finisher._simulated = RecordedFunction(finisher._simulate)
    finisher._from_bank = RecordedFunction(finisher._simulate)
    assert same([module.finish(inputs) for inputs in batches], plain)


@pytest.mark.parametrize("bank_events", [0, 24])
def test_batches_that_are_finished_ahead_are_the_same(bank_events):
    events = dataclasses.replace(SIMULATED, bank_events=bank_events)
    module = simulated(events)
    module.setup()
    loader = module.train_dataloader()
    wanted = [module.finish(inputs) for inputs in loader]
    source = loader.batches.source
    loader.batches.source = FinishedAhead(source, module._finisher(torch.device("cpu")))
    found = []
    for batch in loader:
        moved = module.transfer_batch_to_device(batch, torch.device("cpu"), 0)
        found.append(module.on_after_batch_transfer(moved, 0))
    assert same(found, wanted)
    untaken = [module.finish(batch) for batch in list(loader)]  # all asked for before one is taken
    assert same(untaken, wanted)


@pytest.mark.gpu
@pytest.mark.parametrize("bank_events", [0, 24])
def test_on_a_gpu_a_trainer_gets_batches_ahead_of_time_that_are_the_same(bank_events):
    seen = []
    for read_ahead in (0, 2):
        listener = Listener()
        events = dataclasses.replace(SIMULATED, bank_events=bank_events, read_ahead=read_ahead)
        trainer(accelerator="gpu", devices=1, max_epochs=2, val_check_interval=2).fit(
            listener, datamodule=simulated(events, waveform="IMRPhenomPv2")
        )
        seen.append([*listener.train_seen, *listener.val_seen])
    assert len(seen[0]) == len(seen[1]) == 16
    assert all(torch.equal(one, other) for rows in zip(*seen) for one, other in zip(*rows))


@pytest.mark.gpu
@pytest.mark.parametrize("bank_events", [0, 24])
def test_on_a_gpu_batches_come_from_graphs_and_are_those_of_the_cpu(bank_events):
    events = dataclasses.replace(SIMULATED, bank_events=bank_events)
    module = simulated(events, waveform="IMRPhenomPv2")
    module.setup()
    for inputs in [*module.train_dataloader(), *module.val_dataloader()]:
        quiet = inputs._replace(noise_seed=None)
        wanted = module.finish(quiet).strain
        moved = module.transfer_batch_to_device(quiet, torch.device("cuda"), 0)
        found = module.finish(moved).strain.cpu()
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
        noisy = module.finish(moved._replace(noise_seed=inputs.noise_seed)).strain.cpu()
        spectrum = module.observation.to_spectrum(noisy - found)
        assert torch.view_as_real(spectrum).var().item() == pytest.approx(1.0, rel=0.05)
