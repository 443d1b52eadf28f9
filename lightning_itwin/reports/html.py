"""The page."""

from __future__ import annotations

import html
from collections.abc import Sequence

from lightning_itwin.reports.recommendation import Recommendation
from lightning_itwin.reports.scalability import Scalability
from lightning_itwin.reports.table import table


def page(study: Scalability, recommendations: Sequence[Recommendation], title: str | None) -> str:
    """Give the page."""
    lines = "".join(f"<p>{html.escape(found.line)}</p>" for found in recommendations)
    rows = html.escape(table(study.rows))
    return f"<!doctype html><title>{html.escape(title or 'Report')}</title>{lines}<pre>{rows}</pre>"
