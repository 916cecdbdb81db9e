"""What a figure shows, as rows of a table: the data behind it."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.category import StrCategoryLocator
from matplotlib.collections import (
    Collection,
    FillBetweenPolyCollection,
    LineCollection,
    PathCollection,
)
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator

NUMBERS = ("x", "x_low", "x_high", "y", "y_low", "y_high", "value")
COLUMNS = ("panel", "x_axis", "y_axis", "kind", "series", *NUMBERS, "x_name", "y_name")
Rows = dict[str, np.ndarray]


def to_csv(figure: Figure) -> str:
    """The data behind a figure as comma-separated values.

    Parameters
    ----------
    figure : Figure
        Its panels are read in the order in which they were added; colour bars are not
        panels.

    Returns
    -------
    str
        A row a point of a line, point, bar, corner of an area or cell of a heat map,
        with seven significant digits. ``x_low`` to ``y_high`` are the ends of an
        interval, band or bar, in units of the axes; ``value`` is what colour tells, of
        a filled contour the least; ``x_name`` and ``y_name`` are the words at the
        nearest tick. A coordinate that is a place on the page, such as the ends of a
        line across a panel, is empty. Of a picture, an image on axes without ticks,
        only a row without numbers is there.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    for number, ax in enumerate(panels, 1):
        titles = (ax.get_title(place) for place in ("left", "center", "right"))
        panel = next(filter(None, titles), f"panel {number}")
        axes = [_label(axis, ax) for axis in (ax.xaxis, ax.yaxis)]
        words = [_words(axis) for axis in (ax.xaxis, ax.yaxis)]
        unnamed = Counter()
        for kind, label, rows in drawn(ax):
            if not label or label.startswith("_"):
                unnamed[kind] += 1
                label = f"{kind} {unnamed[kind]}"
            names = [" ".join(n.split()) for n in (panel, *axes, kind, label)]
            for row in _rows(rows):
                at = (_nearest(*pair) for pair in zip(words, (row[0], row[3])))
                numbers = ("" if np.isnan(n) else f"{n:.7g}" for n in row)
                table.writerow([*names, *numbers, *at])
    return text.getvalue()


def shortened(table: str) -> str:
    """A table of `to_csv` in which a row leaves out names that are those above it.

    So it is a third of the size, where it lies in a notebook.
    """
    return _rewritten(table, lambda names, above: [""] * 5 if names == above else names)


def lengthened(table: str) -> str:
    """A table of `shortened` as `to_csv` wrote it."""
    return _rewritten(table, lambda names, above: names if names[0] else above)


def _rewritten(table: str, rule: Callable[[list, list], list]) -> str:
    text, above = io.StringIO(), []
    writer = csv.writer(text, lineterminator="\n")
    for row in csv.reader(io.StringIO(table)):
        names = rule(row[:5], above)
        writer.writerow(names + row[5:])
        above = row[:5] if row[0] else above
    return text.getvalue()


def drawn(ax: Axes) -> Iterator[tuple[str, str, Rows]]:
    """Kind, label and columns of numbers [m] of each thing in a panel."""
    known = set()
    for container in ax.containers:
        if isinstance(container, ErrorbarContainer):
            yield "point", container.get_label(), _points_with_bars(container)
        elif isinstance(container, BarContainer):
            yield "bar", container.get_label(), _bars(container)
        else:
            continue
        known.update(container.get_children())
    for artist in (*ax.lines, *ax.collections, *ax.patches, *ax.images):
        if artist not in known and artist.get_visible():
            kind, rows = _read(artist, ax)
            bar = getattr(artist, "colorbar", None)
            yield kind, bar.ax.get_ylabel() if bar else str(artist.get_label()), rows


def _read(artist: Artist, ax: Axes) -> tuple[str, Rows]:
    """Kind and numbers of an artist that stands alone."""
    if isinstance(artist, AxesImage):
        return _image(artist, ax)
    if isinstance(artist, ContourSet):
        pairs = zip(artist.get_paths(), artist.levels, strict=False)
        found = [(path.vertices, level) for path, level in pairs]
        at = np.concatenate([points for points, _ in found])
        value = np.repeat([level for _, level in found], [len(p) for p, _ in found])
        return "contour", {"x": at[:, 0], "y": at[:, 1], "value": value}
    if isinstance(artist, FillBetweenPolyCollection):
        return "band", _band(artist)
    if isinstance(artist, PathCollection):
        at = np.ma.filled(np.ma.asarray(artist.get_offsets(), float), np.nan)
        value = artist.get_array()
        named = {} if value is None else {"value": np.asarray(value)}
        return "point", {"x": at[:, 0], "y": at[:, 1], **named}
    if isinstance(artist, Collection):
        kind = "line" if isinstance(artist, LineCollection) else "area"
        at = np.concatenate([path.vertices for path in artist.get_paths()])
    elif isinstance(artist, Rectangle):
        ends = artist.get_bbox()
        columns = zip(("x_low", "y_low", "x_high", "y_high"), ends.extents, strict=True)
        return "area", _in_data({k: np.array([v]) for k, v in columns}, artist, ax)
    elif isinstance(artist, Patch):
        kind, at = "area", artist.get_path().vertices
        if not artist.get_transform().contains_branch(ax.transData):
            at = artist.get_patch_transform().transform(at)
    else:
        at = np.column_stack(artist.get_data(orig=False)).astype(float)
        kind = "point" if artist.get_linestyle() == "None" else "line"
    return kind, _in_data({"x": at[:, 0], "y": at[:, 1]}, artist, ax)


