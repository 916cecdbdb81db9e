"""Tables of the page of run times, from records that are committed."""

import json

import pytest

from tailwise import profiles
from tailwise.ledger import claims, run_times

CLAIMS = """\
title: {title}
question: Is it so?
page: chapters/{key}
paper: {{}}
claims:
  - {{id: {key}.a, where: here, origin: ours,
     repetition: seed, says: A., metric: m, kind: at least, bound: 0.5}}
"""
OUTCOME = {
    "title": "Chapter 1's <heads>",
    "comparisons": [
        {"case": case, "unit": "us", "ours": 2.0, "loop": 8.0, "ratio": 4.0}
        | {"difference": 3e-7}
        for case in ("mlp", "")
    ],
    "provenance": {"device": "CPU, 1 of 2 cores"},
}


@pytest.fixture
def book(tmp_path, monkeypatch):
    book = tmp_path / "book"
    (book / "claims").mkdir(parents=True)
    for key, title in (("ch8", "Eight"), ("ch9", "Nine")):
        text = CLAIMS.format(key=key, title=title)
        (book / "claims" / f"{key}.yml").write_text(text)
    monkeypatch.setattr(claims, "book_dir", lambda: book)
    monkeypatch.setattr(run_times, "book_dir", lambda: book)
    monkeypatch.setenv("TAILWISE_RESULTS", str(book / "results"))
    return book


def run(chapter: str, **facts) -> None:
    """Record a chapter with chosen costs."""
    path = claims.results_dir("laptop") / f"{chapter}.json"
    claims.Ledger(chapter, profiles.current("laptop")).save()
    fields = json.loads(path.read_text())
    fields["provenance"] |= facts
    path.write_text(json.dumps(fields))


def test_a_book_without_records_says_so(book):
    table = run_times.cost_table()
    assert table.rows == ()
    assert repr(table) == (
        "Not recorded yet: laptop for any chapter; full for any chapter; "
        "paper for any chapter."
    )
    assert table.missing in table._repr_html_()
    assert run_times.bench_table().missing == "Not recorded yet."


def test_times_add_up_and_memory_does_not(book):
    run("ch8", wall_s=60.0, cpu_s=30.0, peak_memory_gb=0.5, commit="abc1234")
    run("ch9", wall_s=90.0, cpu_s=12.0, peak_memory_gb=1.5, commit=None)
    frame = run_times.cost_table().frame().set_index("chapter")
    assert list(frame.index) == ["Eight", "Nine", "all 2"]
    assert list(frame["minutes"]) == ["1.0", "1.5", "2.5"]
    assert list(frame["CPU seconds"]) == ["30", "12", "42"]
    assert list(frame["peak memory"]) == ["0.5 GB", "1.5 GB", "1.5 GB"]
    assert list(frame["commit"]) == ["abc1234", "–", "–"]
    assert run_times.cost_table().missing.startswith("Not recorded yet: full")


def test_one_more_repetition_is_at_most_the_whole_over_the_fewest(book):
    parts = CLAIMS.replace("bound: 0.5", "bound: 0.5, parts: [a, b, exact]")
    text = parts.format(key="ch8", title="Eight")
    (book / "claims" / "ch8.yml").write_text(text)
    ledger = claims.Ledger("ch8", profiles.current("laptop"))
    for part, n in (("a", 20), ("b", 5), ("exact", 1)):
        ledger.record("ch8.a", 0.6, 0.1 if n > 1 else 0.0, n=n, part=part)
    ledger.save()
    path = claims.results_dir("laptop") / "ch8.json"
    fields = json.loads(path.read_text())
    fields["provenance"]["cpu_s"] = 60.0
    path.write_text(json.dumps(fields))
    run("ch9", cpu_s=7.0)
    frame = run_times.cost_table().frame().set_index("chapter")
    assert list(frame["a repetition"]) == ["≤ 12 s", "–", "≤ 12 s"]


def test_a_single_record_needs_no_total(book):
    run("ch9")
    table = run_times.cost_table()
    assert [row["chapter"] for row in table.rows] == ["Nine"]
    assert table.missing.startswith("Not recorded yet: laptop for Eight; full")


def test_a_ratio_is_shown_beside_its_two_times(book):
    folder = run_times.bench_dir()
    folder.mkdir(parents=True)
    (folder / "heads.json").write_text(json.dumps(OUTCOME))
    table = run_times.bench_table()
    assert [row["comparison"] for row in table.rows] == [
        "Chapter 1's <heads> (mlp)",
        "Chapter 1's <heads>",
    ]
    shown = table._repr_html_()
    for text in ("2 µs", "8 µs", "4.0 ×", "3e-07", "&lt;heads&gt;"):
        assert text in shown
    assert "<heads>" not in shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(13.79, "13.8 s"), (0.9999, "1 s"), (1.066e-3, "1.07 ms"), (8e-6, "8 µs")],
)
def test_times_are_shown_in_the_unit_that_fits(seconds, shown):
    assert run_times._time(seconds) == shown


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"comparisons": [{}], "title": "t"}']
)
def test_a_damaged_outcome_is_named(book, text):
    folder = run_times.bench_dir()
    folder.mkdir(parents=True)
    (folder / "heads.json").write_text(text)
    with pytest.raises(ValueError, match=r"heads\.json is not a benchmark's outcome"):
        run_times.bench_table()
