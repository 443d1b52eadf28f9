"""Channel list files: one channel a line, the strain first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightning_itwin.strain.channel_pieces import ChannelError

_COMMENTS = ("#", ";", "//")


@dataclass(frozen=True, kw_only=True)
class ListedChannel:
    """A line of a channel list.

    Args:
        name: of the channel.
        sample_rate_hz: that the channel should have, where the list says so.
        unit: that the channel should have, where the list says so.
    """

    name: str
    sample_rate_hz: float | None = None
    unit: str | None = None


def read_channel_list(path: str | Path) -> list[ListedChannel]:
    """Read a channel list, such as the ``.ini`` files of DeepClean and of the detectors' summary pages.

    A line is ``NAME``, ``NAME RATE`` or ``NAME RATE UNIT``, RATE in Hz; the first is the strain. ``#``, ``;``
    and ``//`` begin comments, headings in square brackets and empty lines are passed over.

    Args:
        path: text file.

    Raises:
        FileNotFoundError: there is no such file.
        ChannelError: there is a line of another form, a channel twice, or fewer than two channels.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"No such channel list: {file}")
    found: dict[str, ListedChannel] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        words = _without_comment(line).replace(",", " ").split()
        if not words or (words[0].startswith("[") and words[-1].endswith("]")):
            continue
        channel = _listed(words, f"line {number} of {file}", line)
        if channel.name in found:
            raise ChannelError(f"{channel.name} stands twice in {file}, again in line {number}.")
        found[channel.name] = channel
    if len(found) < 2:
        raise ChannelError(
            f"{file} lists {len(found)} channel{'' if len(found) == 1 else 's'}; list the strain first and "
            "then at least one witness, one a line."
        )
    return list(found.values())


def _without_comment(line: str) -> str:
    for sign in _COMMENTS:
        line = line.split(sign, 1)[0]
    return line


def _listed(words: list[str], where: str, line: str) -> ListedChannel:
    if len(words) > 3:
        raise ChannelError(f"Cannot read {where}: {line.strip()!r}. Write NAME, NAME RATE or NAME RATE UNIT.")
    rate_hz = None
    if len(words) > 1:
        try:
            rate_hz = float(words[1])
        except ValueError:
            rate_hz = 0.0
        if not 0 < rate_hz < float("inf"):
            raise ChannelError(
                f"Cannot read {where}: {words[1]!r} is no sample rate in Hz. Write NAME, NAME RATE or NAME "
                "RATE UNIT."
            )
    return ListedChannel(name=words[0], sample_rate_hz=rate_hz, unit=words[2] if len(words) == 3 else None)
