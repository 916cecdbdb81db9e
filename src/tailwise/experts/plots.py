"""The figures of chapter 4: each takes results and axes, and returns the axes."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from tailwise.data.glyphs import Task
from tailwise.experts.reports import Member, gain, values
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


def crowd(
    axes: Sequence[Axes], plain: Task, crowded: Task, rows: Sequence[int]
) -> None:
    """Training images alone (first half of the axes) and between neighbours."""
    for ax, (task, i) in zip(axes, product((plain, crowded), rows)):
        ax.imshow(task.train.images[i, 0], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)


def methods(
    ax: Axes, rows: pd.DataFrame, members: Sequence[Member], parts: Sequence[str]
) -> Axes:
    """Accuracy by kind and method, mean and 95 % interval over splits."""
    looks = zip(parts, COLORS.values(), MARKERS)
    names = [f"{kind}, {method}" for kind, method in members]
    for j, (part, color, marker) in enumerate(looks):
        found = [estimate(100 * values(rows, each, part)) for each in members]
        numbers = [e.mean for e in found], [e.half for e in found]
        offset = 0.22 * (j - (len(parts) - 1) / 2)
        look = dict(color=color, marker=marker, label=part, offset=offset)
        forest(ax, names, *numbers, **look)
    ax.set(xlabel="accuracy, %")
    return ax


def differences(
    ax: Axes,
    rows: pd.DataFrame,
    contrasts: Mapping[str, tuple[Member, Member]],
    parts: Sequence[str] = ("all", "few"),
) -> Axes:
    """Paired differences in points, mean and 95 % interval over splits."""
    looks = zip(parts, COLORS.values(), MARKERS)
    for j, (part, color, marker) in enumerate(looks):
        found = [gain(rows, *pair, part) for pair in contrasts.values()]
        numbers = [100 * e.mean for e in found], [100 * e.half for e in found]
        offset = 0.22 * (j - (len(parts) - 1) / 2)
        look = dict(color=color, marker=marker, label=part, offset=offset)
        forest(ax, list(contrasts), *numbers, **look)
    ax.axvline(0, color=INK, lw=0.8)
    ax.set(xlabel="difference, points")
    return ax


def steps(ax: Axes, table: pd.DataFrame, kind: str) -> Axes:
    """Validation accuracy against steps, a line for each way of training."""
    mine = table[table["kind"] == kind].pivot(
        index="steps", columns="way", values="accuracy"
    )
    looks = zip(("probe", "parts", "full"), COLORS.values(), MARKERS, LINES)
    for way, color, marker, line in looks:
        style = dict(color=color, marker=marker, ls=line, label=way)
        ax.plot(mine.index, 100 * mine[way], **style)
    ax.set(xscale="log", xlabel="steps", title=kind)
    ax.set_xticks(list(mine.index), [str(n) for n in mine.index])
    ax.minorticks_off()
    return ax


def gap_and_gain(ax: Axes, rows: pd.DataFrame, ways: Sequence[str]) -> Axes:
    """What the mean gains over the better expert, by how far the two are apart."""
    looks = {
        "trained in different ways": (COLORS["blue"], MARKERS[0], 16),
        "in the same way": (COLORS["orange"], MARKERS[1], 26),
    }
    for (label, (color, marker, size)), alike in zip(looks.items(), (False, True)):
        found = [
            (100 * (a - b).abs(), 100 * (mean - np.maximum(a, b)))
            for one, other in product(ways, repeat=2)
            if (one == other) == alike
            for a, b, mean in [_three(rows, one, other)]
        ]
        x, y = (np.concatenate(part) for part in zip(*found))
        ax.scatter(x, y, s=size, color=color, marker=marker, label=label)
    ax.axhline(0, color=INK, lw=0.8)
    ax.set(
        xlabel="between the two experts, points",
        ylabel="mean less better, points",
    )
    return ax


def _three(rows: pd.DataFrame, one: str, other: str) -> list[pd.Series]:
    """Accuracy of a visual and a language expert and of their mean, by split."""
    method = f"mean, {one}" if one == other else f"mean, {one} and {other}"
    members = ("visual", one), ("language", other), ("mixture", method)
    return [values(rows, member) for member in members]


def costs(ax: Axes, table: pd.DataFrame, size: str = "trained") -> Axes:
    """Accuracy in rare classes against a cost: a colour a kind, a marker a way."""
    kinds, ways = (
        list(dict.fromkeys(part))
        for part in zip(*(name.split(", ", 1) for name in table.index))
    )
    for name, row in table.iterrows():
        kind, way = name.split(", ", 1)
        color = list(COLORS.values())[kinds.index(kind)]
        ax.plot(row[size], row["few"], MARKERS[ways.index(way)], color=color, ms=8)
    for way, marker in zip(ways, MARKERS):
        ax.plot([], [], marker, color=INK, label=way)
    for kind, color in zip(kinds, COLORS.values()):
        ax.plot([], [], "-", color=color, lw=4, label=kind)
    ax.set(xscale="log", ylabel="accuracy in rare classes, %")
    return ax
