"""The ledger: verdicts at their limits, whole records, and tables that show them."""

import json
import os
import re
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from tailwise import profiles
from tailwise.files import file_hash
from tailwise.ledger import board, claims, export, provenance, tables
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
from tailwise.metrics import Estimate, chance_to_stay, estimate, half_width

# Verdicts. Numbers are multiples of 1/8, so that a limit is met exactly.

STEP = 2**-20


def claim(kind="at least", bound=0.5, **fields) -> Claim:
    return Claim(
        id="ch9.x",
        says="It is so.",
        where="Figure 1",
        metric="a number",
        kind=kind,
        bound=bound,
        **fields,
    )


N = 8
CLEAR = 4.0  # standard errors: beyond t(7) = 2.36, with a chance of .93 to stay so


@pytest.mark.parametrize(
    ("kind", "side"), [("at least", 1), ("at most", -1), ("agreement", -1)]
)
@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (CLEAR, "reproduced"),
        (2.5, "undecided"),  # clear of the interval, but a fresh run may well not be
        (0.0, "undecided"),
        (-2.5, "undecided"),
        (-CLEAR, "not reproduced"),
    ],
)
def test_a_verdict_near_its_limit(kind, side, errors, expected):
    measured = Measurement(0.5 + side * errors * 0.01, 0.01, N)
    assert verdict(claim(kind), (measured,), "laptop") == expected
    if kind == "agreement":
        mirrored = replace(measured, value=-measured.value)
        assert verdict(claim(kind), (mirrored,), "laptop") == expected


def test_a_mark_needs_the_interval_and_a_likely_repetition():
    """From the words: simulate fresh runs of the same size around what was seen."""
    rng = np.random.default_rng(0)
    for errors in (2.0, 3.0, 3.6, 4.2, 6.0):
        runs = errors + rng.normal(size=(20_000, N)) * np.sqrt(N)
        se = runs.std(1, ddof=1) / np.sqrt(N)
        again = (runs.mean(1) - student.ppf(0.975, N - 1) * se > 0).mean()
        expected = (
            "yes" if errors > student.ppf(0.975, N - 1) and again >= 0.9 else "open"
        )
        if abs(again - 0.9) > 4 * np.sqrt(0.09 / 20_000):
            measured = Measurement(0.5 + errors, 1.0, N)
            assert claims.mark(claim(), measured) == expected, errors
        assert chance_to_stay(errors, 1.0, N) == pytest.approx(again, abs=0.012)


@pytest.mark.parametrize("n", [3, 5, 8, 20])
def test_the_interval_covers_95_percent(n):
    values = np.random.default_rng(n).normal(size=(40_000, n))
    error = values.std(1, ddof=1) / np.sqrt(n)
    new, old = (
        (np.abs(values.mean(1)) <= factor * error).mean()
        for factor in (half_width(1.0, n), 2.0)
    )
    said = f"n = {n}: Student's t covers {new:.3f}, two standard errors {old:.3f}"
    assert new == pytest.approx(0.95, abs=0.01), said
    assert n >= 20 or old < 0.94, said


def test_repetitions_are_the_fewest_that_do():
    found = claims.more_needed(claim(), Measurement(0.6, 0.1, 4))
    sd = 0.1 * 2
    assert chance_to_stay(0.1, sd / found**0.5, found) >= claims.CHANCE
    assert chance_to_stay(0.1, sd / (found - 1) ** 0.5, found - 1) < claims.CHANCE
    assert claims.more_needed(claim(), Measurement(0.5, 0.1, 4)) is None  # on the bound
    assert claims.more_needed(claim(), Measurement(9.0, 0.1, 4)) is None  # decided
    assert claims.more_needed(claim(seeds=500), Measurement(0.6, 0.1, 4)) == 500


@pytest.mark.parametrize(
    ("kind", "better"), [("at least", 1), ("at most", -1), ("agreement", -1)]
)
def test_an_exact_number_is_decided_on_either_side(kind, better):
    exact = claim(kind, exact=True)
    found = [
        verdict(exact, (Measurement(0.5 + better * side),), "laptop")
        for side in (0, STEP, -STEP)
    ]
    assert found == ["reproduced", "reproduced", "not reproduced"]


