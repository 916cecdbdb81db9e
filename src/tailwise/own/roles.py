"""Labels, groups, units and a split of one's own: checked, and coded as numbers."""

import warnings

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tailwise.metrics.arrays import as_array
from tailwise.own.raw import Raw

PARTS = {
    "fit": ("fit", "train", "training", "tr"),
    "val": ("val", "valid", "validation", "dev", "choose"),
    "test": ("test", "testing", "holdout", "held-out", "te"),
}
LIKE_MISSING = {"na", "n/a", "none", "null", "nan"}
LATEST = 0.2  # of the rows, in order of time, are tested; as many before them choose


def coded(what: str, values: ArrayLike, raw: Raw) -> tuple[np.ndarray, np.ndarray]:
    """The sorted names among `values`, and the position of each value in them."""
    values = names_of(what, values, raw)
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


def names_of(what: str, values: ArrayLike, raw: Raw) -> np.ndarray:
    """Labels as names without spaces around them, or as whole numbers."""
    given = as_array(values)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim == 2 and what == "group":
        given = _joined(what, given, raw)
    if given.shape != (len(raw.X),):
        raise ValueError(
            f"lengths differ: {what} has shape {given.shape} for {len(raw.X):,} rows "
            "of features; give one value for each row"
        )
    series = pd.Series(np.char.decode(given) if given.dtype.kind == "S" else given)
    if (empty := series.isna().to_numpy()).any():
        raise _empty(what, raw, empty)
    names = series.to_numpy()
    if names.dtype.kind == "O" and all(isinstance(v, int | np.integer) for v in names):
        names = names.astype(np.int64)  # a table's whole numbers that may be missing
    if names.dtype.kind == "f":
        return _whole(what, names, raw)
    if names.dtype.kind in "iub":
        return names
    text = np.char.strip(names.astype(str))
    if (blank := text == "").any():
        raise _empty(what, raw, blank)
    odd = sorted(name for name in set(text) if name.lower() in LIKE_MISSING)
    if odd and what == "label":
        warnings.warn(
            f"label {str(odd[0])!r} is taken for the name of a class: leave a cell "
            "empty where a label is missing",
            stacklevel=4,
        )
    return text


def _empty(what: str, raw: Raw, rows: np.ndarray) -> ValueError:
    where = raw.at(int(rows.argmax()))
    return ValueError(f"{what} is empty in {where}: fill in a name or delete the row")


def _joined(what: str, values: np.ndarray, raw: Raw) -> np.ndarray:
    """Several columns as one name a row; of booleans those that hold are named."""
    if values.dtype.kind == "b":
        names = [" + ".join(map(str, np.flatnonzero(row))) or "none" for row in values]
        return np.array(names)
    parts = [names_of(what, column, raw).astype(str) for column in values.T]
    return np.array([", ".join(row) for row in zip(*parts)])


def _whole(what: str, values: np.ndarray, raw: Raw) -> np.ndarray:
    whole = values % 1 == 0
    if not whole.all():
        row = int((~whole).argmax())
        raise ValueError(
            f"{what} holds {values[row]} in {raw.at(row)}: it must be a class, so "
            "use integers or names, or cut the measurement into classes first"
        )
    return values.astype(np.int64)


def unit_codes(raw: Raw) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Names of the units, and the unit of each row."""
    if raw.units is None:
        return None, None
    values = as_array(raw.units)
    if values.dtype.kind == "f":
        values = values.astype(str)
    names, code = np.unique(names_of("unit", values, raw), return_inverse=True)
    if len(names) < 3:
        raise ValueError(
            f"unit holds {len(names)} different values: fitting, choosing and testing "
            "need units of their own, so name a column with three or more"
        )
    return names, code


def split_codes(raw: Raw, units: np.ndarray | None, names) -> np.ndarray | None:
    """0, 1 or 2 for rows to fit on, to choose on and to test on; None without a split.

    Dates are put in order: the latest fifth is tested, the fifth before it chooses, and
    rows of units that stand in a later part are not used in an earlier one (-1).
    """
    if raw.split is None:
        return None
    values = pd.Series(as_array(raw.split)).reset_index(drop=True)
    if len(values) != len(raw.X):
        raise ValueError(
            f"lengths differ: split has {len(values):,} values for {len(raw.X):,} rows "
            "of features"
        )
    if values.isna().any():
        row = int(values.isna().to_numpy().argmax())
        raise ValueError(f"split is empty in {raw.at(row)}: say train, val or test")
    text = values.astype(str).str.strip().str.lower()
    known = {word: k for k, words in enumerate(PARTS.values()) for word in words}
    if text.isin(known).all():
        part = text.map(known).to_numpy()
        _check_units(part, units, names)
        return part
    if (when := _dates(values)) is None:
        row = int((~text.isin(known)).to_numpy().argmax())
        raise ValueError(
            f"split holds {str(values[row])!r} in {raw.at(row)}: write train, val or "
            "test, or name a column of dates (2026-11-27)"
        )
    rank = when.rank(method="max", pct=True).to_numpy()
    part = np.select([rank > 1 - LATEST, rank > 1 - 2 * LATEST], [2, 1], 0)
    if units is not None:
        last = np.full(len(names), -1)
        np.maximum.at(last, units, part)
        part = np.where(part == last[units], part, -1)
    return part


def _dates(values: pd.Series) -> pd.Series | None:
    if pd.api.types.is_numeric_dtype(values.dtype):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            when = pd.to_datetime(values, errors="coerce", utc=True)
    except (ValueError, TypeError, OverflowError):
        return None
    return None if when.isna().any() else when


def _check_units(part: np.ndarray, units: np.ndarray | None, names) -> None:
    if units is None:
        return
    sides = pd.crosstab(units, part).to_numpy() > 0
    if (both := sides.sum(1) > 1).any():
        where = [list(PARTS)[k] for k in np.unique(part)]
        k = int(both.argmax())
        seen = " and in ".join(w for w, there in zip(where, sides[k]) if there)
        raise ValueError(
            f"unit {str(names[k])!r} is in {seen}"
            f"{f', and {both.sum() - 1} more are' if both.sum() > 1 else ''}: a unit "
            "must be on one side of the split"
        )
