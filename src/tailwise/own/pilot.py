"""A pilot on your features: the same splits for every head, and paired differences."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tailwise.methods.calibration import confidence_bins, error_of_bins
from tailwise.own import heads
from tailwise.own.features import Features, sample
from tailwise.own.heads import DFR, HEADS, OBJECTIVES, Setting

MIN_CLASS, MIN_CELL, N_BINS = 10, 3, 10


@dataclass(frozen=True)
class Split:
    """Rows to fit on, to choose settings on, and to test on; none is in two parts."""

    fit: np.ndarray
    val: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """What every head did on the test part of every split.

    Attributes
    ----------
    data : Features
        What was used: a sample of the file where that is large.
    splits : tuple of Split
    heads : tuple of str
        M heads; the first is the plain one.
    objective : str
    cells : tuple of str
        Names of the G classes, or of the groups within classes.
    by_class : ndarray [S, M, k]
        Test accuracy in each of S splits.
    by_cell : ndarray [S, M, G]
        The same numbers as `by_class` where there are no groups.
    mean : ndarray [S, M]
        Over all test samples.
    bins : ndarray [S, M, 10, 3]
        Samples, summed confidence and hits by confidence, from 0 to 1.
    settings : dict of str to list of Setting
    notes : tuple of str
        What a reader of the results must know.
    """

    data: Features
    splits: tuple[Split, ...]
    heads: tuple[str, ...]
    objective: str
    cells: tuple[str, ...]
    by_class: np.ndarray
    by_cell: np.ndarray
    mean: np.ndarray
    bins: np.ndarray
    settings: dict[str, list[Setting]]
    notes: tuple[str, ...]

    @property
    def calibration_error(self) -> np.ndarray:
        """Expected calibration error in ten equal bins, [S, M]."""
        return error_of_bins(self.bins)


def draw_splits(
    data: Features,
    n_splits: int = 20,
    *,
    val: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> tuple[Split, ...]:
    """Independent random splits, each cell of `Features.cells` in the same shares.

    Raises
    ------
    ValueError
        With fewer than ten splits, shares that leave nothing to fit on, a class of
        fewer than ten samples, or a cell of fewer than three.
    """
    if n_splits < 10:
        raise ValueError(f"n_splits is {n_splits}: an interval needs at least 10")
    if not (val > 0 and test > 0 and val + test < 0.9):
        raise ValueError(f"val is {val} and test is {test}: leave a tenth to fit on")
    cell, names = data.cells()
    for what, code, labels, least in (
        ("class", data.y, data.classes, MIN_CLASS),
        ("group", cell, names, MIN_CELL),
    ):
        counts = np.bincount(code, minlength=len(labels))
        if counts.min() < least:
            number = "1 sample" if counts.min() == 1 else f"{counts.min()} samples"
            raise ValueError(
                f"{what} {str(labels[counts.argmin()])!r} has {number} and needs "
                f"{least} to be split: collect more, merge it or leave it out"
            )
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(cell == k) for k in range(len(names))]
    return tuple(_split(members, val, test, rng) for _ in range(n_splits))


def check_objective(objective: str) -> None:
    """Refuse an objective that `pilot` does not know."""
    if objective not in OBJECTIVES:
        raise ValueError(f"unknown objective {objective!r}: expected {OBJECTIVES}")


def _split(members: Sequence[np.ndarray], val: float, test: float, rng) -> Split:
    parts = []
    for rows in members:
        n_val, n_test = (max(1, round(share * len(rows))) for share in (val, test))
        parts.append(np.split(rng.permutation(rows), [n_test, n_test + n_val]))
    tested, chosen, fitted = (np.sort(np.concatenate(part)) for part in zip(*parts))
    return Split(fitted, chosen, tested)


def pilot(
    data: Features,
    splits: Sequence[Split] | None = None,
    *,
    n_splits: int = 20,
    objective: str = "balanced",
    max_rows: int = 20_000,
    seed: int = 0,
) -> Pilot:
    """Fit every head on every split and test it.

    In a split each head chooses its setting on the validation rows, is refitted on
    fitting and validation rows together, and predicts the test rows once.

    Parameters
    ----------
    data : Features
    splits : sequence of Split, optional
        By default `draw_splits` with `n_splits` and `seed`.
    n_splits : int
    objective : {"balanced", "worst"}
        What settings are chosen for: the mean or the smallest accuracy over cells.
    max_rows : int
        A larger file is sampled, in the same shares, and a note says so. Splits that
        are given are used as they are.
    seed : int

    Returns
    -------
    Pilot

    Raises
    ------
    ValueError
        As `draw_splits`, and for an unknown objective.
    """
    check_objective(objective)
    notes = []
    if splits is None:
        everything, data = data, sample(data, max_rows, seed=seed)
        if len(data) < len(everything):
            rarest = np.bincount(data.y).min()
            notes.append(
                f"{len(data):,} of {len(everything):,} rows were used, with {rarest:,} "
                f"of the rarest class; max_rows={len(everything)} uses all"
            )
        splits = draw_splits(data, n_splits, seed=seed)
    refusal = heads.dfr_refusal(data)
    names = HEADS if refusal else (*HEADS, DFR)
    notes += [refusal] if refusal else []
    found, settings = [], {name: [] for name in names}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for split in splits:
            fitted, tested = {}, []
            for name in names:
                head, setting = _fit(name, data, split, objective, seed, fitted)
                settings[name].append(setting)
                tested.append(_test(head, data, split.test))
            found.append(tested)
    notes += _summary(caught)
    by_class, by_cell, mean, bins = (
        np.array([[one[k] for one in row] for row in found]) for k in range(4)
    )
    return Pilot(
        data=data,
        splits=tuple(splits),
        heads=tuple(names),
        objective=objective,
        cells=data.cells()[1],
        by_class=by_class,
        by_cell=by_cell,
        mean=mean,
        bins=bins,
        settings=settings,
        notes=tuple(notes),
    )


def _fit(name, data: Features, split: Split, objective, seed, fitted):
    setting = heads.choose(name, data, split.fit, split.val, objective, fitted)
    rows = np.concatenate([split.fit, split.val])
    cell = data.cells()[0][rows]
    head = heads.build(name, setting, data.X[rows], data.y[rows], cell, seed=seed)
    return head, setting


def _test(head, data: Features, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Accuracy per class, per cell and in the mean, and bins of confidence."""
    probability = head.predict_proba(data.X[rows])
    hit = probability.argmax(1) == data.y[rows]
    cell = data.cells()[0]
    by_class, by_cell = (
        np.bincount(code[rows], hit) / np.bincount(code[rows])
        for code in (data.y, cell)
    )
    sure = torch.from_numpy(probability.max(1)), torch.from_numpy(hit)
    bins = confidence_bins(*sure, n_bins=N_BINS).numpy()
    return by_class, by_cell, hit.mean(), bins


def _summary(caught) -> list[str]:
    """One note for each kind of warning, with how often it came."""
    kinds: dict[str, list[str]] = {}
    for warning in caught:
        kinds.setdefault(warning.category.__name__, []).append(str(warning.message))
    return [
        f"{len(texts)} times while fitting: {texts[0].splitlines()[0]}"
        for texts in kinds.values()
    ]
