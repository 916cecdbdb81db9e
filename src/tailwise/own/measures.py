"""What one head does on the test rows of one split."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy.special import softmax
from sklearn.metrics import average_precision_score

from tailwise.methods.calibration import N_BINS, Recalibration, confidence_bins
from tailwise.own.costs import Costs, cost_of


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of every head: its cells, the class to be found, and costs."""

    n_classes: int
    n_cells: int
    positive: int
    costs: Costs | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Logits of test rows, and what the validation rows said about them."""

    logits: np.ndarray
    recalibration: Recalibration
    threshold: float


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Of one head on some rows; `stacked` joins those of splits and heads.

    What each is says `Pilot`, where all have two dimensions more, ``[S, M]``.
    """

    by_class: np.ndarray
    by_cell: np.ndarray
    mean: np.ndarray
    bins: np.ndarray
    bins_after: np.ndarray
    confusion: np.ndarray
    average_precision: np.ndarray
    probability: np.ndarray
    share: np.ndarray
    cost: np.ndarray
    threshold: np.ndarray
    alarms: np.ndarray


def measure(
    answer: Answer, y: np.ndarray, cell: np.ndarray, asked: Question
) -> Measures:
    """Compare what a head says about rows with their labels."""
    k = asked.n_classes
    before = softmax(answer.logits, 1)
    after = answer.recalibration.probability(answer.logits)
    predicted = before.argmax(1)
    hit = predicted == y
    alarm = after[:, asked.positive] >= answer.threshold  # none at NaN
    by_class, by_cell = (
        np.bincount(code, hit, size) / np.bincount(code, minlength=size)
        for code, size in ((y, k), (cell, asked.n_cells))
    )
    return Measures(
        by_class=by_class,
        by_cell=by_cell,
        mean=hit.mean(),
        bins=_bins(before, y),
        bins_after=_bins(after, y),
        confusion=np.bincount(k * y + predicted, minlength=k * k).reshape(k, k),
        average_precision=np.array(
            [average_precision_score(y == c, after[:, c]) for c in range(k)]
        ),
        probability=np.stack([before.mean(0), after.mean(0)]),
        share=np.bincount(y, minlength=k) / len(y),
        cost=_costs(predicted, after, y, answer.threshold, asked),
        threshold=np.array(answer.threshold),
        alarms=np.array([alarm.sum(), (alarm & (y == asked.positive)).sum()]),
    )


def _bins(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    confidence, hit = torch.from_numpy(p.max(1)), torch.from_numpy(p.argmax(1) == y)
    return confidence_bins(confidence, hit, n_bins=N_BINS).numpy()


def _costs(predicted, after, y, threshold: float, asked: Question) -> np.ndarray:
    if asked.costs is None:
        return np.full(4, np.nan)
    rare, none = y == asked.positive, np.zeros(len(y), bool)
    alarms = (
        predicted == asked.positive,
        after[:, asked.positive] >= threshold,
        none,
        ~none,
    )
    return np.array([cost_of(alarm, rare, asked.costs) for alarm in alarms])


def stacked(found: list[list[Measures]]) -> dict[str, np.ndarray]:
    """Each measure as an array ``[S, M, ...]`` over splits and heads."""
    return {
        field.name: np.array(
            [[getattr(one, field.name) for one in row] for row in found]
        )
        for field in fields(Measures)
    }
