"""weigh: from a flow's samples to the exact posterior, by the real likelihood."""

# N samples, P parameters, D detectors, F frequencies

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from lightning_itwin.inference.importance import importance_weights
from lightning_itwin.inference.likelihood import GaussianLikelihood
from lightning_itwin.inference.posterior import Posterior
from lightning_itwin.inference.prior import Prior


def weigh(
    proposed: Posterior,
    likelihood: GaussianLikelihood,
    data: Tensor,
    psd_index: Tensor | int | None = None,
    training_prior: Prior | None = None,
    seed: int = 0,
) -> Posterior:
    """Give a flow's samples their importance weights against the real likelihood and prior.

    Samples outside the prior weigh nothing, and no waveform is made for them. Where the flow knows no
    ``phase`` and the prior does, a phase is drawn for each sample from its exact conditional, and its density
    goes into ``log_prob``: the weight of the other parameters is then their phase-marginalised likelihood,
    whatever the phase.

    Args:
        proposed: samples with their ``log_prob``; the names are ``likelihood.prior``'s, or those without
            ``phase``, in any order.
        likelihood: with the prior that is to hold; it may be narrower than the training prior.
        data: whitened strain, (D, F) complex.
        psd_index: PSD set of the event.
        training_prior: the prior that the flow was trained on.
        seed: of the synthetic phase.

    Returns:
        The posterior with ``log_likelihood``, ``log_prior``, ``log_weights``, efficiency and evidence; its
        columns are those of ``likelihood.prior.names``.

    Raises:
        ValueError: the parameters are others than the prior's, ``log_prob`` is missing, or the prior
            reaches beyond the training prior.
    """
    prior = likelihood.prior
    if proposed.log_prob is None:
        raise ValueError("Importance sampling needs the samples' log_prob.")
    missing = [name for name in prior.names if name not in proposed.names]
    if missing not in ([], ["phase"]) or not set(proposed.names) <= set(prior.names):
        raise ValueError(f"The prior frees {prior.names}, but the samples have {list(proposed.names)}.")
    if training_prior is not None:
        trained = training_prior.names
        same = "phase" in trained or "phase" not in prior.names
        (prior if same else prior.without("phase")).check_inside(training_prior)
    columns = [list(proposed.names).index(name) for name in prior.names if name in proposed.names]
    theta_NP = torch.from_numpy(np.array(proposed.samples, dtype=np.float64)[:, columns])
    log_prob_N = np.array(proposed.log_prob, dtype=np.float64)
    inside_N = _inside(prior.without("phase") if missing else prior, theta_NP) & np.isfinite(log_prob_N)
    inside = torch.from_numpy(inside_N)
    log_likelihood_N = np.full(len(theta_NP), -np.inf)
    if missing:
        series = likelihood.phase_series(theta_NP[inside], data, psd_index)
        phase_M, density_M = (values.cpu() for values in series.draw(seed))
        log_likelihood_N[inside_N] = series.log_likelihood(phase_M.to(data.device)).cpu().numpy()
        log_prob_N[inside_N] += density_M.numpy()
        phase_N = torch.zeros(len(theta_NP), dtype=torch.float64)
        phase_N[inside] = phase_M
        theta_NP = likelihood.with_phase(theta_NP, phase_N)
    else:
        found = likelihood.log_likelihood(theta_NP[inside], data, psd_index)
        log_likelihood_N[inside_N] = found.cpu().numpy()
    log_prior_N = prior.log_prob(theta_NP).numpy()
    with np.errstate(invalid="ignore"):
        log_target_N = np.where(np.isneginf(log_prior_N), -np.inf, log_likelihood_N + log_prior_N)
    log_target_N[~np.isfinite(theta_NP.numpy()).all(axis=1)] = np.nan
    weights = importance_weights(log_target_N, log_prob_N)
    weighed = dataclasses.replace(
        proposed,
        samples=theta_NP.numpy(),
        names=tuple(prior.names),
        log_prob=log_prob_N,
        log_likelihood=log_likelihood_N,
        log_prior=log_prior_N,
        log_noise_evidence=likelihood.log_noise_likelihood(data),
        prior=prior,
    )
    return weighed.with_weights(weights)


def _inside(prior: Prior, theta_NP: Tensor) -> np.ndarray:
    return np.isfinite(prior.log_prob(theta_NP).numpy())
