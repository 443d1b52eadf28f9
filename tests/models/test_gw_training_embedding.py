"""TrainingEmbedding: steps as the embedding itself gives them, recorded where they can be."""

import copy

import pytest
import torch

from lightning_itwin.models.gw_embedding import EmbeddingSettings, make_embedding
from lightning_itwin.models.gw_training_embedding import TrainingEmbedding
from tests import stand_in_graph

DETECTORS = ["H1", "L1"]


def made(**changed):
    torch.manual_seed(0)
    settings = EmbeddingSettings(
        **{
            "kind": "svd",
            "hidden_features": 16,
            "context_features": 4,
            "svd_components": 6,
            "width": 8,
            **changed,
        }
    )
    embedding = make_embedding(settings, detectors=DETECTORS, samples=256, bins=(10, 100), extra_features=3)
    return embedding.train(), settings


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("kind", ["svd", "folded_lean"])
def test_recorded_steps_are_the_embeddings_own(kind, aligned, monkeypatch):
    monkeypatch.setattr("lightning_itwin.cuda_graph.recorded_training.record", stand_in_graph.record)
    embedding, settings = made(kind=kind)
    plain = copy.deepcopy(embedding)
    training = TrainingEmbedding(embedding, settings)
    training.fuses = False  # what is compiled is the same function
    for _ in range(3):
        strain, extra = torch.randn(8, 2, 256), torch.randn(8, 3)
        late = torch.rand(8, 2, dtype=torch.float64) if aligned else None
        for one, embed in ((embedding, training), (plain, plain)):
            one.zero_grad()
            embed(strain, extra, late).square().mean().backward()
        for found, wanted in zip(embedding.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(found.grad, wanted.grad)
    assert training._step._recorded is not None
    for found, wanted in zip(embedding.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("change", [{"dropout": 0.1}, {"compile": False}])
def test_steps_that_draw_numbers_or_are_not_to_be_compiled_are_not_recorded(change):
    assert TrainingEmbedding(*made()).records
    assert not TrainingEmbedding(*made(**change)).records


def test_batch_norms_of_several_processes_are_not_recorded():
    embedding, settings = made()
    training = TrainingEmbedding(torch.nn.SyncBatchNorm.convert_sync_batchnorm(embedding).eval(), settings)
    assert not training.records
    assert training(torch.randn(2, 2, 256), torch.randn(2, 3)).shape == (2, 4)


def test_what_cannot_be_compiled_goes_on_with_a_word(monkeypatch):
    def failing(*_, **__):
        raise torch._dynamo.exc.TorchDynamoException("no compiler\nand more")

    embedding, settings = made(kind="folded_lean", dropout=0.1)
    training = TrainingEmbedding(embedding, settings)
    monkeypatch.setattr(embedding, "compile", lambda **_: setattr(embedding, "_compiled_call_impl", failing))
    inputs = torch.randn(8, 2, 256), torch.randn(8, 3)
    with pytest.warns(UserWarning, match="is not compiled: no compiler$"):
        found = training(*inputs)
    torch.testing.assert_close(found, training(*inputs))
