"""The ledger: what a paper claims, what a run measured, and the computed verdict."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import yaml

from tailwise import profiles
from tailwise.files import PACKAGE, checkout, write_whole
from tailwise.ledger import provenance
from tailwise.metrics import KINDS, Estimate, decide, half_width

SMOKE_RUN = "smoke run, not a verdict"
VERDICTS = (
    "reproduced",
    "partly",
    "not reproduced",
    "undecided",
    "not testable here",
    "not recorded yet",
    SMOKE_RUN,
)
JUDGED = {"yes": "reproduced", "no": "not reproduced", "open": "undecided"}


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
        Where the paper makes it, or "ours".
    metric : str
        The full definition of the number that is recorded.
    kind : {"at least", "at most", "agreement"}
        Whether the number must be at least `bound`, at most `bound`, or a difference
        whose absolute value must not exceed `bound`.
    bound : float
        The minimum effect, or the tolerance of an agreement.
    seeds : int
        Fewer repetitions than this leave the claim undecided.
    profile : str
        The smallest profile that can test it.
    origin : {"paper", "tailwise"}
    parts : tuple of str
        Names of the parts of a claim with several; empty for a plain one.
    deviations : str
        What we do differently from the paper.
    """

    id: str
    says: str
    where: str
    metric: str
    kind: str
    bound: float
    seeds: int = 1
    profile: str = "laptop"
    origin: str = "paper"
    parts: tuple[str, ...] = ()
    deviations: str = ""

    @property
    def needs(self) -> str:
        """What must hold of its number, such as "accuracy: needs ≥ 0.01"."""
        sign = {"at least": "≥ ", "at most": "≤ ", "agreement": "within ±"}
        return f"{self.metric}: needs {sign[self.kind]}{self.bound:g}"


@dataclass(frozen=True)
class Chapter:
    """A chapter's claim file: its question, its paper, its claims by id."""

    key: str
    title: str
    question: str
    paper: dict
    page: str
    claims: dict[str, Claim]


@dataclass(frozen=True)
class Measurement:
    """A measured number, its standard error and how many repetitions it rests on."""

    value: float
    stderr: float = 0.0
    n: int = 1
    part: str | None = None

    @property
    def half(self) -> float:
        """Half of the interval, see `tailwise.metrics.half_width`."""
        return half_width(self.stderr)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one run of a chapter measured."""

    chapter: str
    profile: str
    provenance: dict
    measurements: dict[str, tuple[Measurement, ...]]
    verdicts: dict[str, str]


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
        claim = Claim(**entry | {"parts": tuple(entry.get("parts", ()))})
    except (AttributeError, TypeError) as error:
        raise ValueError(f"claim {entry!r}: {error}") from None
    if not isinstance(claim.bound, int | float):  # YAML reads 1e-2 as text
        raise ValueError(f"claim {claim.id!r}: bound {claim.bound!r} is not a number")
    if claim.kind not in KINDS:
        raise ValueError(f"claim {claim.id!r}: kind {claim.kind!r} is not in {KINDS}")
    if claim.profile not in profiles.DECIDING:
        raise ValueError(
            f"claim {claim.id!r}: profile {claim.profile!r} is not in "
            f"{profiles.DECIDING}"
        )
    if claim.origin not in ("paper", "tailwise"):
        raise ValueError(f"claim {claim.id!r}: origin {claim.origin!r} is unknown")
    return claim


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
        claims = [_claim(entry) for entry in fields.pop("claims")]
        by_id = {claim.id: claim for claim in claims}
        found = Chapter(key=chapter, claims=by_id, **fields)
    except (AttributeError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path.name} is malformed: {error}") from error
    if len(by_id) != len(claims):
        raise ValueError(f"{path.name} lists a claim id twice")
    return found


def _judge(claim: Claim, measured: Measurement) -> str:
    if measured.n < claim.seeds:
        return "undecided"
    return JUDGED[decide(measured.value, measured.half, claim.bound, claim.kind)]


def verdict(claim: Claim, measured: tuple[Measurement, ...], profile: str) -> str:
    """Compute a claim's verdict from what was measured; the only place that does.

    Parameters
    ----------
    claim : Claim
    measured : sequence of Measurement
        One, or one for each of the claim's parts.
    profile : str
        The profile of the run.

    Returns
    -------
    str
        One of `VERDICTS`. "undecided" when the interval of two standard errors
        covers the bound, when there were fewer repetitions than the claim asks for,
        or when the number is not finite. A smoke run is too small to decide anything.

    Examples
    --------
    >>> about = dict(says="gain", where="ours", metric="accuracy gain")
    >>> claim = Claim(id="ch0.x", kind="at least", bound=0.01, **about)
    >>> verdict(claim, (Measurement(0.05, 0.01),), "laptop")
    'reproduced'
    >>> verdict(claim, (Measurement(0.02, 0.01),), "laptop")
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
    each = {_judge(claim, m) for m in measured}
    if len(each) == 1:
        return each.pop()
    return "undecided" if "undecided" in each else "partly"


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
            For an unknown id or part, or a standard error that is not ≥ 0. A smoke run
            may have divided by zero: there NaN is kept.
        """
        claim = self.chapter.claims.get(id)
        if claim is None:
            known = ", ".join(self.chapter.claims)
            raise ValueError(f"unknown claim {id!r}: expected one of {known}")
        if part not in (claim.parts or (None,)):
            raise ValueError(f"claim {id!r} has parts {claim.parts}, got {part!r}")
        if isinstance(value, Estimate):
            value, stderr, n = value.mean, value.stderr, n or value.n
        if stderr < 0 or (math.isnan(stderr) and self.profile.decides):
            raise ValueError(f"stderr of {id!r} is {stderr}: expected a number ≥ 0")
        entry = Measurement(float(value), float(stderr), int(n or 1), part)
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
        return pd.DataFrame({"measured": rows}).rename_axis(("claim", "part"))

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
        )

    def save(self) -> "Record":
        """Write the record, whole or not at all, and return it.

        Raises
        ------
        OSError
            If the results folder cannot be written; nothing is left half-written.
        """
        record = self.to_record()
        folder = results_dir(self.profile.name)
        write_whole(folder / f"{self.chapter.key}.json", dumps(record))
        return record


def dumps(record: Record) -> str:
    """A record as JSON text, stable under re-writing."""
    return json.dumps(asdict(record), indent=1, sort_keys=True) + "\n"


def read_record(path: Path) -> Record | None:
    """Read a record, or None where there is none.

    Raises
    ------
    ValueError
        If the file is not a record; the message names it.
    """
    if not path.is_file():
        return None
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        measured = {
            id: tuple(Measurement(**entry) for entry in entries)
            for id, entries in fields.pop("measurements").items()
        }
        return Record(measurements=measured, **fields)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a record: {error}") from error


def recorded(chapter: str, profile: str) -> Record | None:
    """The record that is committed with the book, or None."""
    return read_record(book_dir() / "results" / profile / f"{chapter}.json")


def latest(chapter: str, profile: str) -> Record | None:
    """What this machine measured last, or None."""
    return read_record(results_dir(profile) / f"{chapter}.json")
