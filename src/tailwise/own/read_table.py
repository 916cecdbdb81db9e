"""Columns of a table: csv, tsv, parquet or a DataFrame. No code runs."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tailwise.own.raw import NAMES, ROLES, Raw, Wanted, some

# What stands for a missing number among features; among labels these are names.
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "nan", "NaN", "NULL", "null", "None")
# Numbers of a file that are whole; with zeros in front, or very long, they are names.
WHOLE, DIGITS = r"[+-]?(0|[1-9]\d{0,17})(\.0*)?", r"[+-]?\d+"
DECIMAL_COMMA = r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*"
IN_FILE = "line {1} of the file"


def read_text(path: Path, wanted: Wanted) -> Raw:
    """A ``.csv`` or ``.tsv``, compressed or not; errors as in `own.load`.

    A ``.csv`` may have semicolons in place of commas, not decimal commas.
    """
    sep = "\t" if ".tsv" in path.suffixes or ".tab" in path.suffixes else ","
    options = dict(sep=sep, encoding="utf-8-sig", low_memory=False)
    try:
        header = list(pd.read_csv(path, nrows=0, **options).columns)
        if sep == "," and len(header) == 1 and ";" in header[0]:
            options["sep"] = sep = ";"
            header = list(pd.read_csv(path, nrows=0, **options).columns)
        if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
            raise ValueError(
                f"{path.name} has one column, {header[0][:40]!r}: separate with commas "
                "and write decimals with points"
            )
        names = [name.strip() for name in header]
        roles = _roles(wanted, names)
        text = {
            raw
            for raw, name in zip(header, names)
            for found in roles.values()
            if name in found
        }
        table = pd.read_csv(
            path,
            dtype=dict.fromkeys(text, "str"),
            keep_default_na=False,
            na_values={name: MISSING for name in header if name not in text},
            **options,
        )
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path.name} is empty: export it again") from None
    except (UnicodeDecodeError, pd.errors.ParserError, EOFError, OSError):
        what = {"\t": "tabs", ";": "semicolons"}.get(sep, "commas")
        raise ValueError(
            f"{path.name} is not a table in UTF-8 with {what}: export it again"
        ) from None
    if sep == ";":
        _refuse_decimal_commas(table.drop(columns=text))
    table.columns = names
    for column in {name for found in roles.values() for name in found}:
        table[column] = _names(table[column])
    return from_table(table, wanted, place=IN_FILE)


def _refuse_decimal_commas(table: pd.DataFrame) -> None:
    for name, column in table.select_dtypes(exclude="number").items():
        hits = column.astype(str).str.fullmatch(DECIMAL_COMMA).to_numpy()
        if hits.any():
            row = int(hits.argmax())
            raise ValueError(
                f"{column.iloc[row]!r} in {IN_FILE.format(row, row + 2)}, column "
                f"{str(name).strip()!r}, has a decimal comma: write decimals with "
                "points"
            )


def read_parquet(path: Path, wanted: Wanted) -> Raw:
    """The columns of a ``.parquet``, which pyarrow reads."""
    try:
        table = pd.read_parquet(path)
    except ImportError:
        raise ValueError(
            f"{path.name} needs pyarrow to be read: pip install pyarrow, or save a .csv"
        ) from None
    except (OSError, ValueError):  # what pyarrow raises is one of them
        raise ValueError(f"{path.name} is damaged: write the table again") from None
    return from_table(table, wanted, place="row {0} (the first is 0)")


def from_table(table: pd.DataFrame, wanted: Wanted, *, place: str) -> Raw:
    """Features and labels from columns; a column of vectors is spread out."""
    table = table.rename(columns=lambda name: str(name).strip())
    names = list(table.columns)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two columns are called {twice!r}: rename one")
    roles = _roles(wanted, names)
    known = [name for found in roles.values() for name in found]
    asked = wanted.features
    asked = [asked] if isinstance(asked, str) else list(asked or [])
    for name in asked:
        if name not in names:
            raise ValueError(
                f"no column {name!r} in the file: name the right one, it has "
                f"{some(names)}"
            )
        if name in known:
            raise ValueError(
                f"features name the column {name!r}, which is the label or the group: "
                "leave it out"
            )
    for role in ROLES:  # what was refused as a group is no feature either
        known += NAMES[role] if getattr(wanted, role) is False else ()
    others = [name for name in names if name not in known]
    chosen = asked or _numeric(table, others)
    if not chosen:
        raise ValueError(
            "no column of numbers in the file: write the features as numbers, it has "
            f"{some(names)}"
        )
    X, columns = _numbers(table, chosen, place)
    given = {role: _column(table, found) for role, found in roles.items()}
    return Raw(
        X=X,
        y=given["label"],
        groups=given["group"],
        units=given["unit"],
        split=given["split"],
        columns=columns,
        place=place,
        asked=bool(asked),
    )


def _roles(wanted: Wanted, names: Sequence[str]) -> dict[str, list[str]]:
    """Which columns are the label, the groups, the unit and the split."""
    roles = {}
    for role in ROLES:
        asked = getattr(wanted, role)
        if isinstance(asked, list | tuple):
            missing = [name for name in asked if name not in names]
            if missing:
                raise ValueError(
                    f"no column {missing[0]!r} in the file: name the right one, it has "
                    f"{some(names)}"
                )
            roles[role] = list(asked)
        else:
            found = wanted.find(role, names, "column")
            roles[role] = [] if found is None else [found]
    return roles


def _column(table: pd.DataFrame, names: list[str]):
    if not names:
        return None
    return table[names[0]] if len(names) == 1 else table[names]


def _names(column: pd.Series) -> pd.Series:
    """Text of a file as names or whole numbers; an empty cell is missing."""
    text = column.str.strip()
    text = text.where(text != "")
    present = text.dropna()
    whole = present.str.fullmatch(WHOLE).all()
    if not whole and present.str.fullmatch(DIGITS).all():
        return text
    numbers = pd.to_numeric(present, errors="coerce")
    if numbers.isna().any():
        return text
    if whole:
        numbers = numbers.astype("int64")
    return numbers.reindex(text.index)


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype)


def _numeric(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Columns that hold some number or vectors; of the others a warning is given."""
    words = []
    for name in names:
        column = table[name]
        if _is_number(column) or _is_vectors(column):
            continue
        with_points = column.astype(str).str.replace(",", ".")
        if not pd.to_numeric(with_points, errors="coerce").notna().any():
            words.append(name)
    for name in words:
        hint = ""
        if 10 <= table[name].nunique() < len(table):
            hint = "; if rows that share one belong together, name it as the unit"
        text = f"column {name!r} holds text and is not used as a feature{hint}"
        warnings.warn(text, stacklevel=4)
    return [name for name in names if name not in words]


