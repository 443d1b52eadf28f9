"""Hyperparameter optimisation: many trainings, each over several workers, planned by what others showed."""

from typing import TYPE_CHECKING

from lightning_itwin.optional import late_face

if TYPE_CHECKING:
    from lightning_itwin.hpo.study_plan import StudyError, StudyPlan
    from lightning_itwin.hpo.study_reading import StudyRecord, StudyRow, read_study
    from lightning_itwin.hpo.tuning import Tuned, tune

__all__ = ["StudyError", "StudyPlan", "StudyRecord", "StudyRow", "Tuned", "read_study", "tune"]

__getattr__ = late_face(
    __name__,
    {
        "StudyError": "lightning_itwin.hpo.study_plan",
        "StudyPlan": "lightning_itwin.hpo.study_plan",
        "StudyRecord": "lightning_itwin.hpo.study_reading",
        "StudyRow": "lightning_itwin.hpo.study_reading",
        "Tuned": "lightning_itwin.hpo.tuning",
        "read_study": "lightning_itwin.hpo.study_reading",
        "tune": "lightning_itwin.hpo.tuning",
    },
)