def test_a_single_number_that_is_not_exact_decides_nothing():
    assert verdict(claim(), (Measurement(9.0),), "laptop") == "undecided"


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


YES, NO, MAYBE = (Measurement(v, 1.0, N) for v in (9.0, -9.0, 0.5))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([YES, YES], "reproduced"),
        ([NO, NO], "not reproduced"),
        ([YES, NO], "mixed"),
        ([NO, YES], "mixed"),
        ([YES, MAYBE], "mixed"),
        ([NO, MAYBE], "mixed"),
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
    evidence: text
    repetition: data set
    says: "a < b & c"
    metric: a <number>
    kind: at least
    bound: 0.5
    seeds: 2
  - id: ch9.parts
    where: derived in chapter 9
    repetition: seed
    deviations: "fewer > parts"
    says: Two parts.
    metric: two numbers
    kind: at most
    bound: 1
    origin: ours
    parts: [left, right]
  - id: ch9.large
    where: Table 1
    origin: another paper
    source: "B & C"
    evidence: second-hand
    repetition: network
    paper_value: "12 %"
    changed: [{date: "2026-01-01", what: bound 1 -> 0.25, why: It was too wide.}]
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
    assert chapter.claims["ch9.parts"].origin == "ours"
    assert chapter.claims["ch9.large"].profile == "paper"
    assert chapter.claims["ch9.plain"].seeds == 2
    assert [claim.id for claim in chapter.carrying] == ["ch9.plain"]


