"""Arguments of VirgoDataModule that cannot be are refused before any file is opened."""

from __future__ import annotations

from lightning_itwin.strain.whitening import LOWEST_BAND_HZ, TAPER_HZ


def check_band(band_hz: tuple[float, float], sample_rate_hz: float) -> None:
    """Refuse a band that whitening cannot make.

    Args:
        band_hz: lower and upper edge.
        sample_rate_hz: of the data.

    Raises:
        ValueError: the band does not rise, or leaves the frequencies that there are.
    """
    highest_hz = sample_rate_hz / 2 - TAPER_HZ
    if not LOWEST_BAND_HZ <= band_hz[0] < band_hz[1] <= highest_hz:
        raise ValueError(
            f"band_hz must rise and lie between {LOWEST_BAND_HZ:g} and {highest_hz:g} Hz ({TAPER_HZ:g} "
            f"Hz below half the sample rate of {sample_rate_hz:g} Hz), not {list(band_hz)}."
        )


def check_names(channels: list[str] | str | None) -> None:
    """Refuse a list of channels without a witness, or with one twice.

    Args:
        channels: names; or the path of a channel list, which is looked at when it is read; or None.

    Raises:
        ValueError: there are fewer than two names, or one twice.
    """
    if isinstance(channels, list) and (len(channels) < 2 or len(set(channels)) < len(channels)):
        raise ValueError(
            f"channels must name the strain and then at least one witness, each once, not {channels}."
        )


def check_windows(
    window_s: float, stride_s: float, batch_size: int, evaluation_window_s: float, overlap_s: float
) -> None:
    """Refuse windows that leave samples out, or are none.

    Args:
        window_s: length of a training window.
        stride_s: time from one to the next.
        batch_size: windows in a batch.
        evaluation_window_s: length of a window of validation, test and predict.
        overlap_s: time that two of them share at least.

    Raises:
        ValueError: a value is outside its range.
    """
    if not 0 < stride_s <= window_s or batch_size < 1:
        raise ValueError(
            f"stride_s must be > 0 and at most window_s, and batch_size at least 1, not {stride_s}, "
            f"{window_s} and {batch_size}."
        )
    if evaluation_window_s < window_s or not 0 <= overlap_s < evaluation_window_s:
        raise ValueError(
            "evaluation_window_s must be at least window_s, and evaluation_overlap_s at least 0 and "
            f"below it, not {evaluation_window_s} with window_s {window_s}, and {overlap_s}."
        )
