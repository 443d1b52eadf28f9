"""Veto lists: times in which the strain probably holds a glitch, with the probability."""

# V vetoes

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightning_itwin.strain.channel_pieces import ChannelError
from lightning_itwin.strain.segments import union, write_text

_HEAD = "# gps_start_s        gps_end_s            probability"


@dataclass(frozen=True)
class VetoList:
    """Times that may be vetoed.

    Args:
        start_s: GPS seconds, rising, (V,).
        end_s: GPS seconds, (V,).
        probability: that the strain holds a glitch in that time, 0 to 1, (V,).
    """

    start_s: np.ndarray
    end_s: np.ndarray
    probability: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> VetoList:
        """Make a list of rows start, end, probability, (V, 3), in any order.

        Raises:
            ChannelError: a veto ends before it begins, or a probability is not from 0 to 1.
        """
        rows = np.asarray(rows, dtype=np.float64).reshape(-1, 3)
        wrong = (rows[:, 1] < rows[:, 0]) | ~((rows[:, 2] >= 0) & (rows[:, 2] <= 1))
        if wrong.any():
            first = rows[wrong][0]
            raise ChannelError(
                f"No veto: GPS {first[0]:.6f} to {first[1]:.6f} with probability {first[2]:g}; a veto ends "
                "after it begins, and a probability lies between 0 and 1."
            )
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        return cls(rows[:, 0], rows[:, 1], rows[:, 2])

    def __len__(self) -> int:
        return len(self.start_s)

    def segments(self, least_probability: float = 0.0) -> np.ndarray:
        """Give the time that is vetoed at a threshold, GPS seconds (S, 2), in order and without overlap.

        Args:
            least_probability: that a veto must have.
        """
        chosen = self.probability >= least_probability
        return union(np.stack([self.start_s[chosen], self.end_s[chosen]], axis=1))

    def probability_at(self, gps_s: np.ndarray) -> np.ndarray:
        """Give the highest probability of the vetoes that hold each time; 0 where none does.

        Args:
            gps_s: GPS seconds, (N,).
        """
        found = np.zeros(len(gps_s))
        for start_s, end_s, probability in zip(self.start_s, self.end_s, self.probability):
            inside = (gps_s >= start_s) & (gps_s < end_s)
            found[inside] = np.maximum(found[inside], probability)
        return found


def read_veto_list(path: str | Path) -> VetoList:
    """Read a veto list.

    Args:
        path: text file of rows GPS start, GPS end, probability; ``#`` begins a comment.

    Raises:
        FileNotFoundError: there is no such file.
        ChannelError: a line cannot be read.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"No such veto list: {file}")
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        words = [word for word in re.split(r"[\s,]+", line.split("#")[0].strip()) if word]
        if not words:
            continue
        try:
            start_s, end_s, probability = map(float, words)
        except ValueError:
            raise ChannelError(
                f"Cannot read line {number} of {file}: {line.strip()!r}. Write GPS start, GPS end, "
                "probability."
            ) from None
        rows.append((start_s, end_s, probability))
    return VetoList.of(np.array(rows).reshape(-1, 3))


def write_veto_list(path: str | Path, vetoes: VetoList, heading: str = "") -> None:
    """Write a veto list; the file appears whole or not at all. It is a segment file as well.

    Args:
        path: text file; its folder is made.
        vetoes: to write.
        heading: what they are, a comment at the head of the file.
    """
    lines = [f"# {line}" for line in heading.splitlines()] + [_HEAD]
    lines += [
        f"{start_s:.9f} {end_s:.9f} {probability:.6f}"
        for start_s, end_s, probability in zip(vetoes.start_s, vetoes.end_s, vetoes.probability)
    ]
    write_text(path, "\n".join(lines) + "\n")
