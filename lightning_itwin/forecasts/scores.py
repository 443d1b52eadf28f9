"""What a verification found, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class VerificationScores:
    """What a verification found."""

    leads: np.ndarray

    def metrics(self) -> dict[str, float]:
        """Give numbers to log by name, such as ``crps_skill_climatology/lead_07``; what is NaN is left out."""
        raise NotImplementedError
