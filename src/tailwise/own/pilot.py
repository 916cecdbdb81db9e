"""A pilot on your features: the same splits for every head, and paired differences."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tailwise.methods.calibration import error_of_bins
from tailwise.own import heads, units
from tailwise.own.costs import Costs, best_threshold
from tailwise.own.features import Features, sample
from tailwise.own.heads import DFR, HEADS, OBJECTIVES, Setting
from tailwise.own.measures import Answer, Measures, Question, measure, stacked
from tailwise.own.splits import Split, check_sizes, draw_splits

N_DRAWS = 200  # resamples of the test rows of one's own split

__all__ = ["Pilot", "Split", "check_objective", "draw_splits", "pilot"]


@dataclass(frozen=True, kw_only=True)
class Pilot(Measures):
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
        Test accuracy in each of S splits, or of S resamples of the test rows where the
        data bring their own split; the first of these are the test rows themselves.
    by_cell : ndarray [S, M, G]
        The same numbers as `by_class` where there are no groups.
    mean : ndarray [S, M]
        Over all test samples.
    bins, bins_after : ndarray [S, M, 15, 3]
        Samples, summed confidence and hits by confidence, from 0 to 1; before and
        after the prior correction and one temperature, from validation rows.
    confusion : ndarray [S, M, k, k]
        Test samples by true and by predicted class.
    average_precision : ndarray [S, M, k]
    probability : ndarray [S, M, 2, k]
        Mean probability of each class, before and after.
    share : ndarray [S, M, k]
        Of the classes among the test samples.
    cost : ndarray [S, M, 4]
        Per thousand samples: for the likeliest class, at the threshold, without any
        alarm, with nothing but alarms. NaN without costs.
    threshold : ndarray [S, M]
        On the probability of the class to be found, after correction.
    alarms : ndarray [S, M, 2]
        Alarms at the threshold, and hits among them.
    positive : int
        The class to be found: the rarest, or the one that was named.
    costs : Costs or None
    settings : dict of str to list of Setting
    notes : tuple of str
        What a reader of the results must know.
    """

    data: Features
    splits: tuple[Split, ...]
    heads: tuple[str, ...]
    objective: str
    cells: tuple[str, ...]
    positive: int
    costs: Costs | None
    settings: dict[str, list[Setting]]
    notes: tuple[str, ...]

    @property
    def calibration_error(self) -> np.ndarray:
        """Expected calibration error in fifteen equal bins, [S, M]."""
        return error_of_bins(self.bins)

    @property
    def calibration_error_after(self) -> np.ndarray:
        """The same after the prior correction and the temperature."""
        return error_of_bins(self.bins_after)

    @property
    def given_split(self) -> bool:
        """Whether the data brought their own split, whose test rows were resampled."""
        return self.data.split is not None and len(self.splits) == 1

    @property
    def size(self) -> np.ndarray:
        """Distinct units, or else samples, behind the numbers of each cell, [G]."""
        return units.per_cell(self.data.cells()[0], self.data.units)


def check_objective(objective: str, costs: Costs | None = None) -> None:
    """Refuse an objective that `pilot` does not know, or cannot reach."""
    if objective not in OBJECTIVES:
        raise ValueError(f"unknown objective {objective!r}: expected {OBJECTIVES}")
    if objective == "cost" and costs is None:
        raise ValueError("the objective is 'cost': say what a miss costs (COST_MISS)")


