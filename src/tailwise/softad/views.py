"""Four views of one loss matrix, under any severity law.

Average, worst severity, tail and spread of a member come from its losses on a paired
test set: every image at every severity. A severity law is a weight per severity, so a
drift of the law needs no new predictions.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tailwise.data.corruption import Law
from tailwise.data.corruption import law as severity_law


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """What to show together, float64, one value per member.

    Everything is NaN for a member with a loss that is not finite.

    Attributes
    ----------
    accuracy_average : Tensor [...]
        Severities weighted by the law.
    accuracy_balanced : Tensor [...]
        Every severity counted once.
    accuracy_worst_severity : Tensor [...]
    per_severity : Tensor [..., 6]
        Accuracy at each severity.
    loss_mean, loss_sd : Tensor [...]
        Under the law; the s.d. divides by the total weight.
    loss_cvar : Tensor [...]
        Mean of the worst share 1 - quantile of the losses under the law; the loss on
        the boundary counts with the part of its weight that is needed.
    """

    accuracy_average: Tensor
    accuracy_balanced: Tensor
    accuracy_worst_severity: Tensor
    per_severity: Tensor
    loss_mean: Tensor
    loss_cvar: Tensor
    loss_sd: Tensor


class _Matrix(NamedTuple):
    """The parts of a loss matrix that no law changes."""

    accuracy: Tensor  # [..., 6]
    mean: Tensor  # [..., 6]
    variance: Tensor  # [..., 6]
    descending: Tensor  # [..., 6 m]: all losses
    severity: Tensor  # [..., 6 m]: of those


def _summarised(losses: Tensor, correct: Tensor, quantile: float) -> _Matrix:
    shape = list(losses.shape)
    if losses.dim() < 2 or shape[-2] != 6 or not losses.numel():
        raise ValueError(f"losses has shape {shape}: expected [..., 6, m], not empty")
    if correct.dtype != torch.bool or correct.shape != losses.shape:
        got = f"correct is {correct.dtype} {list(correct.shape)}"
        raise ValueError(f"{got}: expected torch.bool {shape}, the shape of losses")
    if not 0 <= quantile < 1:
        raise ValueError(f"quantile = {quantile}: expected 0 ≤ quantile < 1")
    diverged = ~losses.isfinite().all(-1).all(-1)[..., None, None]
    losses = losses.double().masked_fill(diverged, torch.nan)
    accuracy = correct.double().masked_fill(diverged, torch.nan).mean(-1)
    variance, mean = torch.var_mean(losses, -1, correction=0)
    descending, order = losses.flatten(-2).sort(-1, descending=True)
    return _Matrix(accuracy, mean, variance, descending, order // shape[-1])


def _read(matrix: _Matrix, p: Tensor, quantile: float) -> Dashboard:
    accuracy, mean, variance, descending, severity = matrix
    p = p.to(mean.device)
    loss_mean = (p * mean).sum(-1)
    # Variance within severities and between them.
    spread = (p * (variance + (mean - loss_mean[..., None]) ** 2)).sum(-1).sqrt()
    weight = (p / (descending.shape[-1] / 6))[severity]
    before = weight.cumsum(-1) - weight
    taken = torch.minimum(weight, (1 - quantile - before).clamp(min=0))
    return Dashboard(
        accuracy_average=(p * accuracy).sum(-1),
        accuracy_balanced=accuracy.mean(-1),
        accuracy_worst_severity=accuracy.amin(-1),
        per_severity=accuracy,
        loss_mean=loss_mean,
        loss_cvar=(taken * descending).sum(-1) / taken.sum(-1),
        loss_sd=spread,
    )


def dashboard(
    losses: Tensor, correct: Tensor, law: Law, quantile: float = 0.9
) -> Dashboard:
    """Summarise losses on a paired test set under a severity law.

    Parameters
    ----------
    losses : Tensor [..., 6, m]
        One loss per severity and test image; leading dimensions are members.
    correct : Tensor of bool [..., 6, m]
    law : str or six floats
        See `tailwise.data.corruption.law`.
    quantile : float
        In [0, 1); `loss_cvar` at 0 is the mean.

    Raises
    ------
    ValueError
        For wrong shapes or a bad law; a loss that is not finite is no error.

    Examples
    --------
    >>> losses = torch.arange(6.0)[:, None]
    >>> view = dashboard(losses, losses < 3, "uniform", quantile=0.75)
    >>> round(view.loss_mean.item(), 4), round(view.loss_cvar.item(), 4)
    (2.5, 4.6667)
    """
    p = severity_law(law)
    return _read(_summarised(losses, correct, quantile), p, quantile)


def drift(
    losses: Tensor, correct: Tensor, laws: Tensor, quantile: float = 0.9
) -> Dashboard:
    """Dashboards ``[t, ...]`` while the severity law drifts through `laws` ``[t, 6]``.

    The other parameters are those of `dashboard`. A bad law is a ValueError with its
    time.
    """
    rows = []
    for t, law in enumerate(laws):
        try:
            rows.append(severity_law(law))
        except ValueError as error:
            raise ValueError(f"laws[{t}]: {error}") from None
    if not rows:
        raise ValueError("laws is empty: expected [t, 6]")
    matrix = _summarised(losses, correct, quantile)
    views = [vars(_read(matrix, p, quantile)) for p in rows]
    return Dashboard(**{k: torch.stack([v[k] for v in views]) for k in views[0]})


def gave_up(loss_mean: Tensor, n_classes: int, within: float = 0.05) -> Tensor:
    """Whether a mean loss is above (1 - within) ln k: that of a constant prediction.

    A diverged member, NaN, did not give up.

    Examples
    --------
    >>> gave_up(torch.tensor([0.1, 0.69, 5.0, torch.nan]), 2).tolist()
    [False, True, True, False]
    """
    if n_classes < 2:
        raise ValueError(f"n_classes = {n_classes}: expected at least 2")
    return loss_mean >= (1 - within) * math.log(n_classes)
