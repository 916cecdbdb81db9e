"""One study from settings to a verdict: the page and the command run the same code."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tailwise.own.boards import alarms_per_hit
from tailwise.own.costs import Costs
from tailwise.own.export import Chosen, Exported, check_folder, export, refit
from tailwise.own.features import Features, load
from tailwise.own.pilot import Pilot, check_objective, class_to_find, pilot
from tailwise.own.report import Report, report
from tailwise.own.splits import draw_splits
from tailwise.own.verdict import Verdict, check_effect, check_price, verdict


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a reader decides before anything is computed.

    Attributes
    ----------
    path : str or Path
    features, label, group, unit, split, tails
        As in `own.load`.
    objective : {"balanced", "worst", "cost"}
    smallest_effect, accept, max_alarms
        As in `own.verdict`.
    positive : str or None
        The class to be found; by default the rarest.
    cost_miss, cost_false_alarm : float
        In `currency`; without `cost_miss` nothing is said about costs.
    currency : str
    n_splits, max_rows, seed : int
    out : str, Path or None
        Folder for the head and the report.
    """

    path: str | Path
    features: str | Sequence[str] | None = None
    label: str = "label"
    group: str | Sequence[str] | bool | None = None
    unit: str | bool | None = None
    split: str | bool | None = None
    tails: str = "refuse"
    objective: str = "balanced"
    smallest_effect: float = 0.02
    accept: float = 0.05
    max_alarms: float | None = None
    positive: str | None = None
    cost_miss: float | None = None
    cost_false_alarm: float = 1.0
    currency: str = ""
    n_splits: int = 12
    max_rows: int = 20_000
    seed: int = 0
    out: str | Path | None = None

    @property
    def costs(self) -> Costs | None:
        """What a miss and a false alarm cost, if that was said."""
        if self.cost_miss is None:
            return None
        return Costs(
            miss=self.cost_miss,
            false_alarm=self.cost_false_alarm,
            currency=self.currency,
        )


@dataclass(frozen=True, kw_only=True)
class Study:
    """What was found, from counts to the head that goes on.

    Attributes
    ----------
    settings : Settings
    data : Features
    report : Report
    pilot : Pilot
    verdict : Verdict
    by_class : Verdict or None
        Judged by class alone, where there are groups.
    head : Chosen
    """

    settings: Settings
    data: Features
    report: Report
    pilot: Pilot
    verdict: Verdict
    by_class: Verdict | None
    head: Chosen

    @property
    def threshold(self) -> dict | None:
        """Class, threshold and costs for ``head.json``, where costs were given."""
        costs = self.settings.costs
        if costs is None:
            return None
        m = self.pilot.heads.index(self.head.name)
        return {
            "class": str(self.data.classes[self.pilot.positive]),
            "alarm_from": float(self.pilot.threshold[:, m].mean()),
            "on": "the probability of this class in risk.pt",
            "cost_miss": costs.miss,
            "cost_false_alarm": costs.false_alarm,
            "currency": costs.currency,
        }

    @property
    def alarms_per_hit(self) -> float:
        """Of the head that is exported, for the class to be found."""
        return float(alarms_per_hit(self.pilot)[self.pilot.heads.index(self.head.name)])


def prepare(settings: Settings) -> Features:
    """Read the file and refuse what cannot be used, before anything is computed.

    Raises
    ------
    ValueError, FileNotFoundError
        One sentence that says what to change: as `own.load`, `own.draw_splits`, and for
        settings that are out of their range.
    """
    check_objective(settings.objective, settings.costs)
    check_effect(settings.smallest_effect)
    check_price(settings.accept, settings.max_alarms)
    if settings.out is not None:
        check_folder(settings.out)
    data = load(
        settings.path,
        features=settings.features,
        label=settings.label,
        group=settings.group,
        unit=settings.unit,
        split=settings.split,
        tails=settings.tails,
    )
    class_to_find(data, settings.positive)
    draw_splits(data, settings.n_splits)
    return data


def study(
    data: Features,
    settings: Settings,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Study:
    """Describe the data, run the pilot, judge it, and fit the chosen head."""
    found = pilot(
        data,
        n_splits=settings.n_splits,
        objective=settings.objective,
        costs=settings.costs,
        positive=settings.positive,
        max_rows=settings.max_rows,
        seed=settings.seed,
        progress=progress,
    )
    judged = partial(
        verdict,
        found,
        smallest_effect=settings.smallest_effect,
        accept=settings.accept,
        max_alarms=settings.max_alarms,
    )
    answer, by_class = judged(), None
    if data.groups is not None and settings.objective != "cost":
        by_class = judged(by="class")
    return Study(
        settings=settings,
        data=data,
        report=report(data, seed=settings.seed),
        pilot=found,
        verdict=answer,
        by_class=by_class,
        head=refit(data, answer.chosen, objective=settings.objective),
    )


def write(done: Study, folder: str | Path, page: str) -> Exported:
    """Write the head, what it is, and the report into a folder, whole or not at all."""
    return export(
        done.head,
        folder,
        sentence=done.verdict.sentence,
        threshold=done.threshold,
        page=page,
    )
