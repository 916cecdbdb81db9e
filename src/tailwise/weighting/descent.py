"""What a gradient method makes of weights on its way to the least-squares head."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tailwise.methods.solvers import solve_ratio_heads
from tailwise.metrics import Estimate
from tailwise.weighting import simulation
from tailwise.weighting.images import FrozenPair, class_accuracies, resample
from tailwise.weighting.study import over_networks


def descend_heads(
    X: Tensor, y: Tensor, ratios: Tensor, steps: Sequence[int], *, lr: float = 1e-2
) -> dict[int, tuple[Tensor, Tensor]]:
    """Heads of `solve_ratio_heads` without ridge, after some steps of AdamW from zero.

    Every step takes all samples; the loss is ``sum_i w_i (y_i - f_i)^2 / sum_i w_i``.
    No weight decay.

    Parameters
    ----------
    X : Tensor [S, n, d]
    y : Tensor [S, n]
        Labels in {-1, +1}; +1 is the minority.
    ratios : Tensor [R]
    steps : sequence of int
        Numbers of steps, ascending, after which heads are kept.
    lr : float

    Returns
    -------
    dict of int to (Tensor [S, R, d], Tensor [S, R])
        Coefficients and intercepts.

    Raises
    ------
    ValueError
        Unless `steps` ascends from at least 1.
    """
    steps = list(steps)
    if not steps or steps[0] < 1 or steps != sorted(set(steps)):
        raise ValueError(f"steps is {steps}: expected ascending numbers from 1 on")
    S, n, d = X.shape
    weights = torch.where(y.unsqueeze(1) > 0, ratios.to(X)[:, None], 1.0)  # [S, R, n]
    weights = weights / weights.sum(-1, keepdim=True)
    coef = X.new_zeros(S, len(ratios), d)
    intercept = X.new_zeros(S, len(ratios))
    optimizer = torch.optim.AdamW([coef, intercept], lr=lr, weight_decay=0.0)
    kept = {}
    for step in range(1, steps[-1] + 1):
        off = coef @ X.mT + intercept.unsqueeze(-1) - y.unsqueeze(1)
        pull = 2 * weights * off
        coef.grad, intercept.grad = pull @ X, pull.sum(-1)
        optimizer.step()
        if step in steps:
            kept[step] = coef.clone(), intercept.clone()
    return kept


def solver_heads(
    X: Tensor, y: Tensor, ratios: Tensor, steps: Sequence[int]
) -> dict[int | str, tuple[Tensor, Tensor]]:
    """`descend_heads`, and under "closed" the solution that it approaches.

    With more features than samples that is the head of least norm, which fits every
    sample whatever its weight.
    """
    closed = solve_ratio_heads(X, y, ratios, ridge=0.0)
    return descend_heads(X, y, ratios, steps) | {"closed": closed}


@dataclass(frozen=True)
class SolverRun:
    """Equal-accuracy ratios of heads that a gradient method left unfinished.

    Attributes
    ----------
    ratios : dict of (int or str) to list of float
        By number of steps, or "closed" for the least-squares solution: the ratio on
        every network, NaN where none up to 10,000 balances.
    table : DataFrame
        Median ratio, and mean worst-class accuracy at ratios 1, 4 and 100.
    """

    ratios: dict[int | str, list[float]]
    table: pd.DataFrame

    def growth(self, late: int, early: int) -> Estimate:
        """Log of the ratio after `late` steps over that after `early`, by network."""
        logs = np.log([self.ratios[late], self.ratios[early]])
        return over_networks(logs[0] - logs[1])[0]


def solver_run(
    networks: list[FrozenPair],
    *,
    n: int = 20,
    n_resamples: int,
    generator: torch.Generator,
    steps: tuple[int, ...] = (10, 30, 100, 300, 1000),
) -> SolverRun:
    """Stop AdamW on the square loss early; the same samples for every number of steps.

    One sample in five is rare; no ridge.
    """
    grid = torch.logspace(0, 4, 41, dtype=torch.float64)
    shown = [0, int((grid <= 4).sum()) - 1, 20]
    ratios = {k: [] for k in (*steps, "closed")}
    worst = {k: [] for k in ratios}
    for pair in networks:
        X, y = resample(pair, n, n_resamples, prior=0.2, generator=generator)
        for k, heads in solver_heads(X, y, grid, steps).items():
            found = class_accuracies(*heads, pair.test).cpu()
            crossing = simulation.bootstrap_crossing(grid, found[1] - found[0])
            ratios[k].append(crossing[0])
            worst[k].append(found.amin(0).mean(0)[shown])
    rows = {}
    for k, values in ratios.items():
        median = np.median(values)
        rows[k] = {"balances at": f"{median:.1f}" if np.isfinite(median) else "none"}
        mean = torch.stack(worst[k]).mean(0).tolist()
        rows[k] |= dict(zip(("worst at 1", "at 4", "at 100"), np.round(mean, 3)))
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("steps")
    return SolverRun(ratios, table)