def _is_vectors(column: pd.Series) -> bool:
    first = column.iloc[0] if len(column) else None
    return isinstance(first, list | tuple | np.ndarray) and np.ndim(first) == 1


def _numbers(table: pd.DataFrame, chosen, place: str) -> tuple[np.ndarray, tuple]:
    parts, columns = [], []
    for name in chosen:
        column = table[name]
        if _is_vectors(column):
            lengths = column.map(len)
            if (lengths != lengths.iloc[0]).any():
                raise ValueError(f"column {name!r} holds vectors of several lengths")
            parts.append(np.stack(column.to_list()))
            columns += [f"{name}_{k}" for k in range(lengths.iloc[0])]
            continue
        _check_numbers(column, place)
        kind = np.float32 if column.dtype == np.float32 else np.float64
        parts.append(column.to_numpy(kind, na_value=np.nan)[:, None])
        columns.append(name)
    return np.concatenate(parts, 1), tuple(columns)


def _check_numbers(column: pd.Series, place: str) -> None:
    if _is_number(column):
        return
    bad = pd.to_numeric(column, errors="coerce").isna() & column.notna()
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise ValueError(
            f"column {column.name!r} holds {column.iloc[row]!r} in "
            f"{place.format(row, row + 2)}: a feature must be a number, so correct it, "
            "write decimals with points, or name the other columns in features"
        )
