"""Policies: what a study starts next, what it resumes and what it stops.

====================  =====================================================================================
freeze_thaw           resumes or starts whoever may end lowest, by a model of all learning curves; the default
promotion             pauses at rungs and resumes the best, with TPE fitted on one rung
hyperband             Optuna's HyperbandPruner with fixed resources, brackets dealt in turn, the same sampler
asha                  Optuna's SuccessiveHalvingPruner, the same sampler
tpe, random           whole trainings by Optuna's TPE, or at random
====================  =====================================================================================

The first two need trainings that can be resumed. Optuna is imported when a policy is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning_itwin.hpo.policies.segment import (
    CONFIGURATION,
    FROM_EPOCH,
    RESUME_FROM,
    UNTIL_EPOCH,
    Policy,
    Segment,
    read_segment,
)
from lightning_itwin.optional import require

POLICIES = ("freeze_thaw", "promotion", "hyperband", "asha", "tpe", "random")
DEFAULT_POLICY = "freeze_thaw"

__all__ = [
    "CONFIGURATION",
    "DEFAULT_POLICY",
    "FROM_EPOCH",
    "POLICIES",
    "RESUME_FROM",
    "UNTIL_EPOCH",
    "Policy",
    "Segment",
    "make_policy",
    "read_segment",
]


def make_policy(name: str = DEFAULT_POLICY, *, max_epochs: int, seed: int = 0, **settings: Any) -> Policy:
    """Make a policy by name.

    Args:
        name: one of :data:`POLICIES`.
        max_epochs: epochs of a whole training.
        seed: of the samples.
        **settings: of that policy, such as ``eta`` and ``first_rung``; see its class or function.

    Raises:
        ValueError: the name, ``max_epochs`` or a setting is none that the policy knows.
        MissingExtraError: Optuna is not installed.
    """
    if name not in POLICIES:
        raise ValueError(f"policy {name!r}: it has to be one of {', '.join(POLICIES)}")
    if max_epochs < 1:
        raise ValueError(f"max_epochs {max_epochs}: a training has 1 epoch or more")
    require("optuna", extra="hpo")
    from lightning_itwin.hpo.policies import freeze_thaw, promotion, stopping

    makers: dict[str, Callable[..., Policy]] = {
        "freeze_thaw": freeze_thaw.FreezeThaw,
        "promotion": promotion.Promotion,
        "hyperband": stopping.hyperband,
        "asha": stopping.asha,
    }
    try:
        if name in makers:
            return makers[name](max_epochs=max_epochs, seed=seed, **settings)
        return stopping.Stopping(max_epochs=max_epochs, seed=seed, sampler=name, **settings)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"policy {name!r} with {settings}: {error}") from error
