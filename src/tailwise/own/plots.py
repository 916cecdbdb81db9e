"""Figures of a pilot: each takes results and axes, and returns the axes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from tailwise.own.boards import gains
from tailwise.own.pilot import Pilot
from tailwise.plots import COLORS, INK, MARKERS, forest

MAX_CELLS = 12


def looks(found: Pilot) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each head, the same in every figure."""
    return dict(zip(found.heads, zip(COLORS.values(), MARKERS)))


def gain_forest(ax: Axes, found: Pilot) -> Axes:
    """Gain of each head over the plain one, a row a class or group, rarest on top.

    Of more than twelve rows the twelve rarest are drawn.
    """
    e, others = gains(found), found.heads[1:]
    size = np.bincount(found.data.cells()[0])
    order = size.argsort(kind="stable")[:MAX_CELLS]
    names = [f"{found.cells[k]}\n({size[k]:,} samples)" for k in order]
    for m, name in enumerate(others):
        color, marker = looks(found)[name]
        forest(
            ax,
            names,
            100 * e.mean[m, order],
            100 * e.half[m, order],
            color=color,
            marker=marker,
            label=name,
            offset=0.15 * (m - (len(others) - 1) / 2),
        )
    ax.axvline(0, color=INK, lw=1)
    ax.set_xlabel("gain over the plain head, points of accuracy")
    ax.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def reliability(axes: Sequence[Axes], found: Pilot) -> Sequence[Axes]:
    """Accuracy against confidence of each head, an axes a head, over all splits.

    Larger markers hold more samples; below the diagonal a head is too sure. The hollow
    line is after the prior correction and one temperature.
    """
    errors = found.calibration_error, found.calibration_error_after
    for k, (ax, name) in enumerate(zip(axes, found.heads)):
        color, marker = looks(found)[name]
        ax.plot([0, 1], [0, 1], color=INK, lw=1, ls="--")
        low = 0.45
        for bins, style in ((found.bins, "-"), (found.bins_after, ":")):
            n, confidence, hits = bins[:, k].sum(0).T
            live = n > 0
            x, y = confidence[live] / n[live], hits[live] / n[live]
            ax.plot(x, y, color=color, lw=1.2, ls=style)
            area = 8 + 80 * np.sqrt(n[live] / n.max())
            face = color if style == "-" else "none"
            ax.scatter(x, y, area, facecolor=face, edgecolor=color, marker=marker)
            low = min(low, x.min() - 0.05, y.min() - 0.05)
        before, after = (100 * error[:, k].mean() for error in errors)
        ax.set_title(f"{name}\nerror {before:.1f}, corrected {after:.1f}", fontsize=9)
        ax.set(xlim=(low, 1.02), ylim=(low, 1.05), xlabel="confidence")
    axes[0].set_ylabel("accuracy")
    return axes
