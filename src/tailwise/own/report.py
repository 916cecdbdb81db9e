"""What is in your features, and what so much data can say at best."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler

from tailwise.methods import effective_dimension
from tailwise.methods.weighted import WeightedHead
from tailwise.own import units
from tailwise.own.features import Features, sample

MAX_ROWS = 20_000
RIDGE = 0.1  # of the head whose effective features are counted


@dataclass(frozen=True, kw_only=True)
class Report:
    """Counts, ratio and effective dimension of a data set.

    Attributes
    ----------
    n, d : int
    counts : DataFrame
        Samples per class and, where groups are known, per group.
    ratio : float
        Samples of the most common class over those of the rarest.
    dimensions : dict of str to float
        Features by each rule of `methods.effective_dimension`, and as the weighted head
        uses them (chapter 1).
    limit : float
        Effective features from which on no weights equalise the classes.
    sentences : tuple of str
        What so much data can say.
    """

    n: int
    d: int
    counts: pd.DataFrame
    ratio: float
    dimensions: dict[str, float]
    limit: float
    sentences: tuple[str, ...]


def report(data: Features, *, test: float = 0.2, seed: int = 0) -> Report:
    """Describe a data set before anything is fitted to decide.

    Parameters
    ----------
    data : Features
    test : float
        Share of the samples that one split of the pilot tests.
    seed : int
        Of the sample of rows that stands for more than 20,000.

    Returns
    -------
    Report
    """
    per_class = np.bincount(data.y, minlength=len(data.classes))
    part = sample(data, MAX_ROWS, seed=seed)
    dimensions, outside = _dimensions(part)
    limit = len(per_class) * per_class.min() / len(data) * len(part)
    rarest = str(data.classes[per_class.argmin()])
    behind = units.per_cell(data.y, data.units)
    of = "samples" if data.units is None else "units"
    sentences = [
        f"The rarest class, {rarest!r}, has {per_class.min():,} of {len(data):,} "
        f"samples; the most common has {per_class.max() / per_class.min():.1f} times "
        "as many.",
        _precision(f"class {rarest!r}", behind.min(), test, of),
    ]
    if data.group_names is not None:
        cell, names = data.cells()
        size = units.per_cell(cell, data.units)
        rare = f"group {names[size.argmin()]!r}"
        sentences += [_precision(rare, size.min(), test, of)]
        sentences += _absent(data, data.group_names)
    sentences += _units(data)
    used = dimensions["used by the weighted head"]
    sentences.append(
        f"A weighted head uses {used:.1f} effective features of {data.X.shape[1]}; "
        + (
            f"from {limit:.1f} on no weights equalise the classes, so regularise more "
            "or collect rare samples."
            if outside
            else f"that is below {limit:.1f}, so weights that equalise the classes "
            "exist."
        )
    )
    return Report(
        n=len(data),
        d=data.X.shape[1],
        counts=_counts(data),
        ratio=float(per_class.max() / per_class.min()),
        dimensions=dimensions,
        limit=float(limit),
        sentences=tuple(sentences),
    )


def _dimensions(data: Features) -> tuple[dict[str, float], bool]:
    """Each dimension, and whether the weights leave the domain of their rule."""
    Z = StandardScaler().fit_transform(data.X.astype(np.float64))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        head = WeightedHead(ridge=RIDGE).fit(Z, data.y)
    rules = {
        "PCA, 99 % of the variance": effective_dimension.pca_dimension,
        "participation ratio": effective_dimension.participation_ratio,
        "above the noise edge": effective_dimension.marchenko_pastur_dimension,
    }
    found = {name: float(rule(torch.from_numpy(Z))) for name, rule in rules.items()}
    return found | {"used by the weighted head": head.effective_dof_}, bool(caught)


def _precision(name: str, m: int, test: float, of: str) -> str:
    """How well the accuracy on `m` of them can be known: two errors at one half."""
    tested = max(1, round(test * m))
    one, all_of_them = (100 / np.sqrt(k) for k in (tested, m))
    return (
        f"One split tests {tested:,} {of} of {name} and knows an accuracy near 50 % "
        f"to ± {one:.0f} points; all {m:,} together give ± {all_of_them:.0f}."
    )


def _units(data: Features) -> list[str]:
    """How many objects there are, which is what intervals know of."""
    if data.units is None:
        return []
    rows = np.bincount(data.units)
    cell, names = data.cells()
    per_cell = units.per_cell(cell, data.units)
    rarest = names[per_cell.argmin()]
    each = f"{rows.min():,} to {rows.max():,} rows"
    if rows.min() == rows.max():
        each = f"{rows.max():,} rows each"
    return [
        f"The rows come from {len(rows):,} units of {each}, none of which is on two "
        f"sides of a split; intervals count units, and {rarest!r} occurs in "
        f"{per_cell.min():,}."
    ]


def _absent(data: Features, names: np.ndarray) -> list[str]:
    """A warning from chapter 2 where some class never occurs in some group."""
    table = pd.crosstab(data.groups, data.y).to_numpy()
    if ((table > 0).sum(1) == 1).all() or (table > 0).all():
        return []
    missing = [
        f"{data.classes[c]!s} in {names[g]!s}" for g, c in np.argwhere(table == 0)
    ]
    return [
        f"Never together: {'; '.join(missing[:4])}. Balance among the groups that "
        "exist rewards a head for using the group as evidence (chapter 2)."
    ]


def _counts(data: Features) -> pd.DataFrame:
    classes = pd.Series(data.classes[data.y], name="class")
    if data.group_names is None:
        return classes.value_counts().sort_index().to_frame("samples")
    groups = pd.Series(data.group_names[data.groups], name="group")
    table = pd.crosstab(classes, groups)
    return table.assign(samples=table.sum(axis=1))
