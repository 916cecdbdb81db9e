"""The ledger: what a paper claims, what a run measured, and the computed verdict."""

import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from numbers import Integral
from pathlib import Path

import pandas as pd
import yaml

from tailwise import profiles
from tailwise.files import PACKAGE, checkout, write_whole
from tailwise.ledger import provenance
from tailwise.metrics import (
    KINDS,
    MEAN_AND_ERROR,
    Estimate,
    chance_to_stay,
    decide,
    half_width,
    repetitions,
)

SMOKE_RUN = "smoke run, not a verdict"
VERDICTS = (
    "reproduced",
    "mixed",
    "not reproduced",
    "undecided",
    "not testable here",
    "not recorded yet",
    SMOKE_RUN,
)
MARKS = ("yes", "no", "open")
ALIKE = {"yes": "reproduced", "no": "not reproduced", "open": "undecided"}
ORIGINS = ("this paper", "another paper", "ours")
EVIDENCE = ("text", "abstract", "code", "second-hand")
CHANCE = 0.9  # of a fresh run of the same size to mark alike; less leaves a part open
RESEEDED = "laptop"  # the profile whose runs are repeated with fresh seeds
CARRYING = 4  # claims that a chapter shows at its top
SCHEMA = 2  # of records: 2 knows marks and exact quantities


@dataclass(frozen=True)
class Measurement:
    """A measured number, its standard error and how many repetitions it rests on."""

    value: float
    stderr: float = 0.0
    n: int = 1
    part: str | None = None

    @property
    def half(self) -> float:
        """Half of the 95 % interval; 0 of a number without a spread."""
        return float(half_width(self.stderr, self.n)) if self.stderr else 0.0

    @property
    def sd(self) -> float:
        """Of one repetition."""
        return self.stderr * math.sqrt(self.n)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement that can turn out wrong.

    Attributes
    ----------
    id : str
        ``"ch1.short_name"``.
    says : str
        The claim in our words.
    where : str
        Where the paper makes it or, for ours, where it is derived.
    metric : str
        The full definition of the number that is recorded.
    kind : {"at least", "at most", "agreement"}
        Whether the number must be at least `bound`, at most `bound`, or a difference
        whose absolute value must not exceed `bound`.
    bound : float
        The minimum effect, or the tolerance of an agreement.
    origin : {"this paper", "another paper", "ours"}
    evidence : {"text", "abstract", "code", "second-hand"} or ""
        What the statement was read in; empty for ours.
    source : str
        The other paper, for a claim of one.
    credit : str
        Who published the idea, for one of ours that is not new.
    paper_value : str
        The paper's own number with its unit, where we know one.
    deviations : str
        What we do differently from the paper.
    repetition : str
        What one repetition is, such as "seed", "network" or "split".
    paired : bool
        Whether the number is a difference within each repetition.
    exact : bool
        A closed form or algebra, which has no spread and needs no repetition.
    seeds : int
        Fewer repetitions than this leave a part open.
    profile : str
        The smallest profile that can test it.
    parts : tuple of str
        Names of the parts of a claim with several; empty for a plain one.
    changed : tuple of mappings
        ``date``, ``what`` and ``why``, where bound, kind or metric changed after a
        record had been seen.
    again : mapping of str to tuple of Measurement
        By part ("" for a claim without), what sets of fresh seeds gave.
    """

    id: str
    says: str
    where: str
    metric: str
    kind: str
    bound: float
    origin: str = "this paper"
    evidence: str = ""
    source: str = ""
    credit: str = ""
    paper_value: str = ""
    deviations: str = ""
    repetition: str = ""
    paired: bool = False
    exact: bool = False
    seeds: int = 1
    profile: str = "laptop"
    parts: tuple[str, ...] = ()
    changed: tuple[Mapping[str, str], ...] = ()
    again: Mapping[str, tuple[Measurement, ...]] = field(default_factory=dict)

    @property
    def needs(self) -> str:
        """What must hold of its number, such as "accuracy: needs ≥ 0.01"."""
        sign = {"at least": "≥ ", "at most": "≤ ", "agreement": "within ±"}
        return f"{self.metric}: needs {sign[self.kind]}{self.bound:g}"

    def interval(self, measured: Measurement) -> tuple[float, float]:
        """The 95 % interval; that of a mean of absolute values ends at zero."""
        low, high = measured.value - measured.half, measured.value + measured.half
        absolute = self.metric.startswith("mean absolute")
        return (max(low, 0.0) if absolute else low), high

    @property
    def is_ours(self) -> bool:
        return self.origin == "ours"


@dataclass(frozen=True)
class Chapter:
    """A chapter's claim file: its question, its paper, its claims by id.

    `headline` names the claims that carry the chapter, at most `CARRYING` of them.
    """

    key: str
    title: str
    question: str
    paper: dict
    page: str
    claims: dict[str, Claim]
    headline: Sequence[str] = ()

    @property
    def carrying(self) -> list[Claim]:
        """The claims of `headline`; without it, the first that the paper makes."""
        papers = [c.id for c in self.claims.values() if c.origin == "this paper"]
        return [self.claims[id] for id in self.headline or papers[:CARRYING]]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one run of a chapter measured.

    `stated` holds what each claim's number had to be when it was measured.
    """

    chapter: str
    profile: str
    provenance: dict
    measurements: dict[str, tuple[Measurement, ...]]
    verdicts: dict[str, str]
    stated: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA


