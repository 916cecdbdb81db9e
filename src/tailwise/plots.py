"""Figures: one style, legible on a light and on a dark page, in colour and in line."""

import builtins
import sys
import warnings

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from tailwise import drawn

# Mid-tones: each has a contrast of at least 3:1 on white and on the dark page.
INK = "#7b808a"
COLORS = {
    "blue": "#2e7ebb",
    "orange": "#c46d0c",
    "green": "#1b8a62",
    "red": "#d1495b",
    "purple": "#9064b5",
    "grey": "#7b808a",
}
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "X")


def use_style() -> None:
    """Make the book's style matplotlib's default for this session.

    In a notebook, a figure that is shown carries the data behind it, as ``text/csv``.
    In a script, `plt.show` opens no window and does not wait, and characters that the
    console cannot show are replaced.
    """
    if hasattr(builtins, "__IPYTHON__"):
        _carry_data()
    else:
        mpl.use("agg")
        warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
    mpl.rcParams.update(
        {
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "savefig.transparent": True,
            "legend.frameon": False,
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": INK,
            "grid.alpha": 0.25,
            "grid.linewidth": 0.6,
            "font.size": 10.5,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "figure.figsize": (7.0, 3.6),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "lines.linewidth": 1.8,
            "lines.markersize": 5,
            "axes.prop_cycle": mpl.cycler(color=list(COLORS.values()))
            + mpl.cycler(linestyle=list(LINES)),
        }
    )


def _carry_data() -> None:
    from IPython import get_ipython
    from IPython.core.formatters import BaseFormatter

    # Not `for_type`: the inline backend drops what is registered for figures.
    class AsTable(BaseFormatter):
        def __call__(self, obj: object) -> str | None:
            is_figure = isinstance(obj, Figure)
            return drawn.shortened(drawn.to_csv(obj)) if is_figure else None

    formatters = get_ipython().display_formatter.formatters
    formatters["text/csv"] = AsTable(format_type="text/csv")


def band(
    ax: Axes,
    x: ArrayLike,
    mean: ArrayLike,
    half: ArrayLike,
    *,
    label: str | None = None,
    **line,
) -> Axes:
    """A line with its interval as a band.

    Parameters
    ----------
    ax : Axes
    x, mean, half : array_like [m]
        `half` is half of the interval, such as `Estimate.half`.
    label : str, optional
    **line
        Passed to `Axes.plot`.

    Returns
    -------
    Axes
        The same `ax`.
    """
    mean, half = np.asarray(mean), np.asarray(half)
    (drawn,) = ax.plot(x, mean, label=label, **line)
    ax.fill_between(
        x,
        mean - half,
        mean + half,
        color=drawn.get_color(),
        alpha=0.2,
        linewidth=0,
    )
    return ax


def forest(
    ax: Axes,
    labels: list[str],
    mean: ArrayLike,
    half: ArrayLike,
    *,
    color: str = COLORS["blue"],
    marker: str = "o",
    label: str | None = None,
    offset: float = 0.0,
) -> Axes:
    """Points with intervals as bars, one row a label, first on top."""
    rows = np.arange(len(labels)) + offset
    ax.errorbar(
        mean,
        rows,
        xerr=np.asarray(half),
        fmt=marker,
        color=color,
        capsize=3,
        linestyle="none",
        label=label,
    )
    ax.set_yticks(np.arange(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    return ax


def legend_above(ax: Axes) -> Axes:
    """A legend over the figure: among points its own marks would look like some."""
    handles, labels = ax.get_legend_handles_labels()
    place = dict(loc="outside upper right", ncols=len(labels))
    ax.figure.legend(handles, labels, fontsize=8.5, **place)
    return ax
