"""Mistakes of evaluation, made on purpose on the worlds of chapter 1.

Each function measures claims twice on the same data sets, as the chapter does and with
the mistake: by claim and part, the two estimates.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tailwise.ledger.mistakes import Pairs
from tailwise.methods.optimal_weight import equal_error_ratio
from tailwise.methods.solvers import (
    leave_one_out_scores,
    solve_heads,
    solve_ratio_heads,
)
from tailwise.methods.weighted import balancing_threshold, downsampled_rows
from tailwise.metrics import estimate
from tailwise.profiles import Profile, reseeded
from tailwise.weighting.simulation import Draw, draw, exact_errors
from tailwise.weighting.study import worst_difference

PRIOR = DELTA = 0.2
N_DRAWS = 32
BEATS = "ch1.beats_priors"


@dataclass(frozen=True)
class Fitted:
    """A data set with heads at ratio 1, that of the priors and the equal-error ratio.

    Attributes
    ----------
    data : Draw
        One data set.
    coef, intercept : Tensor [3, d], [3]
    """

    data: Draw
    coef: Tensor
    intercept: Tensor

    def on_new(self) -> np.ndarray:
        """Errors of both classes on new data, exact, ``[3, 2]``."""
        errors = exact_errors(self.coef, self.intercept, self.data.snr)
        return torch.stack(errors, -1).cpu().numpy()

    def on_fitted(self) -> np.ndarray:
        """Errors of both classes on the rows that were fitted, ``[3, 2]``."""
        y = self.data.y[0]
        wrong = (y * (self.coef @ self.data.X[0].T + self.intercept[:, None]) < 0) * 1.0
        each = [wrong[:, rows].mean(1) for rows in (y > 0, y < 0)]
        return torch.stack(each, -1).cpu().numpy()


def prepare(profile: Profile) -> dict[float, list[Fitted]]:
    """Data sets with d/n = prior = 0.2 and their heads, by distance of the classes."""
    n_sets = profile.pick(smoke=3, laptop=30, full=100)
    d = profile.pick(smoke=40, laptop=200, full=500)
    generator = torch.Generator(profile.device).manual_seed(reseeded(30))
    ratios = torch.tensor([1.0, 1 / PRIOR - 1, equal_error_ratio(PRIOR, DELTA)])
    found = {}
    for snr in (1.0, 2.0):
        world = dict(n=round(d / DELTA), d=d, prior=PRIOR, snr=snr)
        sets = [draw(1, **world, generator=generator) for _ in range(n_sets)]
        found[snr] = [
            Fitted(one, *(h[0] for h in solve_ratio_heads(one.X, one.y, ratios)))
            for one in sets
        ]
    return found


def judged_on_fitted_rows(fitted: dict[float, list[Fitted]]) -> Pairs:
    """Errors are counted on the rows to which the heads were fitted."""
    parts = {}
    for snr, sets in fitted.items():
        both = ([one.on_new() for one in sets], [one.on_fitted() for one in sets])
        gains = [worst_difference(e[:, 1], e[:, 2]) for e in map(np.stack, both)]
        parts[f"snr {snr:.0f}"] = tuple(gains)
    return {BEATS: parts}


def average_by_class_share(fitted: dict[float, list[Fitted]]) -> Pairs:
    """The error is averaged with the classes' shares of the samples as weights."""
    parts = {}
    for snr, sets in fitted.items():
        errors = np.stack([one.on_new() for one in sets])
        mean = errors @ [PRIOR, 1 - PRIOR]
        right = worst_difference(errors[:, 1], errors[:, 2])
        parts[f"snr {snr:.0f}"] = right, estimate(mean[:, 1] - mean[:, 2])
    return {BEATS: parts}


def threshold_on_fitted_rows(fitted: dict[float, list[Fitted]]) -> Pairs:
    """The threshold balances scores of the rows to which the head was fitted."""
    errors = []
    for one in fitted[1.0]:
        X, y = one.data.X, one.data.y
        own = (X @ one.coef[0] + one.intercept[0],)
        scores = (leave_one_out_scores(X, y, torch.ones_like(y)), *own)
        cuts = torch.cat([balancing_threshold(s, y) for s in scores])
        moved = exact_errors(one.coef[:1], one.intercept[0] - cuts, one.data.snr)
        both = torch.stack(moved, -1).cpu().numpy()
        errors.append(np.concatenate([one.on_new()[2:], both]))
    errors = np.stack(errors)
    pair = (worst_difference(errors[:, 0], errors[:, k]) for k in (1, 2))
    return {"ch1.threshold_shift": {"": tuple(pair)}}


def one_downsample(fitted: dict[float, list[Fitted]]) -> Pairs:
    """One head on one balanced subset stands for the mean of 32."""
    generator = torch.Generator(fitted[1.0][0].coef.device).manual_seed(reseeded(31))
    errors = []
    for one in fitted[1.0]:
        X, y = one.data.X[0], one.data.y[0]
        rows = downsampled_rows(y, N_DRAWS, generator)
        heads = [solve_heads(X[r], y[r], X.new_ones(r.shape)) for r in rows.split(4)]
        coef, intercept = map(torch.cat, zip(*heads))
        coef = torch.stack([one.coef[2], coef.mean(0), coef[0]])
        intercept = torch.stack([one.intercept[2], intercept.mean(), intercept[0]])
        found = exact_errors(coef, intercept, one.data.snr)
        errors.append(torch.stack(found, -1).cpu().numpy())
    errors = np.stack(errors)
    pair = (worst_difference(errors[:, k], errors[:, 0]) for k in (1, 2))
    return {"ch1.averaged_downsamples": {"": tuple(pair)}}
