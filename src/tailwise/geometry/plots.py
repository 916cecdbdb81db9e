"""The figures of chapter 5: each takes results and axes, and returns the axes."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from tailwise.geometry import theory
from tailwise.geometry.networks import Networks
from tailwise.geometry.study import (
    REBALANCE,
    accuracies,
    choose,
    exact_ridge_error,
    limit_errors,
)
from tailwise.geometry.ufm import UFM
from tailwise.metrics import estimate
from tailwise.plots import COLORS, INK, LINES, MARKERS, band, forest

LOOKS = tuple(zip(COLORS.values(), LINES, MARKERS))
PAIRS = {
    "cos_major": "two majority",
    "cos_between": "one of each",
    "cos_minor": "two minority",
}


def planar_vectors(class_counts: Tensor) -> tuple[Tensor, Tensor]:
    """Classifiers and embeddings of three classes for plain cross-entropy, [3, 2]."""
    ones = torch.ones(3, dtype=torch.float64)
    gram_w, _ = theory.predicted_grams(class_counts, ones, "ldt")
    e, V = torch.linalg.eigh(gram_w)
    W = V[:, 1:] * e[1:].sqrt()
    Z = theory.sel_matrix(ones, "ldt")
    return W, (torch.linalg.pinv(W) @ Z).mT


def plane(ax: Axes, class_counts: Tensor, trained: UFM) -> Axes:
    """Vectors of three classes: lines from the closed form, dots as trained.

    The trained ones, first of the model, are turned and scaled to lie on the lines as
    well as they can; each kind of vector is as long as its longest.
    """
    for vectors, found, color, style, name in zip(
        planar_vectors(class_counts),
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


def _grid(model: UFM, kind: str, ratio: float) -> tuple[np.ndarray, theory.Blocks]:
    """Exponents of a kind at a ratio R, and the summary of the trained classifiers."""
    R = model.class_counts.amax(-1) / model.class_counts.amin(-1)
    at = [i for i, c in enumerate(model.configs) if c.kind == kind and R[i] == ratio]
    minority = model.class_counts[at[0]] < model.class_counts[at[0]].max()
    gammas = np.array([model.configs[i].gamma for i in at])
    return gammas, theory.blocks(model.grams[0][at], minority)


def lengths(ax: Axes, model: UFM, ratio: float) -> Axes:
    """Squared lengths of majority over minority classifiers against gamma."""
    fine = torch.linspace(-0.5, 1, 61)
    for kind, (color, line, marker) in zip(theory.KINDS, LOOKS):
        w, _ = theory.step_blocks(5, 5, ratio, fine, kind)
        ax.plot(fine, w.norm2_ratio, color=color, ls=line, label=kind.upper())
        gammas, found = _grid(model, kind, ratio)
        ax.plot(gammas, found.norm2_ratio, marker, color=color)
    ax.axhline(1, color=INK, lw=1, ls=":")
    ax.set(xlabel="exponent γ", ylabel="squared length, majority / minority")
    ax.set_yscale("log")
    ax.set_yticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"], minor=False)
    ax.minorticks_off()
    return ax


def cosines(ax: Axes, model: UFM, kind: str, ratio: float) -> Axes:
    """Cosines of pairs of classifiers against gamma; dotted where all are equal."""
    fine = torch.linspace(-0.5, 1, 61)
    w, _ = theory.step_blocks(5, 5, ratio, fine, kind)
    gammas, found = _grid(model, kind, ratio)
    for (name, label), (color, line, marker) in zip(PAIRS.items(), LOOKS):
        ax.plot(fine, getattr(w, name), color=color, ls=line, label=label)
        ax.plot(gammas, getattr(found, name), marker, color=color)
    ax.axhline(-1 / 9, color=INK, lw=1, ls=":")
    ax.set(xlabel="exponent γ", ylabel="cosine", title=kind.upper())
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
