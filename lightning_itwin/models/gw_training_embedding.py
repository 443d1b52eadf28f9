"""TrainingEmbedding: an embedding's training steps on a GPU, compiled and recorded where they can be."""

# B batch, D detectors, T samples, E features beside the strain, C context features

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightning_itwin.cuda_graph import RecordedTraining
from lightning_itwin.models.gw_embedding import EmbeddingSettings, FoldedResNet, SVDEmbedding


class TrainingEmbedding:
    """The same function as an embedding, for training steps on a GPU.

    A ResNet is compiled, and goes on uncompiled, with a warning, where that fails. The steps of either kind
    are recorded as CUDA graphs, unless they draw random numbers or ask other processes.

    Args:
        embedding: whose parameters and buffers are read and trained.
        settings: whether it is to be compiled, and its dropout.
        gradients_in_place: as ``RecordedTraining`` has it.
    """

    def __init__(
        self,
        embedding: FoldedResNet | SVDEmbedding,
        settings: EmbeddingSettings,
        gradients_in_place: bool = False,
    ) -> None:
        self._embedding = embedding
        self._in_place = gradients_in_place
        self._repeatable = settings.compile and settings.dropout == 0
        self._step: Callable[..., Tensor] | None = None
        self.fuses = isinstance(embedding, FoldedResNet)

    @property
    def records(self) -> bool:
        """Whether its steps can be CUDA graphs."""
        # batch norms of several processes ask each other in every step
        asks = any(isinstance(module, nn.SyncBatchNorm) for module in self._embedding.modules())
        return self._repeatable and not asks

    def __call__(self, strain: Tensor, extra: Tensor | None, late: Tensor | None = None) -> Tensor:
        """Embed strain, (B, D, T), to (B, C); arguments as the embedding's."""
        if self._step is None:
            parameters, buffers = list(self._embedding.parameters()), self._embedding.buffers
            self._step = self._fused
            if self.records:
                self._step = RecordedTraining(self._fused, parameters, buffers, self._in_place)
        return self._step(strain, extra, late)

    def _fused(self, strain: Tensor, extra: Tensor | None, late: Tensor | None) -> Tensor:
        if not self.fuses:
            return self._embedding.forward(strain, extra, late)
        if self._embedding._compiled_call_impl is None:
            self._embedding.compile(dynamic=False)
        try:
            return self._embedding(strain, extra, late)
        except torch._dynamo.exc.TorchDynamoException as error:
            self.fuses = False
            warnings.warn(f"The embedding is not compiled: {str(error).splitlines()[0]}", stacklevel=2)
            return self._embedding.forward(strain, extra, late)
