"""The sustainability page: energy and carbon of every run below some folders. The standard library alone."""

from lightning_itwin.reports.sustainability.make import sustainability_page, write_sustainability
from lightning_itwin.reports.sustainability.run_energy import RunEnergy

__all__ = ["RunEnergy", "sustainability_page", "write_sustainability"]
