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

from tailwise.own.files import Raw, read_csv, read_npz

READERS = {".npz": read_npz, ".csv": read_csv}


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features of a frozen network with labels and, where known, groups.

    Attributes
    ----------
    X : ndarray of float32 [n, d]
    y : ndarray of int64 [n]
        Positions in `classes`.
    classes : ndarray [k]
        The labels as they stand in the file, sorted.
    groups : ndarray of int64 [n] or None
        Positions in `group_names`.
    group_names : ndarray [g] or None
    columns : tuple of str
        The names of the features.
    """

    X: np.ndarray
    y: np.ndarray
    classes: np.ndarray
    groups: np.ndarray | None
    group_names: np.ndarray | None
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> "Features":
        """The samples at the given rows; classes and group names stay as they are."""
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, X=self.X[rows], y=self.y[rows], groups=groups)

    def cells(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """What every result is reported for: cell of each sample [n], and their names.

        Without groups the classes; with groups each combination of class and group
        that occurs. Where every group holds one class only, its name says enough.
        """
        if self.groups is None:
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
        return any(v.dtype.kind != "U" for v in (self.classes, self.group_names))


def load(
    path: str | Path,
    *,
    features: str | Sequence[str] | None = None,
    label: str = "label",
    group: str | bool | None = None,
) -> Features:
    """Read features, labels and groups from an ``.npz`` or a ``.csv`` file.

    Parameters
    ----------
    path : str or Path
        ``.npz``: arrays ``X`` (or ``features``) [n, d], ``y`` (or ``label``,
        ``labels``) [n] and, if there are any, ``groups`` (or ``group``) [n].
        ``.csv``: a header, commas, one sample a line.
    features : str or sequence of str, optional
        Name of the array, or names of the columns; by default every numeric column
        that is neither label nor group.
    label : str
        Name of the column, or of the array where it is none of the usual ones.
    group : str or False, optional
        Name of the column or array; by default ``groups`` or ``group`` if it is there.
        False leaves the groups out.

    Returns
    -------
    Features

    Raises
    ------
    ValueError
        One sentence that names what was found and what to change: arrays or columns
        that are missing, text, NaN or infinity among features, lengths that differ,
        labels that are measurements, one class, one group, a group of one sample.
    FileNotFoundError
        Where there is no such file; says where it was looked for.

    Warns
    -----
    UserWarning
        For columns that are not used, and for rows that occur more than once.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise ValueError(
            f"{path.name} is neither .npz nor .csv: save it as one of them"
        )
    if not path.is_file():
        place = path.absolute().parent
        raise FileNotFoundError(f"no file {path.name} in {place}: correct the path")
    raw = READERS[path.suffix.lower()](path, features, label, group or None)
    return _checked(replace(raw, groups=None) if group is False else raw)


def from_arrays(
    X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None
) -> Features:
    """Features from ``X [n, d]``, ``y [n]`` and ``groups [n]`` that are in memory.

    Errors and warnings as in `load`.

    Examples
    --------
    >>> data = from_arrays([[0.0], [1.0], [2.0]], ["ok", "ok", "crack"])
    >>> data.classes.tolist(), data.y.tolist()
    (['crack', 'ok'], [1, 1, 0])
    """
    return _checked(
        Raw(
            X=np.asarray(X),
            y=y,
            groups=groups,
            columns=(),
            place="row {0} (the first is 0)",
        )
    )


def _checked(raw: Raw) -> Features:
    X = raw.X
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"features have shape {X.shape}: expected a row per sample")
    if X.dtype.kind not in "fiub":
        raise ValueError(
            f"features hold {str(X.flat[0])!r}: every feature must be a number, so "
            "save them with X.astype(float)"
        )
    for name, values in (("label", raw.y), ("group", raw.groups)):
        if values is not None and np.shape(values) != (len(X),):
            raise ValueError(
                f"lengths differ: {name} has shape {np.shape(values)} for {len(X):,} "
                "rows of features; give one value for each row"
            )
    columns = raw.columns or tuple(f"f{k}" for k in range(X.shape[1]))
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused
        X = X.astype(np.float32, copy=False)
    _check_finite(X, columns, raw.place)
    classes, y = _coded("label", raw.y, raw.place)
    if raw.groups is None:
        names, groups = None, None
    else:
        names, groups = _coded("group", raw.groups, raw.place)
        _check_groups(names, groups)
    _warn_of_copies(X, raw.place)
    return Features(
        X=X, y=y, classes=classes, groups=groups, group_names=names, columns=columns
    )


