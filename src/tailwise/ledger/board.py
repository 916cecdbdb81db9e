"""Claims and verdicts as tables: the claim box, a run's outcome, the headline."""

import html
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from tailwise import profiles
from tailwise.ledger import stability
from tailwise.ledger.claims import (
    MARKS,
    SMOKE_RUN,
    VERDICTS,
    Chapter,
    Claim,
    Ledger,
    Measurement,
    Record,
    chapters,
    largest,
    latest,
    load,
    mark,
    more_needed,
    recorded,
    reseeded,
    verdict,
    why_open,
    within_reach,
)
from tailwise.templates import render

Reader = Callable[[str, str], Record | None]


def _number(claim: Claim, measured: Measurement) -> str:
    name = f"{measured.part}: " if measured.part else ""
    low, high = claim.interval(measured)
    if low > measured.value - measured.half:
        return f"{name}{measured.value:.3g} ({low:.2g} to {high:.2g})"
    if measured.stderr:
        return f"{name}{measured.value:.3g} ± {measured.half:.2g}"
    return f"{name}{measured.value:.3g}"


def verdict_row(claim: Claim, record: Record | None) -> dict:
    """Verdict, numbers and marks of one claim in one record.

    Marks are those of a claim whose parts are decided differently.
    """
    measured = record.measurements.get(claim.id, ()) if record else ()
    found = verdict(claim, measured, record.profile) if record else "not recorded yet"
    marks = {m.part: mark(claim, m) for m in measured} if found == "mixed" else {}
    return {
        "verdict": found,
        "marks": marks,
        "measured": "; ".join(_number(claim, m) for m in measured),
        "needed": [
            f"{m.part}: {needed}" if m.part else needed
            for m in measured
            if (needed := power(claim, m))
        ],
    }


def power(claim: Claim, measured: Measurement) -> str:
    """Why a part is open and how many repetitions would decide it; else empty."""
    if not (why := why_open(claim, measured)):
        return ""
    if measured.n < 2:
        return why
    needed = more_needed(claim, measured)
    if needed is None:
        return f"{why}; more than 10,000 would be needed"
    reach = "" if within_reach(needed, measured.n) else ", beyond the full profile"
    return f"{why}; about {needed:,} would decide{reach}"


