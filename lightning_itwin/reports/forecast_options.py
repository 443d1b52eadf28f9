"""The options of a command line that ask for a forecast."""

from __future__ import annotations

import argparse
import math


def add_forecast_options(command_line: argparse._ActionsContainer) -> None:
    """Add ``--forecast`` and ``--worker-hour-price``.

    ``forecast`` is None where it was not given (twice and four times what was measured), else the numbers of
    workers; none of them for ``none``.
    """
    command_line.add_argument(
        "--forecast",
        type=_workers,
        metavar="N,M,...|none",
        help="numbers of workers to forecast, at most four times the largest measured one (default: twice "
        "and four times it)",
    )
    command_line.add_argument(
        "--worker-hour-price",
        type=_price,
        metavar="PRICE",
        help="what one worker costs for one hour, in any currency; the forecast then tells what a run costs",
    )


def _workers(text: str) -> tuple[int, ...]:
    if text.strip().lower() == "none":
        return ()
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) >= 1 for part in parts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a list of whole numbers such as 8,16 nor 'none'"
        )
    return tuple(sorted({int(part) for part in parts}))


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not (math.isfinite(price) and price >= 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a price, such as 1.80")
    return price
