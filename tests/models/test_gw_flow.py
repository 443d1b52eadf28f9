import copy
import dataclasses
import json
import logging
import math
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

pytest.importorskip("nflows")
pytest.importorskip("bilby")
pytest.importorskip("lalsimulation")

from lightning_itwin.detectors.observation_check import ObservationDiffersError
from lightning_itwin.models.gw_embedding import EmbeddingSettings, SVDEmbedding
from lightning_itwin.models.gw_flow import GWFlow
from lightning_itwin.models.gw_settings import FlowSettings, PosteriorSettings
from tests import stand_in_graph
from tests.models.gw_toy import PRIOR, SETTINGS, ToyData
from tests.no_copies import no_copies_from_the_host

EMBEDDING = EmbeddingSettings(
    kind="svd", context_features=16, svd_components=12, hidden_features=32, num_blocks=1
)
FLOW = FlowSettings(hidden_features=32, num_blocks=1, num_flow_steps=3)
POSTERIORS = PosteriorSettings(
    num_samples=200,
    num_test_samples=50,
    weighed_test_events=2,
    published={"GW000001": {"chirp_mass": 31.4}},
)

SKY = """
dec = Cosine(name='dec')
geocent_time = Uniform(minimum=-0.1, maximum=0.1)
"""
WHOLE_SKY = PRIOR.replace("dec = 0.3\n", "") + SKY
ALIGNED = dataclasses.replace(EMBEDDING, align_arrivals=True)


def embedding_of(kind, **changed):
    return EmbeddingSettings(kind=kind, hidden_features=16, context_features=4, **changed)


def made(**changed):
    seed_everything(0, verbose=False)
    arguments = {"embedding": EMBEDDING, "flow": FLOW, "posteriors": POSTERIORS, "warmup_steps": 5}
    return GWFlow(**{**arguments, "learning_rate": 2e-3, "synthetic_phase": True, **changed})


def trainer(folder, **changed):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    return Trainer(
        **{"default_root_dir": folder, "max_epochs": 1, "log_every_n_steps": 1, **quiet, **changed}
    )


@pytest.fixture(scope="module")
def data():
    torch.set_num_threads(1)
    toy = ToyData()
    toy.setup()
    return toy


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gw")
    runner, model = trainer(folder, max_epochs=20), made()
    runner.fit(model, datamodule=data)
    return runner, model, runner.checkpoint_callback.best_model_path


def test_it_learns_and_measures_what_the_data_tell(fitted):
    metrics = fitted[0].callback_metrics
    assert {"train/loss", "val/loss", "val/information_nat", "val/coverage_50", "val/coverage_90"} <= set(
        metrics
    )
    assert metrics["val/information_nat"] > 1.5
    assert 0.4 < metrics["val/coverage_50"] < 0.8
    assert metrics["val/coverage_90"] > 0.8


def test_the_embedding_starts_from_the_signals_singular_vectors(data, tmp_path):
    model = made(learning_rate=1e-12)
    trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(model, datamodule=data)
    assert isinstance(model.network.embedding, SVDEmbedding)
    signal = data.signals(50)
    kept = model.network.embedding.projection(data.observation.to_series(signal))
    ratio = kept.square().sum(dim=1) / signal.abs().square().sum(dim=(1, 2))
    assert ratio.min() > 0.9
    assert ratio.max() < 1.001


def test_samples_have_the_density_they_say_and_keep_to_the_prior(fitted, data):
    model = fitted[1]
    strain, _, psd_index = (column[:2] for column in data.events)
    samples, log_prob = model.network.draw(strain, 300, psd_index)
    assert samples.shape == (2, 300, 3)
    names = data.prior.names
    assert model.names == [name for name in names if name != "phase"]
    theta = torch.zeros(2, 300, 4, dtype=torch.float64)
    theta[..., [names.index(name) for name in model.names]] = samples
    with torch.no_grad():
        rows = strain.repeat_interleave(300, dim=0)
        again = model.eval().network.log_prob(rows, theta.flatten(0, 1)).view(2, 300)
    torch.testing.assert_close(log_prob, again, rtol=1e-3, atol=2e-3)
    assert torch.isfinite(data.prior.log_prob(theta.flatten(0, 1))).double().mean() > 0.99