def book_dir() -> Path:
    """The folder with ``claims/`` and ``results/``: the checkout's, or the wheel's."""
    root = checkout()
    return root / "book" if root else PACKAGE / "_book"


def results_dir(profile: str) -> Path:
    """Where runs write their records; ``$TAILWISE_RESULTS`` moves it."""
    if folder := os.environ.get("TAILWISE_RESULTS"):
        return Path(folder) / profile
    return (checkout() or Path.cwd()) / "_build" / "results" / profile


def chapters() -> list[str]:
    """Keys of the chapters that have a claim file, in order."""
    return sorted(path.stem for path in (book_dir() / "claims").glob("ch*.yml"))


def _claim(entry: dict) -> Claim:
    try:
        tuples = {name: tuple(entry.get(name, ())) for name in ("parts", "changed")}
        claim = Claim(**entry | tuples)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"claim {entry!r}: {error}") from None
    if fault := _fault(claim):
        raise ValueError(f"claim {claim.id!r}: {fault}")
    return claim


def _fault(claim: Claim) -> str | None:
    """What is wrong with a claim, in a sentence, or None."""
    for name, known in (
        ("kind", KINDS),
        ("profile", profiles.DECIDING),
        ("origin", ORIGINS),
        ("evidence", ("",) if claim.is_ours else EVIDENCE),
    ):
        if (value := getattr(claim, name)) not in known:
            return f"{name} {value!r} is not in {known}"
    if not isinstance(claim.bound, int | float):  # YAML reads 1e-2 as text
        return f"bound {claim.bound!r} is not a number"
    if not isinstance(claim.seeds, int):
        return f"seeds {claim.seeds!r} is not a whole number"
    if not claim.where:
        return "where is empty: name the place in the paper, or where it is derived"
    if bool(claim.source) != (claim.origin == "another paper"):
        return f"source is {claim.source!r}: a claim of another paper names it"
    if claim.exact == bool(claim.repetition):
        return "expected either exact: true or what a repetition is"
    for change in claim.changed:
        if missing := {"date", "what", "why"} - set(change):
            return f"a change lacks {', '.join(sorted(missing))}"
    return None


def load(chapter: str) -> Chapter:
    """Read ``claims/<chapter>.yml``.

    Raises
    ------
    ValueError
        If the chapter has no claim file, or an entry is malformed or doubled.
    """
    path = book_dir() / "claims" / f"{chapter}.yml"
    if not path.is_file():
        raise ValueError(f"no claims for {chapter!r}: expected one of {chapters()}")
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        claims = _with_fresh_seeds([_claim(entry) for entry in fields.pop("claims")])
        by_id = {claim.id: claim for claim in claims}
        found = Chapter(key=chapter, claims=by_id, **fields)
    except (AttributeError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path.name} is malformed: {error}") from error
    if len(by_id) != len(claims):
        raise ValueError(f"{path.name} lists a claim id twice")
    if len(found.headline) > CARRYING or not set(found.headline) <= by_id.keys():
        raise ValueError(
            f"{path.name}: headline is {found.headline}, "
            f"expected at most {CARRYING} ids of its claims"
        )
    return found


