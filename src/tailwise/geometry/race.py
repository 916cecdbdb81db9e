"""How soon do ways to train bring the unconstrained-features model to its limit?

Every method gets the same starts, the same number of steps and as many rates to choose
from; the rate is chosen on a start that is not judged.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tailwise.geometry import seli
from tailwise.geometry.ufm import Config, Descent, Loss, start

# Rates to choose from: what multiplies a gradient, or the length of a step.
METHODS = {
    "gradient descent": (0.3, 3.0, 30.0, 300.0),
    "momentum": (0.03, 0.3, 3.0, 30.0),
    "normalised": (0.05, 0.2, 0.5, 1.0),
    "spectral": (0.05, 0.2, 0.5, 1.0),
}
LOSSES = (("ldt", 0.0), ("ldt", 0.5), ("ldt", 1.0), ("cdt", 0.5), ("cdt", 1.0))
SETTINGS = tuple((R, *loss) for R, loss in product((10, 100), LOSSES))


def polar(M: Tensor, rounds: int = 10) -> Tensor:
    """Orthogonalised matrices ``[..., k, d]``: singular values near 1, as Muon takes.

    By the cubic Newton-Schulz iteration, so that singular values far below a hundredth
    of the largest stay small, and zero stays zero.
    """
    X = M / torch.linalg.matrix_norm(M, keepdim=True).clamp_min(1e-300)
    for _ in range(rounds):
        X = 1.5 * X - 0.5 * (X @ X.mT) @ X
    return X


def steps_of(method: str, descent: Descent, velocity: Tensor) -> Tensor:
    """The next step ``[B, 2, k, d]`` of each member, before its rate."""
    descent.slope()
    if method == "gradient descent":
        return descent.grad
    if method == "momentum":
        return velocity.mul_(0.9).add_(descent.grad)
    if method == "spectral":
        return polar(descent.grad) / (2 * descent.grad.shape[-2]) ** 0.5
    length = torch.linalg.vector_norm(descent.grad.flatten(1), dim=-1)
    return descent.grad / length.view(-1, 1, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Race:
    """One method on all settings at the rate that was chosen.

    Attributes
    ----------
    method : str
    settings : tuple of (ratio, kind, gamma)
    rate : float
    steps : Tensor [T]
    error_w : Tensor [settings, S, T]
        `seli.gram_error` to the limit.
    ms : float
        CPU milliseconds of 1000 steps of one model, among all that run together.
    """

    method: str
    settings: tuple[tuple[float, str, float], ...]
    rate: float
    steps: Tensor
    error_w: Tensor
    ms: float

    def steps_to(self, distance: float) -> Tensor:
        """Steps ``[settings, S]`` after which W is first that near; inf if never."""
        there = self.error_w < distance
        first = self.steps.double()[there.double().argmax(-1)]
        return first.masked_fill(~there.any(-1), torch.inf)


@torch.no_grad()
def _errors(
    method: str,
    settings: Sequence[tuple[float, str, float]],
    rates: Sequence[float],
    seeds: Sequence[int],
    stops: Sequence[int],
) -> Tensor:
    """Distances of W to the limit, ``[settings, rates, seeds, stops]``; 2 if lost."""
    members = list(product(settings, rates, seeds))
    n = torch.stack([seli.step_counts(5, 5, R, 5) for (R, *_), *_ in members])
    scaled = method in ("normalised", "spectral")
    configs = [
        Config(kind, gamma, lr=rate, seed=seed, normalised=scaled)
        for (_, kind, gamma), rate, seed in members
    ]
    descent = Descent(Loss(n, configs), start(configs, 10, 20, n), configs)
    velocity, found = torch.zeros_like(descent.theta), []
    lr = n.new_tensor([c.lr for c in configs]).view(-1, 1, 1, 1)
    limit, _ = descent.loss.targets()
    for step in range(1, stops[-1] + 1):
        descent.theta.sub_(lr * steps_of(method, descent, velocity))
        if step in stops:
            found.append(seli.gram_error(descent.W @ descent.W.mT, limit))
    error = torch.stack(found, -1).nan_to_num(nan=2.0)  # the largest that there is
    return error.view(len(settings), len(rates), len(seeds), -1)


def race(
    method: str,
    seeds: Sequence[int],
    *,
    settings: Sequence[tuple[float, str, float]] = SETTINGS,
    steps: int = 3000,
    checks: int = 60,
) -> Race:
    """Train all settings with a method from several starts.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    seeds : sequence of int
        The first is for the choice of the rate: the one whose distances at the end have
        the least mean logarithm over the settings. The others are judged.
    settings : sequence of (ratio, kind, gamma)
        k = 10, half of the classes rare with 5 examples each.
    steps, checks : int

    Raises
    ------
    ValueError
        For an unknown method, or fewer than two seeds.
    """
    if method not in METHODS or len(seeds) < 2:
        raise ValueError(
            f"method, seeds are {method!r}, {list(seeds)}: expected one of "
            f"{', '.join(METHODS)}, and two seeds at least"
        )
    rates = METHODS[method]
    tried = _errors(method, settings, rates, seeds[:1], (steps,))
    best = rates[tried[:, :, 0, 0].log().mean(0).argmin().item()]
    stops = sorted({round(steps ** (i / checks)) for i in range(1, checks + 1)})
    began = time.process_time()
    found = _errors(method, settings, (best,), seeds[1:], stops)
    taken = time.process_time() - began
    return Race(
        method=method,
        settings=tuple(settings),
        rate=best,
        steps=torch.tensor(stops),
        error_w=found[:, 0],
        ms=1e6 * taken / steps / (len(settings) * (len(seeds) - 1)),
    )


def table(races: dict[str, Race], distance: float = 0.05) -> pd.DataFrame:
    """Median steps to a distance, a row a setting, and what 1000 steps cost."""
    rows: dict[str, dict[str, str]] = {}
    for method, found in races.items():
        for (R, kind, gamma), steps in zip(found.settings, found.steps_to(distance)):
            loss = f"{kind.upper()} {gamma:g}" if gamma else "CE"
            median, last = steps.median().item(), found.steps[-1].item()
            shown = f"{median:,.0f}" if np.isfinite(median) else f"> {last:,}"
            rows.setdefault(f"{loss}, R = {R}", {})[method] = shown
        rows.setdefault("rate chosen", {})[method] = f"{found.rate:g}"
        rows.setdefault("CPU ms of 1,000 steps", {})[method] = f"{found.ms:.0f}"
    return pd.DataFrame.from_dict(rows, orient="index")