def test_the_density_is_normalised(fitted, data):
    """Importance sampling of 1 from the flow itself by the prior: mean of p / q over q is 1."""
    model = fitted[1]
    samples, log_prob = model.network.draw(data.events.strain[:1], 20_000)
    log_prior = data.prior.without("phase").log_prob(samples[0])
    ratio = (log_prior - log_prob[0]).exp()
    # q is narrower than p: the mean of p / q over q is the share of the prior that q covers, never more.
    assert float(ratio.mean()) < 1.2


def test_a_checkpoint_samples_without_a_datamodule(fitted, data):
    model = GWFlow.load_from_checkpoint(fitted[2], weights_only=True)
    posterior = model.sample(data.events.strain[0], num_samples=100)
    assert posterior.samples.shape == (100, 3)
    assert posterior.log_prob.shape == (100,)
    assert list(posterior.names) == ["chirp_mass", "luminosity_distance", "ra"]
    several = model.sample(data.events.strain[:3], num_samples=10, psd_index=0)
    assert [len(one) for one in several] == [10, 10, 10]
    assert model.hparams["embedding"]["kind"] == "svd"
    context = fitted[1].eval()(data.events.strain[:2])
    torch.testing.assert_close(model.eval()(data.events.strain[:2]), context)


def test_bad_strain_is_refused(fitted, data):
    model, strain = fitted[1], data.events.strain[:2]
    for wrong, message in (
        (strain[:, :1], "2 detectors"),
        (strain[..., :100], "256 samples"),
        (strain[0, 0], "detectors"),
        (torch.where(torch.arange(256) == 3, torch.nan, strain), r"not finite in event 0, H1; event 0, L1"),
        (torch.where(torch.arange(256) < 20, 0.0, strain), "a gap"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(wrong)


def test_other_data_are_refused_by_a_loaded_model_and_a_checkpoint(fitted, tmp_path):
    louder = dataclasses.replace(SETTINGS, psds=["aLIGO_late_asd.txt"])
    other_prior = PRIOR.replace("maximum=60", "maximum=70")
    for changed, message in (
        ({"settings": dataclasses.replace(SETTINGS, detectors=["L1", "H1"])}, "detectors: trained with"),
        ({"settings": dataclasses.replace(SETTINGS, minimum_frequency_hz=25.0)}, "minimum_frequency_hz"),
        ({"settings": louder}, "PSD set 0"),
        ({"prior": other_prior}, "prior: trained with"),
        ({"waveform": "lalsimulation:IMRPhenomXAS"}, "waveform: trained with"),
    ):
        loaded = GWFlow.load_from_checkpoint(fitted[2], weights_only=True)
        with pytest.raises(ObservationDiffersError, match=message):
            trainer(tmp_path).test(loaded, datamodule=ToyData(4, **changed), verbose=False)
        with pytest.raises(ObservationDiffersError, match=message):
            trainer(tmp_path).test(
                made(), datamodule=ToyData(4, **changed), ckpt_path=fitted[2], weights_only=True
            )


def test_a_foreign_checkpoint_and_a_trainer_without_data_are_refused(fitted, data, tmp_path):
    content = torch.load(fitted[2], weights_only=True)
    del content["gw_flow"]
    torch.save(content, tmp_path / "foreign.ckpt")
    with pytest.raises(ValueError, match="none of GWFlow's"):
        GWFlow.load_from_checkpoint(tmp_path / "foreign.ckpt", weights_only=True)
    with pytest.raises(ValueError, match="give the Trainer a GWDataModule"):
        trainer(tmp_path).fit(made(), data.train_dataloader())
    with pytest.raises(ValueError, match="bf16-mixed"):
        trainer(tmp_path, precision="bf16-true").fit(made(), datamodule=data)
    with pytest.raises(RuntimeError, match="does not know its data"):
        made().sample(data.events.strain[0])
    with pytest.raises(ValueError, match="learning_rate"):
        made(learning_rate=0.0)


def test_a_training_goes_on_from_its_checkpoint(fitted, data, tmp_path):
    model = made()
    runner = trainer(tmp_path, max_epochs=21)
    runner.fit(model, datamodule=data, ckpt_path=fitted[2], weights_only=True)
    assert runner.current_epoch == 21
    assert runner.callback_metrics["val/information_nat"] > 1.5


@pytest.mark.parametrize("embedding", [EMBEDDING, ALIGNED])
def test_bfloat16_trains(embedding, data, tmp_path):
    runner = trainer(tmp_path, precision="bf16-mixed", max_epochs=2)
    runner.fit(made(embedding=embedding), datamodule=data)
    assert math.isfinite(runner.callback_metrics["val/loss"])


def test_the_folded_embedding_trains_with_all_parameters(data, tmp_path):
    model = made(embedding=EmbeddingSettings(context_features=8, width=4), synthetic_phase=False)
    runner = trainer(tmp_path, limit_train_batches=2, limit_val_batches=1)
    runner.fit(model, datamodule=data)
    assert model.names == data.prior.names
    assert math.isfinite(runner.callback_metrics["val/loss"])


def test_several_sets_of_psds_go_into_the_context(tmp_path):
    two = ToyData(64, psds=2)
    two.settings = dataclasses.replace(SETTINGS, psds=["aLIGO_O4_high_asd.txt", "aLIGO_late_asd.txt"])
    model = made()
    trainer(tmp_path).fit(model, datamodule=two)
    strain = two.events.strain[:1].expand(2, -1, -1)
    contexts = model.eval()(strain, torch.tensor([0, 1]))
    assert not torch.allclose(contexts[0], contexts[1])
    torch.testing.assert_close(model(strain[:1]), contexts[:1])


def test_test_writes_calibration(fitted, data, tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    runner = trainer(tmp_path, logger=[logger, CSVLogger(tmp_path, name="csv")])
    (metrics,) = runner.test(fitted[1], datamodule=data, verbose=False)
    named = {
        "pp_p_value",
        "pp_lowest_p_value",
        "tarp_p_value",
        "density_p_value",
        "coverage_50",
        "coverage_90",
    }
    assert {f"test/{name}" for name in named | {"efficiency_median", "loss"}} <= set(metrics)
    assert metrics["test/coverage_90"] > 0.8
    folder = tmp_path / "run" / "calibration"
    for name in ("pp.png", "coverage.png", "tarp.png", "coverage.csv"):
        assert (folder / name).stat().st_size > 500
    table = np.genfromtxt(folder / "ranks.csv", delimiter=",", names=True)
    assert table.dtype.names == ("chirp_mass", "luminosity_distance", "ra", "tarp", "density", "efficiency")
    assert len(table) == data.num_events
    assert np.isfinite(table["efficiency"]).sum() == 2
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert {"test/pp", "test/coverage", "test/tarp"} <= set(events.Tags()["images"])


@pytest.fixture
def settings(tmp_path):
    return dataclasses.replace(POSTERIORS, folder=str(tmp_path / "posteriors"), file_format="json")


def test_predict_writes_weighed_posteriors_and_goes_on_where_it_was(fitted, data, tmp_path, settings, capsys):
    from bilby.core.result import read_in_result

    model = GWFlow.load_from_checkpoint(fitted[2], weights_only=True, posteriors=dataclasses.asdict(settings))
    (paths,) = trainer(tmp_path).predict(model, datamodule=data)
    told = capsys.readouterr().out
    assert "published" in told
    assert "31.4" in told
    assert "efficiency" in told
    result = read_in_result(paths[0])
    assert result.label == "GW000001"
    assert {"chirp_mass", "phase", "ra"} <= set(result.posterior)
    folder = tmp_path / "posteriors"
    assert {"GW000001_corner.png", "made_up_corner.png"} <= {path.name for path in folder.iterdir()}
    summary = json.loads((folder / "GW000001.summary.json").read_text())
    assert 0 < summary["efficiency"] <= 1

    written = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / "made_up.summary.json").unlink()  # as if killed before the end of this event
    again = GWFlow.load_from_checkpoint(fitted[2], weights_only=True, posteriors=dataclasses.asdict(settings))
    trainer(tmp_path).predict(again, datamodule=data)
    assert "done before" in capsys.readouterr().out
    renewed = {path.name for path, when in written.items() if path.stat().st_mtime_ns != when}
    assert renewed == {"made_up.json", "made_up_corner.png", "made_up.summary.json"}
    fewer = dataclasses.replace(settings, num_samples=100)
    other = GWFlow.load_from_checkpoint(fitted[2], weights_only=True, posteriors=dataclasses.asdict(fewer))
    trainer(tmp_path).predict(other, datamodule=data)
    assert "done before" not in capsys.readouterr().out


def test_the_same_events_have_the_same_samples(fitted, data, tmp_path, settings):
    from bilby.core.result import read_in_result

    samples = []
    for folder in ("a", "b"):
        here = dataclasses.asdict(
            dataclasses.replace(settings, folder=str(tmp_path / folder), importance=False, figures=False)
        )
        model = GWFlow.load_from_checkpoint(fitted[2], weights_only=True, posteriors=here)
        (paths,) = trainer(tmp_path).predict(model, datamodule=data)
        samples.append(read_in_result(paths[1]).posterior["chirp_mass"].to_numpy())
    np.testing.assert_array_equal(*samples)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("kind", ["svd", "folded_lean"])
def test_a_training_step_copies_nothing_from_the_host(kind, aligned, device, tmp_path, monkeypatch):
    data = ToyData(events=32, prior=WHOLE_SKY)
    model = made(embedding=embedding_of(kind, align_arrivals=aligned))
    trainer(tmp_path, max_epochs=1, limit_train_batches=1).fit(model, datamodule=data)
    network = model._network.to(device).train()
    batch = [column.to(device) for column in next(iter(data.train_dataloader()))]
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no such device
    network.log_prob(*batch)  # tables go to the device once
    with no_copies_from_the_host(monkeypatch, device):
        network.log_prob(*batch).mean().backward()


@pytest.mark.parametrize(
    ("frame", "embedding"),
    [
        ("detectors", EMBEDDING),
        ("detectors", ALIGNED),
        ("sky", ALIGNED),
        ("sky", dataclasses.replace(ALIGNED, kind="folded_lean")),
    ],
)
def test_frame_and_arrivals_keep_names_bounds_and_densities(frame, embedding, tmp_path):
    data = ToyData(events=64, prior=WHOLE_SKY)
    teacher = trainer(tmp_path, max_epochs=2)
    teacher.fit(made(reference_frame=frame, embedding=embedding), datamodule=data)
    teacher.save_checkpoint(tmp_path / "trained.ckpt")
    model = GWFlow.load_from_checkpoint(tmp_path / "trained.ckpt", weights_only=True).eval()
    network, prior = model._network, model._prior
    assert (network.frame is None) == (frame == "sky")
    assert (network.arrivals is None) == (not embedding.align_arrivals)
    strain = next(iter(data.train_dataloader())).strain[:1]
    theta, log_prob = network.draw(strain, 300)
    columns = network.columns_P
    assert bool(((theta[0] >= prior.minimum[columns]) & (theta[0] <= prior.maximum[columns])).all())
    whole = torch.zeros(300, len(prior.names), dtype=torch.float64)
    whole[:, columns] = theta[0]
    again = network.log_prob(strain.expand(300, -1, -1), whole).detach()
    np.testing.assert_allclose(again, log_prob[0], atol=2e-3)
    densities = network.densities(strain.expand(300, -1, -1), whole)
    np.testing.assert_allclose(densities.log_prob.detach(), log_prob[0], atol=2e-3)
    log_prior = prior.without("phase").log_prob(theta[0])
    np.testing.assert_allclose(densities.information.detach(), log_prob[0] - log_prior, atol=0.02)


@pytest.mark.parametrize(("world_size", "in_place"), [(1, True), (2, False)])
def test_gradients_are_written_in_place_by_one_process_alone(data, tmp_path, world_size, in_place):
    model = made()
    fitted = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    fitted.fit(model, datamodule=data)
    told = {"precision": "32-true", "world_size": world_size, "estimated_stepping_batches": 1}
    model._trainer = SimpleNamespace(**told)
    model.configure_optimizers()
    assert model._network._fast._in_place == model._network._training_embedding._in_place == in_place


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("frame", ["sky", "detectors"])
def test_recorded_steps_have_the_densities_and_gradients_of_others(frame, in_place, tmp_path, monkeypatch):
    data = ToyData(events=64, prior=WHOLE_SKY, psds=2)
    model = made(reference_frame=frame, embedding=ALIGNED)
    trainer(tmp_path, max_epochs=1, limit_train_batches=1).fit(model, datamodule=data)
    network = model._network.train()
    network.write_gradients_in_place(in_place)
    plain = copy.deepcopy(network)
    for part in ("function", "training"):
        monkeypatch.setattr(f"lightning_itwin.cuda_graph.recorded_{part}.record", stand_in_graph.record)
    monkeypatch.setattr(network, "_is_fast", lambda tensor: True)  # as on a GPU
    for batch in [*data.train_dataloader(), *data.train_dataloader()]:
        for one in (network, plain):
            one.zero_grad()
        found, wanted = network.log_prob(*batch), plain.log_prob(*batch)
        torch.testing.assert_close(found, wanted)
        for log_prob in (found, wanted):
            log_prob.mean().backward()
        for one, other in zip(network.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)
    assert network._tell_fast._rows == network._to_coordinates_fast._rows == 32


def test_arrivals_are_told_where_the_time_is_fixed(data, tmp_path):
    model = made(embedding=ALIGNED)
    trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(model, datamodule=data)
    network = model._network
    assert network._time is None
    assert float(network.arrivals.template_KF.abs().sum()) > 0
    strain = data.events.strain[:4]
    context = network.eval()(strain)
    assert context.shape == (4, 16)


def test_a_frame_that_there_is_not_or_that_the_prior_does_not_suit_is_refused(data, tmp_path):
    with pytest.raises(ValueError, match="must be 'sky' or 'detectors', not 'H1L1'"):
        made(reference_frame="H1L1")
    with pytest.raises(ValueError, match="the prior fixes dec, geocent_time"):
        trainer(tmp_path).fit(made(reference_frame="detectors"), datamodule=data)


@pytest.mark.gpu
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("kind", ["svd", "folded_lean"])
def test_a_training_step_on_a_gpu_waits_nowhere(kind, aligned, tmp_path):
    data = ToyData(events=32, prior=WHOLE_SKY)
    model = made(embedding=embedding_of(kind, align_arrivals=aligned))
    trainer(tmp_path, max_epochs=1, limit_train_batches=1).fit(model, datamodule=data)
    network = model._network.cuda().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    batch = [column.cuda() for column in next(iter(data.train_dataloader()))]
    try:
        for step in range(6):
            torch.cuda.set_sync_debug_mode("default" if step < 4 else "error")
            optimizer.zero_grad()
            network.log_prob(*batch).mean().neg().backward()
            optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