def distance(claim: Claim, measured: Measurement, scale: float = 1.0) -> float:
    """How far an effect is on the good side of its bound; negative on the other.

    `scale` multiplies the bound, to see what another one would say.
    """
    bound = scale * claim.bound
    if claim.kind == "agreement":
        return bound - abs(measured.value)
    return (
        measured.value - bound if claim.kind == "at least" else bound - measured.value
    )


def mark(claim: Claim, measured: Measurement, scale: float = 1.0) -> str:
    """Whether a part holds, as far as its repetitions tell: "yes", "no" or "open".

    As `mark_alone`, and "open" where runs with fresh seeds, of as many repetitions,
    are there and less than nine in ten of them mark alike.
    """
    found = mark_alone(claim, measured, scale)
    return found if likely_to_stay(found, again(claim, measured, scale)) else "open"


def mark_alone(claim: Claim, measured: Measurement, scale: float = 1.0) -> str:
    """What a run says of a part by itself: "yes", "no" or "open".

    It is open where the 95 % interval covers the bound, where a fresh run of the same
    size would mark alike less than nine times in ten (`metrics.chance_to_stay`), where
    there were fewer repetitions than the claim asks for, or a single one, and where the
    number is not finite. An exact quantity needs no repetition.
    """
    bound = scale * claim.bound
    if claim.exact:
        return decide(measured.value, 0.0, bound, claim.kind)
    if measured.n < max(2, claim.seeds):
        return "open"
    far = distance(claim, measured, scale)
    if chance_to_stay(far, measured.stderr, measured.n) < CHANCE:
        return "open"
    return decide(measured.value, measured.half, bound, claim.kind)


def why_open(claim: Claim, measured: Measurement) -> str:
    """Which condition leaves a part open, in a few words; empty if it is decided."""
    if mark(claim, measured) != "open":
        return ""
    alone = mark_alone(claim, measured)
    if alone != "open":
        runs = again(claim, measured)
        return f"{runs.count(alone)} of {len(runs)} runs with fresh seeds agree"
    if measured.n < (least := max(2, claim.seeds)):
        return f"{measured.n} of {least} repetitions"
    if not math.isfinite(measured.value):
        return "the number is not finite"
    if decide(measured.value, measured.half, claim.bound, claim.kind) == "open":
        return "the interval holds the limit"
    far = distance(claim, measured)
    chance = chance_to_stay(far, measured.stderr, measured.n)
    return f"{chance:.0%} of new runs would agree"


def again(claim: Claim, measured: Measurement, scale: float = 1.0) -> list[str]:
    """Marks of the same part in runs with fresh seeds and as many repetitions."""
    runs = claim.again.get(measured.part or "", ())
    return [mark_alone(claim, m, scale) for m in runs if m.n >= measured.n]


def likely_to_stay(mark: str, others: Sequence[str]) -> bool:
    """Whether at least nine in ten of other runs mark alike; true without others."""
    return others.count(mark) >= CHANCE * len(others)


def more_needed(claim: Claim, measured: Measurement) -> int | None:
    """Repetitions with which an open part would be decided, if the effect is as seen.

    Where runs with fresh seeds differ, the effect is their mean, and its spread is
    theirs if that is larger. None for a part that is decided or exact, and where ten
    thousand would not do.
    """
    if claim.exact or mark(claim, measured) != "open":
        return None
    runs = [measured, *claim.again.get(measured.part or "", ())]
    if mark_alone(claim, measured) == "open":
        runs = runs[:1]
    effect = replace(measured, value=statistics.fmean(m.value for m in runs))
    sds = [m.sd for m in runs]
    if len(runs) > 1:
        sds.append(statistics.stdev(m.value for m in runs) * math.sqrt(measured.n))
    found = repetitions(distance(claim, effect), max(sds), CHANCE)
    least = measured.n + 1 if len(runs) > 1 else claim.seeds
    return found and max(found, least)


