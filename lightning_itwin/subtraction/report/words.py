"""What a report says: its headline, what was found, and what its words mean."""

from __future__ import annotations

import numpy as np

from lightning_itwin.pages import Finding, Term
from lightning_itwin.subtraction.report.evidence import Evidence, Injections
from lightning_itwin.subtraction.report.numbers import (
    mean_range,
    recovered_fraction,
    short_name,
    signed,
    worst_band,
)

_CLEAN_SNR = 5.0
_SAFE_PERCENT, _SURE_PERCENT = 1.0, 2.0


def headline(evidence: Evidence) -> str:
    """Say in a sentence or three what the subtraction did."""
    before, after = mean_range(evidence, "before"), mean_range(evidence, "after")
    change = f"{signed(100 * (after / before - 1))} %"
    said = f"The BNS range is {after:.1f} Mpc where it was {before:.1f} Mpc ({change})."
    recovered = recovered_fraction(evidence)
    if recovered is not None:
        ideal = mean_range(evidence, "ideal")
        said += (
            f" The ideal subtraction reaches {ideal:.1f} Mpc; {100 * recovered:.0f} % of that gain is won."
        )
    worst = worst_band(evidence.spectra)
    if worst.harmless:
        said += " In no band of 1 Hz is the strain more than 1 % worse than before, beyond chance."
    else:
        said += (
            f" Around {worst.frequency_hz:.0f} Hz the strain is {100 * (worst.ratio - 1):.1f} % worse than "
            "before."
        )
    return said


def findings(evidence: Evidence, signal_subtracted: float | None = None) -> list[Finding]:
    """Give what the page says first.

    Args:
        evidence: what was measured.
        signal_subtracted: fraction of a signal that the subtraction takes with it, from a test of its own
            (same noise with and without the signal); None where there was none.
    """
    return [
        _range_finding(evidence),
        _signal_finding(evidence, signal_subtracted),
        _worst_finding(evidence),
        _glitch_finding(evidence),
    ]


def _range_finding(evidence: Evidence) -> Finding:
    before, after = mean_range(evidence, "before"), mean_range(evidence, "after")
    gain = 100 * (after / before - 1)
    verdict = ("gain", "good") if gain > 0.1 else (("no change", "warn") if gain > -0.1 else ("loss", "bad"))
    recovered = recovered_fraction(evidence)
    why = f"{before:.1f} Mpc before, {after:.1f} Mpc after"
    if recovered is not None:
        why += f"; {100 * recovered:.0f} % of what can be won"
    return Finding(question="BNS range", answer=signed(gain), unit="%", verdict=verdict, why=why)


def _signal_finding(evidence: Evidence, tested: float | None) -> Finding:
    question = "signal subtracted"
    if tested is not None:
        percent = 100 * tested
        verdict = ("safe", "good") if abs(percent) < _SAFE_PERCENT else ("unsafe channel", "bad")
        why = "same noise with and without a signal; a range gain without this test proves nothing"
        return Finding(question=question, answer=f"{percent:.2f}", unit="%", verdict=verdict, why=why)
    found = evidence.injections
    if found is None or found.software:
        why = "no signal is known in these data; a gain alone is no proof, an unsafe channel gains, too"
        if found is not None:
            why += f". The SNR of signals added by software changes by {_change(found)} %"
        return Finding(question=question, answer="not known", verdict=("not tested", "warn"), why=why)
    each = 100 * found.subtracted
    error = float(each.std() / np.sqrt(len(each))) if len(each) > 1 else 100 / float(found.snr_before[0])
    mean = float(each.mean())
    harmless = abs(mean) < max(_SAFE_PERCENT, 3 * error)
    sure = ("safe", "good") if error <= _SURE_PERCENT else ("within the error", "warn")
    verdict = sure if harmless else ("unsafe channel", "bad")
    signals = f"{len(each)} signal{'' if len(each) == 1 else 's'}"
    why = f"± {error:.1f} % from {signals}, whose matched-filter SNR changes by {_change(found)} %"
    return Finding(question=question, answer=signed(mean), unit="%", verdict=verdict, why=why)


