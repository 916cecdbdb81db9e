"""The figures of chapter 5: each takes results and axes, and returns the axes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from torch import Tensor

from tailwise.geometry.networks import Networks
from tailwise.geometry.race import Race
from tailwise.geometry.seli import predicted_grams, sel_matrix, temperatures
from tailwise.geometry.study import (
    REBALANCE,
    accuracies,
    choose,
    exact_ridge_error,
    limit_errors,
)
from tailwise.geometry.sweep import (
    PRINTED_TIME,
    SCRIPT_RIDGE,
    Swept,
    by_ridge,
    by_time,
    label_of,
    of_networks,
)
from tailwise.geometry.ufm import UFM, Config
from tailwise.metrics import estimate
from tailwise.plots import COLORS, INK, LINES, MARKERS, band, forest

LOOKS = tuple(zip(COLORS.values(), LINES, MARKERS))
PAIRS = {
    "cos_major": "two majority",
    "cos_between": "one of each",
    "cos_minor": "two minority",
}


def planar_vectors(class_counts: Tensor, config: Config) -> tuple[Tensor, Tensor]:
    """Classifiers and embeddings of three classes in the limit of a loss, [3, 2]."""
    delta = temperatures(class_counts, config.gamma)
    gram_w, _ = predicted_grams(class_counts, delta, config.kind)
    e, V = torch.linalg.eigh(gram_w)
    W = V[:, 1:] * e[1:].sqrt()
    Z = sel_matrix(delta, config.kind)
    return W, (torch.linalg.pinv(W) @ Z).mT


def plane(ax: Axes, class_counts: Tensor, trained: UFM) -> Axes:
    """Vectors of three classes: lines from the closed form, dots as trained.

    The trained ones, first of the model, are turned and scaled to lie on the lines as
    well as they can; each kind of vector is as long as its longest.
    """
    for vectors, found, color, style, name in zip(
        planar_vectors(class_counts, trained.configs[0]),
        (trained.W[0], trained.H[0]),
        ("blue", "orange"),
        ("-", "--"),
        ("classifier", "embedding"),
    ):
        vectors = vectors / vectors.norm(dim=-1).max()
        U, _, Vh = torch.linalg.svd(found.mT @ vectors, full_matrices=False)
        turned = found @ (U @ Vh)
        turned = turned * (vectors * turned).sum() / turned.square().sum()
        for c, (x, y) in enumerate(vectors.tolist()):
            label = name if c == 0 else None
            line = dict(color=COLORS[color], ls=style, lw=2.2, label=label)
            ax.plot([0, x], [0, y], **line)
            far = 1.14 / np.hypot(x, y) if name == "classifier" else np.nan
            if np.isfinite(far):
                ax.text(far * x, far * y, "ABC"[c], ha="center", va="center")
        dots = dict(color=COLORS[color], s=42, edgecolors=INK, zorder=3)
        ax.scatter(*turned.mT, **dots)
    ax.set(aspect="equal", xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return ax


HOLLOW = {"UFM": "o", "MLP": "s", "ResNet": "D"}


def _hollow(ax: Axes, cells: pd.DataFrame, power: float = 1.0, color=INK) -> None:
    """Marks of the paper; a sign for each of its models."""
    for panel, found in cells.groupby("panel", sort=False):
        look = dict(mfc="none", color=color, ms=8, ls="none", mew=1.3)
        label = f"paper, {panel}" if color == INK else None
        ax.plot(found.gamma, found.value**power, HOLLOW[panel], label=label, **look)


def _centre(values: Tensor) -> Tensor:
    """Means over seeds, if there are some."""
    return values.mean(0) if values.ndim == 2 else values


def swept_lengths(
    ax: Axes, swept: dict[str, Swept], printed: dict[str, pd.DataFrame]
) -> Axes:
    """Squared length, majority over minority classifiers, against gamma.

    Lines are theory, filled marks ours, hollow ones the paper's of the same label, or
    in ink for the label "".
    """
    for (label, found), (color, line, _) in zip(swept.items(), LOOKS):
        fine = torch.linspace(found.gammas[0], found.gammas[-1], 61)
        theory = found.limit(fine)[0].norm2_ratio
        # The legend shows the line with a mark; along the line are none.
        both = dict(marker="o", ms=4, markevery=[], label=label)
        ax.plot(fine, theory, color=color, ls=line, **both)
        own = _centre(found.W.norm2_ratio.log()).exp()
        ax.plot(found.gammas, own, "o", color=color, ms=4)
        if label in printed:
            cells = printed[label]
            for what, power in (("ratio2", 1.0), ("ratio", 2.0)):
                _hollow(ax, cells[cells.what == what], power, color)
    if "" in printed:
        _hollow(ax, printed[""][printed[""].what == "ratio2"])
    ax.axhline(1, color=INK, lw=1, ls=":")
    ax.set(xlabel="exponent γ", yscale="log", ylim=(0.05, 60))
    ax.set_yticks([0.1, 0.3, 1, 3, 10, 30], ["0.1", "0.3", "1", "3", "10", "30"])
    ax.minorticks_off()
    return ax


def swept_cosines(ax: Axes, found: Swept, which: str, printed: pd.DataFrame) -> Axes:
    """Mean cosines of W or H within and between the groups, against gamma."""
    fine = torch.linspace(found.gammas[0], found.gammas[-1], 61)
    limit = found.limit(fine)["WH".index(which)]
    for (name, label), (color, line, _) in zip(PAIRS.items(), LOOKS):
        ax.plot(fine, getattr(limit, name), color=color, ls=line, label=label)
        own = _centre(getattr(getattr(found, which), name))
        ax.plot(found.gammas, own, "o", color=color, ms=4)
        cells = printed[printed.what == f"{which.lower()}_{name}"]
        _hollow(ax, cells, color=color)
    ax.axhline(-1 / (2 * found.half - 1), color=INK, lw=1, ls=":")
    ax.set(xlabel="exponent γ")
    return ax


def sweep_row(
    axes: Sequence[Axes], swept: dict[str, Swept], printed: pd.DataFrame
) -> Sequence[Axes]:
    """Lengths, cosines of classifiers and of embeddings of one loss; of several ratios
    the cosines are those at 10."""
    swept_lengths(axes[0], swept, {"": printed})
    (ten,) = (found for found in swept.values() if found.ratio == 10)
    for ax, which in zip(axes[1:], "WH"):
        swept_cosines(ax, ten, which, printed)
    axes[0].set_ylabel(f"{ten.loss}: squared length ratio")
    return axes


def training_fit(ax: Axes, networks: Networks, printed: pd.DataFrame) -> Axes:
    """Balanced training accuracy against gamma; hollow the paper's.

    LDT and CDT look as they do as third and fourth of `swept_lengths`.
    """
    balanced = networks.train_recall.mean((0, -1))
    for loss, (color, line, _) in zip(("LDT", "CDT"), LOOKS[2:]):
        gammas = of_networks(networks, loss).gammas
        own = [balanced[networks.index(label_of(loss, g))] for g in gammas]
        ax.plot(gammas, own, "o", color=color, ls=line, ms=4, label=loss)
        cells = printed[(printed.loss == loss) & (printed.what == "balanced")]
        _hollow(ax, cells, color=color)
    ax.set(xlabel="exponent γ", ylabel="balanced training accuracy")
    ax.legend(fontsize=7.5, loc="lower center")
    return ax


def recipes(axes: Sequence[Axes], times: Sequence[float], ridges) -> Sequence[Axes]:
    """Distance to the paper's marks, by training time without a ridge, and by ridge.

    It jumps where classifiers collapse, so the script's ridge is one of those drawn.
    """
    ridges = np.union1d(ridges, SCRIPT_RIDGE)
    for loss, (color, line, _) in zip(("LDT", "CDT"), LOOKS):
        style = dict(color=color, ls=line, label=loss)
        axes[0].plot(times, by_time(loss, times)[0], **style)
        axes[1].plot(ridges, by_ridge(loss, ridges), **style)
    axes[0].set(xlabel="rate × steps, no ridge", ylabel="mean |log| to the marks")
    axes[1].set(xlabel="ridge, trained to the end")
    for ax, at in zip(axes, (PRINTED_TIME, SCRIPT_RIDGE)):
        ax.axvline(at, color=INK, lw=1, ls=":")
        ax.set(xscale="log", yscale="log", ylim=(0.02, 3))
    return axes


def raced(ax: Axes, races: dict[str, Race], ratio: float) -> Axes:
    """Distance to the limit against steps, medians over losses and starts."""
    for (method, race), (color, line, _) in zip(races.items(), LOOKS):
        at = [i for i, (R, *_) in enumerate(race.settings) if ratio == R]
        middle = race.error_w[at].flatten(0, 1).median(0).values
        ax.plot(race.steps, middle, color=color, ls=line, label=method)
    ax.set(xscale="log", yscale="log", xlabel="steps", title=f"R = {ratio}")
    return ax


def collapse(
    ax: Axes, x: Sequence[float], cosine: dict[str, Tensor], what: str
) -> Axes:
    """Cosine of two minority classifiers against the ridge or the ratio."""
    for (label, values), (color, line, _) in zip(cosine.items(), LOOKS):
        ax.plot(x, values, color=color, ls=line, label=label)
    ax.set(xscale="log", xlabel=what, ylabel="cosine of two minority classifiers")
    return ax


def tracked(ax: Axes, networks: Networks, labels: Sequence[str]) -> Axes:
    """Distance of classifiers to the limit over the epochs; mean and band by seed."""
    for label, (color, line, marker) in zip(labels, LOOKS):
        e = estimate(networks.error_w[:, networks.index(label)].numpy())
        style = dict(color=color, ls=line, marker=marker, label=label)
        band(ax, networks.epochs, e.mean, e.half, **style)
    top = 1.5 * networks.error_w.nan_to_num().mean(0).max().item()  # room for a legend
    ax.set(xlabel="epoch", ylabel="distance to the limit", ylim=(0, top))
    return ax


def destinations(ax: Axes, networks: Networks, labels: Sequence[str]) -> Axes:
    """Distances at the end: to the limit, and to the exact solution with the ridge."""
    limit = [estimate(limit_errors(networks, label)[0]) for label in labels]
    ridge = [estimate(exact_ridge_error(networks, label)) for label in labels]
    for found, color, marker, name, offset in (
        (limit, "blue", "o", "to the limit", -0.12),
        (ridge, "orange", "s", "to the exact ridge solution", 0.12),
    ):
        numbers = [e.mean for e in found], [e.half for e in found]
        look = dict(color=COLORS[color], marker=marker, label=name, offset=offset)
        forest(ax, list(labels), *numbers, **look)
    ax.set(xlabel="distance of the classifiers", xlim=(0, None))
    return ax


def groups(ax: Axes, networks: Networks, labels: Sequence[str]) -> Axes:
    """Test accuracy on the majority and on the minority classes."""
    for which, name, color, marker in (
        (1, "majority", "blue", "o"),
        (2, "minority", "orange", "s"),
    ):
        found = [estimate(accuracies(networks, x)[which].numpy()) for x in labels]
        numbers = [e.mean for e in found], [e.half for e in found]
        forest(
            ax, list(labels), *numbers, color=COLORS[color], marker=marker, label=name
        )
    ax.set(xlabel="test accuracy")
    return ax


def rebalanced(ax: Axes, runs: dict[str, Networks], label: str = "CE") -> Axes:
    """Gain in balanced accuracy over raw logits, for each way to change them."""
    for j, (how, (color, _, marker)) in enumerate(zip(REBALANCE, LOOKS)):
        found = [
            estimate((choose(n, label, how).accuracy - accuracies(n, label))[0].numpy())
            for n in runs.values()
        ]
        numbers = [e.mean for e in found], [e.half for e in found]
        look = dict(color=color, marker=marker, label=how, offset=0.2 * (j - 1))
        forest(ax, list(runs), *numbers, **look)
    ax.axvline(0, color=INK, lw=1)
    ax.set(xlabel="balanced accuracy, changed less raw")
    return ax