def within_reach(needed: int, n: int) -> bool:
    """Whether the full profile affords so many repetitions, where a run had `n`."""
    return needed <= max(20, 4 * n)


def verdict(
    claim: Claim,
    measured: tuple[Measurement, ...],
    profile: str,
    scale: float = 1.0,
) -> str:
    """Compute a claim's verdict from what was measured; the only place that does.

    Parameters
    ----------
    claim : Claim
    measured : sequence of Measurement
        One, or one for each of the claim's parts.
    profile : str
        The profile of the run.
    scale : float
        Multiplies the bound.

    Returns
    -------
    str
        One of `VERDICTS`: "reproduced" or "not reproduced" where all marks agree,
        "undecided" where none is decided, and "mixed" otherwise.
        A smoke run is too small to decide anything.

    Examples
    --------
    >>> about = dict(says="gain", where="ours", metric="accuracy gain")
    >>> claim = Claim(id="ch0.x", kind="at least", bound=0.01, **about)
    >>> verdict(claim, (Measurement(0.05, 0.005, 9),), "laptop")
    'reproduced'
    >>> verdict(claim, (Measurement(0.02, 0.01, 9),), "laptop")
    'undecided'
    """
    if profile not in profiles.PROFILES:
        raise ValueError(f"profile {profile!r} is not in {profiles.PROFILES}")
    if profile not in profiles.DECIDING:
        return SMOKE_RUN
    order = profiles.PROFILES.index
    if order(profile) < order(claim.profile):
        return "not testable here"
    missing = set(claim.parts or (None,)) - {m.part for m in measured}
    if missing:
        return "not recorded yet"
    marks = {mark(claim, m, scale) for m in measured}
    return ALIKE[marks.pop()] if len(marks) == 1 else "mixed"


