"""How verdicts stand up to fresh seeds and to other bounds.

`make reseed` runs the chapters with sets of fresh seeds; what they measured is kept in
one file beside the records, and `claims.load` brings it along with each claim.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from tailwise.ledger.claims import (
    RESEEDED,
    Claim,
    Record,
    again,
    chapters,
    likely_to_stay,
    load,
    mark_alone,
    recorded,
    verdict,
)
from tailwise.templates import render

SCALES = (0.5, 1.0, 1.5)  # of a claim's bound


def summary(records: Mapping[str, Mapping[str, Record]]) -> dict:
    """What is kept of runs with fresh seeds, as JSON: see `claims.reseeded`.

    A part that is the same to the last bit in all of them is left out: it was read
    from a study that is recorded, or it has no seed. So is a claim that asked for
    another number when it was measured.

    Parameters
    ----------
    records : dict of str to dict of str to Record
        By the set's name and by chapter.
    """
    sets, kept = sorted(records, key=int), {}
    for key in chapters():
        for id, claim in load(key).claims.items():
            runs = [records[s][key] for s in sets]
            if any(run.stated.get(id) != claim.needs for run in runs):
                continue
            measured = [run.measurements.get(id, ()) for run in runs]
            parts = {
                found[0].part or "": [[m.value, m.stderr, m.n] for m in found]
                for found in zip(*measured)
                if len(set(found)) > 1
            }
            if parts:
                kept[id] = parts
    return {"sets": sets, "claims": kept}


class Stay(NamedTuple):
    """Marks of runs with fresh seeds that equal the record's, and all of them.

    `alone` and `of_alone` count what the record decides by itself; `same` and `of`
    what it and all runs but one decide alike, judged by the one that was left out.
    """

    alone: int
    of_alone: int
    same: int
    of: int


def staying() -> Stay:
    """How often a decided mark of the record stays with fresh seeds."""
    counts = [0, 0, 0, 0]
    for key in chapters():
        if (record := recorded(key, RESEEDED)) is None:
            continue
        for claim in load(key).claims.values():
            for m in record.measurements.get(claim.id, ()):
                found = mark_alone(claim, m)
                if claim.exact or found == "open":
                    continue
                runs = again(claim, m)
                for k, fresh in enumerate(runs):
                    kept = likely_to_stay(found, runs[:k] + runs[k + 1 :])
                    stays = fresh == found
                    for i, more in enumerate((stays, True, stays and kept, kept)):
                        counts[i] += more
    return Stay(*counts)


def strip(claim: Claim) -> str:
    """HTML: how a claim stood with fresh seeds, and with a smaller or larger bound."""
    record = recorded(claim.id.split(".")[0], RESEEDED)
    measured = record.measurements.get(claim.id, ()) if record else ()
    if not measured:
        return ""
    alone = replace(claim, again={})
    runs = zip(*(claim.again.get(m.part or "", ()) for m in measured))
    bounds = {s: verdict(claim, measured, RESEEDED, s) for s in SCALES}
    return render(
        "strip.html",
        __package__,
        reseeded=Counter(verdict(alone, run, RESEEDED) for run in runs),
        bounds=bounds if claim.bound and len(set(bounds.values())) > 1 else {},
    )
