"""Which figures a report has, in which order, and what there is to say of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lightning_itwin.figure_style import Drawing
from lightning_itwin.subtraction.report import figures
from lightning_itwin.subtraction.report.evidence import Evidence
from lightning_itwin.subtraction.report.numbers import (
    asd_ratio_by_hz,
    band_rows,
    mean_range,
    short_name,
    signed,
)
from lightning_itwin.subtraction.report.scan_figure import scan_figure

if TYPE_CHECKING:
    pass


def drawings(evidence: Evidence) -> list[Drawing]:
    """Draw all that there is evidence for.

    Args:
        evidence: what was measured.
    """
    return [*_spectra(evidence), *_glitches(evidence), *_channels(evidence)]


def _spectra(evidence: Evidence) -> list[Drawing]:
    spectra = evidence.spectra
    hz, ratio = asd_ratio_by_hz(spectra)
    ranges = {name: mean_range(evidence, name) for name in evidence.range_mpc}
    told = ", ".join(f"{name} {mpc:.1f} Mpc" for name, mpc in ranges.items())
    removed = "; ".join(
        f"{row.low_hz:.0f} to {row.high_hz:.0f} Hz: {100 * row.removed:.0f} % of the power removed"
        for row in band_rows(spectra)
    )
    low, high = int(ratio.argmin()), int(ratio.argmax())
    return [
        Drawing(
            name="asd",
            group="spectra",
            title="Amplitude spectral density",
            caption="Before and after, and their ratio in bands of 1 Hz; below 1 is better.",
            description=f"ASD of the strain before and after. {removed}. The ratio is lowest, "
            f"{ratio[low]:.2f}, at "
            f"{hz[low]:.0f} Hz and highest, {ratio[high]:.2f}, at {hz[high]:.0f} Hz.",
            figure=figures.asd_figure(spectra),
        ),
        Drawing(
            name="range",
            group="spectra",
            title="BNS range over time",
            caption=f"Epochs of about half a minute, from {hz[0] - 0.5:.0f} to {spectra.usable_hz:.0f} Hz.",
            description=f"BNS range over {len(spectra.epoch_gps_s)} epochs; means: {told}.",
            figure=figures.range_figure(evidence),
        ),
        Drawing(
            name="drift",
            group="spectra",
            title="Does it still fit?",
            caption="Mean ratio of the ASDs over time. It rises where the instrument has changed since the "
            "training.",
            description="Ratio of the ASD after to that before over time, in three bands.",
            figure=figures.drift_figure(evidence),
        ),
    ]


def _glitches(evidence: Evidence) -> list[Drawing]:
    found = []
    transients = evidence.transients
    for number, triple in enumerate(evidence.scans, start=1):
        peaks = [float(scan.energy.max()) for scan in triple.scans]
        found.append(
            Drawing(
                name=f"scan_{number}",
                group="glitches",
                title=triple.title,
                caption=f"Q-scans of the whitened strain around GPS {triple.gps_s:.2f}, one scale of energy.",
                description=f"Three Q-scans: highest energy {peaks[0]:.0f} before, {peaks[1]:.0f} after, "
                f"{peaks[2]:.0f} in what was subtracted.",
                figure=scan_figure(triple),
            )
        )
    if len(transients.gps_s):
        before, after = (float(np.median(one)) for one in (transients.snr_before, transients.snr_after))
        found.append(
            Drawing(
                name="glitches",
                group="glitches",
                title="Loud moments",
                caption="SNR of each before and after; on the line nothing changed, on the dashed one "
                "nothing "
                "is left.",
                description=f"{len(transients.gps_s)} loud moments: median SNR {before:.1f} before, "
                f"{after:.1f} "
                "after.",
                figure=figures.glitch_figure(transients),
            )
        )
    if evidence.veto is not None:
        ends = ", ".join(f"{100 * one[-1]:.0f} % of {name}" for name, one in evidence.veto.efficiency.items())
        found.append(
            Drawing(
                name="veto",
                group="glitches",
                title="Veto",
                caption="What the veto list catches against the time it costs, as its threshold falls; the "
                "line is chance.",
                description=f"With all vetoes, {100 * evidence.veto.dead_time[-1]:.1f} % of the time is "
                "vetoed, and "
                f"{ends}.",
                figure=figures.veto_figure(evidence.veto),
            )
        )
    if evidence.injections is not None:
        injections = evidence.injections
        change = 100 * float(injections.snr_after.mean() / injections.snr_before.mean() - 1)
        caption = (
            "Matched-filter SNR of inspirals that were added to strain and cleaned strain."
            if injections.software
            else "Matched-filter SNR of the signals in the strain, and how much of each was subtracted."
        )
        found.append(
            Drawing(
                name="signals",
                group="glitches",
                title="Signals",
                caption=caption,
                description=f"{len(evidence.injections.gps_s)} signals; their SNR changes by "
                f"{signed(change)} % on the mean.",
                figure=figures.injection_figure(evidence.injections),
            )
        )
    return found


def _channels(evidence: Evidence) -> list[Drawing]:
    found = []
    if evidence.ranking:
        names = ", ".join(short_name(name) for name, _ in evidence.ranking[:5])
        found.append(
            Drawing(
                name="ranking",
                group="channels",
                title="Which channels",
                caption="What each contributed, relative to the first.",
                description=f"Channels by contribution: {names}.",
                figure=figures.ranking_figure(list(evidence.ranking)),
            )
        )
    if evidence.coherences is not None:
        best = evidence.coherences.before.max(axis=1)
        left = evidence.coherences.after.max(axis=1)
        at = int(best.argmax())
        found.append(
            Drawing(
                name="coherence",
                group="channels",
                title="Coherence with the strain",
                caption="What a linear filter of one channel could remove, before and after.",
                description=f"Coherence of the strain with witnesses by frequency: highest with "
                f"{short_name(evidence.coherences.names[at])}, {best[at]:.2f} before and {left[at]:.2f} "
                "after.",
                figure=figures.coherence_figure(evidence.coherences),
            )
        )
    return found
