"""Your own features: read embeddings and labels, or say what to change in the file.

What cannot be used is refused with one sentence; what is left out, or looks odd, is a
warning.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tailwise.metrics.arrays import as_array
from tailwise.own import duplicate_rows, files, roles, units
from tailwise.own.raw import Raw, Wanted
from tailwise.own.read_table import from_table as raw_table
from tailwise.own.unusable_columns import clean

TAILS = ("refuse", "leave out", "merge")
MIN_CLASS = 10


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features of a frozen network with labels and, where known, groups and units.

    Attributes
    ----------
    X : ndarray of float32 [n, d]
        Or of float64, where a column needs it.
    y : ndarray of int64 [n]
        Positions in `classes`.
    classes : ndarray [k]
        The labels as they stand in the file, sorted.
    groups : ndarray of int64 [n] or None
        Positions in `group_names`.
    group_names : ndarray [g] or None
    columns : tuple of str
        The names of the features.
    units : ndarray of int64 [n] or None
        The patient, part, site or day of each row: none is on two sides of a split.
    unit_names : ndarray or None
    split : ndarray of int64 [n] or None
        One's own split: 0 to fit on, 1 to choose on, 2 to test on.
    """

    X: np.ndarray
    y: np.ndarray
    classes: np.ndarray
    groups: np.ndarray | None
    group_names: np.ndarray | None
    columns: tuple[str, ...]
    units: np.ndarray | None = None
    unit_names: np.ndarray | None = None
    split: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> "Features":
        """The samples at the given rows; the names of all roles stay as they are."""
        groups, split = (v if v is None else v[rows] for v in (self.groups, self.split))
        taken = replace(
            self, X=self.X[rows], y=self.y[rows], groups=groups, split=split
        )
        if self.units is None or self.unit_names is None:
            return taken
        present, code = np.unique(self.units[rows], return_inverse=True)
        return replace(taken, units=code, unit_names=self.unit_names[present])

    def cells(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """What every result is reported for: cell of each sample [n], and their names.

        Without groups the classes; with groups each combination of class and group
        that occurs. Where every group holds one class only, its name says enough.
        """
        if self.groups is None or self.group_names is None:
            return self.y, tuple(map(str, self.classes))
        pairs = self.y * len(self.group_names) + self.groups
        present, cell = np.unique(pairs, return_inverse=True)
        y, group = np.divmod(present, len(self.group_names))
        names = [str(self.group_names[g]) for g in group]
        if len(set(names)) < len(names):
            pair = "class {}, group {}" if self._numbered() else "{}, {}"
            names = [pair.format(self.classes[c], name) for c, name in zip(y, names)]
        return cell, tuple(names)

    def _numbered(self) -> bool:
        """Whether classes or groups have numbers for names."""
        names = self.classes, self.group_names
        return any(v is not None and v.dtype.kind != "U" for v in names)


def load(
    path: str | Path,
    *,
    features: str | Sequence[str] | None = None,
    label: str = "label",
    group: str | Sequence[str] | bool | None = None,
    unit: str | bool | None = None,
    split: str | bool | None = None,
    tails: str = "refuse",
) -> Features:
    """Read features, labels, groups and units from a file.

    Parameters
    ----------
    path : str or Path
        ``.csv``, ``.tsv`` (both also compressed) or ``.parquet``: a header, one sample
        a row. ``.npz``, or ``.pt`` with a dictionary: arrays ``X`` (or ``features``)
        [n, d], ``y`` (or ``label``, ``labels``) [n] and, if there are any, ``groups``,
        ``units`` and ``split``. ``.npy``: the features, with ``y.npy`` beside it.
    features : str or sequence of str, optional
        Name of the array, or names of the columns; by default every numeric column
        that has no other role and does not look like an identifier.
    label : str
        Name of the column, or of the array where it is none of the usual ones.
    group : str, sequence of str or False, optional
        Name of the column or array; by default ``groups`` or ``group`` if it is there.
        Of several columns each combination is a group. False leaves the groups out.
    unit : str or False, optional
        The patient, part, site or day that several rows come from; by default
        ``units`` or ``unit``. No unit is ever on two sides of a split.
    split : str or False, optional
        One's own split: train, val and test, or dates; by default ``split``.
    tails : {"refuse", "leave out", "merge"}
        What to do with classes of fewer than ten samples.

    Returns
    -------
    Features

    Raises
    ------
    ValueError
        One sentence that names what was found and what to change: arrays or columns
        that are missing, text, NaN or infinity among features, lengths that differ,
        labels that are measurements, one class, one group, a group of one sample, a
        unit on both sides of a split.
    FileNotFoundError
        Where there is no such file; says where it was looked for.

    Warns
    -----
    UserWarning
        For columns that are not used, rows that occur more than once or nearly so, and
        classes that are left out.
    """
    path = Path(path).expanduser()
    wanted = Wanted(features=features, label=label, group=group, unit=unit, split=split)
    if not path.is_file():
        files.check_kind(path)
        place = path.absolute().parent
        raise FileNotFoundError(f"no file {path.name} in {place}: correct the path")
    return _checked(files.read(path, wanted), tails)


def from_table(
    table: pd.DataFrame,
    *,
    features: str | Sequence[str] | None = None,
    label: str = "label",
    group: str | Sequence[str] | bool | None = None,
    unit: str | bool | None = None,
    split: str | bool | None = None,
    tails: str = "refuse",
) -> Features:
    """Features from a pandas DataFrame; everything else as in `load`."""
    wanted = Wanted(features=features, label=label, group=group, unit=unit, split=split)
    return _checked(raw_table(table, wanted, place="row {0} (the first is 0)"), tails)


def from_arrays(
    X: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    units: ArrayLike | None = None,
    split: ArrayLike | None = None,
    tails: str = "refuse",
) -> Features:
    """Features from ``X [n, d]``, ``y [n]`` and ``groups [n]`` that are in memory.

    Arrays, memory maps, tensors of any precision on any device, pandas objects, whose
    column names are kept. Errors and warnings as in `load`.

    Examples
    --------
    >>> data = from_arrays([[0.0], [1.0], [2.0]], ["ok", "ok", "crack"])
    >>> data.classes.tolist(), data.y.tolist()
    (['crack', 'ok'], [1, 1, 0])
    """
    if hasattr(X, "toarray"):
        raise ValueError("features are a sparse matrix: give X.toarray()")
    columns = tuple(map(str, X.columns)) if isinstance(X, pd.DataFrame) else ()
    given = (as_array(v) if v is not None else None for v in (groups, units, split))
    groups, units, split = given
    return _checked(
        Raw(
            X=as_array(X),
            y=as_array(y),
            groups=groups,
            units=units,
            split=split,
            columns=columns,
        ),
        tails,
    )


def _checked(raw: Raw, tails: str) -> Features:
    if tails not in TAILS:
        raise ValueError(f"unknown tails {tails!r}: expected one of {TAILS}")
    X = raw.X
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"features have shape {X.shape}: expected a row per sample")
    if X.dtype.kind not in "fiub":
        raise ValueError(
            f"features hold {str(X.flat[0])!r}: every feature must be a number, so "
            "save them with X.astype(float)"
        )
    for what, values in (("label", raw.y), ("group", raw.groups), ("unit", raw.units)):
        if values is not None and np.shape(values)[:1] != (len(X),):
            raise ValueError(
                f"lengths differ: {what} has shape {np.shape(values)} for {len(X):,} "
                "rows of features; give one value for each row"
            )
    names = raw.columns or tuple(f"f{k}" for k in range(X.shape[1]))
    X, columns = clean(raw, names)
    classes, y = roles.coded("label", raw.y, raw)
    group_names = groups = None
    if raw.groups is not None:
        group_names, groups = roles.coded("group", raw.groups, raw)
        _check_groups(group_names, groups)
    unit_names, unit = roles.unit_codes(raw)
    data = Features(
        X=X,
        y=y,
        classes=classes,
        groups=groups,
        group_names=group_names,
        columns=columns,
        units=unit,
        unit_names=unit_names,
        split=roles.split_codes(raw, unit, unit_names),
    )
    _warn_of_copies(data, raw)
    return _whole_split(_without_tails(data, tails))


