"""GradientPack: the gradients of many parameters in one tensor, which one launch copies."""

# E elements of all gradients

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_ALIGNED = 4  # elements that a kernel reads at once


class GradientPack:
    """Room for gradients of one dtype, each laid out as its parameter.

    Args:
        like: tensors whose gradients there are, dense, of one dtype and device.

    Attributes:
        views: the room of each gradient, in the order of the tensors.

    >>> pack = GradientPack([torch.zeros(2, 3), torch.zeros(2)])
    >>> pack.write([torch.ones(2, 3), torch.tensor([2.0, 3.0])])
    >>> [gradient.tolist() for gradient in pack.copies()]
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], [2.0, 3.0]]
    """

    def __init__(self, like: Sequence[Tensor]) -> None:
        # those that would move the others off their alignment come last
        self._order = sorted(range(len(like)), key=lambda place: like[place].numel() % _ALIGNED != 0)
        self._templates = [like[place].detach() for place in self._order]
        self._all_E = like[0].new_empty(sum(template.numel() for template in self._templates))
        self.views = self._views_of(self._all_E)

    def write(self, gradients: Sequence[Tensor]) -> None:
        """Write all gradients, in the order of the tensors, in a few launches."""
        pairs = list(zip(self.views, gradients))
        alike = [pair for pair in pairs if pair[0].stride() == pair[1].stride()]
        if alike:
            torch._foreach_copy_([view for view, _ in alike], [gradient for _, gradient in alike])
        for view, gradient in pairs:
            if view.stride() != gradient.stride():
                view.copy_(gradient)

    def copies(self) -> list[Tensor]:
        """Give copies of all gradients, in the order of the tensors, in one launch."""
        return self._views_of(self._all_E.clone())

    def _views_of(self, all_E: Tensor) -> list[Tensor]:
        packed = torch._C._nn.unflatten_dense_tensors(all_E, self._templates)
        views: list[Tensor] = [all_E] * len(self._order)
        for place, view, template in zip(self._order, packed, self._templates):
            contiguous = template.is_contiguous()
            views[place] = view if contiguous else view.as_strided(template.shape, template.stride())
        return views
