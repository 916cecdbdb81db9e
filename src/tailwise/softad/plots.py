"""The figures of chapter 3: each takes results and axes, and returns the axes."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from tailwise.data import corruption
from tailwise.methods import risk
from tailwise.metrics import estimate
from tailwise.plots import COLORS, INK, LINES, band, forest
from tailwise.softad import levels, views
from tailwise.softad.plane import Toy
from tailwise.softad.study import HALF, NAMES, Result, difference, values

RULES = {  # of `weight_curves`: four a panel
    "ERM": ("erm", {}),
    "CVaR": ("cvar", {"quantile": 0.5}),
    "chi-square DRO": ("chi2_dro", {"radius": 1.0}),
    "tilted": ("tilted", {"gamma": 0.3}),
    "flooding": ("flooding", {"tau": 0.4}),
    "SoftAD": ("softad", {"tau": 0.4}),
    "SoftAD ∘ CVaR": ("softad_cvar", HALF),
    "COCE-A": ("cvar_softad", HALF),
}
LOOKS = (("blue", "o"), ("green", "s"), ("orange", "^"), ("red", "D"), ("purple", "v"))


def lines(ax: Axes, toy: Toy, labels: Sequence[str]) -> Axes:
    """The training points of the first seed with the boundaries of some methods."""
    for y, color, marker in ((0, "blue", "o"), (1, "orange", "^")):
        for hard, size, alpha in ((False, 9, 0.35), (True, 34, 0.95)):
            at = toy.X[(toy.y == y) & (toy.is_hard == hard)].T
            edge = INK if hard else "none"
            style = dict(color=COLORS[color], marker=marker, s=size, alpha=alpha)
            ax.scatter(*at, edgecolors=edge, linewidths=0.8, **style)
    height = np.array([-5.0, 5.0])
    colors = [INK, *(COLORS[c] for c in ("green", "red", "purple"))]
    for label, line, color in zip(labels, LINES, colors):
        k = toy.labels.index(label)
        across = -(toy.intercept[k] + toy.coef[k, 1] * height) / toy.coef[k, 0]
        ax.plot(across, height, ls=line, lw=2, color=color, label=label)
    ax.set(xlim=(-5, 5), ylim=height, xticks=[], yticks=[])
    return ax


def weight_curves(axes: Sequence[Axes], losses: Tensor, rules: dict) -> Sequence[Axes]:
    """Weight of each example against its loss, times the batch size.

    `rules` maps a label to a rule and its parameters; two axes share them.
    """
    losses, _ = losses.sort()
    for k, (label, (rule, params)) in enumerate(rules.items()):
        weights = len(losses) * risk.example_weights(losses, rule, **params)
        ax = axes[k * len(axes) // len(rules)]
        color, marker = LOOKS[k % len(LOOKS)]
        style = dict(color=COLORS[color], marker=marker, ms=3.5, ls=LINES[k % 6])
        ax.plot(losses, weights, lw=1.2, label=label, **style)
    for ax in axes:
        ax.axhline(0, color=INK, lw=1)
        ax.set(xlabel="loss of an example", xscale="log")
        ax.legend(fontsize=8)
    axes[0].set_ylabel("weight × batch size")
    return axes


def differences(
    ax: Axes, results: dict[str, Result], labels: Sequence[str], number: str, *, log
) -> Axes:
    """Paired differences to ERM with 95 % intervals, one marker a model."""
    for k, (name, result) in enumerate(results.items()):
        found = [difference(result, label, number, log=log) for label in labels]
        color, marker = LOOKS[k]
        forest(
            ax,
            list(labels),
            [e.mean for e in found],
            [e.half for e in found],
            color=COLORS[color],
            marker=marker,
            label=name,
            offset=0.22 * (k - (len(results) - 1) / 2),
        )
    ax.axvline(0, color=INK, lw=1)
    ax.set_xlabel(f"{'log ' if log else ''}{NAMES[number]}, less ERM")
    ax.locator_params(axis="x", nbins=5)
    return ax


def calibration(ax: Axes, result: Result, labels: Sequence[str]) -> Axes:
    """Tail loss of each method as trained and after one temperature."""
    for number, color, marker in (
        ("loss_cvar", "orange", "o"),
        ("scaled_cvar", "blue", "s"),
    ):
        found = [estimate(values(result, label, number)) for label in labels]
        word = "as trained" if number == "loss_cvar" else "after one temperature"
        forest(
            ax,
            list(labels),
            [e.mean for e in found],
            [e.half for e in found],
            color=COLORS[color],
            marker=marker,
            label=word,
        )
    ax.set_xlabel("mean of the worst tenth of test losses")
    ax.set_xlim(left=0)
    return ax


def by_severity(ax: Axes, result: Result, labels: Sequence[str]) -> Axes:
    """Accuracy at each severity, less ERM's."""
    lost = result.diverged[..., None]
    each = result.view.per_severity.masked_fill(lost, torch.nan)
    erm = each[:, result.labels.index("ERM")]
    for label, (color, marker), line in zip(labels, LOOKS, LINES):
        found = each[:, result.labels.index(label)] - erm
        e = estimate(found.numpy())
        style = dict(label=label, color=COLORS[color], marker=marker, ls=line)
        band(ax, np.arange(6), e.mean, e.half, **style)
    ax.axhline(0, color=INK, lw=1)
    ax.set(xlabel="severity", ylabel="accuracy, less ERM")
    ax.label_outer()
    ax.set_title(f"{result.architecture}, trained on {result.law}", fontsize=10)
    return ax


