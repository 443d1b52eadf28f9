"""The page of a subtraction: one file that opens offline, and its figures and tables beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_itwin.figure_style import figure_card, png, settle
from lightning_itwin.optional import require
from lightning_itwin.pages import (
    card,
    downloads,
    facts,
    finding,
    glossary,
    notes,
    page,
    section,
)
from lightning_itwin.strain.segments import write_text
from lightning_itwin.subtraction.report.catalogue import Drawing, drawings
from lightning_itwin.subtraction.report.evidence import Evidence
from lightning_itwin.subtraction.report.numbers import band_cells, band_rows, mean_range, recovered_fraction
from lightning_itwin.subtraction.report.words import GLOSSARY, findings, headline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# what this page has beyond the style of every page
_STYLE = """
.lead { font-size: clamp(1.08rem, 1.7vw, 1.3rem); line-height: 1.45; max-width: 68ch;
  margin: 0 0 20px; text-wrap: pretty; }
figure.card { display: flex; flex-direction: column; }
.drawing { display: block; width: 100%; max-width: 600px; height: auto; margin: auto; }
.choices { grid-template-columns: repeat(auto-fit, minmax(min(100%, 250px), 1fr)); }
@media (min-width: 1200px) { .figures { grid-template-columns: repeat(3, 1fr); } }
.bands th:first-child { position: sticky; left: 0; background: var(--card); white-space: nowrap; }
@media (max-width: 760px) { .bands th:first-child { box-shadow: 1px 0 0 var(--line); } }
"""
_GROUPS = {
    "spectra": "Spectra and range",
    "glitches": "Glitches, signals, vetoes",
    "channels": "Channels",
}


@dataclass(frozen=True, kw_only=True)
class About:
    """What the page says of the subtraction.

    Args:
        title: heading of the page.
        model: in words.
        strain: name of the strain.
        witnesses: number of witnesses.
        signal_subtracted: fraction of a signal that the subtraction takes with it, where it was tested.
        notes: what is to be said of the data, a sentence each.
        facts: more lines for the foot of the page by name.
    """

    title: str = "Noise subtraction"
    model: str = ""
    strain: str = ""
    witnesses: int = 0
    signal_subtracted: float | None = None
    notes: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


def write_report(folder: str | Path, evidence: Evidence, about: About) -> dict[str, Figure]:
    """Write ``report.html``, ``report.json``, ``bands.csv`` and ``figures/*.png``, on one process.

    Args:
        folder: where to; made if needed.
        evidence: what was measured.
        about: what the page says of the subtraction.

    Returns:
        The figures by name, for TensorBoard.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", extra="virgo")
    folder = Path(folder)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    drawn = drawings(evidence)
    files = {
        "bands.csv": _bands_csv(evidence),
        "channels.csv": _channels_csv(evidence),
        "report.json": json.dumps(_summary(evidence, about), indent=1),
    }
    for name, text in files.items():
        write_text(folder / name, text)
    for drawing in drawn:
        settle(drawing.figure)
        (folder / "figures" / f"{drawing.name}.png").write_bytes(png(drawing.figure))
    write_text(folder / "report.html", _page(evidence, about, drawn, files))
    return {drawing.name: drawing.figure for drawing in drawn}


def _page(evidence: Evidence, about: About, drawn: Sequence[Drawing], files: Mapping[str, str]) -> str:
    cards = "".join(finding(one) for one in findings(evidence, about.signal_subtracted))
    body = [
        section(
            "summary",
            "In short",
            f'<p class="lead">{escape(headline(evidence))}</p><div class="choices">{cards}</div>'
            + notes(list(about.notes), "on these data"),
        )
    ]
    for group, heading in _GROUPS.items():
        shown = "".join(figure_card(drawing) for drawing in drawn if drawing.group == group)
        if shown:
            body.append(section(group, heading, f'<div class="figures">{shown}</div>'))
        if group == "spectra":
            table = card("bands", _bands_table(evidence))
            body.append(section("bands", "Power removed by band", table, beside=downloads(files)))
    body.append(section("made", "How it was made", facts(_facts(evidence, about))))
    body.append(section("terms", "What the words mean", glossary(GLOSSARY)))
    first_s, last_s = evidence.span_s
    return page(
        about.title,
        "lightning_itwin subtraction",
        [about.model, about.strain, f"GPS {first_s:.0f} to {last_s:.0f}"],
        body,
        made_from="strain, cleaned strain and witnesses",
        style=_STYLE,
    )


def _bands_table(evidence: Evidence) -> str:
    head, *rows = band_cells(evidence.spectra)
    heads = "".join(f"<th scope=col{' class=text' * (not at)}>{cell}</th>" for at, cell in enumerate(head))
    lines = []
    for band, *cells in rows:
        told = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{band}</th>{told}</tr>')
    return f'<table class="bands"><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def report_texts(evidence: Evidence, about: About) -> dict[str, str]:
    """Give what the page says beside its figures, as Markdown by name, for TensorBoard.

    Args:
        evidence: what was measured.
        about: what the page says of the subtraction.
    """
    found = [
        f"- **{one.question}**: {one.answer} {one.unit}".rstrip()
        + (f" ({one.verdict[0]})" if one.verdict else "")
        + f"; {one.why}."
        for one in findings(evidence, about.signal_subtracted)
    ]
    told = [headline(evidence), "\n".join(found), "\n".join(f"- {note}" for note in about.notes)]
    made = [["", ""], *([name, value] for name, value in _facts(evidence, about).items())]
    return {
        "report/summary": "\n\n".join(one for one in told if one),
        "report/bands": _markdown(band_cells(evidence.spectra)),
        "report/made": _markdown(made),
    }


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _facts(evidence: Evidence, about: About) -> dict[str, str]:
    first_s, last_s = evidence.span_s
    found = {
        "Model": about.model,
        "Strain": about.strain,
        "Witnesses": str(about.witnesses) if about.witnesses else "",
        "Time": f"GPS {first_s:.3f} to {last_s:.3f}, {evidence.live_s:.0f} s of it cleaned",
        "Frequencies": f"up to {evidence.spectra.usable_hz:.0f} Hz",
        "Loud moments": f"{len(evidence.transients.gps_s)}",
        **about.facts,
    }
    return {name: str(value) for name, value in found.items() if value}


def _summary(evidence: Evidence, about: About) -> dict[str, object]:
    found = evidence.injections
    return {
        "model": about.model,
        "strain": about.strain,
        "gps_s": list(evidence.span_s),
        "cleaned_s": evidence.live_s,
        "bns_range_mpc": {name: mean_range(evidence, name) for name in evidence.range_mpc},
        "recovered_fraction": recovered_fraction(evidence),
        "signal_subtracted": about.signal_subtracted,
        "signals": None
        if found is None
        else {
            "gps_s": found.gps_s.tolist(),
            "snr_before": found.snr_before.tolist(),
            "snr_after": found.snr_after.tolist(),
            "subtracted": None if found.software else found.subtracted.tolist(),
            "software": found.software,
        },
        "bands": [row.__dict__ for row in band_rows(evidence.spectra)],
        "loud_moments": {
            "gps_s": evidence.transients.gps_s.tolist(),
            "snr_before": evidence.transients.snr_before.tolist(),
            "snr_after": evidence.transients.snr_after.tolist(),
            "kind": list(evidence.transients.kind),
        },
        "channels": dict(evidence.ranking),
        "notes": list(about.notes),
    }


def _bands_csv(evidence: Evidence) -> str:
    lines = ["low_hz,high_hz,rms_before,rms_after,power_removed,power_removed_ideal,worst_asd_ratio_of_1_hz"]
    for row in band_rows(evidence.spectra):
        ideal = "" if row.ideal is None else f"{row.ideal:.6g}"
        lines.append(
            f"{row.low_hz:g},{row.high_hz:g},{row.before:.6g},{row.after:.6g},{row.removed:.6g},{ideal},"
            f"{row.worst_ratio:.6g}"
        )
    return "\n".join(lines) + "\n"


def _channels_csv(evidence: Evidence) -> str:
    lines = ["channel,contribution"] + [f"{name},{value:.6g}" for name, value in evidence.ranking]
    return "\n".join(lines) + "\n"
