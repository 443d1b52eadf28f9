"""A standardised index, such as SSMI or SPI, whose distributions are fitted to a stream in many processes."""

# G groups, O outputs

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_itwin.metrics.grouped_metric import GroupedMetric

LIMIT = 3.09  # one in a thousand


class StandardizedGammaIndex(GroupedMetric):
    """How unusual values are, as a standard normal variable, by gamma distributions of a group each.

    A group is a cell and calendar month, say: ``cell * 12 + month``. Thom's estimate needs sums alone, so
    nothing is stored, and the fit of many processes is that of one: ``update`` with the values of the
    reference period, then :meth:`index`. Zeros are kept apart, as McKee does. Other
    distributions, fitted in memory: :mod:`lightning_itwin.hydrology.standardized_index`.

    Args:
        num_outputs, num_groups: see :class:`lightning_itwin.metrics.GroupedMetric`.
        least_values: a group with fewer values above 0 has no index: NaN.

    Reference:
        McKee et al. 1993, 8th Conf. on Applied Climatology, AMS, 179; Thom 1966, WMO Technical Note 81.

    >>> soil_moisture = torch.linspace(0.1, 0.4, 31)
    >>> metric = StandardizedGammaIndex()
    >>> metric.update(soil_moisture)
    >>> metric.index(torch.tensor([0.1, 0.25, 0.4]))
    tensor([-1.9705,  0.1264,  1.4703], dtype=torch.float64)
    """

    is_differentiable = False
    value_count: Tensor
    zero_count: Tensor
    value_sum: Tensor
    log_sum: Tensor

    def __init__(
        self,
        num_outputs: int | Sequence[int] = 1,
        num_groups: int | None = None,
        least_values: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_outputs, num_groups, **kwargs)
        self.least_values = least_values
        for name in ("value_count", "zero_count", "value_sum", "log_sum"):
            self.add_sums(name)

    def update(self, values: Tensor, groups: Tensor | None = None) -> None:
        """Add values of the reference period, (..., outputs); NaN is left out.

        Raises:
            ValueError: a value below 0.
        """
        if bool((values < 0).any()):
            raise ValueError(
                "A gamma index has values of 0 or more: shift them, or take another distribution."
            )
        slots = self.slots(values, groups)
        value = self.rows(values).double()
        above = value > 0
        self.add("value_count", slots, above)
        self.add("zero_count", slots, value == 0)
        self.add("value_sum", slots, value)
        self.add("log_sum", slots, torch.where(above, value, 1.0).log())

    def compute(self) -> Tensor:
        """Give shape, scale and share of zeros, (groups, outputs, 3)."""
        return self.shaped(self._fitted())

    def index(self, values: Tensor, groups: Tensor | None = None) -> Tensor:
        """Give the index of values, (..., outputs), from -3.09 to 3.09; NaN where there is none.

        It is that of the distributions as they are in this process: after :meth:`compute`, or ``sync``, in a
        world of many processes use ``with metric.sync_context():``.
        """
        slots = self.slots(values, groups)
        parameters = self._fitted().flatten(0, 1)[slots.clamp_min(0)]
        shape, scale, zeros = parameters.unbind(-1)
        value = self.rows(values).double()
        below = zeros + (1 - zeros) * torch.special.gammainc(shape, value.clamp_min(0) / scale)
        below = torch.where(value == 0, torch.where(zeros < 1, zeros, 0.5), below)
        known = (slots >= 0) & (value >= 0) & (shape.isfinite() | (zeros == 1))
        index = torch.special.ndtri(below).clamp(-LIMIT, LIMIT)
        return torch.where(known, index, torch.nan).reshape(values.shape)

    def _fitted(self) -> Tensor:
        count = self.value_count
        mean = self.value_sum / count
        gap = mean.log() - self.log_sum / count
        usable = (count >= self.least_values) & (gap > 1e-12)
        shape = torch.where(usable, (1 + (1 + 4 * gap / 3).sqrt()) / (4 * gap), torch.nan)
        return torch.stack([shape, mean / shape, self.zero_count / (count + self.zero_count)], -1)