def _at(place: str, row: int) -> str:
    """A row as one finds it: by its number, or by its line below the header."""
    return place.format(row, row + 2)


def _check_finite(X: np.ndarray, columns: Sequence[str], place: str) -> None:
    good = np.isfinite(X)
    if not good.all():
        row, column = np.argwhere(~good)[0]
        more = f", and {n - 1:,} more do" if (n := int((~good).sum())) > 1 else ""
        raise ValueError(
            f"column {columns[column]!r} holds {X[row, column]} in {_at(place, row)}"
            f"{more}: fill in numbers or delete the rows"
        )


def _coded(what: str, values: ArrayLike, place: str) -> tuple[np.ndarray, np.ndarray]:
    """The sorted names among `values`, and the position of each value in them."""
    values = np.asarray(values)
    values = pd.Series(np.char.decode(values) if values.dtype.kind == "S" else values)
    if (empty := values.isna().to_numpy()).any():
        raise ValueError(
            f"{what} is empty, or reads NA or None, in {_at(place, empty.argmax())}: "
            "fill in a name or delete the row"
        )
    if values.dtype.kind == "f":
        values = _whole(what, values.to_numpy(), place)
    elif values.dtype.kind in "iub":
        values = values.to_numpy()
    else:
        values = values.to_numpy().astype(str)
    names, code = np.unique(values, return_inverse=True)
    if len(names) == 1:
        cure = (
            "add rows of another class"
            if what == "label"
            else "leave the groups out: group=False in load, GROUP = False in the page"
        )
        raise ValueError(f"{what} holds one value, {str(names[0])!r}: {cure}")
    if len(names) > max(20, len(code) // 4):
        raise ValueError(
            f"{what} holds {len(names):,} different values in {len(code):,} rows: it "
            f"looks like a number or a name for each row, so choose another {what}"
        )
    return names, code


def _whole(what: str, values: np.ndarray, place: str) -> np.ndarray:
    whole = values % 1 == 0
    if not whole.all():
        row = int((~whole).argmax())
        raise ValueError(
            f"{what} holds {values[row]} in {_at(place, row)}: it must be a class, so "
            "use integers or names, or cut the measurement into classes first"
        )
    return values.astype(np.int64)


def _check_groups(names: np.ndarray, groups: np.ndarray) -> None:
    counts = np.bincount(groups)
    if counts.min() < 2:
        raise ValueError(
            f"group {str(names[counts.argmin()])!r} has 1 sample: merge it with "
            "another group, collect more of it, or delete the row"
        )


def _warn_of_copies(X: np.ndarray, place: str) -> None:
    rows = pd.util.hash_pandas_object(pd.DataFrame(X), index=False)
    copies = rows.duplicated().to_numpy()
    if copies.any():
        warnings.warn(
            f"{copies.sum():,} of {len(X):,} rows repeat the features of an earlier "
            f"one, first in {_at(place, copies.argmax())}: a sample that is fitted and "
            "also tested makes results look too good, so delete the copies",
            stacklevel=4,
        )


def sample(data: Features, max_rows: int, *, seed: int = 0) -> Features:
    """At most about `max_rows` samples, the same share of each cell and at least one.

    Cells are those of `Features.cells`; the order of rows is kept.
    """
    if len(data) <= max_rows:
        return data
    cell, rng = data.cells()[0], np.random.default_rng(seed)
    share, rows = max_rows / len(data), []
    for k in np.unique(cell):
        members = rng.permutation(np.flatnonzero(cell == k))
        rows.append(members[: max(1, round(share * len(members)))])
    return data.take(np.sort(np.concatenate(rows)))
