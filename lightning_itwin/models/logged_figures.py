"""Figures and texts for the Trainer's loggers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def log_figures(loggers: Iterable[Any], figures: Mapping[str, Any], step: int) -> None:
    """Give figures to every logger that takes them, as TensorBoard's does, where they are drawn.

    Args:
        loggers: of the Trainer.
        figures: of matplotlib, by tag.
        step: global step.
    """
    takers = [logger.experiment for logger in loggers if hasattr(logger.experiment, "add_figure")]
    for tag, figure in figures.items():
        for taker in takers:
            taker.add_figure(tag, figure, global_step=step, close=False)


def log_texts(loggers: Iterable[Any], texts: Mapping[str, str], step: int) -> None:
    """Give texts to every logger that takes them, as TensorBoard's does, which shows Markdown.

    Args:
        loggers: of the Trainer.
        texts: Markdown by tag.
        step: global step.
    """
    takers = [logger.experiment for logger in loggers if hasattr(logger.experiment, "add_text")]
    for tag, text in texts.items():
        for taker in takers:
            taker.add_text(tag, text, global_step=step)
