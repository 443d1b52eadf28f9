"""What ``predict`` of any subtracting model writes: cleaned strain, veto list, report."""

# B batch, T samples of a window

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from lightning_itwin import __version__
from lightning_itwin.optional import available
from lightning_itwin.strain.aligned_channels import AlignedChannels
from lightning_itwin.strain.channel_pieces import ChannelSeries
from lightning_itwin.strain.cleaned_strain import NoiseRun, write_cleaned, write_frames
from lightning_itwin.strain.segments import runs_of, write_segments
from lightning_itwin.strain.sources import find_channels
from lightning_itwin.subtraction.outputs.overlap_add import OverlapAdd
from lightning_itwin.subtraction.outputs.veto_list import VetoList, write_veto_list
from lightning_itwin.subtraction.report.evidence import Subtraction
from lightning_itwin.subtraction.report.foretold import foretold_vetoes
from lightning_itwin.subtraction.report.measure import LEAST_S, measure
from lightning_itwin.subtraction.report.page import About, report_texts, write_report
from lightning_itwin.subtraction.report.truth import read_truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLEANED, VETOES, SEGMENTS = "cleaned.h5", "vetoes.txt", "cleaned_segments.txt"
_VETO_HEADING = (
    "Times in which the strain probably holds a glitch that witness channels have seen.\n"
    "probability: that it does"
)


@dataclass(frozen=True, kw_only=True)
class OutputSettings:
    """What is written.

    Args:
        gwf: whether frames are written beside the HDF5 file: ``auto`` does where lalsuite is installed.
        fade_s: time over which the subtraction sets in and ends, where the strain goes on without it.
        report: whether a report is made, where matplotlib is installed.

    Raises:
        ValueError: a value is outside its range.
    """

    gwf: Literal["auto", "always", "never"] = "auto"
    fade_s: float = 0.5
    report: bool = True

    def __post_init__(self) -> None:
        if self.gwf not in ("auto", "always", "never") or self.fade_s < 0:
            raise ValueError(
                f"gwf must be auto, always or never, and fade_s at least 0, not {self.gwf!r} and "
                f"{self.fade_s}."
            )


_SETTINGS = OutputSettings()


