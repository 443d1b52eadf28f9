"""Reports: records -> tables, figures, an HTML page and TensorBoard. No torch, no Trainer."""

from typing import TYPE_CHECKING

from lightning_itwin.optional import late_face

if TYPE_CHECKING:
    from lightning_itwin.reports.cells import COLUMNS, ResultRow
    from lightning_itwin.reports.error import ReportError
    from lightning_itwin.reports.make import Report, make_report

__all__ = ["COLUMNS", "Report", "ReportError", "ResultRow", "make_report"]

# TensorBoard imports this package for its tab at every start, and shall not wait for numpy.
__getattr__ = late_face(
    __name__,
    {
        "COLUMNS": "lightning_itwin.reports.cells",
        "Report": "lightning_itwin.reports.make",
        "ReportError": "lightning_itwin.reports.error",
        "ResultRow": "lightning_itwin.reports.cells",
        "make_report": "lightning_itwin.reports.make",
    },
)
