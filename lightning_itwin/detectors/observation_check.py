"""May a model that was trained on one observation read another? Refused early where it may not."""

# S sets of PSDs, D detectors, F frequencies, N bands

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_NUM_BANDS = 24
# The natural logarithm of an ASD, root mean square over the bands: two Welch estimates of one detector some
# minutes apart lie below it, O1 and design sensitivity, or H1 and an ET arm, far above.
LARGEST_ASD_DISTANCE = 0.2


class ObservationDiffersError(ValueError):
    """A model was given data that it was not trained for; the message names every difference."""


def band_log_asd(frequency_hz: Any, standard_deviation: Any) -> list[list[list[float]]]:
    """Average the logarithm of the ASDs over bands that are evenly spaced in the logarithm of frequency.

    Args:
        frequency_hz: bins, rising, (F,).
        standard_deviation: of the noise, or any multiple of its ASD that is the same for all, (S, D, F).

    Returns:
        Natural logarithms, (S, D, N) as lists, so that they go into manifests and checkpoints; N is 24, less
        where bands hold no bin.
    """
    frequency = np.asarray(frequency_hz, dtype=float)
    logarithm = np.log(np.asarray(standard_deviation, dtype=float))
    edges = np.geomspace(frequency[0], frequency[-1], _NUM_BANDS + 1)[1:-1]
    band = np.searchsorted(edges, frequency, side="right")
    return np.stack([logarithm[..., band == n].mean(axis=-1) for n in np.unique(band)], axis=-1).tolist()


def check_same_observation(trained: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse data that a trained model was not made for.

    Args:
        trained: what the model was trained on: settings by name (plain values, such as ``detectors``,
            ``duration_s``, ``prior``, ``waveform``) and ``log_asd`` from ``band_log_asd``.
        given: the same of the data at hand. Settings must be equal wherever both have them; each of its sets
            of ASDs must lie within ``LARGEST_ASD_DISTANCE`` of one that the model was trained on.

    Raises:
        ObservationDiffersError: they differ; the message says in what, what is allowed, and what to do.

    >>> try:
    ...     check_same_observation({"duration_s": 8.0}, {"duration_s": 4.0})
    ... except ObservationDiffersError as error:
    ...     print(error)
    The model was not made for these data:
      duration_s: trained with 8.0, given 4.0
    Give data with the trained settings, or train a model for these.
    """
    differences = [
        f"{name}: trained with {_short(trained[name])}, given {_short(given[name])}"
        for name in trained
        if name in given and name != "log_asd" and _plain(trained[name]) != _plain(given[name])
    ]
    if not differences and "log_asd" in trained and "log_asd" in given:
        differences += _asd_differences(np.asarray(trained["log_asd"]), np.asarray(given["log_asd"]))
    if differences:
        raise ObservationDiffersError(
            "The model was not made for these data:\n  "
            + "\n  ".join(differences)
            + "\nGive data with the trained settings, or train a model for these."
        )


def _asd_differences(trained_SDN: np.ndarray, given_SDN: np.ndarray) -> list[str]:
    if trained_SDN.shape[1:] != given_SDN.shape[1:]:
        return [f"PSDs: trained on (detectors, bands) {trained_SDN.shape[1:]}, given {given_SDN.shape[1:]}"]
    told = []
    for number, asd_DN in enumerate(given_SDN):
        apart_SD = np.sqrt(np.mean((trained_SDN - asd_DN) ** 2, axis=-1))
        nearest = int(np.argmin(apart_SD.max(axis=-1)))
        if apart_SD[nearest].max() > LARGEST_ASD_DISTANCE:
            told.append(
                f"PSD set {number}: the logarithm of its ASD lies {apart_SD[nearest].max():.2f} (root mean "
                f"square over bands) from the nearest of {len(trained_SDN)} that the model was trained on; "
                f"allowed is {LARGEST_ASD_DISTANCE}"
            )
    return told


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
