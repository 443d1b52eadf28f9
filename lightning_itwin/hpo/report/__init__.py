"""What a study leaves to look at: a page, figures, TensorBoard's hparams.

A study is read once into plain rows; what is found of them, and the figures, are functions of these rows.

====================  ======================================================================================
configurations        rows joined: one set of hyperparameters, one learning curve
summary, headline     the study in numbers and in words
history, slots        what was known when, and who worked when
parameters            the hyperparameters as axes
importance, surface   which of them decide, and where the good values lie
energy, pareto        the second objective
*_figures, drawing    Vega-Lite
tables, words, page   the page
make                  reads a study's folder and writes its report
====================  ======================================================================================
"""

from lightning_itwin.hpo.report.make import StudyReport, make_report

__all__ = ["StudyReport", "make_report"]
