"""Mistakes of evaluation, made on purpose: which verdicts of the book they change.

``claims/mistakes.yml`` says what each one does, ``results/mistakes/`` holds what was
measured with it and without it on the same repetitions.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import yaml

from tailwise.ledger import claims
from tailwise.ledger.claims import Claim, Measurement
from tailwise.metrics import Estimate, decide

# By claim and part: the estimates without the mistake, and with it.
Pairs = Mapping[str, Mapping[str, tuple[Estimate, Estimate]]]
FOLDER = "mistakes"


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One mistake, as a switch shows it.

    Attributes
    ----------
    id : str
        The function that makes it in the chapter's module ``mistakes``.
    chapter : str
        ``"ch1"``.
    package : str
        The chapter's package, such as ``"weighting"``.
    does : str
        What is done wrongly.
    instead : str
        What the chapter does.
    why : str
        Why a verdict changes, or why none does.
    seen : dict of str to str
        Public threads in which it was found, by name: their addresses.
    """

    id: str
    chapter: str
    package: str
    does: str
    instead: str
    why: str
    seen: Mapping[str, str]


@dataclass(frozen=True)
class Effect:
    """What a mistake makes of one claim.

    Attributes
    ----------
    claim : Claim
    without, with_it : tuple of Measurement
        One, or one for each part.
    """

    claim: Claim
    without: Sequence[Measurement]
    with_it: Sequence[Measurement]

    def verdicts(self) -> tuple[str, str]:
        """The verdict without the mistake, and with it.

        Runs with fresh seeds made no mistake: they have a say in the first one only.
        """
        without = claims.verdict(self.claim, tuple(self.without), "laptop")
        return without, self._alone(self.with_it)

    def _alone(self, measured: Sequence[Measurement]) -> str:
        """The verdict of a run by itself."""
        alone = replace(self.claim, again={})
        return claims.verdict(alone, tuple(measured), "laptop")

    @property
    def flips(self) -> bool:
        """Whether the mistake, and not the lack of fresh seeds, changes the verdict."""
        without, with_it = self.verdicts()
        return with_it not in (without, self._alone(self.without))


def load() -> list[Mistake]:
    """The mistakes of ``claims/mistakes.yml``, in its order.

    Raises
    ------
    ValueError
        If an entry lacks a field or has one too many.
    """
    path = claims.book_dir() / "claims" / "mistakes.yml"
    entries = yaml.safe_load(path.read_text("utf-8"))
    try:
        return [Mistake(**entry) for entry in entries]
    except TypeError as error:
        raise ValueError(f"{path.name}: {error}") from None


def dumps(found: Mapping[str, Pairs], provenance: dict) -> str:
    """What was measured of a chapter's mistakes, as the text of its file."""
    measured = {
        name: {
            claim: [
                {"part": part or None}
                | {
                    side: {"value": e.mean, "stderr": e.stderr, "n": e.n}
                    for side, e in zip(("without", "with"), pair)
                }
                for part, pair in parts.items()
            ]
            for claim, parts in pairs.items()
        }
        for name, pairs in found.items()
    }
    content = {"provenance": provenance, "measured": measured}
    return json.dumps(content, indent=1) + "\n"


def effects(mistake: Mistake) -> list[Effect]:
    """What was measured of a mistake, a claim each; empty if nothing was recorded."""
    path = claims.book_dir() / "results" / FOLDER / f"{mistake.package}.json"
    if not path.is_file():
        return []
    measured = json.loads(path.read_text("utf-8"))["measured"].get(mistake.id, {})
    known = claims.load(mistake.chapter).claims
    return [
        Effect(
            known[claim],
            *(
                [Measurement(**entry[side], part=entry["part"]) for entry in entries]
                for side in ("without", "with")
            ),
        )
        for claim, entries in measured.items()
    ]


def short_verdict(claim: Claim, measured: Sequence[Measurement]) -> str:
    """The verdict of who takes one standard error for the interval.

    A further mistake, which needs no run: the half-width is the standard error and not
    Student's interval, and nobody asks what a fresh run would say.
    """
    marks = {
        decide(m.value, m.stderr, claim.bound, claim.kind)
        if m.n > 1
        else claims.mark(claim, m)
        for m in measured
    }
    return claims.ALIKE[marks.pop()] if len(marks) == 1 else "mixed"


def short_intervals(chapter: str, profile: str = "laptop") -> dict[str, tuple]:
    """Claims whose recorded verdict changes under `short_verdict`: before and after."""
    record = claims.recorded(chapter, profile)
    if record is None:
        return {}
    found = {}
    for claim in claims.load(chapter).claims.values():
        if measured := record.measurements.get(claim.id):
            now = claims.verdict(claim, measured, profile)
            if (then := short_verdict(claim, measured)) != now:
                found[claim.id] = now, then
    return found
