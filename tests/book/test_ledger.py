"""Claims, records, prose and README tell one story."""

import html
import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from tailwise import profiles
from tailwise.ledger import board, claims
from tailwise.ledger.board import ClaimTable
from tools.book import record
from tools.book.layout import ROOT

RECORDS = sorted((ROOT / "book" / "results").glob("*/ch*.json"))
needs_record = pytest.mark.skipif(
    not RECORDS, reason="no record in book/results yet: make book, then make record"
)


def record_faults(path: Path) -> list[str]:
    """Where a committed record disagrees with its claim file or with itself."""
    kept = claims.read_record(path)
    here = path.parent.name, path.stem
    faults = []
    if (kept.profile, kept.chapter) != here:
        faults.append(f"is of {kept.chapter} at {kept.profile}")
    stated = claims.load(path.stem).claims
    unknown = (kept.measurements.keys() | kept.verdicts.keys()) - stated.keys()
    faults += [f"{id} is not claimed" for id in sorted(unknown)]
    for id, claim in stated.items():
        measured = kept.measurements.get(id, ())
        computed = claims.verdict(claim, measured, kept.profile)
        parts = sorted(str(m.part) for m in measured)
        if computed != "not testable here" and parts != sorted(
            map(str, claim.parts or (None,))
        ):
            faults.append(f"{id} has the parts {parts}, not {claim.parts}")
        if kept.verdicts.get(id) != computed:
            faults.append(f"{id} says {kept.verdicts.get(id)}, the numbers {computed}")
    return faults


def prose(path: Path) -> str:
    """The text of a page, or of the Markdown cells of a .py half."""
    text = path.read_text(encoding="utf-8")
    return (
        re.sub(r"^# ?", "", text, flags=re.MULTILINE) if path.suffix == ".py" else text
    )


def prose_faults(book: Path) -> list[str]:
    """Verdicts in prose that are not those of the record at the laptop profile."""
    faults = []
    for path in sorted([*book.rglob("*.py"), *book.rglob("*.md")]):
        for said, id in record.STATED.findall(prose(path)):
            chapter = id.split(".")[0]
            kept = claims.read_record(book / "results" / "laptop" / f"{chapter}.json")
            claim = claims.load(chapter).claims.get(id) if kept else None
            found = "unknown" if kept else "not recorded yet"
            if claim:
                found = board.bold(board.verdict_row(claim, kept)).strip("*")
            if " ".join(said.lower().split()) != found:
                faults.append(f"{path.name}: {id} is {found}, not {said}")
    return faults


@pytest.mark.parametrize(
    "path", RECORDS, ids=[f"{path.parent.name}/{path.stem}" for path in RECORDS]
)
def test_a_record_agrees_with_its_claims(path):
    assert record_faults(path) == []


def test_records_are_of_known_profiles():
    folders = {path.parent.name for path in RECORDS}
    assert folders <= set(profiles.DECIDING)


@needs_record
def test_prose_agrees_with_the_record():
    assert prose_faults(ROOT / "book") == []


def outcome_shown(notebook) -> str:
    """The table at the end of a chapter as its notebook holds it."""
    outputs = (o for c in notebook.cells for o in c.get("outputs", ()))
    shown = (output.get("data", {}).get("text/html", "") for output in outputs)
    return [table for table in shown if "<th scope='col'>this run</th>" in table][-1]


def words(table: str) -> list[str]:
    """Tags and texts of a table, however it is laid out."""
    found = (" ".join(part.split()) for part in re.split("(<[^>]+>)", table))
    return [html.unescape(part) for part in found if part]


@pytest.mark.parametrize(
    "path",
    [path for path in RECORDS if path.parent.name == "laptop"],
    ids=lambda path: path.stem,
)
def test_a_committed_notebook_shows_its_claims_as_they_are_stated_now(path):
    chapter, kept = claims.load(path.stem), claims.read_record(path)
    shown = outcome_shown(nbformat.read(ROOT / "book" / f"{chapter.page}.ipynb", 4))
    columns = (("this run", kept),)
    table = ClaimTable(chapter, columns, detail=True)
    assert words(shown) == words(table._repr_html_())


@needs_record
def test_the_readme_shows_the_recorded_verdicts():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert record.with_table(readme, record.readme_table()) == readme


# The checks themselves, on a book with one fault each.

CLAIMS = """\
title: Nine
question: Is it so?
page: chapters/9_nine
paper: {}
claims:
  - {id: ch9.one, where: here, origin: ours, exact: true, says: One., metric: m,
     kind: at least, bound: 0.5}
  - {id: ch9.two, where: here, origin: ours, exact: true, says: Two., metric: m,
     kind: at most, bound: 0.5, parts: [left, right]}
  - {id: ch9.big, where: here, origin: ours, exact: true, says: Big., metric: m,
     kind: at most, bound: 0.5, profile: full}
"""
PAGE = """\
# %% [markdown]
# It holds: **reproduced** (`ch9.one`), and the other
# is **mixed: 1 yes, 1 no**
# (`ch9.two`). **Bold** words and `ch9.two` alone state nothing.
"""


