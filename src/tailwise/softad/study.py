"""The runs of chapter 3: methods on models under a severity law, measured."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from tailwise.data import corruption
from tailwise.methods.calibration import fit_temperature
from tailwise.metrics import MEAN_AND_ERROR, Estimate, estimate
from tailwise.softad import ensemble, networks, sharpness, views
from tailwise.softad.networks import Architecture
from tailwise.softad.sam_and_group_dro import Method
from tailwise.softad.views import Dashboard

HALF = {"quantile": 0.5, "tau": 0.4}
REACH = 0.2  # of SAM, and of the step over which the rise of a loss is measured
HARD = 3  # the smallest severity that counts as hard in the difficulty gap
CLEAN = (1.0, 0, 0, 0, 0, 0)  # the law without any noise
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
    Method("COCE-A", "cvar_softad", HALF),
    Method("COCE", "frozen_cvar_softad", HALF),
    Method("SAM", ascent="sam", reach=REACH),
    Method("SharpDRO", ascent="sharpdro", reach=0.05),
    Method("SharpDRO, half", ascent="sharpdro", reach=0.05, scale=0.5),
)
LABELS = tuple(method.label for method in METHODS)
SHARP = "ERM", "SAM", "SharpDRO", "flooding", "SoftAD", "COCE", "COCE-A"


def named(*labels: str) -> tuple[Method, ...]:
    """Those of `METHODS` with these labels."""
    return tuple(METHODS[LABELS.index(label)] for label in labels)


STEPS = named("ERM", "SharpDRO", "SharpDRO, half")
CONCENTRATED = named("ERM", "COCE", "COCE-A")
LENET = named("ERM", "SAM", "SharpDRO", "SharpDRO, half", "COCE", "COCE-A")
NAMES = {
    "accuracy_average": "average",
    "accuracy_balanced": "balanced",
    "accuracy_worst_severity": "worst severity",
    "loss_mean": "mean loss",
    "loss_cvar": "tail",
    "loss_sd": "spread",
    "loss_severity_5": "loss at severity 5",
    "loss_train": "training loss",
    "loss_gap": "test − training loss",
    "difficulty_gap": "accuracy, clean − severity 5",
    "difficulty_gap_train": "training loss, hard − clean",
    "scaled_cvar": "tail, calibrated",
    "norm": "norm",
    "eigenvalue": "largest curvature",
    "loss_rise": "rise up the slope",
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
    eigenvalue, loss_rise : Tensor [S, K]
        Of the mean training loss; NaN for methods whose sharpness was not asked for.
    diverged, gave_up : Tensor of bool [S, K]
    losses : Tensor [S, K, 6, m]
        On the paired test set.
    correct : Tensor of bool [S, K, 6, m]
    train_losses : Tensor [S, K, n]
        Of the training images, after the last epoch.
    train_severity : Tensor [S, n]
    held_losses : Tensor [S, K, v]
        Of the validation images.
    held_correct : Tensor of bool [S, K, v]
    """

    architecture: str
    law: str
    labels: tuple[str, ...]
    view: Dashboard
    scaled: Dashboard
    temperature: Tensor
    norm: Tensor
    eigenvalue: Tensor
    loss_rise: Tensor
    diverged: Tensor
    gave_up: Tensor
    losses: Tensor
    correct: Tensor
    train_losses: Tensor
    train_severity: Tensor
    held_losses: Tensor
    held_correct: Tensor


def run(
    architecture: str | Architecture,
    law: corruption.Law,
    size: Size,
    methods: Sequence[Method] = METHODS,
    progress=None,
    sharp: Sequence[str] = (),
) -> Result:
    """Train every method on every seed of one model and law, and measure all of them.

    Parameters
    ----------
    architecture : str or Architecture
        ``"linear"``, ``"mlp"``, ``"cnn"``, or another one.
    law : str or six floats
        See `corruption.law`.
    size : Size
    methods : sequence of Method
    progress : callable, optional
        See `ensemble.train`.
    sharp : sequence of str
        Labels of the methods whose sharpness is measured.
    """
    data = corruption.draw(
        law,
        size.n_seeds,
        n_train=size.n_train,
        n_val=size.n_val,
        n_test=size.n_test,
        full=size.full,
    )
    x, y = data.train.x.to(size.device), data.train.y.to(size.device)
    trained = ensemble.train(
        architecture,
        x,
        y,
        methods,
        group=data.train.severity.to(size.device),
        epochs=size.epochs,
        batch_size=size.batch_size,
        lr=size.lr,
        progress=progress,
    )
    labels = tuple(method.label for method in methods)

    def measure(s: int, k: int) -> tuple[float, float]:
        member = {name: p[s, k] for name, p in trained.params.items()}
        return sharpness.of(
            *sharpness.member_loss(trained.architecture, member, x[s], y[s]), REACH
        )

    return measured_on(
        data,
        law,
        lambda inputs: trained.logits(inputs.to(size.device)).cpu(),
        architecture=trained.architecture.name,
        labels=labels,
        norm=trained.norm.cpu(),
        diverged=trained.diverged.cpu(),
        measure=measure,
        sharp=sharp,
    )