def pilot(
    data: Features,
    splits: Sequence[Split] | None = None,
    *,
    n_splits: int = 20,
    objective: str = "balanced",
    costs: Costs | None = None,
    positive: str | None = None,
    max_rows: int = 20_000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Pilot:
    """Fit every head on every split and test it.

    In a split each head chooses its setting on the validation rows; there, too, the
    prior correction, the temperature and the threshold are found. Then it is refitted
    on fitting and validation rows together, and predicts the test rows once.

    Parameters
    ----------
    data : Features
    splits : sequence of Split, optional
        By default `draw_splits` with `n_splits` and `seed`.
    n_splits : int
    objective : {"balanced", "worst", "cost"}
        What settings are chosen for: the mean or the smallest accuracy over cells. For
        "cost" they are chosen as for "balanced", and the threshold for the cost.
    costs : Costs, optional
    positive : str, optional
        The class to be found, as it stands in the file; by default the rarest.
    max_rows : int
        A larger file is sampled, in the same shares, and a note says so. Splits that
        are given are used as they are.
    seed : int
    progress : callable, optional
        Is told how many splits are done, and how many there are.

    Returns
    -------
    Pilot

    Raises
    ------
    ValueError
        As `draw_splits`, and for an unknown objective or class.
    """
    check_objective(objective, costs)
    notes = []
    if splits is None:
        check_sizes(data)
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
    asked = Question(
        n_classes=len(data.classes),
        n_cells=len(data.cells()[1]),
        positive=class_to_find(data, positive),
        costs=costs,
    )
    cell, found = data.cells()[0], []
    settings: dict[str, list[Setting]] = {name: [] for name in names}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for done, split in enumerate(splits):
            answers = _answers(data, split, names, objective, asked, seed, settings)
            found += [
                [
                    measure(
                        _part(a, rows),
                        data.y[split.test][rows],
                        cell[split.test][rows],
                        asked,
                    )
                    for a in answers
                ]
                for rows in _draws(data, split, len(splits), seed)
            ]
            if progress:
                progress(done + 1, len(splits))
    notes += _summary(caught)
    if data.split is not None and len(splits) == 1:
        notes.append(
            "your own split was used: intervals are over its test samples, and do not "
            "tell how much another fit would differ"
        )
    return Pilot(
        data=data,
        splits=tuple(splits),
        heads=tuple(names),
        objective=objective,
        cells=data.cells()[1],
        positive=asked.positive,
        costs=costs,
        settings=settings,
        notes=tuple(notes),
        **stacked(found),
    )


def class_to_find(data: Features, positive: str | None) -> int:
    """Position of the class that alarms are about: the rarest, or the one named."""
    if positive is None:
        return int(np.bincount(data.y).argmin())
    names = [str(name) for name in data.classes]
    if str(positive) not in names:
        raise ValueError(f"no class {positive!r}: the file has {names}")
    return names.index(str(positive))


def _answers(data, split: Split, names, objective, asked, seed, settings):
    """What each head says about the test rows."""
    fitted: dict = {}
    answers = []
    both = heads.rows_of(data, np.concatenate([split.fit, split.val]))
    X_val, y_val = data.X[split.val], data.y[split.val]
    X_test = data.X[split.test]
    for name in names:
        setting = heads.choose(name, data, split.fit, split.val, objective, fitted)
        settings[name].append(setting)
        first = heads.chosen(name, setting, fitted, seed=seed)
        found = heads.recalibrate(first, X_val, y_val)
        threshold = np.nan
        if asked.costs:
            p = found.probability(heads.logits(first, X_val))[:, asked.positive]
            threshold = best_threshold(p, y_val == asked.positive, asked.costs)
        head = heads.build_on(both, name, setting, seed=seed)
        answers.append(
            Answer(
                logits=heads.logits(head, X_test),
                recalibration=found,
                threshold=threshold,
            )
        )
    return answers


def _part(answer: Answer, rows: np.ndarray) -> Answer:
    return Answer(
        logits=answer.logits[rows],
        recalibration=answer.recalibration,
        threshold=answer.threshold,
    )


def _draws(data: Features, split: Split, n_splits: int, seed: int):
    """Test rows once; where the split is the data's own, also resampled by units."""
    n = len(split.test)
    yield np.arange(n)
    if data.split is None or n_splits > 1:
        return
    part, rng = data.take(split.test), np.random.default_rng(seed)
    # Cells of the whole data, so that their numbers stay.
    cell = data.cells()[0][split.test]
    unit = np.arange(n) if part.units is None else part.units
    keys = units.keys(cell, unit)
    rows = np.argsort(unit, kind="stable")
    start = np.searchsorted(unit[rows], np.arange(unit.max() + 2))
    done = 1
    while done < N_DRAWS:
        drawn = np.concatenate([rng.choice(some, len(some)) for some in keys])
        again = np.concatenate([rows[start[u] : start[u + 1]] for u in drawn])
        if len(np.unique(cell[again])) == len(np.unique(cell)):
            done += 1
            yield again


def _summary(caught) -> list[str]:
    """One note for each kind of warning, with how often it came."""
    kinds: dict[str, list[str]] = {}
    for warning in caught:
        kinds.setdefault(warning.category.__name__, []).append(str(warning.message))
    return [
        f"{len(texts)} times while fitting: {texts[0].splitlines()[0]}"
        for texts in kinds.values()
    ]
