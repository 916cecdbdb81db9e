"""All claims, records and provenance as one JSON document, and its schema."""

from dataclasses import asdict

from tailwise.ledger.claims import (
    EVIDENCE,
    MARKS,
    ORIGINS,
    SCHEMA,
    VERDICTS,
    Claim,
    Record,
    chapters,
    load,
    mark,
    more_needed,
    recorded,
    reseeded,
    verdict,
)
from tailwise.metrics import KINDS
from tailwise.profiles import DECIDING


def document() -> dict:
    """Every claim of the book, what each committed run measured of it, and the runs.

    Returns
    -------
    dict
        As `schema` describes it; plain values, without infinities.
    """
    claims, runs = [], []
    for chapter in map(load, chapters()):
        records = [r for name in DECIDING if (r := recorded(chapter.key, name))]
        runs += [
            {"chapter": r.chapter, "profile": r.profile, "provenance": r.provenance}
            for r in records
        ]
        for claim in chapter.claims.values():
            about = {"chapter": chapter.key, "paper": chapter.paper} | asdict(claim)
            about["measured"] = [_measured(claim, record) for record in records]
            claims.append(about)
    return {
        "version": SCHEMA,
        "claims": claims,
        "runs": runs,
        "reseeded": reseeded(),
    }


def _measured(claim: Claim, record: Record) -> dict:
    found = record.measurements.get(claim.id, ())
    return {
        "profile": record.profile,
        "verdict": verdict(claim, found, record.profile),
        "parts": [
            {
                "part": m.part or "",
                "value": m.value,
                "low": claim.interval(m)[0],
                "high": claim.interval(m)[1],
                "n": m.n,
                "mark": mark(claim, m),
                "needed": more_needed(claim, m) if m.n > 1 else None,
            }
            for m in found
        ],
    }


def schema() -> dict:
    """JSON Schema, draft 2020-12, of `document`."""
    text, number = {"type": "string"}, {"type": "number"}
    part = {
        "part": text,
        "value": number,
        "low": number,
        "high": number,
        "n": {"type": "integer", "minimum": 1},
        "mark": {"enum": [*MARKS]},
        "needed": {"type": ["integer", "null"]},
    }
    run = {
        "profile": {"enum": [*DECIDING]},
        "verdict": {"enum": [*VERDICTS]},
        "parts": {"type": "array", "items": _object(part)},
    }
    claim = {
        "id": {"type": "string", "pattern": r"^ch\d+\.\w+$"},
        "chapter": text,
        "paper": {"type": "object"},
        "says": text,
        "where": {"type": "string", "minLength": 1},
        "metric": text,
        "kind": {"enum": [*KINDS]},
        "bound": number,
        "origin": {"enum": [*ORIGINS]},
        "evidence": {"enum": ["", *EVIDENCE]},
        "deviations": text,
        "paper_value": text,
        "measured": {"type": "array", "items": _object(run)},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Claims of the Tailwise course book",
        **_object(
            {
                "version": {"const": SCHEMA},
                "claims": {"type": "array", "items": _object(claim)},
                "runs": {"type": "array", "items": {"type": "object"}},
                "reseeded": {"type": "object"},
            }
        ),
    }


def _object(properties: dict) -> dict:
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
    }