@pytest.fixture
def book(tmp_path, monkeypatch) -> Path:
    """A book with one sound record and one page."""
    book = tmp_path / "book"
    for folder in ("claims", "results", "chapters"):
        (book / folder).mkdir(parents=True)
    (book / "claims" / "ch9.yml").write_text(CLAIMS)
    (book / "chapters" / "9_nine.py").write_text(PAGE)
    (book / "index.md").write_text("**Reproduced** (`ch9.one`).\n")
    monkeypatch.setattr(claims, "book_dir", lambda: book)
    monkeypatch.setenv("TAILWISE_RESULTS", str(book / "results"))
    ledger = claims.Ledger("ch9", profiles.current("laptop"))
    ledger.record("ch9.one", 1.0)
    ledger.record("ch9.two", 1.0, part="left")
    ledger.record("ch9.two", 0.0, part="right")
    ledger.save()
    return book


def test_a_sound_book_passes(book):
    assert record_faults(book / "results" / "laptop" / "ch9.json") == []
    assert prose_faults(book) == []


def edit_record(book: Path, change) -> Path:
    path = book / "results" / "laptop" / "ch9.json"
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))
    return path


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda r: r["verdicts"].update({"ch9.one": "not reproduced"}),
            "ch9.one says not reproduced, the numbers reproduced",
        ),
        (
            lambda r: r["verdicts"].pop("ch9.one"),
            "ch9.one says None, the numbers reproduced",
        ),
        (
            lambda r: r["verdicts"].update({"ch9.big": "reproduced"}),
            "ch9.big says reproduced, the numbers not testable here",
        ),
        (
            lambda r: r["measurements"]["ch9.one"][0].update(value=0.25),
            "ch9.one says reproduced, the numbers not reproduced",
        ),
        (
            lambda r: r["verdicts"].update({"ch9.old": "mixed"}),
            "ch9.old is not claimed",
        ),
        (lambda r: r["measurements"].update({"ch9.old": []}), "ch9.old is not claimed"),
        (lambda r: r.update(profile="full"), "is of ch9 at full"),
        (lambda r: r.update(chapter="ch8"), "is of ch8 at laptop"),
    ],
)
def test_a_changed_record_is_caught(book, change, fault):
    assert fault in record_faults(edit_record(book, change))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "at least, bound: 0.5",
            "at least, bound: 2",
            "ch9.one says reproduced, the numbers not reproduced",
        ),
        ("id: ch9.one", "id: ch9.uno", "ch9.one is not claimed"),
        ("id: ch9.one", "id: ch9.uno", "ch9.uno has the parts [], not ()"),
        (
            "[left, right]",
            "[left, right, top]",
            "ch9.two has the parts ['left', 'right'], not ('left', 'right', 'top')",
        ),
        (
            "[left, right]",
            "[left, top]",
            "ch9.two has the parts ['left', 'right'], not ('left', 'top')",
        ),
        ("profile: full", "profile: laptop", "ch9.big has the parts [], not ()"),
    ],
)
def test_a_claim_file_that_disagrees_with_its_record_is_caught(book, old, new, fault):
    assert CLAIMS.count(old) == 1
    (book / "claims" / "ch9.yml").write_text(CLAIMS.replace(old, new))
    assert fault in record_faults(book / "results" / "laptop" / "ch9.json")


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("index.md", "**mixed** (`ch9.one`)", "ch9.one is reproduced, not mixed"),
        (
            "index.md",
            "**half true** (`ch9.one`)",
            "ch9.one is reproduced, not half true",
        ),
        (
            "index.md",
            "**reproduced** (`ch9.old`)",
            "ch9.old is unknown, not reproduced",
        ),
        (
            "index.md",
            "**reproduced** (`ch8.one`)",
            "ch8.one is not recorded yet, not reproduced",
        ),
        (
            "chapters/9_nine.py",
            PAGE.replace("mixed: 1 yes, 1 no", "reproduced"),
            "ch9.two is mixed: 1 yes, 1 no, not reproduced",
        ),
    ],
)
def test_prose_that_disagrees_is_caught(book, name, text, fault):
    (book / name).write_text(text)
    assert prose_faults(book) == [f"{Path(name).name}: {fault}"]


def test_prose_before_the_first_record_states_nothing_but_that(book):
    shutil.rmtree(book / "results")
    (book / "chapters" / "9_nine.py").unlink()
    assert prose_faults(book) == [
        "index.md: ch9.one is not recorded yet, not Reproduced"
    ]


def test_every_benchmark_is_recorded():
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    kept = {path.stem for path in (ROOT / "book" / "results" / "bench").glob("*.json")}
    assert kept == scripts
