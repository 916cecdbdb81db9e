"""The ledger: verdicts at their limits, whole records, and tables that show them."""

import json
import os
import re
import subprocess
from dataclasses import replace

import pandas as pd
import pytest

from tailwise import profiles
from tailwise.files import file_hash
from tailwise.ledger import claims, provenance
from tailwise.ledger.board import (
    ClaimTable,
    claim_box,
    every_claim,
    headline,
    minutes,
    outcome,
)
from tailwise.ledger.claims import SMOKE_RUN, Claim, Ledger, Measurement, verdict
from tailwise.ledger.tables import full_table
from tailwise.metrics import Estimate, estimate

# Verdicts. Numbers are multiples of 1/8, so that a limit is met exactly.

STEP = 2**-20


def claim(kind="at least", bound=0.5, **fields) -> Claim:
    return Claim(
        id="ch9.x",
        says="It is so.",
        where="ours",
        metric="a number",
        kind=kind,
        bound=bound,
        **fields,
    )


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        # e - 2s >= m, e + 2s < m, with s = 1/8 and m = 1/2
        ("at least", 0.75, "reproduced"),
        ("at least", 0.75 - STEP, "undecided"),
        ("at least", 0.25, "undecided"),
        ("at least", 0.25 - STEP, "not reproduced"),
        ("at most", 0.25, "reproduced"),
        ("at most", 0.25 + STEP, "undecided"),
        ("at most", 0.75, "undecided"),
        ("at most", 0.75 + STEP, "not reproduced"),
        # the tolerance minus the difference, of either sign
        ("agreement", 0.25, "reproduced"),
        ("agreement", -0.25, "reproduced"),
        ("agreement", 0.25 + STEP, "undecided"),
        ("agreement", -0.25 - STEP, "undecided"),
        ("agreement", 0.75, "undecided"),
        ("agreement", -0.75, "undecided"),
        ("agreement", 0.75 + STEP, "not reproduced"),
        ("agreement", -0.75 - STEP, "not reproduced"),
    ],
)
def test_a_verdict_at_its_limit(kind, value, expected):
    assert verdict(claim(kind), (Measurement(value, 0.125),), "laptop") == expected


@pytest.mark.parametrize(
    ("kind", "better"), [("at least", 1), ("at most", -1), ("agreement", -1)]
)
def test_an_exact_number_is_decided_on_either_side(kind, better):
    found = [
        verdict(claim(kind), (Measurement(0.5 + better * side),), "laptop")
        for side in (0, STEP, -STEP)
    ]
    assert found == ["reproduced", "reproduced", "not reproduced"]


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (Measurement(9.0, n=29), "undecided"),
        (Measurement(-9.0, n=29), "undecided"),
        (Measurement(9.0, n=30), "reproduced"),
        (Measurement(float("nan"), n=30), "undecided"),
        (Measurement(float("inf"), n=30), "undecided"),
        (Measurement(9.0, float("nan"), n=30), "undecided"),
        (Measurement(9.0, float("inf"), n=30), "undecided"),
    ],
)
def test_too_few_or_broken_numbers_decide_nothing(measured, expected):
    assert verdict(claim(seeds=30), (measured,), "laptop") == expected


YES, NO, MAYBE = Measurement(9.0), Measurement(-9.0), Measurement(0.5, 1.0)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([YES, YES], "reproduced"),
        ([NO, NO], "not reproduced"),
        ([YES, NO], "partly"),
        ([NO, YES], "partly"),
        ([YES, MAYBE], "undecided"),
        ([NO, MAYBE], "undecided"),
        ([MAYBE, MAYBE], "undecided"),
        ([YES], "not recorded yet"),
        ([], "not recorded yet"),
    ],
)
def test_a_claim_with_parts(parts, expected):
    measured = tuple(replace(m, part=name) for m, name in zip(parts, "ab"))
    assert verdict(claim(parts=("a", "b")), measured, "laptop") == expected


@pytest.mark.parametrize("profile", profiles.DECIDING)
def test_a_profile_that_is_too_small_cannot_test_a_claim(profile):
    found = [
        verdict(claim(profile=needed), (YES,), profile) for needed in profiles.DECIDING
    ]
    able = profiles.DECIDING.index(profile) + 1
    assert found == ["reproduced"] * able + ["not testable here"] * (3 - able)


