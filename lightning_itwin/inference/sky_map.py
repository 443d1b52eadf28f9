"""HEALPix sky maps with distance, as alerts carry them, by ligo.skymap."""

# N samples

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from lightning_itwin.inference.posterior import Posterior
from lightning_itwin.optional import require


def write_sky_map(posterior: Posterior, path: str | Path, num_samples: int = 5_000, seed: int = 0) -> Path:
    """Write a multi-order HEALPix FITS file, whole or not at all.

    Args:
        posterior: with ``ra`` and ``dec``, and ``luminosity_distance`` for a map with distances.
        path: ends on .fits or .fits.gz.
        num_samples: at most so many equally weighted samples are smoothed.
        seed: of the resampling and the clustering.

    Raises:
        ValueError: the posterior has no free sky position, or fewer than 100 effective samples.
        MissingExtraError: ligo.skymap is not installed.

    Reference:
        Singer et al. 2016, arXiv:1603.07333: distances along each line of sight; ligo.skymap's clustered
        kernel density estimate.
    """
    if not {"ra", "dec"} <= set(posterior.names):
        raise ValueError("The posterior has no free ra and dec: there is no sky map.")
    kde = require("ligo.skymap.kde", extra="skymap")
    fits = require("ligo.skymap.io.fits", extra="skymap")
    effective = 1 / max(float(np.square(posterior.weights).sum()), 1 / len(posterior))
    if effective < 100:
        raise ValueError(f"{effective:.0f} effective samples are too few for a sky map; 100 are needed.")
    rows = posterior.resampled_rows(num=min(num_samples, round(effective)), seed=seed)
    columns = [posterior["ra"][rows], posterior["dec"][rows]]
    with_distance = "luminosity_distance" in posterior.names
    if with_distance:
        columns.append(posterior["luminosity_distance"][rows])
    points = np.stack(columns, axis=1)
    np.random.seed(seed)  # the clustering draws from numpy's global state
    estimate = (kde.Clustered2Plus1DSkyKDE if with_distance else kde.Clustered2DSkyKDE)(points, trials=3)
    table = estimate.as_healpix()
    table.meta["OBJECT"] = posterior.label
    table.meta["creator"] = "lightning_itwin"
    path = Path(path)
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        fits.write_sky_map(str(unfinished), table, nest=True)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
