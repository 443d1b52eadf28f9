"""What the words of the page mean, and who says so."""

from __future__ import annotations

from lightning_itwin.pages import Term

TERMS = (
    Term(
        title="Configuration",
        definition=(
            "One set of hyperparameters. It may be trained in several segments, each resuming the checkpoint "
            "of the one before; each is a row of trials.csv and a trial of the Optuna study."
        ),
    ),
    Term(
        title="Baseline",
        definition="Your own hyperparameters, as the config has them: configuration 0.",
    ),
    Term(
        title="Paused, stopped",
        definition=(
            "Paused: trained to a rung and kept, to be resumed if others at that rung turn out worse. "
            "Stopped: ended for good by the policy before its last epoch."
        ),
        source="L. Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020",
        url="https://arxiv.org/abs/1810.05934",
    ),
    Term(
        title="Rung",
        definition="An epoch at which configurations are compared, to decide which of them go on.",
        source="L. Li et al., Hyperband, JMLR 18 (2018)",
        url="https://arxiv.org/abs/1603.06560",
    ),
    Term(
        title="Diverged, failed, lost",
        definition=(
            "Diverged: the objective became infinite or no number. Failed: the training ended with an error. "
            "Lost: its processes were killed; it is tried again from its last checkpoint."
        ),
    ),
    Term(
        title="With other seeds",
        definition=(
            "The best of many values is lucky, too. So best and baseline are trained again with seeds that "
            "the study has not seen; the interval is Fieller's for the ratio of the two means, at 95 %."
        ),
        source="E. C. Fieller, Journal of the Royal Statistical Society B 16, 175 (1954)",
        url="https://doi.org/10.1111/j.2517-6161.1954.tb00159.x",
    ),
    Term(
        title="Importance",
        definition=(
            "PED-ANOVA: how much the distribution of the best tenth (at least five) along one hyperparameter "
            "differs from that of all, as a share of the sum over all hyperparameters."
        ),
        source="S. Watanabe, A. Bansal and F. Hutter, PED-ANOVA, IJCAI 2023",
        url="https://arxiv.org/abs/2304.10255",
    ),
)
ENERGY_TERMS = (
    Term(
        title="Pareto front",
        definition="Those that no other beats in both objectives: lower loss costs more energy along it.",
    ),
    Term(
        title="Hypervolume",
        definition=(
            "The area that the front beats, here as a share of the box between the front's ends and the "
            "worst of all candidates, on logarithmic axes: 100 % would be one candidate that is best in both."
        ),
        source="E. Zitzler and L. Thiele, IEEE Transactions on Evolutionary Computation 3, 257 (1999)",
        url="https://doi.org/10.1109/4235.797969",
    ),
    Term(
        title="Knee",
        definition=(
            "The member of the front that lies farthest below the straight line between its ends: before it "
            "a little energy gains much, beyond it much energy gains little."
        ),
        source="I. Das, Structural Optimization 18, 107 (1999)",
        url="https://doi.org/10.1007/BF01195985",
    ),
)
