"""Sums of cross spectra: all that a solution needs to know of the data."""

# F features, T samples, N frequencies, S segments

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_itwin.optional import require

# Hann-windowed segments that overlap by half are worth so many independent ones.
INDEPENDENT = 0.75


@dataclass(kw_only=True)
class CrossSums:
    """Plain sums over segments of features with each other and with the target.

    Sums of blocks, files or processes are merged by adding them; :meth:`flat` is the whole state.

    Args:
        xx: sum of ``conj(X_f) X_g``, (N, F, F) complex128.
        xy: sum of ``conj(X_f) Y``, (N, F) complex128.
        yy: sum of ``|Y|^2``, (N,) float64.
        segments: number of segments.
    """

    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray
    segments: float = 0.0

    @classmethod
    def zeros(cls, features: int, segment: int) -> CrossSums:
        """Begin with nothing.

        Args:
            features: number of features F.
            segment: samples of a segment, even.
        """
        bins = segment // 2 + 1
        return cls(
            xx=np.zeros((bins, features, features), dtype=np.complex128),
            xy=np.zeros((bins, features), dtype=np.complex128),
            yy=np.zeros(bins),
        )

    @property
    def segment(self) -> int:
        """Samples of a segment."""
        return 2 * (len(self.yy) - 1)

    def update(self, features: np.ndarray, target: np.ndarray) -> None:
        """Add the Hann-windowed segments of a block, which overlap by half.

        Args:
            features: (F, T).
            target: (T,).
        """
        y = spectra(target[None], self.segment)[0]
        x = spectra(features, self.segment)
        self.xx += np.einsum("fsn,gsn->nfg", x.conj(), x, optimize=True)
        self.xy += np.einsum("fsn,sn->nf", x.conj(), y, optimize=True)
        self.yy += (np.abs(y) ** 2).sum(axis=0)
        self.segments += len(y)

    def merge(self, other: CrossSums, sign: float = 1.0) -> CrossSums:
        """Give the sums of both; with ``sign=-1`` those of this one without the other."""
        return CrossSums(
            xx=self.xx + sign * other.xx,
            xy=self.xy + sign * other.xy,
            yy=self.yy + sign * other.yy,
            segments=self.segments + sign * other.segments,
        )

    def flat(self) -> np.ndarray:
        """Give all sums as one series of float64, to be added up over processes."""
        return np.concatenate(
            [self.xx.view(np.float64).ravel(), self.xy.view(np.float64).ravel(), self.yy, [self.segments]]
        )

    def filled(self, flat: np.ndarray) -> CrossSums:
        """Give sums of this one's shape from :meth:`flat`."""
        xx, xy, yy = 2 * self.xx.size, 2 * self.xy.size, self.yy.size
        return CrossSums(
            xx=flat[:xx].view(np.complex128).reshape(self.xx.shape),
            xy=flat[xx : xx + xy].view(np.complex128).reshape(self.xy.shape),
            yy=flat[xx + xy : xx + xy + yy].copy(),
            segments=float(flat[-1]),
        )

    def chosen(self, features: np.ndarray) -> CrossSums:
        """Give the sums of some features, by their numbers."""
        return CrossSums(
            xx=self.xx[:, features][:, :, features],
            xy=self.xy[:, features],
            yy=self.yy,
            segments=self.segments,
        )

    def residual(self, response: np.ndarray) -> np.ndarray:
        """Give the power that a response, (N, F), leaves of the target, (N,)."""
        explained = 2 * np.einsum("nf,nf->n", response.conj(), self.xy).real
        return self.yy - explained + np.einsum("nf,nfg,ng->n", response.conj(), self.xx, response).real


@dataclass(kw_only=True)
class CoherenceSums:
    """Sums of each feature alone with the target: which features are worth their cross spectra.

    Args:
        xx: sum of ``|X_f|^2``, (N, F).
        xy: sum of ``conj(X_f) Y``, (N, F) complex128.
        yy: sum of ``|Y|^2``, (N,).
        segments: number of segments.
    """

    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray
    segments: float = 0.0

    @classmethod
    def zeros(cls, features: int, segment: int) -> CoherenceSums:
        """Begin with nothing."""
        bins = segment // 2 + 1
        return cls(
            xx=np.zeros((bins, features)),
            xy=np.zeros((bins, features), dtype=np.complex128),
            yy=np.zeros(bins),
        )

    def update(self, features: np.ndarray, target: np.ndarray) -> None:
        """Add a block, see :meth:`CrossSums.update`."""
        segment = 2 * (len(self.yy) - 1)
        y = spectra(target[None], segment)[0]
        for number, values in enumerate(features):
            x = spectra(values[None], segment)[0]
            self.xx[:, number] += (np.abs(x) ** 2).sum(axis=0)
            self.xy[:, number] += (x.conj() * y).sum(axis=0)
        self.yy += (np.abs(y) ** 2).sum(axis=0)
        self.segments += len(y)

    def flat(self) -> np.ndarray:
        """Give all sums as one series of float64."""
        return np.concatenate([self.xx.ravel(), self.xy.view(np.float64).ravel(), self.yy, [self.segments]])

    def filled(self, flat: np.ndarray) -> CoherenceSums:
        """Give sums of this one's shape from :meth:`flat`."""
        xx, xy = self.xx.size, 2 * self.xy.size
        return CoherenceSums(
            xx=flat[:xx].reshape(self.xx.shape),
            xy=flat[xx : xx + xy].view(np.complex128).reshape(self.xy.shape),
            yy=flat[xx + xy : -1].copy(),
            segments=float(flat[-1]),
        )

    def chosen(self, features: Sequence[int]) -> CoherenceSums:
        """Give the sums of some features, by their numbers."""
        numbers = list(features)
        return CoherenceSums(
            xx=self.xx[:, numbers], xy=self.xy[:, numbers], yy=self.yy, segments=self.segments
        )

    @property
    def coherence(self) -> np.ndarray:
        """Coherence of each feature with the target, (N, F), 0 to 1."""
        power = self.xx * self.yy[:, None]
        return np.abs(self.xy) ** 2 / np.maximum(power, 1e-300)


def log_likelihood_gain(share: np.ndarray, segments: float) -> np.ndarray:
    """Give the gain in log likelihood of a feature that explains a share of the target's power.

    Args:
        share: 0 to 1, any shape.
        segments: that were summed.
    """
    return -INDEPENDENT * segments * np.log1p(-np.minimum(share, 1 - 1e-9))


def spectra(series: np.ndarray, segment: int) -> np.ndarray:
    """Give the spectra of Hann-windowed segments, (F, S, N)."""
    fft = require("scipy.fft", extra="virgo")
    window = np.hanning(segment + 1)[:-1]
    pieces = np.lib.stride_tricks.sliding_window_view(series, segment, axis=-1)[..., :: segment // 2, :]
    return fft.rfft(pieces * window, axis=-1)
