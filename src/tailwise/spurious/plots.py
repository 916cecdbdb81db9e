"""The figures of chapter 2: each takes results and axes, and returns the axes."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from tailwise.data.spurious import Images, Splits
from tailwise.metrics import estimate
from tailwise.plots import COLORS, INK, band
from tailwise.spurious import explain
from tailwise.spurious.study import SeedRun, over_seeds

AVERAGES = {
    "worst": "worst group",
    "accuracy_test_mean": "test mean",
    "accuracy_train_prior": "train-prior mean",
}
GROUP_LOOKS = (("blue", "o"), ("green", "s"), ("orange", "^"), ("red", "D"))


def planes(axes: Sequence[Axes], panels: dict[str, tuple]) -> None:
    """Samples of two cues with the boundary of a head; title to (X, groups, head)."""
    names = [f"y = {k // 2}, a = {k % 2}" for k in range(4)]
    height = np.array([-0.7, 1.7])
    for ax, (title, (X, groups, head)) in zip(axes, panels.items()):
        for k, (name, (color, marker)) in enumerate(zip(names, GROUP_LOOKS)):
            style = dict(s=16, alpha=0.6, color=COLORS[color], marker=marker, lw=0)
            ax.scatter(*X[groups == k].T, label=name, **style)
        (core, nuisance), intercept = head.coef_[0], head.intercept_[0]
        across = -(intercept + nuisance * height) / core
        ax.plot(across, height, "-", color=INK, lw=2.2, label="boundary")
        ax.set_title(title, fontsize=10)
        ax.set(xlim=(-4, 4), ylim=height, xlabel="core feature")
    axes[0].set_ylabel("nuisance")
    handles = axes[0].get_legend_handles_labels()
    axes[0].figure.legend(*handles, fontsize=8, ncols=5, loc="outside lower center")


def log_odds(ax: Axes, correlation: np.ndarray, fitted: np.ndarray) -> Axes:
    """Fitted coefficients ``[sets, correlations]`` on the log odds ratio."""
    fine = np.linspace(0.5, 0.96, 100)
    ax.plot(fine, 2 * np.log(fine / (1 - fine)), label="log odds ratio")
    e = estimate(fitted)
    style = dict(fmt="s", capsize=3, label="fitted")
    ax.errorbar(correlation, e.mean, e.half, **style)
    ax.set(xlabel="share of samples in which $a$ agrees with $y$")
    ax.set_ylabel("coefficient of the nuisance")
    ax.legend()
    return ax


def gallery(axes: Sequence[Axes], x: Sequence[Tensor], titles: Sequence[str]) -> None:
    """Images ``[3, h, w]`` side by side."""
    for ax, image, title in zip(axes, x, titles):
        ax.imshow(image.permute(1, 2, 0).clamp(0, 1))
        ax.set_title(title, fontsize=8.5, loc="center")
        ax.axis("off")


def edits(axes: Sequence[Axes], splits: Splits) -> None:
    """One image of each group, then the last one redrawn, edited, and its masks."""
    test = splits.test
    four = [int((test.group == k).nonzero()[0, 0]) for k in range(4)]
    last = four[3]
    masks = test.object_mask[last], test.nuisance_mask[last]
    x = [*test.x[four], splits.test_same.x[last], splits.test_swapped.x[last]]
    x += [mask.float().expand(3, -1, -1) for mask in masks]
    titles = [f"y = {k // 2}, a = {k % 2}" for k in range(4)]
    gallery(axes, x, [*titles, "redraw", "other a", "object", "nuisance"])


def heat(
    ax: Axes,
    runs: Sequence[SeedRun],
    methods: Sequence[str],
    groups: Sequence[str],
) -> Axes:
    """Accuracy of each group by method, mean and standard error over seeds."""
    numbers = [*(f"group {k}" for k in range(4)), *AVERAGES]
    found = [[over_seeds(runs, m, number) for number in numbers] for m in methods]
    mean = np.array([[e.mean for e in row] for row in found])
    # Light to dark of one hue, so that the order survives without colour.
    image = ax.imshow(mean, cmap="YlGnBu", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(mean.shape):
        e = found[row][column]
        color = "white" if e.mean > 0.55 else "#222222"
        text = f"{100 * e.mean:.0f} ± {100 * e.stderr:.1f}"
        style = dict(ha="center", va="center", color=color, fontsize=8.5)
        ax.text(column, row, text, **style)
    ax.set_xlabel("per cent, mean ± s.e. over seeds", fontsize=8.5)
    names = [*groups, *AVERAGES.values()]
    ax.set_xticks(range(len(names)), [n.replace(", ", ",\n") for n in names])
    ax.set_yticks(range(len(methods)), methods)
    ax.tick_params(length=0, labelsize=8.5, top=True, labeltop=True)
    ax.tick_params(bottom=False, labelbottom=False)
    for tick in ax.get_xticklabels():
        tick.set(rotation=35, ha="left", rotation_mode="anchor")
    ax.axvline(3.5, color="white", lw=4)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    image.set_zorder(0)
    return ax


def maps(axes: np.ndarray, run: SeedRun, test: Images, methods: Sequence[str]) -> None:
    """Six test images above each head's map of evidence for the true label.

    `axes` is ``[1 + methods, 6]``; `test` are the test images of the run's world.
    """
    shown = test.take(run.shown)
    gallery(axes[0], shown.x, [f"y = {y}, a = {a}" for y, a in zip(shown.y, shown.a)])
    for method, line in zip(methods, axes[1:]):
        head = run.heads[method]
        scores = torch.from_numpy(head.scores(run.features["test"][run.shown]))
        predicted = (scores > 0).long()
        coef = torch.from_numpy(head.coef)
        cam = explain.class_activation_map(run.shown_maps, coef, shown.y)
        for k, ax in enumerate(line):
            extent = (0, 32, 32, 0)
            grey = shown.x[k].mean(0)
            ax.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=extent)
            heat = cam[k] / cam[k].max().clamp_min(1e-12)
            ax.imshow(heat, cmap="inferno", alpha=0.6, vmin=0, vmax=1, extent=extent)
            right = predicted[k] == shown.y[k]
            word, color = ("right", "green") if right else ("wrong", "red")
            style = dict(fontsize=8.5, loc="center", color=COLORS[color])
            ax.set_title(f"{method}: {word}", **style)
            ax.axis("off")


def threshold_against_dfr(
    ax: Axes, runs: Sequence[SeedRun], methods: Sequence[str], groups: Sequence[str]
) -> Axes:
    """Accuracy of the four groups for a few methods, with 95 % intervals."""
    for k, method in enumerate(methods):
        color, marker = GROUP_LOOKS[k % 4]
        found = [over_seeds(runs, method, f"group {g}") for g in range(4)]
        ax.errorbar(
            np.arange(4) + 0.15 * (k - (len(methods) - 1) / 2),
            [e.mean for e in found],
            [e.half for e in found],
            fmt=marker,
            color=COLORS[color],
            mfc="none" if k % 2 else None,
            capsize=3,
            ls="none",
            label=method,
        )
    ax.set_xticks(range(4), [name.replace(", ", ",\n") for name in groups])
    ax.axvspan(2.5, 3.5, color=INK, alpha=0.12, lw=0)
    ax.set(ylabel="test accuracy", ylim=(0, 1.02), xlim=(-0.5, 3.5))
    return ax


def zeros(ax: Axes, worlds: dict[str, Sequence[SeedRun]]) -> Axes:
    """Share of exact zeros in the averaged head against the number of heads."""
    for (name, runs), color in zip(worlds.items(), ("blue", "orange")):
        each = np.array([run.sparsity.zeros for run in runs])
        R = np.arange(1, each.shape[1] + 1)
        ax.plot(R, each.T, color=COLORS[color], lw=0.8, alpha=0.5, ls="-")
        e = estimate(each)
        line = "-" if color == "blue" else "--"
        band(ax, R, e.mean, e.half, label=name, color=COLORS[color], ls=line)
    ax.xaxis.set_major_locator(mpl.ticker.FixedLocator([1, 5, 10, 15, 20]))
    ax.set(xlabel="heads averaged", ylabel="share of exact zeros", ylim=(0, 1))
    return ax