class SubtractionOutputs:
    """Takes predicted noise and vetoes from any number of processes, and makes the files of a prediction.

    Use on each process: :meth:`open`, :meth:`add` per batch, :meth:`add_vetoes`, :meth:`close`; then a
    barrier; then :meth:`finish` on one process alone.

    Args:
        folder: where to; made if needed. All processes must see it.
        data: the channels on their clock.
        files: that the channels come from.
        model: what predicts, in words.
        key: digest of the model's weights, or "".
        part: number of this process.
        parts: number of processes.
        settings: what is written.
    """

    def __init__(
        self,
        folder: str | Path,
        data: AlignedChannels,
        files: Sequence[Path],
        model: str = "",
        key: str = "",
        part: int = 0,
        parts: int = 1,
        settings: OutputSettings = _SETTINGS,
    ) -> None:
        self.folder, self.data, self.files = Path(folder), data, list(files)
        self.model, self.key = model, key
        self.part, self.parts, self.settings = part, parts, settings
        self._parts_folder = self.folder / f".{CLEANED}.parts"
        self._noise = OverlapAdd(self._parts_folder, data.clock.samples, part)
        self._vetoes: list[np.ndarray] = []
        self.texts: dict[str, str] = {}
        (self._parts_folder / f"part-{part}.vetoes.json").unlink(missing_ok=True)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        datamodule: Any,
        model: str = "",
        key: str = "",
        rank: int = 0,
        world_size: int = 1,
        settings: OutputSettings = _SETTINGS,
    ) -> SubtractionOutputs:
        """Begin with the data of a ``VirgoDataModule`` that is set up, or of one with its attributes.

        Args:
            folder: where to.
            datamodule: has ``aligned`` and ``source_files``.
            model: what predicts, in words.
            key: digest of the model's weights, or "".
            rank: of this process.
            world_size: number of processes.
            settings: what is written.
        """
        return cls(
            folder,
            datamodule.aligned,
            datamodule.source_files,
            model=model,
            key=key,
            part=rank,
            parts=world_size,
            settings=settings,
        )

    def add(self, start: Tensor, noise: Tensor, edge: int = 0) -> None:
        """Take the noise that was predicted for windows, to be subtracted.

        Args:
            start: number of the first sample of each window on the clock, (B,) int64: ``StrainBatch.start``.
            noise: (B, T) at the rate of the clock, in the strain's own units.
            edge: samples at both ends of a window that count only where no other window has them, such as
                half a filter.

        Raises:
            ValueError: a window lies outside the data, or noise is not finite.
        """
        self._noise.add(start.cpu().numpy(), noise.detach().double().cpu().numpy(), edge)

    def add_vetoes(self, gps_start_s: Tensor, gps_end_s: Tensor, probability: Tensor) -> None:
        """Take times in which the strain probably holds a glitch.

        Args:
            gps_start_s: (V,) float64.
            gps_end_s: (V,) float64.
            probability: 0 to 1, (V,).

        Raises:
            ValueError: GPS times come in less than double precision, which is two minutes off.
        """
        for given in (gps_start_s, gps_end_s):
            if given.dtype != torch.float64:
                raise ValueError(f"add_vetoes takes GPS times in float64, not {given.dtype}.")
        columns = [one.detach().double().cpu().numpy() for one in (gps_start_s, gps_end_s, probability)]
        self._vetoes.append(np.stack(columns, axis=1))

    def close(self) -> None:
        """See all that came onto the disk: on every process, before a barrier and :meth:`finish`."""
        self._noise.close()
        rows = np.concatenate([np.zeros((0, 3)), *self._vetoes])
        (self._parts_folder / f"part-{self.part}.vetoes.json").write_text(json.dumps(rows.tolist()))

    def noise(self, begin: int, end: int) -> np.ndarray:
        """Give the noise of all processes over a range of samples, float64; 0 where none was predicted.

        Args:
            begin: first sample on the clock.
            end: the sample after the last.
        """
        blocks = self._noise.blocks(begin, end, self.parts)
        return np.nan_to_num(np.concatenate([np.zeros(0), *blocks]), nan=0.0)

    def covered(self) -> np.ndarray:
        """Give the ranges of samples for which noise was predicted, int64 (S, 2)."""
        found = []
        for begin, end in self.data.segments.tolist():
            at = begin
            for block in self._noise.blocks(begin, end, self.parts):
                found.append(at + runs_of(np.isfinite(block)))
                at += len(block)
        return _joined(np.concatenate([np.zeros((0, 2), np.int64), *found]))

    def vetoes(self) -> VetoList:
        """Give the vetoes of all processes."""
        rows = [np.zeros((0, 3))]
        for part in range(self.parts):
            path = self._parts_folder / f"part-{part}.vetoes.json"
            if path.is_file():
                rows.append(np.array(json.loads(path.read_text())).reshape(-1, 3))
        return VetoList.of(np.concatenate(rows))

    def write(self, vetoes: VetoList | None = None) -> list[Path]:
        """Write the cleaned strain, its segments and the veto list, on one process, after all have closed.

        Args:
            vetoes: those of all processes if not given.

        Returns:
            The files.

        Raises:
            ValueError: no noise was predicted.
            ChannelError: the strain is not any more as it was, or GWF knows no such unit.
            MissingExtraError: frames are wanted, and lalsuite is not installed.
        """
        covered = self.covered()
        if not len(covered):
            raise ValueError(f"There is nothing to subtract in {self.folder}: no noise was predicted.")
        name = self.data.names[0]
        strain = find_channels(self.files, [name])[0][name]
        attributes = {
            "model": self.model,
            "model_digest": self.key,
            "channels": json.dumps([name]),
            "witnesses": json.dumps(self.data.names[1:]),
            "made_by": f"lightning_itwin {__version__}",
        }
        target = self.folder / CLEANED
        write_cleaned(target, strain, self._runs(covered, strain), self.data.sample_rate_hz, attributes)
        written = [target]
        if self.settings.gwf == "always" or (self.settings.gwf == "auto" and available("lalframe")):
            written += write_frames(self.folder, target, name, f"{self._detector(strain)}_CLEANED")
        segments_s = np.asarray(self.data.clock.gps_s(covered), dtype=np.float64)
        write_segments(self.folder / SEGMENTS, segments_s, "Times from which noise was subtracted.")
        vetoes = self.vetoes() if vetoes is None else vetoes
        write_veto_list(self.folder / VETOES, vetoes, _VETO_HEADING)
        return [*written, self.folder / SEGMENTS, self.folder / VETOES]

    def finish(
        self,
        ranking: Sequence[tuple[str, float]] = (),
        signal_subtracted: float | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> dict[str, Figure]:
        """Write all files and the report, on one process, after all have closed; remove the parts.

        Without vetoes of the model, the list holds moments in which the predicted noise foretells a glitch.

        Args:
            ranking: channels by what they contributed, where the model knows.
            signal_subtracted: fraction of a signal that the subtraction takes with it, where it was tested.
            facts: more lines for the foot of the page by name.

        Returns:
            The report's figures by name, for a logger; none where matplotlib is not installed, or no stretch
            is long enough for a report. What the report says beside them is in ``texts`` then.

        Raises:
            ValueError: no noise was predicted.
        """
        subtraction = self.subtraction()
        self.write(subtraction.vetoes)
        figures: dict[str, Figure] = {}
        longest_s = float(np.diff(subtraction.covered).max()) / self.data.sample_rate_hz
        if self.settings.report and available("matplotlib") and longest_s >= LEAST_S:
            about = About(
                model=self.model,
                strain=self.data.names[0],
                witnesses=len(self.data.names) - 1,
                signal_subtracted=signal_subtracted,
                notes=self.data.warnings,
                facts=facts or {},
            )
            evidence = measure(subtraction, ranking)
            figures = write_report(self.folder, evidence, about)
            self.texts = report_texts(evidence, about)
        self.remove_parts()
        return figures

    def subtraction(self) -> Subtraction:
        """Give what a report is made from."""
        covered = self.covered()
        if not len(covered):
            raise ValueError(f"There is nothing to subtract in {self.folder}: no noise was predicted.")
        given = Subtraction(
            data=self.data,
            noise=self.noise,
            covered=covered,
            vetoes=self.vetoes(),
            truth=read_truth(self.data, self.files),
        )
        return given if len(given.vetoes) else replace(given, vetoes=foretold_vetoes(given))

    def remove_parts(self) -> None:
        """Remove what the processes wrote on the way; :meth:`noise` and :meth:`vetoes` end with it."""
        shutil.rmtree(self._parts_folder, ignore_errors=True)

    def _runs(self, covered: np.ndarray, strain: ChannelSeries) -> Iterator[NoiseRun]:
        clock = self.data.clock
        half = 0.5 / strain.sample_rate_hz
        for begin, end in covered.tolist():
            start_s, end_s = float(clock.gps_s(begin)), float(clock.gps_s(end))
            fades = (
                start_s - half > strain.gps_start_s,
                end_s + half + 1 / clock.sample_rate_hz < strain.gps_end_s,
            )
            yield NoiseRun(gps_start_s=start_s, blocks=self._faded(begin, end, fades))

    def _faded(self, begin: int, end: int, fades: tuple[bool, bool]) -> Iterator[np.ndarray]:
        fade = max(1, round(min(self.settings.fade_s * self.data.sample_rate_hz, (end - begin) / 2)))
        at = begin
        for block in self._noise.blocks(begin, end, self.parts):
            place = np.arange(at, at + len(block))
            weight = np.ones(len(block))
            for wanted, distance in zip(fades, (place - begin, end - 1 - place)):
                if wanted and self.settings.fade_s > 0:
                    weight *= np.sin(np.pi / 2 * np.clip((distance + 0.5) / fade, 0, 1)) ** 2
            yield weight * block
            at += len(block)

    def _detector(self, strain: ChannelSeries) -> str:
        """Give the detector by the channel's prefix, or the name of a file of GWOSC."""
        head, colon, _ = strain.name.partition(":")
        if colon and head:
            return head
        words = os.path.basename(strain.pieces[0].path).split("-")
        return words[1][:2] if len(words) > 2 else "X1"


def _joined(ranges: np.ndarray) -> np.ndarray:
    """Join ranges that follow each other without a gap."""
    if not len(ranges):
        return ranges.astype(np.int64)
    first = np.r_[True, ranges[1:, 0] != ranges[:-1, 1]]
    last = np.r_[first[1:], True]
    return np.stack([ranges[first, 0], ranges[last, 1]], axis=1).astype(np.int64)