def _worst_finding(evidence: Evidence) -> Finding:
    worst = worst_band(evidence.spectra)
    return Finding(
        question="worst 1 Hz band",
        answer=signed(100 * (worst.ratio - 1)),
        unit="%",
        verdict=("harmless", "good") if worst.harmless else ("worse", "bad"),
        why=f"ASD after over before, around {worst.frequency_hz:.0f} Hz; chance alone makes up to "
        f"{100 * worst.chance:.1f} % in these data",
    )


def _glitch_finding(evidence: Evidence) -> Finding:
    found = evidence.transients
    kinds = np.array(found.kind, dtype=object)
    chosen = kinds == "witnessed" if (kinds == "witnessed").any() else kinds == ""
    what = "witnessed glitches" if (kinds == "witnessed").any() else "loud moments"
    if not chosen.any():
        return Finding(question=f"{what} left", answer="none", why="no moment of these data is loud")
    limit = max(_CLEAN_SNR, 1.1 * found.quiet_snr)
    gone = float((found.snr_after[chosen] < limit).mean())
    before, after = (float(np.median(one[chosen])) for one in (found.snr_before, found.snr_after))
    verdict = ("clean", "good") if gone >= 0.95 else (("some left", "warn") if gone > 0.1 else None)
    return Finding(
        question=f"{what} removed",
        answer=f"{100 * gone:.0f}",
        unit=f"% of {int(chosen.sum())}",
        verdict=verdict,
        why=f"left with an SNR below {limit:.1f}; median {before:.1f} before, {after:.1f} after",
    )


def _change(found: Injections) -> str:
    """Say by how many percent the SNR of signals changes on the mean."""
    return signed(100 * float(found.snr_after.mean() / found.snr_before.mean() - 1))


def best_channels(evidence: Evidence, most: int = 3) -> str:
    """Name the channels that contributed most."""
    return ", ".join(short_name(name) for name, _ in evidence.ranking[:most])


GLOSSARY = (
    Term(
        title="ASD, PSD",
        definition="Amplitude and power spectral density: how strong a series is at each frequency, "
        "one-sided. "
        "Here the median over segments of 4 s in each epoch of about 32 s, by Welch's method, and the mean "
        "over "
        "epochs.",
        source="Allen et al. 2012, FINDCHIRP, Phys. Rev. D 85, 122006",
        url="https://doi.org/10.1103/PhysRevD.85.122006",
    ),
    Term(
        title="BNS range",
        definition="Distance up to which two merging neutron stars of 1.4 solar masses are seen with an "
        "SNR of 8, "
        "averaged over their places on the sky and orientations.",
        source="Allen et al. 2012; Chen et al. 2021, Class. Quantum Grav. 38, 055010",
        url="https://doi.org/10.1088/1361-6382/abd594",
    ),
    Term(
        title="Coherence",
        definition="Part of the power of the strain at a frequency that follows from a witness by a linear "
        "filter, 0 to "
        "1. Couplings through products of channels do not show in it.",
    ),
    Term(
        title="Q-scan",
        definition="Energy of the whitened strain in tiles of time and frequency that all hold the same "
        "number of "
        "oscillations. White noise has a mean energy of 1; a glitch of SNR r that fits a tile adds r²/2.",
        source="Chatterji et al. 2004, Class. Quantum Grav. 21, S1809",
        url="https://doi.org/10.1088/0264-9381/21/20/024",
    ),
    Term(
        title="SNR of a moment",
        definition="Root of twice the energy of its loudest tile. Quiet data reach 3 to 5 by chance.",
    ),
    Term(
        title="Signal subtracted",
        definition="Part of a gravitational wave that the subtraction takes out of the strain. It is zero "
        "where no "
        "witness carries the wave. A witness that does (an unsafe channel) lets the range grow beyond what "
        "is "
        "possible.",
    ),
    Term(
        title="Matched-filter SNR",
        definition="SNR of a signal of known form, with the noise's own spectrum.",
        source="Allen et al. 2012",
    ),
    Term(
        title="Veto",
        definition="Time that is left out of a search because the strain probably holds a glitch. "
        "Efficiency is the part "
        "of glitches in vetoed time, dead time the part of all time; signals should be vetoed no more "
        "often than "
        "chance has it.",
    ),
    Term(
        title="Witness",
        definition="Channel that records a disturbance and no gravitational wave: a seismometer, a "
        "microphone, the mains "
        "voltage.",
    ),
)
