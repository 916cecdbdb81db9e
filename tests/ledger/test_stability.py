"""Fresh seeds: a mark that they contradict is open, and how often marks stay."""

import json
import math
from dataclasses import replace

import pytest

from tailwise.ledger import claims, stability
from tailwise.ledger.board import stays
from tailwise.ledger.claims import Claim, Measurement, Record, mark, more_needed

GOOD, BAD, OPEN = (Measurement(value, 0.1, 8) for value in (2.0, -2.0, 0.1))
CLAIM = Claim(
    id="ch1.x",
    says="So.",
    where="Figure 1",
    metric="a number",
    kind="at least",
    bound=0,
)


def after(*runs: Measurement, part: str = "") -> Claim:
    return replace(CLAIM, again={part: runs})


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], "yes"),
        ([GOOD] * 5, "yes"),
        ([GOOD] * 4 + [OPEN], "open"),
        ([GOOD] * 9 + [OPEN], "yes"),
        ([GOOD] * 8 + [OPEN, BAD], "open"),
        ([BAD] * 5, "open"),
        ([replace(OPEN, n=4)] * 5, "yes"),  # of fewer repetitions: they say nothing
        ([replace(OPEN, n=9)] * 5, "open"),
    ],
)
def test_a_mark_is_open_where_fresh_seeds_say_otherwise(runs, expected):
    assert mark(after(*runs), GOOD) == expected


@pytest.mark.parametrize(
    ("claim", "measured", "why"),
    [
        (CLAIM, GOOD, ""),
        (replace(CLAIM, seeds=9), GOOD, "8 of 9 repetitions"),
        (CLAIM, replace(GOOD, n=1), "1 of 2 repetitions"),
        (CLAIM, replace(GOOD, value=math.nan), "the number is not finite"),
        (CLAIM, OPEN, "the interval holds the limit"),
        (CLAIM, replace(GOOD, value=0.25), "58% of new runs would agree"),
        (after(GOOD, GOOD), GOOD, ""),
        (after(GOOD, OPEN), GOOD, "1 of 2 runs with fresh seeds agree"),
    ],
)
def test_an_open_part_says_which_condition_failed(claim, measured, why):
    said = claims.why_open(claim, measured)
    assert bool(said) == (mark(claim, measured) == "open") == bool(why)
    assert why in said


def test_fresh_seeds_open_a_mark_and_never_make_one():
    assert mark(after(*[GOOD] * 5), OPEN) == "open"
    assert mark(after(*[BAD] * 5, part="other"), GOOD) == "yes"


def test_what_fresh_seeds_opened_needs_more_repetitions_than_it_had():
    needed = more_needed(after(GOOD, OPEN, GOOD), GOOD)
    assert needed > GOOD.n
    # The runs differ by far more than their own errors say.
    assert needed > claims.repetitions(2.0, GOOD.sd, 0.9)
    assert more_needed(after(GOOD, GOOD), GOOD) is None


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of one chapter with a claim of two parts, and what its record says."""
    monkeypatch.setattr(claims, "book_dir", lambda: tmp_path)
    for folder in ("claims", "results/laptop"):
        (tmp_path / folder).mkdir(parents=True)
    text = """
title: One
question: Is it so?
paper: {short: A paper}
page: chapters/1_one
claims:
  - {id: ch1.x, says: It is so., where: Figure 1, metric: a number, kind: at least,
     bound: 0, evidence: text, repetition: seed, parts: [a, b]}
"""
    (tmp_path / "claims" / "ch1.yml").write_text(text)

    def record(a: Measurement, b: Measurement) -> Record:
        measured = replace(a, part="a"), replace(b, part="b")
        return Record(
            chapter="ch1",
            profile="laptop",
            provenance={},
            measurements={"ch1.x": measured},
            verdicts={"ch1.x": "mixed"},
            stated={"ch1.x": "a number: needs ≥ 0"},
        )

    path = tmp_path / "results" / "laptop" / "ch1.json"
    path.write_text(claims.dumps(record(GOOD, GOOD)))
    return record


def keep(runs: list[Record]) -> None:
    """Keep runs, each a little apart from the others."""
    sets = {}
    for k, run in enumerate(runs, 1):
        measured = run.measurements["ch1.x"]
        apart = tuple(replace(m, value=m.value + 1e-6 * k) for m in measured)
        sets[str(k)] = {"ch1": replace(run, measurements={"ch1.x": apart})}
    claims.reseeded_path().write_text(json.dumps(stability.summary(sets)))


def test_marks_that_stay_are_counted_as_a_loop_counts_them(book):
    assert stability.staying() == (0, 0, 0, 0)
    # a stays in all runs; b stays in four of five, so only the run that is left out
    # when the other four agree judges it, and it judges against.
    keep([book(GOOD, GOOD)] * 2 + [book(GOOD, OPEN)] + [book(GOOD, GOOD)] * 2)
    assert stability.staying() == (9, 10, 5, 6)
    assert "9 of 10 marks" in str(stays())
    assert "5 of 6 such marks stay (0.833)" in str(stays())


def test_what_no_run_measured_anew_is_not_counted(book):
    runs = {"1": {"ch1": book(GOOD, GOOD)}, "2": {"ch1": book(GOOD, BAD)}}
    assert stability.summary(runs)["claims"]["ch1.x"] == {
        "b": [[2.0, 0.1, 8], [-2.0, 0.1, 8]]
    }
    other = replace(runs["2"]["ch1"], stated={"ch1.x": "a number: needs ≥ 1"})
    assert stability.summary(runs | {"2": {"ch1": other}})["claims"] == {}
    assert stability.summary(runs | {"2": runs["1"]})["claims"] == {}


def test_claims_bring_their_runs_along_and_show_them(book):
    keep([book(GOOD, GOOD), book(GOOD, BAD), book(OPEN, OPEN)])
    (claim,) = claims.load("ch1").claims.values()
    expected = [m.value for m in (GOOD, BAD, OPEN)]
    assert [m.value for m in claim.again["b"]] == pytest.approx(expected, abs=1e-5)
    assert {(m.stderr, m.n, m.part) for m in claim.again["b"]} == {(0.1, 8, "b")}
    shown = stability.strip(claim)
    assert [shown.count(v) for v in ("reproduced", "mixed", "undecided")] == [1, 1, 1]
