"""PhaseSeries: the log likelihood as a function of the phase; its integral, and draws from it."""

# N samples, M highest mode, G cells of the circle

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_itwin.inference.event_uniforms import event_uniforms

_PHASE_STREAM = 0x7068617365  # "phase" in ASCII
_CELLS_PER_WIDTH = 4.0
_FEWEST_CELLS, _MOST_CELLS = 256, 16384
_CHUNK_ELEMENTS = 4_000_000


@dataclass(frozen=True, kw_only=True)
class PhaseSeries:
    """Log likelihood over noise of N samples at every phase.

    ``log L(phase) = constant + Re sum_m terms_m exp(i sense m phase)``, m from 1 to M.

    Attributes:
        constant: (N,) float64.
        terms: (N, M) complex128.
        sense: 1 or -1, how the waveform turns.

    Reference:
        Dax et al. 2023, arXiv:2210.05686, section "synthetic phase": a flow learns the other parameters,
        the phase is drawn from its conditional on a grid, and its density enters the weights.
    """

    constant: Tensor
    terms: Tensor
    sense: int = 1

    def log_likelihood(self, phase: Tensor) -> Tensor:
        """Give log L of each sample at its own phase, (N,) to (N,)."""
        return self.constant + (self.terms * _turns(self.sense * phase, self.terms)).real.sum(dim=1)

    def log_marginal(self) -> Tensor:
        """Give the log of the likelihood's mean over a uniform phase, (N,) float64.

        The trapezoidal rule on the circle, with four points to the narrowest peak's width: exact to rounding.
        """
        cells = self._cells()
        found = [torch.logsumexp(log_GN, dim=1) - math.log(cells) for log_GN in self._on_cells(cells)]
        return self.constant + torch.cat(found)

    def draw(self, seed: int, first: int = 0) -> tuple[Tensor, Tensor]:
        """Draw a phase for each sample from its conditional distribution.

        Between the points of a grid the density is linear: the exact density of the draws, so that
        weights made with it are exact whatever the grid.

        Args:
            seed: of the draws.
            first: number of the first sample: the draw of a sample depends on the seed and its number alone.

        Returns:
            phases in [0, 2 pi) and their log density, (N,) float64 each.
        """
        cells, count = self._cells(), len(self.constant)
        uniforms = event_uniforms(range(first, first + count), 2, seed, stream=_PHASE_STREAM)
        uniforms_N2 = torch.from_numpy(uniforms).to(self.constant.device)
        phases, densities, begin = [], [], 0
        for log_nG in self._on_cells(cells):
            u_n2 = uniforms_N2[begin : begin + len(log_nG)]
            begin += len(log_nG)
            density_nG = (log_nG - log_nG.amax(dim=1, keepdim=True)).exp_()
            mass_nG = density_nG + density_nG.roll(-1, dims=1)
            cumulated_nG = mass_nG.cumsum(dim=1)
            # A cell without mass is never drawn: the search skips equal neighbours.
            at_n1 = torch.searchsorted(cumulated_nG, u_n2[:, :1] * cumulated_nG[:, -1:], right=True)
            at_n1 = at_n1.clamp(max=cells - 1)
            left_n = density_nG.gather(1, at_n1)[:, 0]
            right_n = density_nG.gather(1, (at_n1 + 1) % cells)[:, 0]
            # Where a linear density has gathered the share u of its cell.
            squares_n = left_n.square() + (right_n - left_n) * (right_n + left_n) * u_n2[:, 1]
            step_n = u_n2[:, 1] * (left_n + right_n) / (left_n + squares_n.sqrt())
            phases.append((at_n1[:, 0] + step_n) * (2 * math.pi / cells))
            here_n = torch.lerp(left_n, right_n, step_n) * 2 / cumulated_nG[:, -1]
            densities.append(here_n.log() - math.log(2 * math.pi / cells))
        if not phases:
            return self.constant, self.constant
        return torch.cat(phases), torch.cat(densities)

    def _cells(self) -> int:
        orders_M = torch.arange(1, self.terms.shape[1] + 1, device=self.terms.device)
        curvature_N = (self.terms.abs() * orders_M**2).sum(dim=1).nan_to_num(nan=0.0, posinf=0.0)
        sharpest = float(curvature_N.max()) if len(curvature_N) else 0.0
        wanted = 2 * math.pi * math.sqrt(sharpest) * _CELLS_PER_WIDTH
        return int(min(max(wanted, _FEWEST_CELLS), _MOST_CELLS))

    def _on_cells(self, cells: int) -> Iterator[Tensor]:
        phases_G = torch.arange(cells, dtype=torch.float64, device=self.constant.device) * (
            2 * math.pi / cells
        )
        basis_GM = _turns(self.sense * phases_G, self.terms)
        for terms_nM in self.terms.split(max(1, _CHUNK_ELEMENTS // cells)):
            yield terms_nM.real @ basis_GM.real.T - terms_nM.imag @ basis_GM.imag.T


def _turns(phase: Tensor, terms: Tensor) -> Tensor:
    orders_M = torch.arange(1, terms.shape[1] + 1, device=phase.device)
    angle = phase[:, None] * orders_M
    return torch.complex(angle.cos(), angle.sin())