def drift(ax: Axes, result: Result, labels: Sequence[str], number: str) -> Axes:
    """A number while the severity law drifts from rare to reversed."""
    share = torch.linspace(0, 1, 11, dtype=torch.float64)[:, None]
    rare, reversed_ = corruption.law("rare"), corruption.law("reversed")
    laws = (1 - share) * rare + share * reversed_
    for label, (color, marker), line in zip(labels, LOOKS, LINES):
        k = result.labels.index(label)
        view = views.drift(result.losses[:, k], result.correct[:, k], laws)
        found = getattr(view, number).masked_fill(result.diverged[:, k], np.nan)
        e = estimate(found.numpy(), axis=1)
        style = dict(label=label, color=COLORS[color], marker=marker, ls=line)
        band(ax, share[:, 0].numpy(), e.mean, e.half, **style)
    ax.set(xlabel="share of the reversed law", ylabel=NAMES[number])
    return ax


def by_level(ax: Axes, result: Result, number: str) -> Axes:
    """A number against the level, for flooding and SoftAD, with ERM as a line."""
    erm = estimate(values(result, "ERM", number))
    ax.axhline(erm.mean, color=INK, lw=1, ls=":", label="ERM")
    for name, (color, marker), line in zip(("flooding", "SoftAD"), LOOKS, LINES):
        labels = [method.label for method in levels.GRIDS[name]]
        e = estimate(np.stack([values(result, k, number) for k in labels]), axis=1)
        style = dict(label=name, color=COLORS[color], marker=marker, ls=line)
        band(ax, np.array(levels.LEVELS), e.mean, e.half, **style)
    ax.set(xlabel="level", ylabel=NAMES[number], xscale="log")
    ax.set_xticks(levels.LEVELS, [f"{level:g}" for level in levels.LEVELS], minor=False)
    ax.set_xticks([], minor=True)
    return ax


def level_drift(ax: Axes, losses: dict[str, dict[float, np.ndarray]]) -> Axes:
    """What `levels.drifted` found, against the share of the reversed law."""
    for (name, found), (color, marker), line in zip(losses.items(), LOOKS, LINES):
        e = estimate(np.stack(list(found.values())), axis=1)
        style = dict(label=name, color=COLORS[color], marker=marker, ls=line)
        band(ax, np.array(list(found)), e.mean, e.half, **style)
    ax.set(xlabel="share of the reversed law", ylabel=NAMES["loss_mean"])
    return ax


def severities(axes: Sequence[Axes], images: Tensor) -> Sequence[Axes]:
    """One garment ``[6, h, w]`` at each severity, with the shares of the laws."""
    for s, (ax, image) in enumerate(zip(axes, images, strict=True)):
        ax.imshow(image, cmap="gray")
        shares = [f"{name} {corruption.law(name)[s]:.3f}" for name in corruption.LAWS]
        ax.set_title(f"severity {s}", fontsize=9, loc="center")
        ax.set_xlabel("\n".join(shares), fontsize=8)
        ax.set(xticks=[], yticks=[])
    return axes
