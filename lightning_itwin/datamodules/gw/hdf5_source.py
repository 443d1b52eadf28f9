"""Events from an HDF5 file of one's own."""

# N events, B batch, D detectors, T samples, F frequencies

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lightning_itwin.datamodules.gw.event_inputs import EventInputs
from lightning_itwin.detectors import Observation
from lightning_itwin.strain.hdf5_channels import ChannelError, open_hdf5

# A recording has no sample twice for as long as this; a gap filled with zeros has.
_LONGEST_STANDSTILL_S = 1 / 16


class EventFileError(ValueError):
    """An HDF5 file of events cannot be used as it is; the message says why and what to do."""


class EventFile:
    """An HDF5 file with events, checked against an observation and the names of the parameters.

    ``strain`` (N, D, T) holds the series, or ``signal`` (N, D, F) whitened spectra without noise, as
    ``export`` writes them. A parameter is a dataset ``parameters/<name>`` or ``<name>`` (N,), or an attribute
    of N numbers. ``psd_index`` (N,) is optional. Attributes of the strain, where it has them, must agree:
    ``sample_rate_hz`` (or ``sample_rate``, ``dx``), ``detectors`` (JSON or comma-separated), ``whitened``.

    Args:
        path: the file.
        observation: what the model is trained for.
        names: of the parameters that it learns.
        whitened: whether the strain is whitened, with ``standard_deviation`` of the observation, to unit
            variance; else it is strain as a detector gives it.

    Raises:
        EventFileError: something is missing or does not fit.
        FileNotFoundError: there is no such file.
        MissingExtraError: h5py is not installed.
    """

    def __init__(
        self, path: str | Path, observation: Observation, names: Sequence[str], whitened: bool = True
    ) -> None:
        self.path = Path(path)
        self.whitened = whitened
        try:
            self._file = open_hdf5(self.path, extra="gw")
        except ChannelError as error:
            raise EventFileError(str(error)) from error
        stored = [name for name in ("strain", "signal") if name in self._file]
        if not stored:
            raise EventFileError(
                f"{path} has no dataset 'strain' (events, detectors, samples); it has "
                f"{', '.join(self._file) or 'none'}."
            )
        self.content = stored[0]
        self.data = self._file[self.content]
        self._check_shape(observation)
        self._check_attributes(observation)
        self.theta = np.stack([self._column(name) for name in names], axis=1)
        self.psd_index = (
            self._file["psd_index"][()].astype(np.int64)
            if "psd_index" in self._file
            else np.zeros(len(self), np.int64)
        )
        if (
            len(self.psd_index) != len(self)
            or not ((self.psd_index >= 0) & (self.psd_index < observation.num_psds)).all()
        ):
            raise EventFileError(
                f"psd_index in {path} must be {len(self)} numbers below {observation.num_psds}, the "
                f"number of PSD sets of the observation."
            )
        rows = np.flatnonzero(~np.isfinite(self.theta).all(axis=1))
        if len(rows):
            raise EventFileError(
                f"Parameters of event {rows[0]} in {path} are not finite ({len(rows)} events)."
            )
        self._standstill = max(2, round(_LONGEST_STANDSTILL_S * observation.settings.sample_rate_hz))

    def __len__(self) -> int:
        return len(self.data)

    def read(self, events: np.ndarray) -> np.ndarray:
        """Read events and refuse what is no recording.

        Args:
            events: numbers in rising order, (B,).

        Returns:
            (B, D, T) float32 if whitened, else float64; or (B, D, F) complex64.

        Raises:
            EventFileError: NaN, infinity, or a gap.
        """
        dtype = self.data.dtype if self.content == "signal" or self.whitened else np.dtype(np.float64)
        batch = np.empty((len(events), *self.data.shape[1:]), dtype=dtype)
        # A run of neighbours is one read; h5py's selection by a list is slower by far.
        edges = [0, *(np.flatnonzero(np.diff(events) != 1) + 1).tolist(), len(events)]
        for begin, end in itertools.pairwise(edges):
            first = int(events[begin])
            self.data.read_direct(batch, np.s_[first : first + end - begin], np.s_[begin:end])
        self._check_samples(batch, events)
        if self.content == "strain" and self.whitened:
            return batch.astype(np.float32, copy=False)
        return batch

    def _check_shape(self, observation: Observation) -> None:
        detectors = observation.num_detectors
        last = observation.samples if self.content == "strain" else observation.num_frequencies
        shape = self.data.shape
        fits = (
            len(shape) == 3
            and shape[1] == detectors
            and (shape[2] == last or (self.content == "signal" and 0 < shape[2] < last))
        )
        if not fits or not len(self.data):
            kind = "samples" if self.content == "strain" else "frequencies"
            raise EventFileError(
                f"{self.content} in {self.path} has the shape {shape}; wanted is (events, {detectors}, "
                f"{last}): the detectors {', '.join(observation.names)} and {last} {kind} "
                f"({observation.settings.duration_s:g} s at {observation.settings.sample_rate_hz:g} Hz)."
            )
        wanted = "f" if self.content == "strain" else "c"
        if self.data.dtype.kind != wanted:
            raise EventFileError(f"{self.content} in {self.path} holds {self.data.dtype}.")

    def _check_attributes(self, observation: Observation) -> None:
        attributes = {**self._file.attrs, **self.data.attrs}
        told: Any = next(
            (attributes[name] for name in ("sample_rate_hz", "sample_rate") if name in attributes), None
        )
        if told is None and "dx" in attributes:
            told = 1 / float(attributes["dx"])
        rate_hz = observation.settings.sample_rate_hz
        if told is not None and abs(float(told) - rate_hz) > 1e-6 * rate_hz:
            raise EventFileError(
                f"{self.path} is sampled at {float(told):g} Hz, the observation at {rate_hz:g} Hz. "
                f"Resample the file, or change sample_rate_hz."
            )
        if "detectors" in attributes:
            names = _names(attributes["detectors"])
            if names not in (observation.names, list(observation.settings.detectors)):
                raise EventFileError(
                    f"{self.path} holds the detectors {names}, the observation "
                    f"{observation.names}; the order counts."
                )
        if "whitened" in attributes and bool(attributes["whitened"]) != self.whitened:
            raise EventFileError(
                f"{self.path} says whitened={bool(attributes['whitened'])}; set `whitened` of the events so."
            )

    def _column(self, name: str) -> np.ndarray:
        found: Any = None
        for place in (f"parameters/{name}", name):
            if place in self._file:
                found = self._file[place][()]
        if found is None:
            found = next((a[name] for a in (self.data.attrs, self._file.attrs) if name in a), None)
        if found is None:
            raise EventFileError(
                f"{self.path} has no parameter {name!r}: neither a dataset parameters/{name} nor "
                f"{name} nor an attribute. All free parameters are needed; fix known ones in the prior file."
            )
        column = np.atleast_1d(np.asarray(found, dtype=np.float64))
        if column.shape != (len(self),):
            raise EventFileError(f"{name} in {self.path} has the shape {column.shape}, not ({len(self)},).")
        return column

    def _check_samples(self, batch: np.ndarray, events: np.ndarray) -> None:
        flat = batch.reshape(len(batch), -1)
        # A sum is infinite or NaN where a sample is; infinities of both signs give NaN.
        with np.errstate(invalid="ignore", over="ignore"):
            wrong = np.flatnonzero(~np.isfinite(flat.sum(axis=1)))
        for row in wrong:
            if not np.isfinite(flat[row]).all():
                raise EventFileError(f"Event {events[row]} in {self.path} holds NaN or infinity.")
        if self.content == "signal":
            return
        step = self._standstill // 2
        probes = batch[..., ::step]
        still = np.argwhere((probes[..., 1:] == probes[..., :-1]) & (probes[..., 1:] == 0))
        for row, detector, probe in still:
            if not batch[row, detector, probe * step : (probe + 1) * step].any():
                raise EventFileError(
                    f"Event {events[row]} in {self.path} has a gap: detector {detector} is zero from sample "
                    f"{probe * step}. Leave the event out."
                )