def measured_on(
    data: corruption.Draw,
    law: corruption.Law,
    logits_of: Callable[[Tensor], Tensor],
    *,
    architecture: str,
    labels: tuple[str, ...],
    norm: Tensor,
    diverged: Tensor,
    measure: Callable[[int, int], tuple[float, float]],
    sharp: Sequence[str] = (),
) -> Result:
    """Everything that is measured of trained members.

    Parameters
    ----------
    data : Draw
        What they were trained on, and validation and test data.
    law : str or six floats
    logits_of : callable
        Maps inputs ``[S, m, ...]`` to logits ``[S, K, m, classes]`` on the CPU.
    architecture, labels, norm, diverged
        As in `Result`.
    measure : callable
        Curvature and rise of the member at (s, k); called for the labels in `sharp`.
    sharp : sequence of str
    """
    # Tests [S, 6, m, ...] as one long set, and back.
    logits = logits_of(data.test.x.flatten(1, 2)).unflatten(2, data.test.x.shape[1:3])
    held = logits_of(data.val.x)
    temperature = fit_temperature(held, data.val.y[:, None, :])
    ones = torch.ones_like(temperature)
    y = data.test.y[:, None, :]
    losses = _losses(logits, y)
    calibrated = _losses(logits / temperature[..., None, None, None], y)
    correct = logits.argmax(-1) == y[..., None, :]
    raw, scaled = (views.dashboard(each, correct, law) for each in (losses, calibrated))
    sharpest = torch.full((*ones.shape, 2), torch.nan, dtype=torch.float64)
    for s, k in np.ndindex(*ones.shape):
        if labels[k] in sharp and not diverged[s, k]:
            sharpest[s, k] = torch.tensor(measure(s, k), dtype=torch.float64)
    return Result(
        architecture=architecture,
        law=law if isinstance(law, str) else "custom",
        labels=labels,
        view=raw,
        scaled=scaled,
        temperature=temperature,
        norm=norm,
        eigenvalue=sharpest[..., 0],
        loss_rise=sharpest[..., 1],
        diverged=diverged,
        gave_up=gave_up(raw, logits.shape[-1]) & ~diverged,
        losses=losses.float(),
        correct=correct,
        train_losses=_losses(logits_of(data.train.x), data.train.y[:, None]),
        train_severity=data.train.severity,
        held_losses=_losses(held, data.val.y[:, None]),
        held_correct=held.argmax(-1) == data.val.y[:, None],
    )


def _losses(logits: Tensor, y: Tensor) -> Tensor:
    """Losses [S, K, ..., m] of logits [S, K, ..., m, C] and classes [S, 1, m]."""
    y = y.view(len(y), *(1,) * (logits.ndim - 3), -1).expand(logits.shape[:-1])
    losses = F.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="none")
    return losses.view(logits.shape[:-1])


def gave_up(view: Dashboard, n_classes: int) -> Tensor:
    """Whether a member's probabilities are (almost) equal everywhere.

    Its mean loss is at least 95 % of that of a constant prediction, and its losses
    hardly spread; a large mean with a large spread is over-confidence.
    """
    flat = view.loss_sd < 0.1 * np.log(n_classes)
    return views.gave_up(view.loss_mean, n_classes) & flat


def values(result: Result, label: str, number: str) -> np.ndarray:
    """A number of a method, one value a seed; NaN where it diverged.

    `number` is a key of `NAMES`.

    Raises
    ------
    ValueError
        For an unknown method.
    """
    if label not in result.labels:
        raise ValueError(f"unknown method {label!r}: expected one of {result.labels}")
    k = result.labels.index(label)
    found = _column(result, number, k).double()
    return found.masked_fill(result.diverged[:, k], torch.nan).numpy()


def _column(result: Result, number: str, k: int) -> Tensor:
    """A number of the method at k, [S]."""
    train, severity = result.train_losses[:, k], result.train_severity
    match number:
        case "norm" | "eigenvalue" | "loss_rise":
            return getattr(result, number)[:, k]
        case "scaled_cvar":
            return result.scaled.loss_cvar[:, k]
        case "loss_severity_5":
            return result.losses[:, k, 5].mean(-1)
        case "loss_train":
            return train.mean(-1)
        case "loss_gap":
            return result.view.loss_mean[:, k] - train.mean(-1)
        case "difficulty_gap":
            each = result.view.per_severity[:, k]
            return each[:, 0] - each[:, 5]
        case "difficulty_gap_train":
            hard, clean = severity >= HARD, severity == 0
            return _among(train, hard) - _among(train, clean)
    return getattr(result.view, number)[:, k]