def _check_groups(names: np.ndarray, groups: np.ndarray) -> None:
    counts = np.bincount(groups)
    if counts.min() < 2:
        raise ValueError(
            f"group {str(names[counts.argmin()])!r} has 1 sample: merge it with "
            "another group, collect more of it, or delete the row"
        )


def _warn_of_copies(data: Features, raw: Raw) -> None:
    X, n = data.X, len(data)
    of = "" if data.units is None else " of another unit"
    if len(again := duplicate_rows.copies(X, data.units)):
        warnings.warn(
            f"{len(again):,} of {n:,} rows repeat the features of an earlier one{of}, "
            f"first in {raw.at(int(again[0]))}: a sample that is fitted and "
            "also tested makes results look too good, so delete the copies",
            stacklevel=4,
        )
    found, looked_at, pair = duplicate_rows.near_repeats(X, data.units)
    if pair:
        cure = "delete one of each, or give both the same unit"
        if data.units is None:
            cure = (
                "if several rows come from one object, patient or day, name it as unit"
            )
        warnings.warn(
            f"{found:,} of {looked_at:,} rows that were looked at nearly repeat "
            f"another{of}, such as {raw.at(pair[0])} and {raw.at(pair[1])}: {cure}",
            stacklevel=4,
        )


def _without_tails(data: Features, tails: str) -> Features:
    counts = np.bincount(data.y, minlength=len(data.classes))
    small = np.flatnonzero(counts < MIN_CLASS)
    if tails == "refuse" or not len(small):
        return data
    named = ", ".join(f"{data.classes[k]!s} ({counts[k]})" for k in small)
    start = f"{len(small)} classes with fewer than {MIN_CLASS} samples"
    if tails == "merge":
        rest = f"rest of {len(small)}"
        names = data.classes.astype(str).astype(object)
        names[small] = rest
        classes, y = np.unique(names[data.y].astype(str), return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"{start} are all there are: collect more samples")
        warnings.warn(f"{start} are merged as {rest!r}: {named}", stacklevel=5)
        return replace(data, classes=classes, y=y)
    if len(counts) - len(small) < 2:
        raise ValueError(f"without {start} fewer than two are left: collect more")
    warnings.warn(f"{start} are left out: {named}", stacklevel=5)
    part = data.take(np.flatnonzero(~np.isin(data.y, small)))
    present, y = np.unique(part.y, return_inverse=True)
    return replace(part, classes=data.classes[present], y=y)


