"""The figures of chapter 4: each takes results and axes, and returns the axes."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes

from tailwise.data.glyphs import Task
from tailwise.experts.reports import accuracies, right
from tailwise.experts.study import KINDS, Split
from tailwise.metrics import estimate
from tailwise.plots import COLORS, INK, LINES, MARKERS, forest

PARTS = {"many": "blue", "medium": "green", "few": "orange"}


def long_tail(ax: Axes, task: Task) -> Axes:
    """Training images of each class, most frequent first, in three groups."""
    order = task.counts.argsort(descending=True)
    place = torch.arange(len(order))
    for (part, color), hatch in zip(PARTS.items(), ("", "//", "..")):
        mine = getattr(task, part)[order]
        bars = dict(color=COLORS[color], hatch=hatch, edgecolor=INK, linewidth=0.3)
        n = int(mine.sum())
        label = f"{part}: {n} classes"
        ax.bar(place[mine], task.counts[order][mine], label=label, **bars)
    ax.set(yscale="log", xlabel="class, most frequent first", ylabel="training images")
    return ax


def examples(axes: Sequence[Axes], task: Task, classes: Sequence[int]) -> None:
    """The first training image of some classes, with count and name."""
    for ax, c in zip(axes, classes):
        i = (task.train.labels == c).nonzero()[0, 0]
        ax.imshow(task.train.images[i, 0], cmap="gray", vmin=0, vmax=1)
        words = task.names[c].split()
        lines = [" ".join(words[i : i + 2]).lower() for i in range(0, len(words), 2)]
        ax.set_title(f"{int(task.counts[c])}", loc="center", fontsize=10)
        ax.set_xlabel("\n".join(lines), fontsize=7.5)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)


def methods(
    ax: Axes, splits: Sequence[Split], names: Sequence[str], parts: Sequence[str]
) -> Axes:
    """Accuracy by method, mean and 95 % interval over splits."""
    looks = zip(parts, COLORS.values(), MARKERS)
    for j, (part, color, marker) in enumerate(looks):
        found = [estimate(100 * accuracies(splits, name)[part]) for name in names]
        numbers = [e.mean for e in found], [e.half for e in found]
        offset = 0.22 * (j - (len(parts) - 1) / 2)
        look = dict(color=color, marker=marker, label=part, offset=offset)
        forest(ax, list(names), *numbers, **look)
    ax.set(xlabel="accuracy, %")
    return ax


def weights(ax: Axes, split: Split, inputs: str = "summary") -> Axes:
    """Weight of the visual expert, by who is right on the image."""
    visual, language = right(split)
    cases = {
        "both right": visual & language,
        "visual only": visual & ~language,
        "language only": language & ~visual,
        "none right": ~visual & ~language,
    }
    bins = np.linspace(0, 1, 31)
    for (name, chosen), color, line in zip(cases.items(), COLORS.values(), LINES):
        w = split.weights[inputs][chosen, 0].numpy()
        label = f"{name} ({len(w)})"
        style = dict(color=color, ls=line, lw=1.8, histtype="step", density=True)
        ax.hist(w, bins, label=label, **style)
    ax.set(xlabel="weight of the visual expert", ylabel="density of images")
    return ax


def usage(ax: Axes, split: Split) -> Axes:
    """Share of selections of each entry of the pool of group prompts."""
    for j, (kind, color, hatch) in enumerate(
        zip(KINDS, ("blue", "orange"), ("", "//"))
    ):
        share = split.usage[kind] / split.usage[kind].sum()
        place = torch.arange(len(share)) + 0.4 * (j - 0.5)
        bars = dict(color=COLORS[color], hatch=hatch, edgecolor=INK, linewidth=0.3)
        ax.bar(place, share, 0.4, label=kind, **bars)
    ax.set(xlabel="entry of the pool", ylabel="share of selections")
    return ax
