"""What a run at paper size leaves: a table of its rows, and claims in the ledger."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tailwise.files import write_whole
from tailwise.ledger import claims, provenance
from tailwise.metrics import estimate
from tailwise.profiles import Profile


def write_rows(
    name: str,
    rows: list[dict],
    profile: Profile,
    stopwatch: provenance.Stopwatch,
    **about: Any,
) -> Path:
    """Write ``name.json`` with rows, provenance and what else is named; its path."""
    path = claims.results_dir(profile.name) / f"{name}.json"
    content = {"rows": rows, **about}
    content["provenance"] = provenance.describe(profile, stopwatch)
    write_whole(path, json.dumps(content, indent=1) + "\n")
    return path


def enter(
    chapter: str,
    found: Mapping[str, Mapping[str | None, Sequence[float]]],
    profile: Profile,
) -> list[str]:
    """Record claims, beside what the chapter measured at this size with this code.

    Parameters
    ----------
    chapter : str
    found : dict of str to dict of (str or None) to sequence of float
        By claim and part, a value of each repetition.
    profile : Profile

    Returns
    -------
    list of str
        A line a claim: verdict, measured, and the paper's own number.
    """
    before, ledger = (
        claims.latest(chapter, profile.name),
        claims.Ledger(chapter, profile),
    )
    if before and before.provenance["source_hash"] == provenance.source_hash():
        for id, measured in before.measurements.items():
            if id not in found:
                for m in measured:
                    ledger.record(id, m.value, m.stderr, n=m.n, part=m.part)
    lines = []
    for id, parts in found.items():
        for part, values in parts.items():
            one = estimate(values) if len(values) > 1 else values[0]
            verdict = ledger.record(id, one, part=part)
            paper = ledger.chapter.claims[id].paper_value
            about = f"{id}, {part}" if part else id
            lines.append(f"{about}: {verdict}; {one} (paper: {paper or 'no number'})")
    ledger.save()
    return lines


def stated(ids: Iterable[str]) -> list[str]:
    """What the claim files say: a line each, with the paper's own number."""
    found = [claims.load(id.partition(".")[0]).claims[id] for id in ids]
    return [
        f"{c.id}: {c.says} (paper: {c.paper_value or 'no number'}; {c.evidence})"
        for c in found
    ]
