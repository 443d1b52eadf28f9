"""Bayesian inference: priors, the likelihood, importance sampling, calibration and posterior files."""

from lightning_itwin.inference.importance import ImportanceWeights, importance_weights, resample
from lightning_itwin.inference.posterior import Posterior
from lightning_itwin.inference.prior import Prior

__all__ = ["ImportanceWeights", "Posterior", "Prior", "importance_weights", "resample"]
