"""Lines in a plane: every method on two Gaussians, a share of whose points is hard."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tailwise.data import corruption
from tailwise.metrics import Estimate, estimate
from tailwise.profiles import reseeded
from tailwise.softad import ensemble
from tailwise.softad.sam_and_group_dro import Method

TOY = (
    Method("ERM"),
    Method("CVaR", "cvar", {"quantile": 0.9}),
    Method("flooding", "flooding", {"tau": 0.4}),
    Method("SoftAD, level 0.1", "softad", {"tau": 0.1}),
    Method("SoftAD, level 0.4", "softad", {"tau": 0.4}),
    Method("SoftAD, level 0.8", "softad", {"tau": 0.8}),
    Method("SharpDRO", ascent="sharpdro", reach=0.05),
    Method("group DRO", ascent="groupdro"),
)


@dataclass(frozen=True, kw_only=True)
class Toy:
    """Lines fitted to two Gaussians with a share of turned, hard points.

    Attributes
    ----------
    labels : tuple of str
        Of the K methods.
    accuracy, easy, hard, angle : ndarray [S, K]
        On new points; the angle of the boundary's normal in degrees, 0 is best for the
        easy points and 75 for the hard ones.
    X, y, is_hard : Tensor
        The training points of the first seed.
    coef, intercept : ndarray [K, 2], [K]
        Its lines, as scores of class 1.
    """

    labels: tuple[str, ...]
    accuracy: np.ndarray
    easy: np.ndarray
    hard: np.ndarray
    angle: np.ndarray
    X: Tensor
    y: Tensor
    is_hard: Tensor
    coef: np.ndarray
    intercept: np.ndarray

    def difference(self, label: str, number: str, less: str = "ERM") -> Estimate:
        """Paired difference of a number between two methods, mean over seeds."""
        found = getattr(self, number)
        a, b = (found[:, self.labels.index(name)] for name in (label, less))
        return estimate(a - b)


def run_toy(hard: float, n_seeds: int, methods: Sequence[Method] = TOY) -> Toy:
    """Fit a line by every method to 500 points per seed, a share of them hard."""

    def draw(n: int, seed: int) -> list[Tensor]:
        each = [
            corruption.rotated_gaussians(
                hard, n, generator=torch.Generator().manual_seed(reseeded(seed + s))
            )
            for s in range(n_seeds)
        ]
        return [torch.stack(column) for column in zip(*each)]

    X, y, is_hard = draw(500, 0)
    trained = ensemble.train(
        "plane",
        X,
        y,
        methods,
        group=is_hard.long(),
        epochs=40,
        batch_size=50,
        lr=0.05,
    )
    new_X, new_y, new_hard = draw(4000, 10_000)
    logits = trained.logits(new_X)
    target = new_y[:, None].expand(logits.shape[:-1])
    right = (logits.argmax(-1) == target).double()
    weight, bias = _lines(trained)
    coef, intercept = weight[..., 1, :] - weight[..., 0, :], bias[..., 1] - bias[..., 0]

    def among(rows: Tensor) -> np.ndarray:
        rows = rows[:, None].double()
        return ((right * rows).sum(-1) / rows.sum(-1)).numpy()

    return Toy(
        labels=tuple(method.label for method in methods),
        accuracy=right.mean(-1).numpy(),
        easy=among(~new_hard),
        hard=among(new_hard),
        angle=corruption.boundary_angle(coef).numpy(),
        X=X[0],
        y=y[0],
        is_hard=is_hard[0],
        coef=coef[0].numpy(),
        intercept=intercept[0].numpy(),
    )


def toy_table(toys: dict[float, Toy]) -> pd.DataFrame:
    """Accuracy on new easy and hard points by share of hard ones, mean over seeds."""
    rows = {}
    for k, label in enumerate(next(iter(toys.values())).labels):
        rows[label] = {
            f"{name} {hard:.0%}": f"{getattr(toy, name)[:, k].mean():.3f}"
            for hard, toy in toys.items()
            for name in ("easy", "hard")
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _lines(trained: ensemble.Ensemble) -> tuple[Tensor, Tensor]:
    """Weights ``[S, K, 2, 2]`` and biases ``[S, K, 2]`` of a network without layers."""
    weight, bias = trained.params.values()
    return weight, bias