@pytest.mark.parametrize("measured", [(), (YES,), (NO,), (MAYBE,)])
@pytest.mark.parametrize("needed", profiles.DECIDING)
def test_a_smoke_run_never_gives_a_verdict(measured, needed):
    found = verdict(claim(profile=needed), measured, "smoke")
    assert found == "smoke run, not a verdict"


def test_nothing_measured_is_not_recorded_yet():
    assert verdict(claim(), (), "laptop") == "not recorded yet"
    with pytest.raises(ValueError, match="'desktop' is not in"):
        verdict(claim(), (YES,), "desktop")


# Claim files

CLAIMS = """\
title: Nine
question: Is <b>it</b> so?
page: chapters/9_nine
paper: {authors: A, title: T, arxiv: "0000.00000"}
claims:
  - id: ch9.plain
    where: Figure 1
    says: "a < b & c"
    metric: a <number>
    kind: at least
    bound: 0.5
    seeds: 2
  - id: ch9.parts
    where: ours
    says: Two parts.
    metric: two numbers
    kind: at most
    bound: 1
    origin: tailwise
    parts: [left, right]
  - id: ch9.large
    where: Table 1
    says: Only large runs show it.
    metric: a number
    kind: agreement
    bound: 0.25
    profile: paper
"""


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book with one chapter, whose results go to a folder of their own."""
    folder = tmp_path / "book"
    (folder / "claims").mkdir(parents=True)
    (folder / "claims" / "ch9.yml").write_text(CLAIMS)
    monkeypatch.setattr(claims, "book_dir", lambda: folder)
    monkeypatch.setenv("TAILWISE_RESULTS", str(tmp_path / "runs"))
    return folder


def test_a_claim_file_is_read(book):
    chapter = claims.load("ch9")
    assert claims.chapters() == ["ch9"]
    assert list(chapter.claims) == ["ch9.plain", "ch9.parts", "ch9.large"]
    assert chapter.claims["ch9.parts"].parts == ("left", "right")
    assert chapter.claims["ch9.parts"].origin == "tailwise"
    assert chapter.claims["ch9.large"].profile == "paper"
    assert chapter.claims["ch9.plain"].seeds == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: at least", "kind: more than", "'ch9.plain': kind 'more than'"),
        ("profile: paper", "profile: huge", "'ch9.large': profile 'huge'"),
        ("profile: paper", "profile: smoke", "'ch9.large': profile 'smoke'"),
        ("origin: tailwise", "origin: us", "'ch9.parts': origin 'us'"),
        ("bound: 0.5", "bound: 5e-1", "'ch9.plain': bound '5e-1' is not a number"),
        ("    bound: 1\n", "", "ch9.parts.*missing.*'bound'"),
        ("seeds: 2", "seed: 2", "ch9.plain.*unexpected keyword argument 'seed'"),
        ("ch9.large", "ch9.plain", "ch9.yml lists a claim id twice"),
        ("title: Nine", "name: Nine", "ch9.yml is malformed.*'name'"),
        ("claims:", "claim:", "ch9.yml is malformed: 'claims'"),
        ("  - id: ch9.plain", "  - words\n  - id: ch9.plain", "claim 'words'"),
        ("title: Nine", "title: [Nine", "ch9.yml is malformed"),
        (CLAIMS, "", "ch9.yml is malformed"),
    ],
)
def test_a_malformed_claim_file_is_named(book, old, new, message):
    assert CLAIMS.count(old) == 1
    (book / "claims" / "ch9.yml").write_text(CLAIMS.replace(old, new))
    with pytest.raises(ValueError, match=message):
        claims.load("ch9")


def test_an_unknown_chapter_is_named(book):
    with pytest.raises(ValueError, match=r"no claims for 'ch8': .*\['ch9'\]"):
        claims.load("ch8")


@pytest.mark.parametrize("key", claims.chapters())
def test_the_books_own_claim_files_are_sound(key):
    chapter = claims.load(key)
    assert chapter.question.strip().endswith("?")
    page = claims.book_dir() / f"{chapter.page}.py"
    assert page.exists() or not (claims.book_dir() / "chapters").exists()
    for claim in chapter.claims.values():
        assert claim.id.startswith(f"{key}.")
        assert claim.says.endswith(".")
        assert claim.metric.strip()
        assert claim.where.strip()
        assert claim.seeds >= 1
        assert len(set(claim.parts)) == len(claim.parts) != 1


# The ledger


@pytest.fixture
def ledger(book) -> Ledger:
    return Ledger("ch9")


def fill(ledger: Ledger) -> Ledger:
    ledger.record("ch9.plain", 0.75, 0.125, n=40)
    ledger.record("ch9.parts", Estimate(0.5, 0.1, 7), part="left")
    ledger.record("ch9.parts", 2, part="right")
    return ledger


VERDICTS = {
    "ch9.plain": "reproduced",
    "ch9.parts": "partly",
    "ch9.large": "not testable here",
}


def test_recording_returns_the_verdict_so_far(ledger):
    assert ledger.record("ch9.plain", 0.75, 0.125, n=1) == "undecided"
    assert ledger.record("ch9.plain", 0.75, 0.125, n=2) == "reproduced"
    assert ledger.record("ch9.parts", 0.5, part="left") == "not recorded yet"
    assert ledger.record("ch9.parts", 0.5, part="right") == "reproduced"
    assert ledger.record("ch9.large", 0.0) == "not testable here"
    assert (
        Ledger("ch9", profiles.current("paper")).record("ch9.large", 0.0)
        == "reproduced"
    )


def test_an_estimate_brings_its_error_and_its_repetitions(ledger):
    ledger.record("ch9.plain", Estimate(0.75, 0.125, 7))
    kept = ledger.to_record().measurements["ch9.plain"]
    assert kept == (Measurement(0.75, 0.125, 7),)
    ledger.record("ch9.plain", Estimate(0.75, 0.125, 7), n=3)
    assert ledger.to_record().measurements["ch9.plain"][0].n == 3


def test_a_record_is_read_back(ledger, book, tmp_path):
    assert claims.latest("ch9", "laptop") is None
    saved = fill(ledger).save()
    path = tmp_path / "runs" / "laptop" / "ch9.json"
    assert claims.latest("ch9", "laptop") == saved == claims.read_record(path)
    assert saved.verdicts == VERDICTS
    assert claims.dumps(claims.read_record(path)) == path.read_text()
    assert os.listdir(path.parent) == ["ch9.json"]
    # The committed record lies in the book, and the run did not touch it.
    assert claims.recorded("ch9", "laptop") is None
    (book / "results" / "laptop").mkdir(parents=True)
    path.rename(book / "results" / "laptop" / "ch9.json")
    assert claims.recorded("ch9", "laptop") == saved


def test_results_go_below_the_checkout_by_default(monkeypatch):
    monkeypatch.delenv("TAILWISE_RESULTS", raising=False)
    root = claims.book_dir().parent
    assert claims.results_dir("full") == root / "_build" / "results" / "full"


@pytest.mark.parametrize(
    ("args", "part", "message"),
    [
        (("ch9.none", 1.0), None, "unknown claim 'ch9.none': expected.*ch9.plain, ch9"),
        (("ch9.plain", 1.0), "left", r"'ch9.plain' has parts \(\), got 'left'"),
        (
            ("ch9.parts", 1.0),
            None,
            r"'ch9.parts' has parts \('left', 'right'\), got None",
        ),
        (("ch9.parts", 1.0), "top", "got 'top'"),
        (("ch9.plain", 1.0, -0.1), None, "stderr of 'ch9.plain' is -0.1"),
        (("ch9.plain", 1.0, float("nan")), None, "stderr of 'ch9.plain' is nan"),
    ],
)
def test_a_bad_entry_is_named_and_not_kept(ledger, args, part, message):
    with pytest.raises(ValueError, match=message):
        ledger.record(*args, part=part)
    assert ledger.to_record().measurements == {}


def test_a_results_folder_that_cannot_be_made_is_named(ledger, tmp_path):
    (tmp_path / "runs").write_text("a file in the way")
    with pytest.raises(OSError, match="runs"):
        fill(ledger).save()
    assert (tmp_path / "runs").read_text() == "a file in the way"


@pytest.mark.parametrize("broken", ["replace", "chmod", "fdopen"])
def test_a_failed_write_leaves_the_last_record_alone(
    ledger, tmp_path, monkeypatch, broken
):
    fill(ledger).save()
    folder = tmp_path / "runs" / "laptop"
    before = (folder / "ch9.json").read_bytes()
    ledger.record("ch9.plain", -1.0, n=40)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(claims.os, broken, fail)
        with pytest.raises(OSError, match="No space left"):
            ledger.save()
    assert os.listdir(folder) == ["ch9.json"]
    assert (folder / "ch9.json").read_bytes() == before


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"measurements": {"ch9.plain": [{"size": 1}]}}'],
)
def test_a_damaged_record_is_named(tmp_path, text):
    path = tmp_path / "ch9.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"ch9\.json is not a record"):
        claims.read_record(path)


# Provenance


def test_a_record_says_where_its_numbers_come_from(ledger, tmp_path):
    facts = fill(ledger).save().provenance
    assert facts["versions"].keys() == {*provenance.PACKAGES, "tailwise"}
    assert facts["device"].startswith("CPU")
    assert facts["source_hash"] == provenance.source_hash()
    assert 0 <= facts["cpu_s"] < 60
    assert 0 <= facts["wall_s"] < 60
    assert facts["peak_memory_gb"] > 0.1  # an interpreter with torch in it
    assert json.loads(json.dumps(facts)) == facts


def test_the_hash_covers_names_and_contents(tmp_path):
    def write(name, text):
        path = tmp_path / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return file_hash(tmp_path / "code")

    first = write("a.py", "x = 1")
    assert write("__pycache__/a.pyc", "cache") == first
    assert len({first, write("b.py", ""), write("b.py", "x"), write("c/b.py", "")}) == 4
    os.rename(tmp_path / "code" / "a.py", tmp_path / "code" / "z.py")
    renamed = file_hash(tmp_path / "code")
    os.rename(tmp_path / "code" / "z.py", tmp_path / "code" / "a.py")
    assert file_hash(tmp_path / "code") != renamed


def test_a_commit_with_changes_says_so(tmp_path, monkeypatch):
    file = tmp_path / "code.py"
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    assert provenance._commit() is None
    file.write_text("1")
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    clean = provenance._commit()
    assert re.fullmatch("[0-9a-f]{7,}", clean)
    file.write_text("2")
    assert provenance._commit() == f"{clean}-dirty"


# Tables


def commit(book, tmp_path):
    """Make the last run the recorded one."""
    (book / "results").mkdir()
    (tmp_path / "runs" / "laptop").rename(book / "results" / "laptop")


def test_the_claim_box_shows_a_column_for_each_profile_that_ran(ledger, book, tmp_path):
    fill(ledger).save()
    commit(book, tmp_path)
    box = claim_box("ch9", "laptop", "full")
    assert box.frame().to_dict() == {"laptop": VERDICTS}
    shown = box._repr_html_()
    for words in VERDICTS.values():
        assert f">{words}</span>" in shown
    assert shown.count("<tr>") == 4
    assert shown.count("class='origin'>ours<") == 1


def test_the_last_run_is_shown_before_the_record(ledger, book, tmp_path):
    fill(ledger).save()
    commit(book, tmp_path)
    ledger.record("ch9.plain", -1.0, n=40)
    ledger.save()
    shown = claim_box("ch9", "laptop").frame()["laptop, this run"]
    assert shown["ch9.plain"] == "not reproduced"
    (tmp_path / "runs" / "laptop").rename(tmp_path / "runs" / "full")
    # A run at another profile is not the one that shows the box.
    assert list(claim_box("ch9", "laptop", "full").frame()) == ["laptop", "full"]


def test_the_headline_counts_verdicts_by_origin(ledger):
    text = headline("laptop")
    assert text.startswith("Of 2 claims of the papers: 2 not recorded yet.")
    fill(ledger).save()
    assert headline("laptop") == (
        "Of 2 claims of the papers: 1 reproduced, 1 not testable here. "
        "Of 1 statements of our own: 1 partly."
    )
    assert headline("laptop", claims.recorded) == text


@pytest.mark.parametrize("detail", [False, True])
def test_html_is_escaped(ledger, detail):
    table = ClaimTable(
        ledger.chapter, (("a <run>", fill(ledger).to_record()),), detail=detail
    )
    shown = table._repr_html_()
    assert "a &lt; b &amp; c" in shown
    assert "a &lt;run&gt;" in shown
    assert ("a &lt;number&gt;" in shown) == detail
    assert "<number>" not in shown
    assert "<run>" not in shown


def test_the_outcome_shows_numbers_and_where_they_come_from(ledger):
    table = outcome(fill(ledger))
    shown = table._repr_html_()
    for words in (*VERDICTS.values(), "0.75 ± 0.12", "left: 0.5 ± 0.1; right: 2"):
        assert words in shown
    for bound in ("≥ 0.5", "≤ 1", "within ±0.25"):
        assert bound in shown.replace("&gt;", ">")
    assert f"source {provenance.source_hash()[:10]}" in shown
    assert table.frame()["this run"].to_dict() == VERDICTS
    assert "partly" in repr(table)


def test_a_smoke_run_shows_no_verdict(book):
    ledger = fill(Ledger("ch9", profiles.current("smoke")))
    # Two tiny runs may leave nothing to divide by; their chapter goes on.
    ledger.record("ch9.plain", float("inf"), float("nan"), n=2)
    with pytest.raises(ValueError, match="stderr of 'ch9.plain' is -1"):
        ledger.record("ch9.plain", 1.0, -1.0)
    assert set(ledger.save().verdicts.values()) == {SMOKE_RUN}
    assert set(every_claim("smoke")["verdict"]) == {SMOKE_RUN}
    assert set(outcome(ledger).frame()["this run"]) == {SMOKE_RUN}
    assert set(full_table("smoke").frame()["verdict"]) == {SMOKE_RUN}
    assert headline("smoke") == "Smoke run, not a verdict."
    badge = f"<span class='verdict verdict-smoke-run'>{SMOKE_RUN}</span>"
    for table in (outcome(ledger), full_table("smoke")):
        shown = table._repr_html_()
        assert shown.count("class='verdict ") == shown.count(badge) == 3


def test_every_claim_has_a_row(ledger):
    fill(ledger).save()
    board = every_claim("laptop")
    assert dict(zip(board["claim"], board["verdict"])) == VERDICTS
    assert board["origin"].tolist() == ["paper", "tailwise", "paper"]
    assert set(every_claim("laptop", "recorded")["verdict"]) == {"not recorded yet"}
    assert set(every_claim("full")["verdict"]) == {"not recorded yet"}


def test_verdicts_are_computed_again_when_a_table_is_made(ledger, book):
    fill(ledger).save()
    edited = CLAIMS.replace("bound: 0.5", "bound: 5.0")
    (book / "claims" / "ch9.yml").write_text(edited)
    board = every_claim("laptop").set_index("claim")
    assert board.loc["ch9.plain", "verdict"] == "not reproduced"


def test_minutes_are_those_of_the_records(ledger):
    fill(ledger).save()
    text = minutes("ch9", "laptop", "full")
    assert "laptop: 0.0 min" in text
    assert "full: not recorded yet" in text


def test_each_part_of_a_claim_is_entered_and_shown(ledger):
    parts = {
        "ch9.parts": {"left": estimate([1.0, 2.0, 4.0]), "right": estimate([0.1, 0.2])},
        "ch9.plain": {"": estimate([-300.0, -100.0])},
    }
    found = ledger.enter(parts)
    alone = Ledger("ch9")
    pairs = [(a, x, e) for a, each in parts.items() for x, e in each.items()]
    for claim, part, e in pairs:
        alone.record(claim, e, part=part or None)
    assert ledger.to_record().measurements == alone.to_record().measurements
    assert list(found.index) == [(a, x) for a, x, _ in pairs]
    assert found.index.names == ["claim", "part"]
    for text, (_, _, e) in zip(found["measured"], pairs, strict=True):
        mean, stderr = map(float, text.split(" ± "))
        # Four digits and two.
        assert mean == pytest.approx(e.mean, rel=1e-3)
        assert stderr == pytest.approx(e.stderr, rel=0.1)


def test_who_shows_the_numbers_in_another_way_gets_that_table_back(ledger):
    table = pd.DataFrame()
    assert ledger.enter({"ch9.plain": {"": Estimate(0.75, 0.125, 7)}}, table) is table
    assert set(ledger.to_record().measurements) == {"ch9.plain"}