def _in_data(rows: Rows, artist: Artist, ax: Axes) -> Rows:
    """Without the coordinates that are places on the page."""
    in_x, in_y = artist.get_transform().contains_branch_seperately(ax.transData)
    kept = {"x": in_x, "y": in_y}
    return {k: v if kept[k[0]] else np.full(len(v), np.nan) for k, v in rows.items()}


def _points_with_bars(container: ErrorbarContainer) -> Rows:
    points, _, bars = container.lines
    rows = {}
    if points is not None:
        rows["x"], rows["y"] = points.get_data(orig=False)
    flags = {"x": container.has_xerr, "y": container.has_yerr}
    for axis, segments in zip([a for a in flags if flags[a]], bars, strict=True):
        place = "xy".index(axis)
        ends = np.array([s[:, place] for s in segments.get_segments()]).reshape(-1, 2)
        rows[f"{axis}_low"], rows[f"{axis}_high"] = ends.T
    return rows


def _bars(container: BarContainer) -> Rows:
    """The ends of each bar; the one that is read, and the middle of its foot."""
    ends = np.array([bar.get_bbox().extents for bar in container.patches])
    left, foot, right, top = ends.reshape(-1, 4).T
    upright = container.orientation != "horizontal"
    return {
        "x": (left + right) / 2 if upright else right,
        "x_low": np.minimum(left, right),
        "x_high": np.maximum(left, right),
        "y": top if upright else (foot + top) / 2,
        "y_low": np.minimum(foot, top),
        "y_high": np.maximum(foot, top),
    }


def _band(area: FillBetweenPolyCollection) -> Rows:
    """The two sides of a band: its outline goes along one and back on the other."""
    along, across = ("x", "y") if area.t_direction == "x" else ("y", "x")
    found = {along: [], f"{across}_low": [], f"{across}_high": []}
    for path in area.get_paths():
        outline = path.vertices[: len(path.vertices) // 2 * 2]
        half = len(outline) // 2
        first, second = outline[1:half], outline[half + 1 :][::-1]
        place = "xy".index(along)
        sides = first[:, 1 - place], second[:, 1 - place]
        found[along].append(first[:, place])
        found[f"{across}_low"].append(np.minimum(*sides))
        found[f"{across}_high"].append(np.maximum(*sides))
    return {k: np.concatenate(v) for k, v in found.items()}


def _image(image: AxesImage, ax: Axes) -> tuple[str, Rows]:
    values = np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan)
    if values.ndim != 2 or not ax.axison or not len(ax.get_xticks()):
        return "picture", {"value": np.array([np.nan])}
    left, right, bottom, top = image.get_extent()
    height, width = values.shape
    x = left + (right - left) * (np.arange(width) + 0.5) / width
    first, last = (top, bottom) if image.origin == "upper" else (bottom, top)
    y = first + (last - first) * (np.arange(height) + 0.5) / height
    x, y = np.meshgrid(x, y)
    return "cell", {"x": x.ravel(), "y": y.ravel(), "value": values.ravel()}


def _label(axis: Axis, ax: Axes) -> str:
    """What an axis shows; a panel inside a grid may leave it to its neighbours."""
    shared = ax.get_shared_x_axes() if axis is ax.xaxis else ax.get_shared_y_axes()
    name = axis.axis_name
    labels = (getattr(a, f"get_{name}label")() for a in [ax, *shared.get_siblings(ax)])
    return next(filter(None, labels), "")


def _words(axis: Axis) -> tuple[np.ndarray, list[str]]:
    """Ticks that stand for words and not for numbers."""
    places = np.asarray(axis.get_majorticklocs(), float)
    # Labels that a figure sets may be numbers: the formatter gives them back as such.
    labels = [str(label) for label in axis.get_major_formatter().format_ticks(places)]
    fixed = isinstance(axis.get_major_locator(), (FixedLocator, StrCategoryLocator))
    if not fixed or not any(re.search("[A-Za-z]", label) for label in labels):
        return np.empty(0), []
    return places, [" ".join(label.split()) for label in labels]


def _nearest(words: tuple[np.ndarray, list[str]], at: float) -> str:
    places, labels = words
    if np.isnan(at) or not labels:
        return ""
    far = np.abs(places - at)
    apart = np.diff(np.sort(places)).min() if len(places) > 1 else 1.0
    return labels[far.argmin()] if far.min() < apart / 2 else ""


def _rows(columns: Rows) -> Iterator[tuple[float, ...]]:
    """The numbers of each row, in the order of `NUMBERS`."""
    length = max((len(column) for column in columns.values()), default=0)
    empty = np.full(length, np.nan)
    return zip(*(columns.get(name, empty) for name in NUMBERS), strict=True)
