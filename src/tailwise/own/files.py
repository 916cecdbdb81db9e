"""Read arrays from an ``.npz`` or columns from a ``.csv``: no code runs."""

import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

NAMES = {
    "features": ("X", "features"),
    "label": ("y", "label", "labels"),
    "group": ("groups", "group"),
}


@dataclass(frozen=True, kw_only=True)
class Raw:
    """What stands in a file, not checked yet; `place` names a row as a reader would."""

    X: np.ndarray
    y: ArrayLike
    groups: ArrayLike | None
    columns: tuple[str, ...]
    place: str


def read_npz(path: Path, features, label: str, group: str | None) -> Raw:
    """The arrays of an ``.npz``; errors as in `tailwise.own.features.load`."""
    if features is not None and not isinstance(features, str):
        raise ValueError(f"features is {features!r}: for .npz give one array's name")
    try:
        file = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        file = None
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError(f"{path.name} is not an .npz file: write it with numpy.savez")
    with file:
        X = _array(file, _name("features", features, file.files))
        asked = None if label == "label" else label
        y = _array(file, _name("label", asked, file.files))
        name = _name("group", group, file.files)
        groups = None if name is None else _array(file, name)
    return Raw(X=X, y=y, groups=groups, columns=(), place="row {0} (the first is 0)")


def _name(what: str, asked: str | None, there: list[str]) -> str | None:
    usual = (asked,) if asked else NAMES[what]
    found = next((name for name in usual if name in there), None)
    if found is None and (asked or what != "group"):
        wanted = " or ".join(map(repr, usual))
        raise ValueError(
            f"no array {wanted} in the file: name the right one, it holds {some(there)}"
        )
    return found


def _array(file, name: str) -> np.ndarray:
    try:
        return file[name]
    except ValueError:  # NumPy's way to say that the array needs pickle
        raise ValueError(
            f"array {name!r} holds Python objects, which may run code when they are "
            "read: save it as numbers or as text, numpy.asarray(values, dtype=str)"
        ) from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error):
        raise ValueError(f"array {name!r} is damaged: write the file again") from None


def read_csv(path: Path, features, label: str, group: str | None) -> Raw:
    """The columns of a ``.csv``; errors and warnings as in `own.load`."""
    try:
        table = pd.read_csv(path, encoding="utf-8-sig", low_memory=False)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path.name} is empty: export it again") from None
    except (UnicodeDecodeError, pd.errors.ParserError):
        text = f"{path.name} is not a table in UTF-8 with commas: export it again"
        raise ValueError(text) from None
    names = list(table.columns)
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise ValueError(
            f"{path.name} has one column, {names[0][:40]!r}: separate with commas and "
            "write decimals with points"
        )
    if group is None:
        group = next((name for name in NAMES["group"] if name in names), None)
    asked = [features] if isinstance(features, str) else list(features or [])
    for name in [label, *([group] if group else []), *asked]:
        if name not in names:
            raise ValueError(
                f"no column {name!r} in the file: name the right one, it has "
                f"{some(names)}"
            )
    if known := [name for name in asked if name in (label, group)]:
        raise ValueError(
            f"features name the column {known[0]!r}, which is the label or the group: "
            "leave it out"
        )
    others = [name for name in names if name not in (label, group)]
    chosen = asked or _numeric(table, others)
    if not chosen:
        raise ValueError(
            "no column of numbers in the file: write the features as numbers, it has "
            f"{some(names)}"
        )
    for name in chosen:
        _check_numbers(table[name])
    X = table[chosen].to_numpy(np.float32)
    groups = None if group is None else table[group]
    return Raw(
        X=X,
        y=table[label],
        groups=groups,
        columns=tuple(chosen),
        place="line {1} of the file",
    )


def some(names: Sequence[str]) -> str:
    """Names in a sentence: of many the first and the last, where labels often are."""
    quoted = [repr(name) for name in names]
    if len(names) > 12:
        quoted[6:-6] = [f"{len(names) - 12} more"]
    return ", ".join(quoted)


def _is_number(column: pd.Series) -> bool:
    return column.dtype.kind in "iufb"


def _numeric(table: pd.DataFrame, names: list[str]) -> list[str]:
    """Columns that hold numbers; warns of those of text and of row numbers."""
    count = np.arange(len(table))
    text, rows = [], []
    for name in names:
        column = table[name]
        if not _is_number(column):
            with_points = column.astype(str).str.replace(",", ".")
            if not pd.to_numeric(with_points, errors="coerce").notna().any():
                text.append(name)
        elif column.dtype.kind == "i" and (column - column.iloc[0] == count).all():
            rows.append(name)
    for left, why in ((text, "holds text"), (rows, "counts the rows")):
        for name in left:
            warnings.warn(
                f"column {name!r} {why} and is not used as a feature", stacklevel=4
            )
    return [name for name in names if name not in {*text, *rows}]


def _check_numbers(column: pd.Series) -> None:
    if _is_number(column):
        return
    bad = pd.to_numeric(column, errors="coerce").isna() & column.notna()
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise ValueError(
            f"column {column.name!r} holds {column.iloc[row]!r} in line {row + 2} of "
            "the file: a feature must be a number, so correct it, write decimals with "
            "points, or name the other columns in features"
        )
