"""Claims and verdicts as tables: the claim box, a run's outcome, the headline."""

import html
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from tailwise import profiles
from tailwise.ledger.claims import (
    SMOKE_RUN,
    VERDICTS,
    Chapter,
    Claim,
    Ledger,
    Measurement,
    Record,
    chapters,
    latest,
    load,
    recorded,
    verdict,
)
from tailwise.templates import render

Reader = Callable[[str, str], Record | None]


def _number(measured: Measurement) -> str:
    name = f"{measured.part}: " if measured.part else ""
    if measured.stderr:
        return f"{name}{measured.value:.3g} ± {measured.stderr:.2g}"
    return f"{name}{measured.value:.3g}"


def _row(claim: Claim, record: Record | None) -> dict[str, str]:
    measured = record.measurements.get(claim.id, ()) if record else ()
    found = verdict(claim, measured, record.profile) if record else "not recorded yet"
    return {
        "verdict": found,
        "measured": "; ".join(_number(m) for m in measured),
    }


@dataclass(frozen=True)
class ClaimTable:
    """A chapter's claims with verdicts; shows itself in a notebook.

    Attributes
    ----------
    chapter : Chapter
    records : tuple of (str, Record or None)
        One column each, with its name.
    detail : bool
        Whether to show what would count, the numbers and where they come from.
    """

    chapter: Chapter
    records: tuple[tuple[str, Record | None], ...]
    detail: bool = False

    def _rows(self) -> list[tuple[Claim, dict[str, dict[str, str]]]]:
        return [
            (claim, {name: _row(claim, record) for name, record in self.records})
            for claim in self.chapter.claims.values()
        ]

    def frame(self) -> pd.DataFrame:
        """One row per claim, as plain text."""
        rows = []
        for claim, cells in self._rows():
            row = {"claim": claim.id}
            for name, found in cells.items():
                row[name] = found["verdict"]
                if self.detail:
                    row[f"{name}, measured"] = found["measured"]
            rows.append(row)
        return pd.DataFrame(rows).set_index("claim")

    def __repr__(self) -> str:
        return self.frame().to_string()

    def _repr_html_(self) -> str:
        kept = [record for _, record in self.records if record and self.detail]
        return render(
            "claims.html",
            __package__,
            names=[name for name, _ in self.records],
            rows=self._rows(),
            detail=self.detail,
            provenance=map(provenance_text, kept),
        )


def freshest(chapter: str, profile: str) -> Record | None:
    """What this machine measured last at a profile, else the committed record."""
    return latest(chapter, profile) or recorded(chapter, profile)


def claim_box(chapter: str, *profile_names: str) -> ClaimTable:
    """A chapter's claims with the freshest verdicts, a column per profile that ran.

    In a chapter's last cell the column of its own profile is that of this run.
    """
    own = profiles.current().name
    columns = (
        (f"{name}, this run" if name == own and latest(chapter, name) else name, record)
        for name in profile_names
        if (record := freshest(chapter, name))
    )
    return ClaimTable(load(chapter), tuple(columns))


def outcome(ledger: Ledger) -> ClaimTable:
    """A chapter's claims as this run judges them, with the numbers."""
    return ClaimTable(ledger.chapter, (("this run", ledger.to_record()),), detail=True)


def minutes(chapter: str, *profile_names: str) -> str:
    """How long the freshest runs of a chapter took, a line per profile."""
    lines = []
    for name in profile_names:
        record = freshest(chapter, name)
        if record is None:
            lines.append(f"{name}: not recorded yet")
            continue
        facts = record.provenance
        lines.append(
            f"{name}: {facts['wall_s'] / 60:.1f} min, "
            f"{facts['peak_memory_gb']:.1f} GB, {facts['device']}"
        )
    return "\n".join(lines)


def every_claim(profile: str, source: str = "latest") -> pd.DataFrame:
    """Every claim of the book with its verdict.

    Parameters
    ----------
    profile : str
    source : {"latest", "recorded"}
        This machine's last run, or the record committed with the book.

    Returns
    -------
    DataFrame
        Columns ``chapter``, ``claim``, ``origin``, ``verdict``, ``measured``.
    """
    read = {"latest": latest, "recorded": recorded}[source]
    rows = []
    for chapter in map(load, chapters()):
        record = read(chapter.key, profile)
        for claim in chapter.claims.values():
            row = {"chapter": chapter.key, "claim": claim.id, "origin": claim.origin}
            rows.append(row | _row(claim, record))
    return pd.DataFrame(rows)


def provenance_text(record: Record) -> str:
    """Where a record's numbers come from, in one line."""
    facts = record.provenance
    return (
        f"profile {record.profile} · {facts['device']} · {facts['wall_s']:.0f} s wall, "
        f"{facts['cpu_s']:.0f} s CPU · {facts['peak_memory_gb']:.1f} GB · "
        f"Python {facts['python']}, torch {facts['versions']['torch']} · "
        f"commit {facts['commit'] or 'unknown'}, source {facts['source_hash'][:10]}"
    )


class Sentence(str):
    """Text that a notebook shows as a paragraph."""

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self)}</p>"


def headline(profile: str, read: Reader = freshest) -> Sentence:
    """The scoreboard in two sentences: what the papers claim, and what we claim.

    Parameters
    ----------
    profile : str
    read : callable
        Which record of a chapter counts: `freshest` or `claims.recorded`.
    """
    if profile not in profiles.DECIDING:
        return Sentence(f"{SMOKE_RUN.capitalize()}.")
    rows = pd.DataFrame(
        {"origin": claim.origin} | _row(claim, read(chapter.key, profile))
        for chapter in map(load, chapters())
        for claim in chapter.claims.values()
    )
    whose = {"paper": "claims of the papers", "tailwise": "statements of our own"}
    counted = (
        f"Of {int(sum(rows.origin == origin))} {name}: "
        f"{counts(rows.verdict[rows.origin == origin])}."
        for origin, name in whose.items()
    )
    return Sentence(" ".join(counted))


def counts(verdicts: Iterable[str]) -> str:
    """How often each verdict occurs, in a phrase.

    Examples
    --------
    >>> counts(["reproduced", "partly", "reproduced", "undecided"])
    '2 reproduced, 1 partly, 1 undecided'
    """
    found = Counter(verdicts)
    return ", ".join(f"{found[v]} {v}" for v in VERDICTS if found[v])