class HDF5Source:
    """A range of a file's events.

    Args:
        file: the file.
        begin: first event.
        end: the event after the last.
        noise_seed: gives the seed of the noise that is to be added to signals without noise, from (events,
            epoch, number); None where there is noise.
    """

    def __init__(
        self,
        file: EventFile,
        begin: int,
        end: int,
        noise_seed: Callable[[np.ndarray, int, int], int | np.ndarray] | None = None,
    ) -> None:
        self.file = file
        self.begin = begin
        self.end = end
        self._noise_seed = noise_seed

    def __len__(self) -> int:
        return self.end - self.begin

    def prepare(self, largest_batch: int, read_ahead: int) -> None:
        """Do nothing: HDF5 brings its own buffers."""

    def read(self, events: np.ndarray, epoch: int, number: int) -> EventInputs:
        """Read a batch."""
        rows = events + self.begin
        return EventInputs(
            theta=torch.from_numpy(self.file.theta[rows]),
            psd_index=torch.from_numpy(self.file.psd_index[rows]),
            record=torch.from_numpy(self.file.read(rows)),
            bank_row=None,
            noise_seed=None if self._noise_seed is None else self._noise_seed(rows, epoch, number),
        )


def _names(value: Any) -> list[str]:
    text = value.decode() if isinstance(value, bytes) else value
    if isinstance(text, str):
        return json.loads(text) if text.startswith("[") else [name.strip() for name in text.split(",")]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in np.ravel(text)]
