"""The runs of chapter 3: methods on models under a severity law, measured."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from tailwise.data import corruption
from tailwise.methods.calibration import fit_temperature
from tailwise.metrics import Estimate, estimate
from tailwise.profiles import reseeded
from tailwise.softad import ensemble, views
from tailwise.softad.ensemble import Method
from tailwise.softad.views import Dashboard

HALF = {"quantile": 0.5, "tau": 0.4}
METHODS = (
    Method("ERM"),
    Method("ERM, double", scale=2.0),
    Method("CVaR", "cvar", {"quantile": 0.5}),
    Method("chi-square DRO", "chi2_dro", {"radius": 1.0}),
    Method("tilted", "tilted", {"gamma": 0.3}),
    Method("flooding", "flooding", {"tau": 0.4}),
    Method("SoftAD", "softad", {"tau": 0.1}),
    Method("SoftAD, auto level", "auto_softad", {"share": 0.25}),
    Method("SoftAD ∘ CVaR", "softad_cvar", HALF),
    Method("SoftAD ∘ DRO", "softad_dro", {"radius": 1.0, "tau": 0.4}),
    Method("soft flood of CVaR", "cvar_softad", HALF),
    Method("released (frozen)", "frozen_cvar_softad", HALF),
    Method("SAM", ascent="sam", reach=0.2),
    Method("SharpDRO", ascent="sharpdro", reach=0.05),
    Method("SharpDRO, half", ascent="sharpdro", reach=0.05, scale=0.5),
)
NAMES = {
    "accuracy_average": "average",
    "accuracy_balanced": "balanced",
    "accuracy_worst_severity": "worst severity",
    "loss_mean": "mean loss",
    "loss_cvar": "tail",
    "loss_sd": "spread",
    "scaled_cvar": "tail, calibrated",
    "norm": "norm",
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large to run one model.

    Attributes
    ----------
    n_seeds, n_train, n_val, n_test : int
    epochs, batch_size : int
    lr : float
    full : bool
        Draw from the full Fashion-MNIST.
    device : str
    """

    n_seeds: int
    n_train: int
    n_val: int
    n_test: int
    epochs: int
    batch_size: int = 50
    lr: float = 0.05
    full: bool = False
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One model under one severity law.

    Attributes
    ----------
    architecture, law : str
    labels : tuple of str
        Of the K methods.
    view, scaled : Dashboard
        ``[S, K]``, as trained and after one temperature per member, which was fitted
        on validation data.
    temperature, norm : Tensor [S, K]
    diverged, gave_up : Tensor of bool [S, K]
    losses : Tensor [S, K, 6, m]
        On the paired test set.
    correct : Tensor of bool [S, K, 6, m]
    """

    architecture: str
    law: str
    labels: tuple[str, ...]
    view: Dashboard
    scaled: Dashboard
    temperature: Tensor
    norm: Tensor
    diverged: Tensor
    gave_up: Tensor
    losses: Tensor
    correct: Tensor


def run(
    architecture: str,
    law: str,
    size: Size,
    methods: Sequence[Method] = METHODS,
    progress=None,
) -> Result:
    """Train every method on every seed of one model and law, and measure all of them.

    Parameters
    ----------
    architecture : str
        ``"linear"``, ``"mlp"`` or ``"cnn"``.
    law : str
        A key of `corruption.LAWS`.
    size : Size
    methods : sequence of Method
    progress : callable, optional
        See `ensemble.train`.
    """
    data = corruption.draw(
        law,
        size.n_seeds,
        n_train=size.n_train,
        n_val=size.n_val,
        n_test=size.n_test,
        full=size.full,
    )
    train, val = data.train, data.val
    trained = ensemble.train(
        architecture,
        train.x.to(size.device),
        train.y.to(size.device),
        methods,
        group=train.severity.to(size.device),
        epochs=size.epochs,
        batch_size=size.batch_size,
        lr=size.lr,
        progress=progress,
    )
    # Tests [S, 6, m, ...] as one long set, and back.
    x = data.test.x.flatten(1, 2).to(size.device)
    logits = trained.logits(x).unflatten(2, data.test.x.shape[1:3]).cpu()
    y = data.test.y[:, None, None, :].expand(logits.shape[:-1])
    held = trained.logits(val.x.to(size.device)).cpu()
    temperature = fit_temperature(held, val.y[:, None, :])
    scored = []
    for T in (torch.ones_like(temperature), temperature):
        scores = (logits / T[..., None, None, None]).flatten(0, -2)
        losses = F.cross_entropy(scores, y.flatten(), reduction="none")
        scored.append(losses.view(logits.shape[:-1]))
    correct = logits.argmax(-1) == y
    raw, scaled = (views.dashboard(losses, correct, law) for losses in scored)
    return Result(
        architecture=architecture,
        law=law,
        labels=tuple(method.label for method in methods),
        view=raw,
        scaled=scaled,
        temperature=temperature,
        norm=trained.norm.cpu(),
        diverged=trained.diverged.cpu(),
        gave_up=gave_up(raw, logits.shape[-1]) & ~trained.diverged.cpu(),
        losses=scored[0].float(),
        correct=correct,
    )


def gave_up(view: Dashboard, n_classes: int) -> Tensor:
    """Whether a member's probabilities are (almost) equal everywhere.

    Its mean loss is at least 95 % of that of a constant prediction, and its losses
    hardly spread; a large mean with a large spread is over-confidence.
    """
    flat = view.loss_sd < 0.1 * np.log(n_classes)
    return views.gave_up(view.loss_mean, n_classes) & flat


def values(result: Result, label: str, number: str) -> np.ndarray:
    """A number of a method, one value a seed; NaN where it diverged.

    `number` is a field of `Dashboard`, "norm", or "scaled_cvar".

    Raises
    ------
    ValueError
        For an unknown method.
    """
    if label not in result.labels:
        raise ValueError(f"unknown method {label!r}: expected one of {result.labels}")
    k = result.labels.index(label)
    if number == "norm":
        found = result.norm
    elif number == "scaled_cvar":
        found = result.scaled.loss_cvar
    else:
        found = getattr(result.view, number)
    return found[:, k].double().masked_fill(result.diverged[:, k], torch.nan).numpy()


def difference(
    result: Result, label: str, number: str, less: str = "ERM", *, log: bool = False
) -> Estimate:
    """Paired difference of a number between two methods, mean over seeds.

    With `log`, of its logarithm: a relative change that suits losses and norms.
    """
    pair = [values(result, name, number) for name in (label, less)]
    a, b = np.log(pair) if log else pair
    return estimate(a - b)


def dashboard_table(result: Result, numbers: Sequence[str]) -> pd.DataFrame:
    """ERM's numbers, then every method's paired difference to them; one row a method.

    A method that diverged or gave up in some seeds says so in the last column.
    """
    rows = {}
    for k, label in enumerate(result.labels):
        row = {}
        for number in numbers:
            if label == "ERM":
                e = estimate(values(result, label, number))
                row[NAMES[number]] = f"{e.mean:.3f}"
            else:
                e = difference(result, label, number)
                row[NAMES[number]] = f"{e.mean:+.3f} ± {e.stderr:.3f}"
        lost, gave_up = result.diverged[:, k].sum(), result.gave_up[:, k].sum()
        row["fate"] = ", ".join(
            f"{n} {word}" for n, word in ((lost, "diverged"), (gave_up, "gave up")) if n
        )
        rows[label] = row
    found = pd.DataFrame.from_dict(rows, orient="index")
    return found if found["fate"].any() else found.drop(columns="fate")


def by_law(
    runs: dict[tuple[str, str], Result], labels: Sequence[str], number: str
) -> pd.DataFrame:
    """Paired differences to ERM; one row a model and law, one column a method."""
    rows = {}
    for key, result in runs.items():
        found = {label: difference(result, label, number) for label in labels}
        rows[", ".join(key)] = {
            label: f"{e.mean:+.3f} ± {e.stderr:.3f}" for label, e in found.items()
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def measured(
    results: dict[str, Result],
    contests: dict[str, tuple[str, ...]],
    *,
    log: bool = False,
) -> tuple[dict[str, dict[str, Estimate]], pd.DataFrame]:
    """Paired differences by claim and part, as a ledger enters them, and as a table.

    Parameters
    ----------
    results : dict of str to Result
        By the name of the claim's part, such as the model.
    contests : dict
        Claim to the arguments of `difference` after the result.
    log : bool
        See `difference`.
    """
    found, names, rows = {}, [], []
    for claim, (label, number, *less) in contests.items():
        found[claim] = {
            part: difference(result, label, number, *less, log=log)
            for part, result in results.items()
        }
        shown = {p: f"{e.mean:+.3f} ± {e.stderr:.3f}" for p, e in found[claim].items()}
        names.append(f"{label} − {less[0] if less else 'ERM'}")
        rows.append({"number": NAMES[number]} | shown)
    return found, pd.DataFrame(rows, index=names)


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
    weight, bias = plane(trained)
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


def plane(trained: ensemble.Ensemble) -> tuple[Tensor, Tensor]:
    """Weights ``[S, K, 2, 2]`` and biases ``[S, K, 2]`` of a network without layers."""
    weight, bias = trained.params.values()
    return weight, bias


def cost(methods: Sequence[Method], repeats: int = 8) -> dict[str, Estimate]:
    """CPU seconds of training by each method over those of the first, in turns.

    Each time, twenty members of the same method are trained for two epochs on the
    network with a hidden layer; the first round is not counted.
    """
    data = corruption.draw("rare", 2, n_train=1000, n_val=1, n_test=1).train
    seconds = np.zeros((repeats + 1, len(methods)))
    for r, k in np.ndindex(seconds.shape):
        members = [replace(methods[k], label=str(i)) for i in range(10)]
        start = time.process_time()
        ensemble.train(
            "mlp",
            data.x,
            data.y,
            members,
            group=data.severity,
            epochs=2,
            batch_size=50,
            lr=0.05,
        )
        seconds[r, k] = time.process_time() - start
    ratio = seconds[1:] / seconds[1:, :1]
    return {m.label: estimate(ratio[:, k]) for k, m in enumerate(methods) if k}
