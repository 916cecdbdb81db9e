"""The level as a choice: from a grid, on few images, in short runs, under drift."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tailwise.data import corruption
from tailwise.metrics import MEAN_AND_ERROR, Estimate, estimate
from tailwise.softad.sam_and_group_dro import Method
from tailwise.softad.study import METHODS as PLAIN
from tailwise.softad.study import SHARP, Result, Size, run, values
from tailwise.softad.views import Dashboard

LEVELS = (0.01, 0.1, 0.2, 0.4, 0.75)
REACHES = (0.01, 0.05, 0.1, 0.2, 0.5)


def _grid(name: str, settings: Sequence[float], **how) -> tuple[Method, ...]:
    """A method at each setting; the one that `study.METHODS` has keeps its label."""
    (plain,) = (method for method in PLAIN if method.label == name)
    made = [
        replace(plain, label=f"{name} {value:g}", **{key: make(value)})
        for value in settings
        for key, make in how.items()
    ]
    return tuple(plain if replace(m, label=name) == plain else m for m in made)


GRIDS = {
    "flooding": _grid("flooding", LEVELS, params=lambda tau: {"tau": tau}),
    "SoftAD": _grid("SoftAD", LEVELS, params=lambda tau: {"tau": tau}),
    "SAM": _grid("SAM", REACHES, reach=float),
}
SOFT = (PLAIN[0], *GRIDS["SoftAD"])
_EACH = {method.label: method for method in sum(GRIDS.values(), PLAIN)}
METHODS = tuple(_EACH.values())


def choose(
    result: Result, among: Sequence[Method], by: str, n: int | None = None
) -> Tensor:
    """The method of each seed that is best on validation images.

    Parameters
    ----------
    result : Result
    among : sequence of Method
        Candidates that `result` holds. Ties go to the first.
    by : {"loss", "accuracy"}
    n : int, optional
        How many validation images of a seed to look at; all by default.

    Returns
    -------
    Tensor of int64 [S]
        Positions in ``result.labels``.

    Raises
    ------
    ValueError
        For another criterion, or more images than there are.
    """
    if by not in ("loss", "accuracy"):
        raise ValueError(f"by is {by!r}: expected 'loss' or 'accuracy'")
    most = result.held_losses.shape[-1]
    if n is not None and not 1 <= n <= most:
        raise ValueError(f"n is {n}: expected 1 to {most}, the validation images")
    places = torch.tensor([result.labels.index(method.label) for method in among])
    held = result.held_losses if by == "loss" else 1 - result.held_correct.double()
    score = held[:, places, :n].mean(-1)
    lost = result.diverged[:, places] | ~score.isfinite()
    return places[score.masked_fill(lost, torch.inf).argmin(1)]


def with_chosen(result: Result, **chosen: Tensor) -> Result:
    """The result with more methods: for each name, one that exists, seed by seed.

    The name's underscores become spaces; positions ``[S]`` are those of `choose`.
    """
    picks = torch.stack(list(chosen.values()), 1)
    rows = torch.arange(len(picks))[:, None]

    def more(value):
        if isinstance(value, Dashboard):
            return Dashboard(**{k: more(v) for k, v in vars(value).items()})
        return torch.cat([value, value[rows, picks]], 1)

    whole = ("architecture", "law", "labels", "train_severity")
    each = {f.name: getattr(result, f.name) for f in fields(result)}
    grown = {name: more(v) for name, v in each.items() if name not in whole}
    names = (name.replace("_", " ") for name in chosen)
    return replace(result, labels=(*result.labels, *names), **grown)


def tuned(result: Result) -> Result:
    """`result` with flooding, SoftAD and SAM, each as validation data choose it.

    For each of `GRIDS`, "by loss" and "by accuracy".
    """
    chosen = {
        f"{name}_by_{by}": choose(result, grid, by)
        for name, grid in GRIDS.items()
        for by in ("loss", "accuracy")
    }
    return with_chosen(result, **chosen)


def table(results: dict[str, Result]) -> pd.DataFrame:
    """What was chosen, seed by seed, and what it scored; a row a model and a rival.

    The last row of a criterion is flooding with the levels up to 0.1 only.
    """
    rows = {}
    short = tuple(m for m in GRIDS["flooding"] if m.params["tau"] <= 0.1)
    for model, result in results.items():
        for by in ("accuracy", "loss"):
            for name, grid in (GRIDS | {"flooding to 0.1": short}).items():
                picks = choose(result, grid, by)
                found = with_chosen(result, it=picks)
                counts = pd.Series(_settings(grid, result, picks)).value_counts()
                rows[f"{model}, {name}, by {by}"] = {
                    "chosen": ", ".join(
                        f"{k:g} × {n}" for k, n in counts.sort_index().items()
                    ),
                    "accuracy": f"{values(found, 'it', 'accuracy_average').mean():.3f}",
                    "mean loss": f"{values(found, 'it', 'loss_mean').mean():.3f}",
                }
    return pd.DataFrame.from_dict(rows, orient="index")


def _settings(grid: Sequence[Method], result: Result, picks: Tensor) -> list[float]:
    """The level or the reach of those that were picked."""
    by_label = {m.label: m.params.get("tau", m.reach) for m in grid}
    return [by_label[result.labels[k]] for k in picks]


def regret(
    result: Result, n: int, short: Result | None = None, among: Sequence[Method] = SOFT
) -> Estimate:
    """Log of the mean test loss with a chosen level, less that with the best one.

    The level is chosen by the loss of n validation images, in `result` itself or in
    `short`, runs of the same seeds that were stopped earlier. The best one of each
    seed is known afterwards only.
    """
    places = [result.labels.index(method.label) for method in among]
    chosen_in = short or result
    picks = [
        result.labels.index(chosen_in.labels[k])
        for k in choose(chosen_in, among, "loss", n)
    ]
    losses = result.view.loss_mean.log()
    found = losses[torch.arange(len(picks)), picks] - losses[:, places].amin(1)
    return estimate(found.numpy())


def pilot_table(
    result: Result, short: Result, counts: Sequence[int] = (25, 50, 100, 500)
) -> pd.DataFrame:
    """`regret` by the number of validation images, in whole and in short runs."""
    rows = {}
    for n in counts:
        found = {
            "whole runs": regret(result, n),
            "short runs": regret(result, n, short),
        }
        rows[f"{n} images"] = {
            name: f"{e.mean:.3f} ± {e.stderr:.3f}" for name, e in found.items()
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis(columns=MEAN_AND_ERROR)


def drifted(
    before: Result,
    after: dict[float, Result],
    shares: Sequence[float],
    among: Sequence[Method] = SOFT,
) -> dict[str, dict[float, np.ndarray]]:
    """Mean test losses while the severity law drifts from rare to reversed.

    Under each law the first half of the test images are new labelled data on which a
    level may be chosen; the second half judges.

    Parameters
    ----------
    before : Result
        Trained under the rare law.
    after : dict of float to Result
        Retrained under the law of that share.
    shares : sequence of float
        Of the reversed law.
    among : sequence of Method

    Returns
    -------
    dict of str to dict of float to ndarray [S]
        "kept": the level chosen before the drift, by validation loss; "chosen anew":
        among the old models, on the new data; "retrained": among the new models.
    """
    picks = choose(before, among, "loss")
    rows = torch.arange(len(picks))
    half = before.losses.shape[-1] // 2
    found: dict[str, dict] = {"kept": {}, "chosen anew": {}, "retrained": {}}

    def mean(losses: Tensor, p: Tensor) -> Tensor:
        return (p * losses.double().mean(-1)).sum(-1)

    def best(result: Result, p: Tensor) -> np.ndarray:
        places = torch.tensor([result.labels.index(method.label) for method in among])
        chosen = places[mean(result.losses[:, places, :, :half], p).argmin(1)]
        return mean(result.losses[rows, chosen, :, half:], p).numpy()

    for share in shares:
        p = mixed(share)
        found["kept"][share] = mean(before.losses[rows, picks, :, half:], p).numpy()
        found["chosen anew"][share] = best(before, p)
        if share in after:
            found["retrained"][share] = best(after[share], p)
    return found


def log_ratio(
    moved: dict[str, dict[float, np.ndarray]], share: float, one: str, other: str
) -> Estimate:
    """Log of the ratio of two of the losses that `drifted` found, paired over seeds."""
    return estimate(np.log(moved[one][share] / moved[other][share]))


def mixed(share: float) -> Tensor:
    """The severity law `share` of the way from rare to reversed, float64 ``[6]``."""
    rare, last = corruption.law("rare"), corruption.law("reversed")
    return (1 - share) * rare + share * last


def run_rare(architecture: str, size: Size) -> Result:
    """`methods` under the rare law with their sharpness, and `tuned`."""
    found = run(architecture, "rare", size, methods(architecture), sharp=SHARP)
    return tuned(found)


def methods(architecture: str) -> tuple[Method, ...]:
    """All that chapter 3 trains under the rare law.

    Three rules that it only shows are left to the network with a hidden layer.
    """
    shown = () if architecture == "mlp" else ("CVaR", "chi-square DRO", "tilted")
    return tuple(method for method in METHODS if method.label not in shown)
