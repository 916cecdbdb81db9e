"""The scoreboard page's table: a row for each claim, run and part."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from scipy.stats import t as student

from tailwise import profiles
from tailwise.ledger import claims
from tailwise.ledger.tables import full_table

CLAIMS = """\
title: Nine < ten
question: Is it so?
page: chapters/9_nine
paper: {}
claims:
  - {id: ch9.plain, where: Table 1, says: a < b & c., metric: a <number>,
     kind: at least, bound: 0.5, evidence: text, repetition: seed, deviations: Smaller.}
  - {id: ch9.parts, where: derived here, says: Two., metric: m, kind: at most,
     bound: 1, origin: ours, repetition: seed, parts: [left, right]}
  - {id: ch9.big, where: Table 2, says: Big., metric: m, kind: at most, bound: 1,
     evidence: code, repetition: seed, profile: full}
"""


class Table(HTMLParser):
    """Cells of each row, spans filled in, and whether every tag is closed."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.rows, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "br":
            return
        self.open.append(tag)
        attrs = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append([int(attrs.get("rowspan", 1)), ""])
        if tag == "a":
            self.links.append(attrs["href"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1][1] += data

    def grid(self) -> list[list[str]]:
        """Every row in full width."""
        waiting, grid = {}, []
        for row in self.rows:
            cells, full, column = list(row), [], 0
            while cells or waiting.get(column, (0,))[0]:
                left, text = waiting.get(column, (0, ""))
                if not left:
                    left, text = cells.pop(0)
                waiting[column] = (left - 1, text)
                full.append(" ".join(text.split()))
                column += 1
            grid.append(full)
        return grid


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book with one chapter, recorded at the laptop profile."""
    book = tmp_path / "book"
    (book / "claims").mkdir(parents=True)
    (book / "claims" / "ch9.yml").write_text(CLAIMS)
    monkeypatch.setattr(claims, "book_dir", lambda: book)
    monkeypatch.setenv("TAILWISE_RESULTS", str(book / "results"))
    save()
    return book


MIXED = "mixed: 1 no, 1 open leftright"


def save(profile="laptop", plain=0.75) -> None:
    ledger = claims.Ledger("ch9", profiles.current(profile))
    ledger.record("ch9.plain", plain, 0.0625, n=40)
    ledger.record("ch9.parts", -0.5, n=1, part="left")
    ledger.record("ch9.parts", 2.0, 0.0625, n=3, part="right")
    ledger.save()


def test_a_row_for_each_claim_run_and_part(book):
    frame = full_table("laptop").frame().set_index(["claim", "part"])
    assert list(frame.index) == [
        ("ch9.plain", ""),
        ("ch9.parts", "left"),
        ("ch9.parts", "right"),
        ("ch9.big", ""),
    ]
    plain = frame.loc["ch9.plain", ""]
    low, high = student.interval(0.95, 39, 0.75, 0.0625)
    assert (plain.value, plain.n) == (0.75, 40)
    assert (plain.low, plain.high) == pytest.approx((low, high))
    kept = claims.recorded("ch9", "laptop")
    for (claim, _), row in frame.iterrows():
        assert row.verdict == kept.verdicts[claim]
        assert (row.run, row.device) == ("laptop", kept.provenance["device"])


def test_the_page_shows_what_the_frame_holds(book):
    full = full_table("laptop")
    table = Table(full._repr_html_())
    assert table.open == []
    head, *rows = table.grid()
    assert head == ["claim", "verdict", "value", "interval", "n", "run"]
    assert [len(row) for row in rows] == [6] * 4
    assert [row[1:5] for row in rows] == [
        ["reproduced", "0.75", "0.624 to 0.876", "40"],
        [MIXED, "left −0.5", "–1 of 2 repetitions", "1"],
        [MIXED, "right 2", "1.73 to 2.27", "3"],
        ["not testable here", "–", "–", "–"],
    ]
    for row, frame in zip(rows, full.frame().itertuples()):
        assert row[5].startswith(f"laptop {frame.device}")
        assert frame.claim in row[0]


def test_text_is_escaped_and_links_lead_to_the_cells(book):
    shown = full_table("laptop")._repr_html_()
    assert "a &lt; b &amp; c" in shown
    assert "a &lt;number&gt;" in shown
    assert "Nine &lt; ten" in shown
    ids = claims.load("ch9").claims
    links = [(f"chapters/9_nine.ipynb#{id}", f"#{id}") for id in ids]
    assert Table(shown).links == [link for pair in links for link in pair]
    assert re.findall(r"<tbody id='(.*?)'", shown) == list(ids)


def test_the_filter_offers_what_is_there_and_waits_for_its_script(book):
    shown = full_table("laptop")._repr_html_()
    assert shown.count("<form class='board-filter' hidden>") == 1
    assert "<option value='mixed'>" in shown
    assert "<option value='undecided'>" not in shown
    assert "data-verdict='mixed' data-origin='ours'" in shown


def test_a_larger_run_gets_rows_of_its_own(book):
    assert "Not recorded yet: full, paper." in full_table("laptop")._repr_html_()
    save("full", plain=-1.0)
    full = full_table("laptop")
    plain = full.frame().query("claim == 'ch9.plain'")
    assert list(plain.run) == ["laptop", "full"]
    assert list(plain.verdict) == ["reproduced", "not reproduced"]
    shown = full._repr_html_()
    assert "data-verdict='reproduced|not reproduced'" in shown
    assert "Not recorded yet: paper." in shown


def test_a_run_of_this_machine_is_shown_where_its_numbers_differ(
    book, tmp_path, monkeypatch
):
    monkeypatch.setenv("TAILWISE_RESULTS", str(tmp_path / "runs"))
    for value in (0.75, 0.75 + 1e-9):  # which reads the same
        save(plain=value)
        assert set(full_table("laptop").frame().run) == {"laptop"}
    save(plain=-1.0)
    plain = full_table("laptop").frame().query("claim == 'ch9.plain'")
    assert list(plain.run) == ["laptop", "laptop, this machine"]
    assert list(plain.verdict) == ["reproduced", "not reproduced"]
    others = full_table("laptop").frame().query("claim != 'ch9.plain'")
    assert set(others.run) == {"laptop"}


def test_a_chapter_without_any_run_shows_its_claims(book):
    (book / "results" / "laptop" / "ch9.json").unlink()
    full = full_table("laptop")
    assert set(full.frame().verdict) == {"not recorded yet"}
    table = Table(full._repr_html_())
    assert [row[1:] for row in table.grid()[1:]] == [
        ["not recorded yet", "–", "–", "–", "–"]
    ] * 3


def test_a_record_from_outside_a_checkout_has_no_commit(book):
    path = book / "results" / "laptop" / "ch9.json"
    kept = claims.read_record(path)
    facts = kept.provenance | {"commit": None}
    path.write_text(claims.dumps(replace(kept, provenance=facts)))
    assert set(full_table("laptop").frame()["commit"]) == {""}
    assert "None" not in full_table("laptop")._repr_html_()
