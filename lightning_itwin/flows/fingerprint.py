"""Tells cheaply whether a flow is still the one whose weights were folded."""

from __future__ import annotations

import itertools
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from lightning_itwin.flows.folding import nflows_name


def fingerprint(transform: nn.Module) -> tuple[Any, ...]:
    """Say which tensors a transform has, how often each was written in place, and in which mode it is.

    Writing through ``tensor.data`` leaves no trace in it.

    >>> layer = nn.Linear(2, 2)
    >>> before = fingerprint(layer)
    >>> _ = nn.init.zeros_(layer.bias)
    >>> fingerprint(layer) == before
    False
    """
    tensors = itertools.chain(transform.parameters(), transform.buffers())
    marks = [(id(each), each.data_ptr(), 0 if each.is_inference() else each._version) for each in tensors]
    return (training_parts(transform), *marks)


def training_parts(transform: nn.Module) -> tuple[str, ...]:
    """Name the modules whose training mode changes what a transform does.

    >>> training_parts(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.0)))
    ('BatchNorm1d',)
    """
    return tuple(
        type(part).__qualname__
        for part in transform.modules()
        if part.training
        and (
            isinstance(part, _BatchNorm)
            or (isinstance(part, _DropoutNd) and part.p > 0)
            or nflows_name(part) == "transforms.normalization.BatchNorm"
        )
    )
