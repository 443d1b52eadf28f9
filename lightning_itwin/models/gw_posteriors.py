"""PosteriorWriter: posteriors of ``predict`` as files, event by event, so that a stopped one goes on."""

# D detectors, T samples

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lightning_itwin.detectors import sidereal_time_rad
from lightning_itwin.inference import Posterior
from lightning_itwin.inference.figures import corner_figure, sky_figure
from lightning_itwin.inference.sky_map import write_sky_map
from lightning_itwin.models.gw_settings import PosteriorSettings
from lightning_itwin.optional import available


def turned_to(posterior: Posterior, gps_time_s: float) -> Posterior:
    """Turn the sky to where it stood at the time of a real event.

    A model is trained at one reference time; at another the Earth, and with it every right ascension, is
    turned by the difference of sidereal times.

    Args:
        posterior: at its own ``gps_time_s``.
        gps_time_s: of the event.
    """
    samples = posterior.samples
    if "ra" in posterior.names:
        turn = sidereal_time_rad(gps_time_s) - sidereal_time_rad(posterior.gps_time_s)
        column = list(posterior.names).index("ra")
        samples = samples.copy()
        samples[:, column] = (samples[:, column] + turn) % (2 * np.pi)
    return replace(posterior, samples=samples, gps_time_s=gps_time_s)


class PosteriorWriter:
    """Writes an event's posterior with its figures, and knows which events are done.

    ``<label>.hdf5`` (or ``.json``) is the bilby result, ``<label>_corner.png`` and ``<label>_sky.png`` its
    figures, ``<label>.fits`` its sky map where ligo.skymap is installed. ``<label>.summary.json`` is written
    last and holds the key of what was asked for: an event is done where its summary has the same key, and is
    worked on again where it has another.

    Args:
        folder: where the files go; it is made.
        settings: of ``GWFlow``.
    """

    def __init__(self, folder: Path, settings: PosteriorSettings) -> None:
        self.folder = folder
        self.settings = settings
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, label: str) -> Path:
        """Give the path of an event's bilby result."""
        return self.folder / f"{_file_name(label)}.{self.settings.file_format}"

    def is_done(self, label: str, key: str) -> bool:
        """Say whether the event was written for the same key."""
        summary = self._summary(label)
        if not summary.is_file() or not self.path(label).is_file():
            return False
        return json.loads(summary.read_text(encoding="utf-8")).get("key") == key

    def summary(self, label: str) -> Mapping[str, Any]:
        """Read what was told of an event: its table, efficiency, evidence and intervals (5, 50, 95 %)."""
        return json.loads(self._summary(label).read_text(encoding="utf-8"))

    def write(self, posterior: Posterior, key: str) -> dict[str, Any]:
        """Write an event.

        Args:
            posterior: its ``label`` names the files.
            key: hash of the event, the model and the settings.

        Returns:
            matplotlib figures by name; they are open, for a logger.
        """
        self._summary(posterior.label).unlink(missing_ok=True)
        posterior.write(self.path(posterior.label))
        figures = self._figures(posterior) if self.settings.figures else {}
        for name, figure in figures.items():
            figure.savefig(self.folder / f"{_file_name(posterior.label)}_{name}.png", dpi=110)
        told = {
            "key": key,
            "label": posterior.label,
            "table": self._table(posterior),
            "efficiency": posterior.efficiency,
            "log_evidence": posterior.log_evidence,
            "log_evidence_error": posterior.log_evidence_error,
            "intervals": _intervals(posterior),
            "intervals_of_the_flow": _intervals(_unweighed(posterior)),
            "truth": dict(posterior.truth) if posterior.truth else None,
        }
        part = self._summary(posterior.label).with_suffix(".part")
        part.write_text(json.dumps(told, indent=1), encoding="utf-8")
        os.replace(part, self._summary(posterior.label))
        return figures

    def _table(self, posterior: Posterior) -> str:
        published = self.settings.published.get(posterior.label)
        own = _unweighed(posterior).table(published)
        if posterior.log_weights is None:
            return own
        return f"the flow alone\n{own}\nweighed by the likelihood\n{posterior.table(published)}"

    def _figures(self, posterior: Posterior) -> dict[str, Any]:
        figures = {"corner": corner_figure(posterior)}
        if {"ra", "dec"} <= set(posterior.names):
            figures["sky"] = sky_figure(posterior)
            if available("ligo.skymap"):
                write_sky_map(posterior, self.folder / f"{_file_name(posterior.label)}.fits")
        return figures

    def _summary(self, label: str) -> Path:
        return self.folder / f"{_file_name(label)}.summary.json"


def _unweighed(posterior: Posterior) -> Posterior:
    return replace(posterior, log_weights=None, efficiency=None)


def _intervals(posterior: Posterior) -> dict[str, list[float]]:
    return {name: posterior.quantiles(name).tolist() for name in posterior.names}


def _file_name(label: str) -> str:
    return re.sub(r"[^\w.+-]", "_", label)
