"""How verdicts stand up to fresh seeds and to other bounds.

`make reseed` runs the chapters with sets of fresh seeds; what their records say of each
part is kept in one file beside the records.
"""

import json
from collections import Counter
from pathlib import Path

from tailwise.ledger.claims import (
    Claim,
    Record,
    book_dir,
    chapters,
    load,
    mark,
    recorded,
    verdict,
)
from tailwise.templates import render

SCALES = (0.5, 1.0, 1.5)  # of a claim's bound


def path(profile: str) -> Path:
    """Where the marks of reseeded runs are kept."""
    return book_dir() / "results" / profile / "reseeded.json"


def summary(runs: dict[str, dict[str, Record]]) -> dict:
    """Marks of each part and verdicts of each claim, by set of seeds.

    Parameters
    ----------
    runs : dict of str to dict of str to Record
        By the set's name and by chapter.

    Returns
    -------
    dict
        ``sets``, their names in order; by claim ``verdicts``, and ``marks`` by part,
        both in that order; the part of a claim without parts is "".
    """
    sets, found = sorted(runs, key=int), {}
    for key in chapters():
        for claim in load(key).claims.values():
            kept = [runs[s][key] for s in sets]
            measured = [record.measurements.get(claim.id, ()) for record in kept]
            if not all(measured):
                continue
            found[claim.id] = {
                "verdicts": [
                    verdict(claim, m, r.profile) for m, r in zip(measured, kept)
                ],
                "marks": {
                    one.part or "": [mark(claim, m[k]) for m in measured]
                    for k, one in enumerate(measured[0])
                },
            }
    return {"sets": sets, "claims": found}


def read(profile: str) -> dict:
    """The committed summary; without sets and claims where there is none."""
    file = path(profile)
    if not file.is_file():
        return {"sets": [], "claims": {}}
    return json.loads(file.read_text(encoding="utf-8"))


def staying(profile: str) -> tuple[int, int]:
    """How many marks of reseeded runs equal a decided one of the record, and of all."""
    kept, same, total = read(profile)["claims"], 0, 0
    for key in chapters():
        if (record := recorded(key, profile)) is None:
            continue
        for claim in load(key).claims.values():
            for m in record.measurements.get(claim.id, ()):
                found = mark(claim, m)
                again = kept.get(claim.id, {"marks": {}})["marks"].get(m.part or "", [])
                if not claim.exact and found != "open":
                    same += again.count(found)
                    total += len(again)
    return same, total


def strip(claim: Claim, profile: str = "laptop") -> str:
    """HTML: how a claim stood with fresh seeds, and with a smaller or larger bound."""
    kept = read(profile)["claims"].get(claim.id)
    record = recorded(claim.id.split(".")[0], profile)
    measured = record.measurements.get(claim.id, ()) if record else ()
    if not measured:
        return ""
    bounds = {s: verdict(claim, measured, profile, s) for s in SCALES}
    return render(
        "strip.html",
        __package__,
        reseeded=Counter(kept["verdicts"]) if kept else {},
        bounds=bounds if claim.bound and len(set(bounds.values())) > 1 else {},
    )