def counted(marks: Iterable[str]) -> str:
    """Marks in a phrase.

    >>> counted(["yes", "open", "no", "yes"])
    '2 yes, 1 no, 1 open'
    """
    found = Counter(marks)
    return ", ".join(f"{found[m]} {m}" for m in MARKS if found[m])


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

    def _rows(self) -> list[tuple[Claim, dict[str, dict]]]:
        return [
            (claim, {name: verdict_row(claim, record) for name, record in self.records})
            for claim in self.chapter.claims.values()
        ]

    def frame(self) -> pd.DataFrame:
        """One row per claim, as plain text."""
        rows = []
        for claim, cells in self._rows():
            row = {"claim": claim.id}
            for name, found in cells.items():
                row[name] = found["verdict"]
                if found["marks"]:
                    row[name] += f": {counted(found['marks'].values())}"
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
            counted=counted,
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
    """A chapter's claims as this run judges them, with the numbers.

    After `Ledger.save`, those of the record that was saved.
    """
    record = ledger.saved or ledger.to_record()
    return ClaimTable(ledger.chapter, (("this run", record),), detail=True)


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
        Columns ``chapter``, ``claim``, ``origin``, ``evidence``, ``verdict``,
        ``marks``, ``measured``, ``needed``.
    """
    read = {"latest": latest, "recorded": recorded}[source]
    rows = []
    for chapter in map(load, chapters()):
        record = read(chapter.key, profile)
        for claim in chapter.claims.values():
            row = {"chapter": chapter.key, "claim": claim.id, "origin": claim.origin}
            row["evidence"] = claim.evidence
            rows.append(row | verdict_row(claim, record))
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


WHOSE = {
    "this paper": "claims of the papers",
    "another paper": "claims of other papers",
    "ours": "statements of our own",
}


class Story(str):
    """Markdown that a notebook shows as prose."""

    def _repr_markdown_(self) -> str:
        return str(self)


def story(ledger: Ledger, text: str) -> Story:
    """Prose whose verdicts are those of this run.

    Parameters
    ----------
    ledger : Ledger
    text : str
        Markdown. ``{ch1.some_claim}`` becomes the claim's verdict and its id.

    Raises
    ------
    ValueError
        For a claim that the chapter does not have.
    """
    record = ledger.to_record()

    def stated(match: re.Match) -> str:
        if (claim := ledger.chapter.claims.get(match[1])) is None:
            raise ValueError(f"the text names {match[1]!r}, which is not claimed")
        return f"{bold(verdict_row(claim, record))} (`{claim.id}`)"

    return Story(re.sub(r"\{(ch\d+\.\w+)\}", stated, text.strip()))


def at_scale(ledger: Ledger) -> Story:
    """What the committed records of larger profiles say beside this run.

    A line a profile: on what it ran, how many parts it decides, and which claims have a
    part that came out on the other side.

    Parameters
    ----------
    ledger : Ledger
        Of this run, after all claims were entered.
    """
    sizes, ours = profiles.DECIDING, ledger.to_record()
    if ours.profile not in sizes:
        return Story(f"{SMOKE_RUN.capitalize()}.")
    lines = []
    for name in sizes[sizes.index(ours.profile) + 1 :]:
        if (record := recorded(ours.chapter, name)) is None:
            lines.append(f"- `{name}`: not recorded yet.")
            continue
        here, there = (_marks(ledger.chapter, run) for run in (ours, record))
        both = {part: (here[part], there[part]) for part in here if part in there}
        n_open = [marks.count("open") for marks in zip(*both.values())]
        turned = "; ".join(
            f"`{id}`{part and ', ' + part} ({marks[0]} here, {marks[1]} there)"
            for (id, part), marks in both.items()
            if set(marks) == {"yes", "no"}
        )
        facts = record.provenance
        lines.append(
            f"- `{name}`: recorded on {facts['device']}, "
            f"{facts['cpu_s'] / 60:.0f} min of CPU time, "
            f"{facts['peak_memory_gb']:.1f} GB. Of {len(both)} parts "
            f"{n_open[0]} are open in this run and {n_open[1]} there. "
            + (f"On the other side: {turned}." if turned else "No part changed side.")
        )
    return Story("\n".join(lines) or "There is no larger profile.")


def _marks(chapter: Chapter, record: Record) -> dict[tuple[str, str], str]:
    """Marks by claim and part."""
    return {
        (id, m.part or ""): mark(claim, m)
        for id, claim in chapter.claims.items()
        for m in record.measurements.get(id, ())
    }


def bold(row: dict) -> str:
    """A verdict in prose, with the count of its marks where they differ."""
    marks = f": {counted(row['marks'].values())}" if row["marks"] else ""
    return f"**{row['verdict']}{marks}**"


def headline(
    profile: str, read: Reader = freshest, *, read_in: bool = True
) -> Sentence:
    """The scoreboard in a few sentences: the papers' own claims by what we have read.

    Parameters
    ----------
    profile : str
    read : callable
        Which record of a chapter counts: `freshest` or `claims.recorded`.
    read_in : bool
        Whether to say in what the papers' claims were read.
    """
    if profile not in profiles.DECIDING:
        return Sentence(f"{SMOKE_RUN.capitalize()}.")
    rows = pd.DataFrame(
        {"origin": claim.origin, "evidence": claim.evidence}
        | verdict_row(claim, read(chapter.key, profile))
        for chapter in map(load, chapters())
        for claim in chapter.claims.values()
    )
    sentences = []
    for origin, name in WHOSE.items():
        of = rows[rows.origin == origin]
        if of.empty:
            continue
        sentences.append(f"Of {len(of)} {name}: {counts(of.verdict)}.")
        if read_in and origin == "this paper":
            kinds = ", ".join(
                f"{sum(of.evidence == kind)} {how}"
                for kind, how in READ_IN.items()
                if sum(of.evidence == kind)
            )
            sentences.append(f"What they claim was read in: {kinds}.")
    return Sentence(" ".join(sentences))


def headlines() -> Sentence:
    """`headline` of the largest records, and of the laptop's beside it."""
    first = headline("laptop", lambda chapter, _: largest(chapter))
    small = headline("laptop", recorded)
    if first == small:
        return first
    beside = headline("laptop", recorded, read_in=False)
    return Sentence(
        f"{first} This counts the largest records; at the laptop's size: "
        f"{beside[0].lower()}{beside[1:]}"
    )


READ_IN = {
    "text": "the paper's text",
    "abstract": "the abstract alone",
    "code": "released code or notebooks",
    "second-hand": "second-hand text",
}


def by_chance(profile: str, read: Reader = freshest) -> Sentence:
    """How many marks an interval of 95 % may have got wrong."""
    marks = [
        mark(claim, m)
        for chapter in map(load, chapters())
        if (record := read(chapter.key, profile))
        for claim in chapter.claims.values()
        if not claim.exact
        for m in record.measurements.get(claim.id, ())
    ]
    decided = sum(found != "open" for found in marks)
    return Sentence(
        f"Of {len(marks)} parts with repetitions {decided} are decided. An interval of "
        f"95 % errs on one side 2.5 times in a hundred if an effect is just at its "
        f"limit, so at most about {round(0.025 * decided)} of these marks would be "
        "wrong by chance, and fewer where effects are far from it."
    )


def stays() -> Sentence:
    """How many decided marks fresh seeds leave as they are."""
    found = stability.staying()
    if not found.of:
        return Sentence("No run with fresh seeds is recorded yet.")
    sets = len(reseeded()["sets"])
    return Sentence(
        f"In {sets} runs with fresh seeds, {found.alone:,} of {found.of_alone:,} marks "
        "that the record decides by itself came out as there "
        f"({found.alone / found.of_alone:.3f}). So a mark counts as decided only where "
        "these runs agree with it. Judged by the run that is left out, "
        f"{found.same:,} of {found.of:,} such marks stay "
        f"({found.same / found.of:.3f})."
    )


def counts(verdicts: Iterable[str]) -> str:
    """How often each verdict occurs, in a phrase.

    Examples
    --------
    >>> counts(["reproduced", "mixed", "reproduced", "undecided"])
    '2 reproduced, 1 mixed, 1 undecided'
    """
    found = Counter(verdicts)
    return ", ".join(f"{found[v]} {v}" for v in VERDICTS if found[v])
