"""Bayesian inference: priors, the likelihood, importance sampling, calibration and posterior files.

::

    posterior = Posterior(samples=theta, names=prior.names, log_prob=log_q)
    posterior = weigh(posterior, GaussianLikelihood(signal_model, prior), data)
    posterior.write("event.json")
"""

from lightning_itwin.inference.calibration import coverage, periods_of, ranks, statistic_ranks, uniformity
from lightning_itwin.inference.importance import ImportanceWeights, importance_weights, resample
from lightning_itwin.inference.likelihood import GaussianLikelihood
from lightning_itwin.inference.modes import mode_mass
from lightning_itwin.inference.phase import PhaseSeries
from lightning_itwin.inference.posterior import Posterior
from lightning_itwin.inference.prior import Prior
from lightning_itwin.inference.tarp import TarpTest, tarp
from lightning_itwin.inference.weigh import weigh

__all__ = [
    "GaussianLikelihood",
    "ImportanceWeights",
    "PhaseSeries",
    "Posterior",
    "Prior",
    "TarpTest",
    "coverage",
    "importance_weights",
    "mode_mass",
    "periods_of",
    "ranks",
    "resample",
    "statistic_ranks",
    "tarp",
    "uniformity",
    "weigh",
]
