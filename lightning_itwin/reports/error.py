"""The error of a report that cannot be made as it was asked for."""


class ReportError(ValueError):
    """There is nothing to report, or what there is cannot be compared; the message says what to do."""