def _among(values: Tensor, rows: Tensor) -> Tensor:
    """Mean over some of the examples; NaN where there are none."""
    return values.masked_fill(~rows, 0).sum(-1) / rows.sum(-1)


def difference(
    result: Result, label: str, number: str, less: str = "ERM", *, log: bool = False
) -> Estimate:
    """Paired difference of a number between two methods, mean over seeds.

    With `log`, of its logarithm: a relative change that suits losses and norms.
    """
    pair = [values(result, name, number) for name in (label, less)]
    a, b = np.log(pair) if log else pair
    return estimate(a - b)


def contrast(number: str, *terms: tuple[Result, str], log: bool = False) -> Estimate:
    """A number of methods in results, taken with the signs + - + - …, mean over seeds.

    The results are of the same seeds. With `log`, of the number's logarithm.

    Parameters
    ----------
    number : str
        A key of `NAMES`.
    *terms : (Result, str)
        A result and a method's label.
    """
    found = [values(result, label, number) for result, label in terms]
    signs = np.resize([1, -1], len(found))
    return estimate(signs @ (np.log(found) if log else np.stack(found)))


def dashboard_table(
    result: Result, numbers: Sequence[str], labels: Sequence[str] | None = None
) -> pd.DataFrame:
    """ERM's numbers, then every method's paired difference to them; one row a method.

    With `labels`, for those methods only, in that order.

    A method that diverged or gave up in some seeds says so in the last column.
    """
    rows = {}
    for label in labels or result.labels:
        k, row = result.labels.index(label), {}
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
    found = _with_errors(pd.DataFrame.from_dict(rows, orient="index"))
    return found if found["fate"].any() else found.drop(columns="fate")


def measured(
    results: dict[str, Result],
    contests: dict[str, tuple[str, ...]],
    *,
    log: bool | Collection[str] = False,
) -> tuple[dict[str, dict[str, Estimate]], pd.DataFrame]:
    """Paired differences by claim and part, as a ledger enters them, and as a table.

    Parameters
    ----------
    results : dict of str to Result
        By the name of the claim's part, such as the model.
    contests : dict
        Claim to the arguments of `difference` after the result; one that is named ""
        stands in the table alone.
    log : bool or collection of str
        See `difference`; a collection holds the numbers whose logarithm is taken.
    """
    found, names, rows = {}, [], []
    for claim, (label, number, *less) in contests.items():
        of_log = log if isinstance(log, bool) else number in log
        parts = {
            part: difference(result, label, number, *less, log=of_log)
            for part, result in results.items()
        }
        if claim:
            found[claim] = parts
        shown = {p: f"{e.mean:+.3f} ± {e.stderr:.3f}" for p, e in parts.items()}
        names.append(f"{label} − {less[0] if less else 'ERM'}")
        rows.append({"number": f"{'log ' if of_log else ''}{NAMES[number]}"} | shown)
    return found, _with_errors(pd.DataFrame(rows, index=names))


def _with_errors(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename_axis(columns=MEAN_AND_ERROR)


def ladder(widths: Sequence[int], size: Size) -> dict[str, Result]:
    """SharpDRO, with whole and half steps, on one hidden layer of growing width."""
    each = [networks.hidden(f"{width} hidden", width) for width in widths]
    return {network.name: run(network, "rare", size, STEPS) for network in each}


def ladder_table(ladder: dict[str, Result]) -> pd.DataFrame:
    """ERM's difficulty gaps and what `STEPS` change; a row a network of `ladder`."""
    rows = {}
    for name, result in ladder.items():
        row = {}
        for number in ("difficulty_gap", "difficulty_gap_train"):
            e = estimate(values(result, "ERM", number))
            row[NAMES[number]] = f"{e.mean:+.2f} ± {e.stderr:.2f}"
        for label in (method.label for method in STEPS[1:]):
            for number in ("accuracy_average", "accuracy_worst_severity"):
                e = difference(result, label, number)
                row[f"{label}, {NAMES[number]}"] = f"{e.mean:+.3f} ± {e.stderr:.3f}"
        rows[name] = row
    return _with_errors(pd.DataFrame.from_dict(rows, orient="index"))


def fates(result: Result, label: str) -> str:
    """How many networks of a method gave up, and their balanced accuracy."""
    k = result.labels.index(label)
    n, of = int(result.gave_up[:, k].sum()), len(result.gave_up)
    got = values(result, label, "accuracy_balanced")
    return (
        f"{n} of {of} networks gave up; balanced accuracy "
        f"{got.min():.2f} to {got.max():.2f}"
    )


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
