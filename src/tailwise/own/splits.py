"""Splits of rows: no unit is on two sides, and every cell is on all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailwise.own import units
from tailwise.own.features import MIN_CLASS, Features
from tailwise.own.units import MIN_UNITS

MIN_CELL = 3
TRIES = 200  # draws of units, of which one has every cell in every part


@dataclass(frozen=True)
class Split:
    """Rows to fit on, to choose settings on, and to test on; none is in two parts."""

    fit: np.ndarray
    val: np.ndarray
    test: np.ndarray


def draw_splits(
    data: Features,
    n_splits: int = 20,
    *,
    val: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> tuple[Split, ...]:
    """Independent random splits, each cell of `Features.cells` in the same shares.

    With units, whole units are drawn: a unit counts for the rarest cell in it, and
    shares are those of units. Where the data bring their own split, it is the only one.

    Raises
    ------
    ValueError
        With fewer than ten splits, shares that leave nothing to fit on, classes of
        fewer than ten samples, cells of fewer than three samples or units, or units
        of which no draw has every cell in every part.
    """
    if n_splits < 10:
        raise ValueError(f"n_splits is {n_splits}: an interval needs at least 10")
    if not (val > 0 and test > 0 and val + test < 0.9):
        raise ValueError(f"val is {val} and test is {test}: leave a tenth to fit on")
    check_sizes(data)
    rng = np.random.default_rng(seed)
    if data.split is not None:
        return (_given(data, val, rng),)
    if data.units is None:
        members = _members(data.cells()[0])
        return tuple(_split(members, val, test, rng) for _ in range(n_splits))
    draws = [_draw(data, data.units, (val, test), rng) for _ in range(n_splits)]
    return tuple(
        Split(*(np.flatnonzero(np.isin(data.units, u)) for u in parts))
        for parts in draws
    )


def check_sizes(data: Features) -> None:
    """Refuse classes and cells that are too small to be split, each by its name."""
    cell, names = data.cells()
    for what, code, labels, least in (
        ("class", data.y, data.classes, MIN_CLASS),
        ("group", cell, names, MIN_CELL),
    ):
        counts = np.bincount(code, minlength=len(labels))
        _refuse(what, labels, counts, least, "sample")
    if data.units is None:
        return
    counts = units.per_cell(cell, data.units)
    what = "class" if data.groups is None else "group"
    _refuse(what, names, counts, MIN_UNITS, "unit")


def _refuse(
    what: str, labels: np.ndarray | tuple[str, ...], counts, least: int, of: str
) -> None:
    small = np.flatnonzero(counts < least).tolist()
    if not small:
        return
    number = "1 " + of if counts.min() == 1 else f"{counts.min()} {of}s"
    if len(small) == 1:
        start = f"{what} {str(labels[small[0]])!r} has {number} and needs {least}"
    else:
        each = ", ".join(f"{str(labels[k])!r} ({counts[k]})" for k in small)
        many = "classes" if what == "class" else "groups"
        start = f"{len(small)} {many} have fewer than {least} {of}s and need them"
        start = f"{start}, {each},"
    cure = "collect more, merge it or leave it out"
    if what == "class":
        cure = "collect more, or set tails to 'leave out' or 'merge'"
    raise ValueError(f"{start} to be split: {cure}")


def _members(cell: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(cell == k) for k in range(cell.max() + 1)]


def _split(members: Sequence[np.ndarray], val: float, test: float, rng) -> Split:
    each = []
    for rows in members:
        n_val, n_test = (max(1, round(share * len(rows))) for share in (val, test))
        each.append(np.split(rng.permutation(rows), [n_test, n_test + n_val]))
    tested, chosen, fitted = (np.sort(np.concatenate(part)) for part in zip(*each))
    return Split(fitted, chosen, tested)


def _draw(
    data: Features, unit: np.ndarray, shares: Sequence[float], rng
) -> list[np.ndarray]:
    """Units of the first part and of each share, with every cell in every part."""
    cell, names = data.cells()
    keys = units.keys(cell, unit)
    for _ in range(TRIES):
        cuts_of: list[list[np.ndarray]] = [[] for _ in range(1 + len(shares))]
        for some in keys:
            sizes = [max(1, round(share * len(some))) for share in shares]
            cuts = np.split(rng.permutation(some), np.cumsum(sizes))
            for part, cut in zip([*cuts_of[1:], cuts_of[0]], cuts):
                part.append(cut)
        parts = [np.concatenate(part) for part in cuts_of]
        part_of = np.full(unit.max() + 1, -1)
        for k, drawn in enumerate(parts):
            part_of[drawn] = k
        there = part_of[unit]
        n = [len(np.unique(cell[there == k])) for k in range(len(parts))]
        if min(n) == len(np.unique(cell)):
            return parts
    per_cell = units.per_cell(cell, unit)
    rarest = names[per_cell.argmin()]
    raise ValueError(
        f"no draw of whole units has every cell in each part ({rarest!r} "
        f"occurs in {per_cell.min()} of {unit.max() + 1} units): collect more "
        "units, or merge or leave out what is rare"
    )


def _given(data: Features, val: float, rng) -> Split:
    """The data's own split; without rows to choose on, some are drawn to fit."""
    fit, chosen, tested = (np.flatnonzero(data.split == k) for k in range(3))
    if not len(chosen):
        part = data.take(fit)
        share = val / (1 - len(tested) / len(data))
        if part.units is None:
            parts = _split(_members(part.cells()[0]), share, 0.0, rng)
            # `_split` keeps a sample of each cell to test; here it is fitted.
            fit, chosen = fit[np.r_[parts.fit, parts.test]], fit[parts.val]
        else:
            drawn = _draw(part, part.units, (share,), rng)
            fit, chosen = (fit[np.isin(part.units, u)] for u in drawn)
    return Split(np.sort(fit), np.sort(chosen), np.sort(tested))