def _whole_split(data: Features) -> Features:
    """Rows that a split uses; every cell must be where it is needed."""
    if data.split is None:
        return data
    if (out := data.split < 0).any():
        warnings.warn(
            f"{out.sum():,} earlier rows of units that stand in a later part of the "
            "split are not used",
            stacklevel=5,
        )
        data = data.take(np.flatnonzero(~out))
    cell, names = data.cells()
    for part, name in ((0, "train"), (1, "val"), (2, "test")):
        here = np.flatnonzero(data.split == part)
        if part == 1 and not len(here):  # drawn from those to fit on
            continue
        if lacks := sorted(set(range(len(names))) - set(cell[here].tolist())):
            raise ValueError(
                f"{names[lacks[0]]!r} has no row in the part {name} of the split: "
                "every class and group must be in every part"
            )
    return data


def sample(data: Features, max_rows: int, *, seed: int = 0) -> Features:
    """At most about `max_rows` samples, the same share of each cell and at least one.

    Cells are those of `Features.cells`; the order of rows is kept. With units whole
    units are kept, in the same share of those with each cell.
    """
    if len(data) <= max_rows:
        return data
    cell, rng = data.cells()[0], np.random.default_rng(seed)
    share, kept = max_rows / len(data), []
    if data.split is not None:
        cell = 3 * cell + data.split
    if data.units is not None:
        for some in units.keys(cell, data.units):
            least = min(len(some), units.MIN_UNITS)
            kept.append(rng.permutation(some)[: max(least, round(share * len(some)))])
        return data.take(np.flatnonzero(np.isin(data.units, np.concatenate(kept))))
    for k in np.unique(cell):
        members = rng.permutation(np.flatnonzero(cell == k))
        kept.append(members[: max(1, round(share * len(members)))])
    return data.take(np.sort(np.concatenate(kept)))