def test_a_claim_file_names_the_claims_that_carry_its_chapter(book):
    path = book / "claims" / "ch9.yml"
    path.write_text(CLAIMS.replace("claims:\n", "headline: [ch9.large]\nclaims:\n"))
    assert [claim.id for claim in claims.load("ch9").carrying] == ["ch9.large"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("claims:\n", "headline: [ch9.none]\nclaims:\n", "headline"),
        (
            "claims:\n",
            f"headline: [{', '.join(['ch9.plain'] * 5)}]\nclaims:\n",
            "at most",
        ),
        ("kind: at least", "kind: more than", "'ch9.plain': kind 'more than'"),
        ("profile: paper", "profile: huge", "'ch9.large': profile 'huge'"),
        ("profile: paper", "profile: smoke", "'ch9.large': profile 'smoke'"),
        ("origin: ours", "origin: us", "'ch9.parts': origin 'us'"),
        ("    evidence: text\n", "", "'ch9.plain': evidence '' is not in"),
        ("evidence: text", "evidence: hearsay", "'ch9.plain': evidence 'hearsay'"),
        ("where: Figure 1", "where: ''", "'ch9.plain': where is empty"),
        ('    source: "B & C"\n', "", "'ch9.large': source is ''"),
        ("    repetition: seed\n", "", "'ch9.parts': expected either exact"),
        ("repetition: seed", "exact: true\n    repetition: seed", "expected either"),
        (", why: It was too wide.", "", "'ch9.large': a change lacks why"),
        ("seeds: 2", "seeds: 2.5", "'ch9.plain': seeds 2.5 is not a whole number"),
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
    ledger.record("ch9.plain", 0.75, 0.05, n=40)
    ledger.record("ch9.parts", Estimate(0.5, 0.05, 7), part="left")
    ledger.record("ch9.parts", Estimate(2.0, 0.05, 7), part="right")
    return ledger


VERDICTS = {
    "ch9.plain": "reproduced",
    "ch9.parts": "mixed",
    "ch9.large": "not testable here",
}


def test_recording_returns_the_verdict_so_far(ledger):
    assert ledger.record("ch9.plain", 0.75, 0.01, n=1) == "undecided"
    assert ledger.record("ch9.plain", 0.75, 0.01, n=3) == "reproduced"
    half = Estimate(0.5, 0.05, 9)
    assert ledger.record("ch9.parts", half, part="left") == "not recorded yet"
    assert ledger.record("ch9.parts", half, part="right") == "reproduced"
    assert ledger.record("ch9.large", half) == "not testable here"
    paper = Ledger("ch9", profiles.current("paper"))
    assert paper.record("ch9.large", Estimate(0.0, 0.01, 9)) == "reproduced"


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


def shown_as(box: ClaimTable) -> dict[str, str]:
    (column,) = box.frame().to_dict().values()
    return column


def test_the_claim_box_shows_a_column_for_each_profile_that_ran(ledger, book, tmp_path):
    fill(ledger).save()
    commit(book, tmp_path)
    box = claim_box("ch9", "laptop", "full")
    plain = {id: verdict.partition(":")[0] for id, verdict in shown_as(box).items()}
    assert plain == VERDICTS
    assert shown_as(box)["ch9.parts"] == "mixed: 1 yes, 1 no"
    shown = box._repr_html_()
    assert "<span class='mark mark-no'>right</span>" in shown
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
    assert text.startswith("Of 1 claims of the papers: 1 not recorded yet.")
    fill(ledger).save()
    assert headline("laptop") == (
        "Of 1 claims of the papers: 1 reproduced. "
        "What they claim was read in: 1 the paper's text. "
        "Of 1 claims of other papers: 1 not testable here. "
        "Of 1 statements of our own: 1 mixed."
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
    for words in (
        *VERDICTS.values(),
        "0.75 ± 0.1",
        "left: 0.5 ± 0.12; right: 2 ± 0.12",
    ):
        assert words in shown
    for bound in ("≥ 0.5", "≤ 1", "within ±0.25"):
        assert bound in shown.replace("&gt;", ">")
    assert f"source {provenance.source_hash()[:10]}" in shown
    assert "mixed: 1 yes, 1 no" in repr(table)
    # What a claim rests on is all there.
    for words in ("Table 1; read in: second-hand", "B &amp; C", "12 %", "fewer &gt;"):
        assert words in shown
    assert "Changed on 2026-01-01 after a record had been seen: bound 1" in shown


@pytest.mark.parametrize(
    ("metric", "low", "shown"),
    [
        ("mean absolute log of a ratio", 0.0, "0.05 (0 to 0.13)"),
        ("log of a ratio", -0.03, "0.05 ± 0.08"),
    ],
)
def test_an_interval_of_absolute_values_ends_at_zero(ledger, metric, low, shown):
    stderr = 0.08 / half_width(1.0, 30)
    claim = replace(ledger.chapter.claims["ch9.plain"], metric=metric)
    measured = claims.Measurement(0.05, stderr, 30)
    assert claim.interval(measured) == pytest.approx((low, 0.13))
    run = ledger.to_record()
    run = replace(run, measurements={claim.id: (measured,)})
    assert board.verdict_row(claim, run)["measured"] == shown
    row = export._measured(claim, run)["parts"][0]
    assert (row["low"], row["high"]) == claim.interval(measured)
    (row,) = tables._runs(claim, (("run", run),))[0]
    assert (row["low"], row["high"]) == claim.interval(measured)


def test_an_open_part_says_how_many_repetitions_would_do(ledger):
    ledger.record("ch9.plain", 0.6, 0.1, n=4)
    row = board.verdict_row(ledger.chapter.claims["ch9.plain"], ledger.to_record())
    needed = claims.more_needed(
        ledger.chapter.claims["ch9.plain"], Measurement(0.6, 0.1, 4)
    )
    reach = "beyond the full profile"
    said = f"the interval holds the limit; about {needed} would decide, {reach}"
    assert row["needed"] == [said]
    assert f"Open: {said}" in outcome(ledger)._repr_html_()


def test_a_story_tells_the_verdicts_of_its_run(ledger):
    text = r"$\frac{1}{2}$ holds: {ch9.plain}; the parts: {ch9.parts}."
    told = board.story(fill(ledger), text)
    assert told._repr_markdown_() == (
        r"$\frac{1}{2}$ holds: **reproduced** (`ch9.plain`); "
        "the parts: **mixed: 1 yes, 1 no** (`ch9.parts`)."
    )
    with pytest.raises(ValueError, match="names 'ch9.none', which is not claimed"):
        board.story(ledger, "{ch9.none}")


def test_a_claim_without_one_of_its_parts_is_not_saved(ledger, tmp_path):
    ledger.record("ch9.parts", Estimate(0.5, 0.1, 7), part="left")
    with pytest.raises(ValueError, match=r"entered without \['right'\]"):
        ledger.save()
    assert not (tmp_path / "runs").exists()


def test_a_record_of_another_schema_is_named(ledger, tmp_path):
    fill(ledger).save()
    path = tmp_path / "runs" / "laptop" / "ch9.json"
    fields = json.loads(path.read_text())
    del fields["schema"]
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="is a record of schema 1, expected 2"):
        claims.latest("ch9", "laptop")


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
    table = every_claim("laptop")
    assert dict(zip(table["claim"], table["verdict"])) == VERDICTS
    assert table["origin"].tolist() == ["this paper", "ours", "another paper"]
    assert set(every_claim("laptop", "recorded")["verdict"]) == {"not recorded yet"}
    assert set(every_claim("full")["verdict"]) == {"not recorded yet"}


def test_verdicts_are_computed_again_when_a_table_is_made(ledger, book):
    fill(ledger).save()
    edited = CLAIMS.replace("bound: 0.5", "bound: 5.0")
    (book / "claims" / "ch9.yml").write_text(edited)
    table = every_claim("laptop").set_index("claim")
    assert table.loc["ch9.plain", "verdict"] == "not reproduced"


def test_the_largest_record_counts_and_the_laptop_stands_beside_it(
    ledger, book, tmp_path
):
    fill(ledger).save()
    commit(book, tmp_path)
    assert claims.largest("ch9").profile == "laptop"
    assert board.headlines() == headline("laptop", claims.recorded)
    ledger.record("ch9.plain", -1.0, n=40)
    kept = claims.dumps(ledger.to_record()).replace('"laptop"', '"full"')
    (book / "results" / "full").mkdir()
    (book / "results" / "full" / "ch9.json").write_text(kept)
    assert claims.largest("ch9").profile == "full"
    first, beside = board.headlines().split("at the laptop's size: ")
    assert first.startswith("Of 1 claims of the papers: 1 not reproduced.")
    assert beside.startswith("of 1 claims of the papers: 1 reproduced. Of 1")


def test_at_scale_compares_the_parts_of_this_run_with_the_record(
    ledger, book, tmp_path
):
    fill(ledger).save()
    assert "`full`: not recorded yet" in board.at_scale(ledger)
    commit(book, tmp_path)
    kept = (book / "results" / "laptop" / "ch9.json").read_text()
    folder = book / "results" / "full"
    folder.mkdir()
    (folder / "ch9.json").write_text(kept.replace('"laptop"', '"full"'))
    assert (
        board.at_scale(ledger)
        .partition("\n")[0]
        .endswith(
            "Of 3 parts 0 are open in this run and 0 there. No part changed side."
        )
    )
    ledger.record("ch9.plain", -1.0, n=40)
    moved = board.at_scale(ledger)
    assert "On the other side: `ch9.plain` (no here, yes there)." in moved


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
    for text, (_, _, e) in zip(found["mean ± s.e."], pairs, strict=True):
        mean, stderr = map(float, text.split(" ± "))
        # Four digits and two.
        assert mean == pytest.approx(e.mean, rel=1e-3)
        assert stderr == pytest.approx(e.stderr, rel=0.1)


def test_who_shows_the_numbers_in_another_way_gets_that_table_back(ledger):
    table = pd.DataFrame()
    assert ledger.enter({"ch9.plain": {"": Estimate(0.75, 0.125, 7)}}, table) is table
    assert set(ledger.to_record().measurements) == {"ch9.plain"}
