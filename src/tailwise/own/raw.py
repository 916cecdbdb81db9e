"""What stands in a file or in memory, before anything is checked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

ROLES = ("label", "group", "unit", "split")
NAMES = {
    "features": ("X", "features"),
    "label": ("y", "label", "labels"),
    "group": ("groups", "group"),
    "unit": ("units", "unit"),
    "split": ("split",),
}


@dataclass(frozen=True, kw_only=True)
class Raw:
    """Features and their labels, not checked yet.

    `place` names a row as a reader would; `asked` are features that were asked for by
    name, which are kept where a column is only suspicious.
    """

    X: np.ndarray
    y: ArrayLike
    groups: ArrayLike | None = None
    units: ArrayLike | None = None
    split: ArrayLike | None = None
    columns: tuple[str, ...] = ()
    place: str = "row {0} (the first is 0)"
    asked: bool = False

    def at(self, row: int) -> str:
        """A row as one finds it: by its number, or by its line below the header."""
        return self.place.format(row, row + 2)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Names that a reader gave: None for the usual one, False for none at all."""

    features: str | Sequence[str] | None = None
    label: str = "label"
    group: str | Sequence[str] | bool | None = None
    unit: str | bool | None = None
    split: str | bool | None = None

    def find(self, role: str, there: Sequence[str], what: str) -> str | None:
        """The column or array of a role; a name that is not there is an error."""
        asked = getattr(self, role)
        if asked is False:
            return None
        if role == "label" and asked == "label" and what == "array":
            asked = None
        usual = (asked,) if asked else NAMES[role]
        found = next((name for name in usual if name in there), None)
        if found is None and (asked or role in ("features", "label")):
            wanted = " or ".join(map(repr, usual))
            has = "it holds" if what == "array" else "it has"
            raise ValueError(
                f"no {what} {wanted} in the file: name the right one, {has} "
                f"{some(there)}"
            )
        return found


def some(names: Sequence[str]) -> str:
    """Names in a sentence: of many the first and the last, where labels often are."""
    quoted = [repr(name) for name in names]
    if len(names) > 12:
        quoted[6:-6] = [f"{len(names) - 12} more"]
    return ", ".join(quoted)
