"""Whether a classifier can tell two sets of series apart."""

# N series, T samples

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTH = 24


class _Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, taps in enumerate((15, 9, 9, 9)):
            layers += [nn.Conv1d(_WIDTH if number else 2, _WIDTH, taps, 2, taps // 2), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(2 * _WIDTH + 1, 32), nn.GELU(), nn.Dropout(0.2), nn.Linear(32, 1))

    def forward(self, series: Tensor) -> Tensor:
        norm = series.norm(dim=1, keepdim=True).clamp(min=1e-12)
        shape = series / norm * math.sqrt(series.shape[1])
        seen = self.layers(torch.stack([shape, torch.asinh(series)], dim=1))
        return self.head(torch.cat([seen.mean(dim=2), seen.amax(dim=2), norm.log()], dim=1))[:, 0]


def area_under_roc(score: Tensor, label: Tensor) -> float:
    """Give the chance that a positive has a higher score than a negative; ties count half.

    Args:
        score: (N,).
        label: 1 or 0, (N,).

    >>> area_under_roc(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.875
    """
    ordered, place = torch.unique(score, return_inverse=True)
    positive = torch.bincount(place[label == 1], minlength=len(ordered)).double()
    negative = torch.bincount(place[label == 0], minlength=len(ordered)).double()
    below = negative.cumsum(0) - negative / 2
    return float((positive * below).sum() / (positive.sum() * negative.sum()))


def two_sample_auc(
    real: Tensor, generated: Tensor, *, folds: int = 4, epochs: int = 25, seed: int = 0
) -> float:
    """Train a convolutional classifier to tell two sets of series apart, and give its AUC on series held out.

    It sees each series scaled to unit norm, the same on a logarithmic scale of amplitude, and the norm. 0.5
    is chance: the sets look alike. Rows of one number may belong together, as truth and sample of one event.

    Args:
        real: (N, T).
        generated: (N, T).
        folds: parts; each is scored by a classifier trained on the others.
        epochs: passes of a training.
        seed: of the order, the folds and the classifiers.

    Returns:
        Area under the ROC of scores, each turned into its rank within its part.

    Raises:
        ValueError: fewer series than two a part, or sets of series of different lengths.

    Reference:
        Lopez-Paz and Oquab 2017, Revisiting classifier two-sample tests, arXiv:1610.06545.
    """
    count = min(len(real), len(generated))
    if count < 2 * folds or real.shape[1:] != generated.shape[1:]:
        raise ValueError(
            f"two_sample_auc needs two sets of at least {2 * folds} series of one length, not "
            f"{tuple(real.shape)} and {tuple(generated.shape)}."
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        sets = [given.detach().float().cpu().clone() for given in (real, generated)]
        # Rows of one number may belong together: both are held out at once, or the classifier would have seen
        # the other's twin with the other label, and be wrong more often than chance.
        order = torch.randperm(min(map(len, sets)), generator=generator)
        series = torch.cat([given[order] for given in sets])
        label = torch.cat([torch.ones(count), torch.zeros(count)])
        fold_of = torch.arange(count).remainder(folds).repeat(2)
        score = torch.zeros(len(series))
        for fold in range(folds):
            there = fold_of == fold
            told = _train(series[~there], label[~there], epochs)(series[there]).detach()
            score[there] = told.argsort().argsort().float() / len(told)
        return area_under_roc(score, label)


def _train(series: Tensor, label: Tensor, epochs: int) -> nn.Module:
    classifier = _Classifier()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-3, weight_decay=1e-2)
    for _ in range(epochs):
        for rows in torch.randperm(len(series)).split(64):
            loss = functional.binary_cross_entropy_with_logits(classifier(series[rows]), label[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return classifier.eval()