class Ledger:
    """Collects a chapter's measurements and writes them as one record.

    Parameters
    ----------
    chapter : str
        ``"ch1"`` … ``"ch5"``.
    profile : Profile, optional
        The profile of the run; the current one by default.
    """

    def __init__(self, chapter: str, profile: profiles.Profile | None = None) -> None:
        self.chapter = load(chapter)
        self.profile = profile or profiles.current()
        self._stopwatch = provenance.Stopwatch()
        self._measured: dict[str, dict[str | None, Measurement]] = {}
        self.saved: Record | None = None

    def record(
        self,
        id: str,
        value: float | Estimate,
        stderr: float = 0.0,
        *,
        n: int | None = None,
        part: str | None = None,
    ) -> str:
        """Enter a measurement and return the claim's verdict so far.

        Parameters
        ----------
        id : str
            The claim's id.
        value : float or Estimate
            The number that the claim's `metric` defines; an estimate brings its own
            standard error and, unless `n` is given, its number of repetitions.
        stderr : float
        n : int, optional
            Independent repetitions behind it; 1 by default.
        part : str, optional
            Which part, for a claim that has parts.

        Raises
        ------
        ValueError
            For an unknown id or part, a standard error below zero, or a number of
            repetitions that is not a whole one.
            A smoke run may have divided by zero: there NaN is kept.
        """
        claim = self.chapter.claims.get(id)
        if claim is None:
            known = ", ".join(self.chapter.claims)
            raise ValueError(f"unknown claim {id!r}: expected one of {known}")
        if part not in (claim.parts or (None,)):
            raise ValueError(f"claim {id!r} has parts {claim.parts}, got {part!r}")
        if isinstance(value, Estimate):
            stderr, n, value = float(value.stderr), n or value.n, float(value.mean)
        if stderr < 0 or (math.isnan(stderr) and self.profile.decides):
            raise ValueError(f"stderr of {id!r} is {stderr}: expected a number ≥ 0")
        n = 1 if n is None else n
        if not (isinstance(n, Integral) and n >= 1):
            raise ValueError(f"n of {id!r} is {n!r}: expected a whole number ≥ 1")
        entry = Measurement(float(value), float(stderr), int(n), part)
        self._measured.setdefault(id, {})[part] = entry
        return verdict(claim, self._of(id), self.profile.name)

    def enter(
        self,
        found: Mapping[str, Mapping[str, Estimate]],
        table: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Record the parts of claims and return a table of them, one row a part.

        Parameters
        ----------
        found : dict of str to dict of str to Estimate
            By claim and part; a claim without parts has one, named "".
        table : DataFrame, optional
            Returned in place of the table, by who shows the numbers in another way.
        """
        rows = {}
        for claim, parts in found.items():
            for part, e in parts.items():
                self.record(claim, e, part=part or None)
                rows[claim, part] = f"{e.mean:.4g} ± {e.stderr:.2g}"
        if table is not None:
            return table
        table = pd.DataFrame({MEAN_AND_ERROR: rows})
        return table.rename_axis(("claim", "part"))

    def _of(self, id: str) -> tuple[Measurement, ...]:
        return tuple(self._measured.get(id, {}).values())

    def to_record(self) -> Record:
        """The record as it stands now, with provenance and computed verdicts."""
        claims = self.chapter.claims
        measured = {id: self._of(id) for id in claims if id in self._measured}
        return Record(
            chapter=self.chapter.key,
            profile=self.profile.name,
            provenance=provenance.describe(self.profile, self._stopwatch),
            measurements=measured,
            verdicts={
                id: verdict(c, self._of(id), self.profile.name)
                for id, c in claims.items()
            },
            stated={id: claim.needs for id, claim in claims.items()},
        )

    def save(self) -> "Record":
        """Write the record, whole or not at all, and return it.

        Raises
        ------
        ValueError
            If a claim was entered without one of its parts.
        OSError
            If the results folder cannot be written; nothing is left half-written.
        """
        for id, entered in self._measured.items():
            parts = self.chapter.claims[id].parts or (None,)
            if missing := [part for part in parts if part not in entered]:
                raise ValueError(f"claim {id!r} was entered without {missing}")
        record = self.to_record()
        folder = results_dir(self.profile.name)
        write_whole(folder / f"{self.chapter.key}.json", dumps(record))
        self.saved = record
        return record


def dumps(record: Record) -> str:
    """A record as JSON text, stable under re-writing."""
    return json.dumps(asdict(record), indent=1, sort_keys=True) + "\n"


def read_record(path: Path) -> Record | None:
    """Read a record, or None where there is none.

    Raises
    ------
    ValueError
        If the file is not a record, or one of another schema; the message names it.
    """
    if not path.is_file():
        return None
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        schema = fields.pop("schema", 1)
        measured = {
            id: tuple(Measurement(**entry) for entry in entries)
            for id, entries in fields.pop("measurements").items()
        }
        found = Record(measurements=measured, **fields)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a record: {error}") from error
    if schema != SCHEMA:
        raise ValueError(
            f"{path} is a record of schema {schema}, expected {SCHEMA}: run the chapter"
            " again"
        )
    return found


def reseeded_path() -> Path:
    """Where it is kept what runs with fresh seeds measured."""
    return book_dir() / "results" / RESEEDED / "reseeded.json"


def reseeded() -> dict:
    """What runs with fresh seeds measured; without sets where there were none.

    Returns
    -------
    dict
        ``sets``, their names in order, and ``claims``: by claim and part ("" for a
        claim without parts) value, standard error and n of each set.
    """
    path = reseeded_path()
    if not path.is_file():
        return {"sets": [], "claims": {}}
    return json.loads(path.read_text(encoding="utf-8"))


def _with_fresh_seeds(claims: list[Claim]) -> list[Claim]:
    kept = reseeded()["claims"]
    return [
        replace(
            claim,
            again={
                part: tuple(Measurement(v, se, n, part or None) for v, se, n in runs)
                for part, runs in kept.get(claim.id, {}).items()
            },
        )
        for claim in claims
    ]


def recorded(chapter: str, profile: str) -> Record | None:
    """The record that is committed with the book, or None."""
    return read_record(book_dir() / "results" / profile / f"{chapter}.json")


def largest(chapter: str) -> Record | None:
    """The committed record of the largest profile that has one."""
    found = (recorded(chapter, name) for name in reversed(profiles.DECIDING))
    return next((record for record in found if record), None)


def latest(chapter: str, profile: str) -> Record | None:
    """What this machine measured last, or None."""
    return read_record(results_dir(profile) / f"{chapter}.json")
