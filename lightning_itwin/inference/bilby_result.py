"""A posterior as bilby's Result, and its files: what PESummary and corner open."""

# N samples, P parameters

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.inference.posterior import Posterior
from lightning_itwin.inference.prior import Prior
from lightning_itwin.optional import require

SAMPLER = "lightning_itwin"
_OURS = "lightning_itwin"
_DENSITIES = ("log_likelihood", "log_prior", "log_prob", "log_weights")
_EXTENSIONS = (".json", ".hdf5", ".h5")


def to_bilby(posterior: Posterior, seed: int = 0) -> Any:
    """Make a bilby result.

    ``result.posterior`` holds equally weighted samples: all of them if there are no importance weights, else
    as many as the effective number, resampled. All samples with their weights and densities stay beside
    them in ``result.nested_samples``. Times are GPS times, fixed parameters are columns, and as in
    bilby's own runs the column ``log_likelihood`` is relative to noise.

    Args:
        posterior: with its prior.
        seed: of the resampling.

    Returns:
        ``bilby.core.result.Result``.

    Raises:
        ValueError: the posterior has no prior, or none of its samples a weight.
        MissingExtraError: bilby is not installed.
    """
    if posterior.prior is None:
        raise ValueError("A bilby result states the prior: give the posterior its prior.")
    result = require("bilby.core.result", extra="gw")
    pandas = require("pandas", extra="gw")
    prior = posterior.prior
    rows = posterior.resampled_rows(seed=seed)
    columns = _columns(posterior)
    equal = {
        name: values[rows] for name, values in columns.items() if name in (*posterior.names, *_DENSITIES[:2])
    }
    equal |= {name: np.full(len(rows), value) for name, value in _absolute(prior.fixed, posterior).items()}
    noise = posterior.log_noise_evidence if posterior.log_noise_evidence is not None else np.nan
    factor = posterior.log_evidence if posterior.log_evidence is not None else np.nan
    error = posterior.log_evidence_error if posterior.log_evidence_error is not None else np.nan
    truth = {**prior.fixed, **posterior.truth} if posterior.truth is not None else None
    return result.Result(
        label=posterior.label,
        sampler=SAMPLER,
        search_parameter_keys=list(prior.names),
        fixed_parameter_keys=list(prior.fixed),
        priors=prior.to_bilby(posterior.gps_time_s),
        injection_parameters=None if truth is None else _absolute(truth, posterior),
        meta_data={_OURS: _facts(posterior), "likelihood": _likelihood(posterior.settings)},
        posterior=pandas.DataFrame(equal),
        samples=np.stack([equal[name] for name in prior.names], axis=1),
        nested_samples=pandas.DataFrame(columns),
        log_evidence=factor + noise,
        log_evidence_err=error,
        log_noise_evidence=noise,
        log_bayes_factor=factor,
        num_likelihood_evaluations=len(posterior),
        use_ratio=True,
        sampler_kwargs={},
        parameter_labels=[str(label) for label in _labels(posterior, prior)],
    )


def write(posterior: Posterior, path: Path, seed: int = 0) -> Path:
    """Write a bilby result, whole or not at all.

    Args:
        posterior: with its prior.
        path: ends on .json, .hdf5 or .h5.
        seed: of the resampling.

    Returns:
        The path.

    Raises:
        ValueError: another ending.
    """
    if path.suffix not in _EXTENSIONS:
        raise ValueError(f"A posterior is written as {', '.join(_EXTENSIONS)}, not {path.name}.")
    if path.suffix != ".json":
        require("h5py", extra="gw")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        to_bilby(posterior, seed).save_to_file(
            filename=str(unfinished),
            outdir=str(path.parent),
            extension="json" if path.suffix == ".json" else "hdf5",
            overwrite=True,
        )
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def read(path: str | Path) -> Posterior:
    """Read what :func:`write` wrote.

    Raises:
        ValueError: the file is a bilby result of another program.
    """
    result = require("bilby.core.result", extra="gw").read_in_result(filename=str(path))
    facts = (result.meta_data or {}).get(_OURS)
    if facts is None or result.nested_samples is None:
        raise ValueError(f"{path} is a bilby result that this package did not write.")
    prior = Prior.from_text(facts["prior"])
    kept = result.nested_samples
    shift = np.array([facts["gps_time_s"] if name == "geocent_time" else 0.0 for name in prior.names])
    truth = result.injection_parameters
    if truth is not None:
        truth = {
            name: float(value) - (facts["gps_time_s"] if name == "geocent_time" else 0.0)
            for name, value in truth.items()
        }
    return Posterior(
        samples=kept[prior.names].to_numpy(dtype=np.float64) - shift,
        names=tuple(prior.names),
        **{name: kept[name].to_numpy(dtype=np.float64) for name in _DENSITIES if name in kept},
        efficiency=_known(facts["efficiency"]),
        log_evidence=_known(result.log_bayes_factor),
        log_evidence_error=_known(result.log_evidence_err),
        pareto_k=_known(facts["pareto_k"]),
        invalid=int(facts["invalid"]),
        log_noise_evidence=_known(result.log_noise_evidence),
        truth=truth,
        prior=prior,
        gps_time_s=float(facts["gps_time_s"]),
        label=str(facts["label"]),
        settings=json.loads(facts["settings"]),
    )


def _columns(posterior: Posterior) -> dict[str, np.ndarray]:
    columns = {name: posterior[name] for name in posterior.names}
    if "geocent_time" in columns:
        columns["geocent_time"] = columns["geocent_time"] + posterior.gps_time_s
    for name in _DENSITIES:
        values = getattr(posterior, name)
        if values is not None:
            columns[name] = np.asarray(values)
    if posterior.log_weights is not None:
        columns["weights"] = posterior.weights
    return columns


def _absolute(values: Mapping[str, float], posterior: Posterior) -> dict[str, float]:
    shift = {"geocent_time": posterior.gps_time_s}
    return {name: float(value) + shift.get(name, 0.0) for name, value in values.items()}


def _facts(posterior: Posterior) -> dict[str, Any]:
    # A nested list or a missing value has no place in HDF5, hence the text and the NaN.
    def number(value: float | None) -> float:
        return float("nan") if value is None else float(value)

    return {
        "label": posterior.label,
        "prior": posterior.prior.settings() if posterior.prior is not None else "",
        "settings": json.dumps(dict(posterior.settings), sort_keys=True),
        "gps_time_s": float(posterior.gps_time_s),
        "efficiency": number(posterior.efficiency),
        "pareto_k": number(posterior.pareto_k),
        "invalid": int(posterior.invalid),
    }


def _likelihood(settings: Mapping[str, Any]) -> dict[str, Any]:
    # Where bilby's own runs state their likelihood, under the names that PESummary looks for.
    observation = settings.get("observation", {})
    waveform = {
        "waveform_approximant": settings.get("waveform", "").removeprefix("lalsimulation:"),
        "reference_frequency": settings.get("reference_frequency_hz"),
        "minimum_frequency": observation.get("minimum_frequency_hz"),
    }
    facts = {
        "duration": observation.get("duration_s"),
        "sampling_frequency": observation.get("sample_rate_hz"),
        "f_low": observation.get("minimum_frequency_hz"),
        "f_final": observation.get("maximum_frequency_hz"),
        "waveform_arguments": {name: value for name, value in waveform.items() if value},
    }
    return {name: value for name, value in facts.items() if value}


def _labels(posterior: Posterior, prior: Prior) -> list[str]:
    priors = prior.to_bilby(posterior.gps_time_s)
    return [priors[name].latex_label for name in prior.names]


def _known(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)
