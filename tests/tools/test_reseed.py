"""Sets of fresh seeds: each chapter of each set is run once, and gone on with."""

import json

import pytest

from tools.book import reseed
from tools.book.layout import Book, write

CHAPTER = """
import json, os
from pathlib import Path
seeds, profile = os.environ["TAILWISE_RESEED"], os.environ["TAILWISE_PROFILE"]
with Path({log!r}).open("a") as log:
    log.write(Path(__file__).stem + seeds + " ")
assert "TAILWISE_SCHEDULER" not in os.environ
if Path({log!r} + seeds).exists():
    raise SystemExit("no luck")
folder = Path(os.environ["TAILWISE_RESULTS"]) / profile
folder.mkdir(parents=True)
(folder / "ch{n}.json").write_text(json.dumps([{n}, seeds]))
"""


@pytest.fixture
def book(tmp_path, monkeypatch) -> Book:
    book, log = Book(tmp_path, "laptop"), str(tmp_path / "log")
    for n, name in ((1, "one"), (2, "two")):
        text = CHAPTER.format(log=log, n=n)
        write(tmp_path / "book" / "chapters" / f"{n}_{name}.py", text)
    write(tmp_path / "constraints.txt", "numpy==2.4.6\n")
    for n in (1, 2):
        write(tmp_path / "book" / "claims" / f"ch{n}.yml", "")
    monkeypatch.setattr(Book, "here", classmethod(lambda cls: book))
    monkeypatch.setenv("TAILWISE_CACHE", str(tmp_path / "cache"))
    return book


def log(book: Book) -> list[str]:
    return (book.root / "log").read_text().split()


def found(book: Book) -> dict[str, list]:
    folder = book.build / "reseed"
    return {
        path.relative_to(folder).as_posix(): json.loads(path.read_text())
        for path in sorted(folder.rglob("*.json"))
    }


RECORDS = {
    f"{seeds}/laptop/ch{n}.json": [n, seeds] for seeds in ("1", "2") for n in (1, 2)
}


def test_every_chapter_runs_once_with_every_set(book):
    for _ in range(2):
        reseed.run(book, ["1", "2"], 1)
        assert found(book) == RECORDS
    assert log(book) == ["1_one1", "2_two1", "1_one2", "2_two2"]


def test_a_run_that_failed_goes_on(book):
    bad = book.root / "log2"
    bad.touch()
    with pytest.raises(RuntimeError, match="1_one, set 2:\nno luck"):
        reseed.run(book, ["1", "2"], 1)
    bad.unlink()
    reseed.run(book, ["1", "2"], 1)
    assert found(book) == RECORDS
    assert log(book) == ["1_one1", "2_two1", "1_one2", "1_one2", "2_two2"]


def test_a_changed_chapter_runs_again(book):
    reseed.run(book, ["1"], 1)
    path = book.source / "chapters" / "2_two.py"
    write(path, path.read_text() + "# changed\n")
    reseed.run(book, ["1"], 1)
    assert log(book) == ["1_one1", "2_two1", "2_two1"]


def test_other_sources_on_a_worker_are_refused(book):
    with pytest.raises(ValueError, match="1_one is another version here"):
        reseed.chapter("1_one", "laptop", "1", "another key")
