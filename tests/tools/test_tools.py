"""The maintainers' scripts, on a tiny book that is thrown away."""

import asyncio
import contextlib
import io
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import jupytext
import nbformat
import pandas as pd
import pytest
import torch
from jupytext.compare import compare_notebooks

from tailwise.ledger import claims
from tailwise.ledger.tables import tally
from tools.book import execute, record, stage, sync, verdicts
from tools.book.layout import GUIDE, MATRIX, ROOT, Book, closure, fingerprint, write
from tools.ship import check_colab, set_repository

SETUP = """\
# %% [markdown]
# # A tiny chapter

# %% tags=["hide-input"]
import json, os
from pathlib import Path
profile = os.environ["TAILWISE_PROFILE"]
folder = Path(os.environ["TAILWISE_RESULTS"]) / profile
"""
HEADER = """\
# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---
"""
CHAPTER = f"""{SETUP}
# %%
folder.mkdir()
(folder / "ch1.json").write_text(json.dumps({{"answer": 42}}))

# %%
1 + 1
"""
PAGE = f"""{SETUP}
# %%
print(json.loads((folder / "ch1.json").read_text()))
"""
FAILING = CHAPTER.replace("1 + 1", "answer = 1\nanswer / 0").replace("42", "0")


def tiny_book(root, chapter=CHAPTER) -> Book:
    book = Book(root, "laptop")
    write(root / "book/chapters/1_tiny.py", chapter)
    write(root / "book/board.py", PAGE)
    write(root / "book/index.md", "# A tiny book\n")
    write(root / "book/claims/ch1.yml", "question: Is it 42?\n")
    write(root / "src/package/module.py", "answer = 42\n")
    write(root / "constraints.txt", "numpy==2.4.6\n")
    write(root / "_config.yml", "title: Tiny\n")
    write(root / "_toc.yml", "format: jb-book\nroot: book/index\n")
    write(root / "README.md", f"Tiny.\n{record.BEGIN}\nold\n{record.END}\nEnd.\n")
    return book


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> Book:
    """A tiny book that has been executed once."""
    book = tiny_book(tmp_path_factory.mktemp("executed"))
    sync.sync(book)
    assert execute.run(book) == []
    return book


@pytest.fixture
def book(executed, tmp_path) -> Book:
    """A copy of the executed book, to be harmed."""
    subprocess.run(["cp", "-R", f"{executed.root}/.", tmp_path], check=True)
    return Book(tmp_path, "laptop")


def outputs(path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return ["".join(map(str, cell.get("outputs", []))) for cell in cells]


# Executing


def test_chapters_run_before_the_pages_that_read_them(executed):
    assert json.loads((executed.results / "ch1.json").read_text()) == {"answer": 42}
    assert "'answer': 42" in outputs(executed.executed(executed.pages()[0]))[-1]


def test_an_unchanged_book_is_not_executed_again(book, capsys):
    assert execute.run(book) == []
    assert capsys.readouterr().out == ""


def test_only_what_is_named_is_executed(tmp_path):
    group = [tmp_path / "1_a.py", tmp_path / "2_b.py"]
    assert execute.named(group, ["2_"]) == group[1:]
    assert execute.named(group, []) == group


@pytest.mark.parametrize(
    ("changed", "chapter", "page"),
    [
        ("README.md", True, True),
        ("book/index.md", True, True),
        ("src/package/__pycache__/module.pyc", True, True),
        ("book/results/laptop/ch1.json", True, False),
        ("_build/results/laptop/ch1.json", True, False),
        ("book/results/bench/heads.json", True, False),
        ("book/results/full/ch1.json", False, False),
        ("book/results/laptop/reseeded.json", False, False),
        ("book/results/full/ch2.json", True, False),
        ("book/chapters/1_tiny.py", False, True),
        ("book/claims/ch1.yml", False, False),
        ("book/claims/ch2.yml", True, False),
        ("src/package/module.py", True, True),
        ("constraints.txt", False, False),
    ],
)
def test_what_makes_a_notebook_stale(book, changed, chapter, page):
    write(book.root / changed, "# changed\n")
    assert book.is_current(book.chapters()[0]) is chapter
    assert book.is_current(book.pages()[0]) is page


IMPORTING = {
    "a/__init__.py": "from a.face import shown",
    "a/face.py": "def shown():\n    import b.late.inner",
    "a/other.py": "",
    "a/table.html": "",
    "b/__init__.py": "",
    "b/late/__init__.py": "",
    "b/late/inner.py": "import os.path",
    "b/late/data/x.bin": "",
    "b/late/deep/__init__.py": "",
    "b/late/deep/y.bin": "",
    "b/early.py": "",
    "c.py": "from a import shown",
}


def test_a_notebook_reads_what_it_imports_and_what_that_imports(tmp_path):
    for name, code in IMPORTING.items():
        write(tmp_path / "src" / name, code)
    notebook = tmp_path / "notebook.py"
    write(notebook, "# # A title\nif True:\n    from a import shown")
    found = {path.relative_to(tmp_path) for path in closure(notebook, tmp_path / "src")}
    expected = {"a/__init__.py", "a/face.py", "a/table.html", "b/__init__.py"}
    expected |= {"b/late/__init__.py", "b/late/inner.py", "b/late/data/x.bin"}
    assert found == {Path("notebook.py"), *(Path("src", name) for name in expected)}


SHOWS_TEXTILES = {"transfer_matrix", "decision_guide"}


@pytest.mark.parametrize(
    ("edited", "stale"),
    [
        ("own/plots.py", {"bring_your_own", "field_trial"} | SHOWS_TEXTILES),
        ("weighting/plots.py", {"1_loss_weighting"}),
        ("geometry/explorer.js", {"5_ce_geometry"}),
    ],
)
def test_an_edit_makes_few_notebooks_of_this_book_stale(edited, stale):
    here = Book(ROOT, "laptop")
    path = ROOT / "src" / "tailwise" / edited
    notebooks = here.chapters() + here.pages()
    assert {py.stem for py in notebooks if path in here.reads(py)} == stale


@pytest.mark.parametrize(
    ("chapter", "study"), [(1, "backbone"), (3, "softad"), (4, "experts")]
)
def test_a_chapter_reads_the_studies_that_it_shows(chapter, study):
    here = Book(ROOT, "laptop")
    read = here.reads(here.chapters()[chapter - 1])
    assert ROOT / "book" / "results" / study in read


def test_the_guide_reads_the_committed_record_and_no_run(book):
    guide = book.source / GUIDE
    write(guide, PAGE)
    assert guide in book.chapters()
    assert guide not in book.pages()
    keys = [book.key(guide)]
    for changed in ("_build/results/laptop/ch1.json", "book/results/laptop/a.json"):
        write(book.root / changed, "{}")
        keys.append(book.key(guide))
    assert keys[0] == keys[1] != keys[2]


def test_the_matrix_reads_records_of_other_profiles(book):
    page = book.source / MATRIX
    write(page, PAGE)
    for profile in ("laptop", "full"):
        write(book.source / "results" / profile / "transfer.json", "{}")
    for profile, other in (("laptop", "full"), ("full", "laptop")):
        read = Book(book.root, profile).reads(page)
        found = [path.parent.name for path in read if path.name == "transfer.json"]
        assert found == [other]


def test_another_profile_has_its_own_runs(book):
    assert not Book(book.root, "full").is_current(book.chapters()[0])


def test_a_failing_cell_is_named_and_the_last_good_run_stays(book, capsys):
    chapter = book.chapters()[0]
    before = fingerprint(book.build)
    write(chapter, FAILING)
    (story,) = execute.run(book)
    assert story.startswith("book/chapters/1_tiny.py, code cell 3:\n    answer = 1")
    assert story.endswith("ZeroDivisionError: division by zero")
    assert "\x1b" not in story
    assert "1_tiny  3/3  FAILED" in capsys.readouterr().out
    assert fingerprint(book.build) == before
    assert not book.is_current(chapter)


def test_progress_away_from_a_terminal_is_a_line_every_few_cells():
    stream = io.StringIO()
    progress = execute.Progress(stream)
    for done in range(1, 13):
        progress.cell("1_tiny", done, 12)
    progress.end("1_tiny", "3 s")
    lines = ["1_tiny  5/12", "1_tiny  10/12", "1_tiny  12/12  3 s"]
    assert stream.getvalue().splitlines() == lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_cell_says_how_far_its_chunks_are(book, tmp_path):
    file, progress = tmp_path / "line", execute.Progress(Terminal())
    run = execute.Run(book, book.chapters()[0], progress)
    file.write_text("train: 3 of 9 chunks, about 2 h left")

    async def briefly() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(run._watch(file), 2.5)

    progress.cell(run.name, 4, 12)
    asyncio.run(briefly())
    shown = progress.stream.getvalue().split("\r\033[K")
    assert shown[1:] == ["1_tiny  4/12", "1_tiny  4/12 · " + file.read_text()]
    progress.cell(run.name, 5, 12)
    assert progress.stream.getvalue().endswith("\r\033[K1_tiny  5/12")


@pytest.mark.parametrize(
    ("profile", "jobs", "threads", "share"),
    [
        ("smoke", 2, "1", "3"),
        ("laptop", 1, "1", "6"),
        ("laptop", 4, "1", "1"),
        ("full", 2, "1", "3"),
        ("on a GPU", 1, "6", "6"),
    ],
)
def test_notebooks_share_the_cores(
    tmp_path, monkeypatch, profile, jobs, threads, share
):
    given = []

    async def execute_nothing(run, limits):
        given.append(run._environment(tmp_path, limits))

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(execute, "cores", lambda: 6)
    monkeypatch.setattr(execute.Run, "execute", execute_nothing)
    if profile == "on a GPU":
        profile = "full"
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    book = replace(tiny_book(tmp_path), profile=profile)
    stale = book.chapters() * 4
    assert asyncio.run(execute._execute_all(book, stale, jobs)) == []
    assert {env["OMP_NUM_THREADS"] for env in given} == {threads}
    assert {env["LOKY_MAX_CPU_COUNT"] for env in given} == {share}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # who sets it by hand is asked
    asyncio.run(execute._execute_all(book, stale, jobs))
    assert given[-1]["OMP_NUM_THREADS"] == "2"


# Pairs


def test_sync_keeps_the_outputs_of_unchanged_cells_only(book):
    chapter = book.chapters()[0]
    record.record_notebooks(book, [chapter])
    recorded = chapter.with_suffix(".ipynb").read_text()
    assert sync.sync(book) == 0
    assert chapter.with_suffix(".ipynb").read_text() == recorded

    write(chapter, CHAPTER.replace("42", "43"))
    assert sync.sync(book) == 1
    before = nbformat.reads(recorded, as_version=4).cells
    after = nbformat.read(chapter.with_suffix(".ipynb"), as_version=4).cells
    assert [cell.id for cell in after] == [cell.id for cell in before]
    assert [cell.get("execution_count") for cell in after] == [None, 1, None, 3]


def test_edits_of_an_ipynb_half_are_not_lost(book):
    chapter = book.chapters()[0]
    ipynb = chapter.with_suffix(".ipynb")
    write(chapter, CHAPTER.replace("42", "43"))
    write(ipynb, ipynb.read_text().replace("1 + 1", "1 + 2"))
    edited = ipynb.read_text()
    message = "1_tiny.ipynb has edits of its own: move them to 1_tiny.py"
    with pytest.raises(ValueError, match=message):
        sync.sync(book)
    assert ipynb.read_text() == edited


def test_what_the_last_sync_wrote_is_no_edit(book):
    chapter = book.chapters()[0]
    for answer in ("43", "44", "45"):
        write(chapter, CHAPTER.replace("42", answer))
        with pytest.raises(ValueError, match="is older than 1_tiny.py: run make sync"):
            sync.sync(book, check=True)
        assert sync.sync(book) == 1
    assert sync.sync(book, check=True) == 0


def test_what_was_committed_is_no_edit(book):
    (book.build / "synced.json").unlink(missing_ok=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", book.root, *command], check=True)
    write(book.chapters()[0], CHAPTER.replace("42", "43"))
    assert sync.sync(book) == 1


@pytest.mark.parametrize("header", [True, False])
def test_sync_makes_a_half_that_jupyter_and_colab_can_open(tmp_path, header):
    book = tiny_book(tmp_path)
    chapter = book.chapters()[0]
    if header:
        write(chapter, f"{HEADER}\n{CHAPTER}")
    sync.sync(book)
    notebook = nbformat.read(chapter.with_suffix(".ipynb"), as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "text_representation" not in notebook.metadata.jupytext
    compare_notebooks(notebook, jupytext.read(chapter), fmt="py:percent")


def test_sync_follows_tags_and_figure_texts_both_ways(book):
    chapter = book.chapters()[0]
    figure = '# %% mystnb={"image": {"alt": "a line"}}'
    for text in (CHAPTER.replace("# %%\n1 + 1", f"{figure}\n1 + 1"), CHAPTER):
        write(chapter, text)
        assert sync.sync(book) == 1
        last = nbformat.read(chapter.with_suffix(".ipynb"), as_version=4).cells[-1]
        assert ("mystnb" in last.metadata) == (figure in text)


# The stage


def test_the_stage_has_one_source_for_a_document(book):
    write(book.source / "results/laptop/ch1.json", "{}")
    write(book.source / ".hidden/page.md", "# Hidden\n")
    laid = stage.lay_out(book, executed=False)
    files = {path.relative_to(laid).as_posix() for path in laid.rglob("*.*")}
    assert files == {
        "_config.yml",
        "_toc.yml",
        "book/index.md",
        "book/board.ipynb",
        "book/chapters/1_tiny.ipynb",
        "book/claims/ch1.yml",
    }
    assert outputs(laid / "book/board.ipynb")[-1] == ""


def test_the_stage_takes_executed_notebooks_that_are_up_to_date(book):
    write(book.chapters()[0], CHAPTER.replace("1 + 1", "1 + 2"))
    laid = stage.lay_out(book, executed=True)
    assert "42" in outputs(laid / "book/board.ipynb")[-1]
    assert outputs(laid / "book/chapters/1_tiny.ipynb")[-1] == ""


def test_a_page_that_vanished_leaves_the_stage(book):
    stage.lay_out(book, executed=False)
    (book.source / "index.md").unlink()
    assert not (stage.lay_out(book, executed=False) / "book/index.md").exists()


def test_the_html_is_built_when_the_stage_changed_and_kept_when_that_fails(
    book, monkeypatch, capsys
):
    calls = []

    def builder(command, **options):
        site = command[command.index("--path-output") + 1] / "_build" / "html"
        write(site / "index.html", f"build {len(calls)}")
        calls.append(command)
        return subprocess.CompletedProcess(command, fault, "the builder's words")

    monkeypatch.setattr(stage.subprocess, "run", builder)
    index, fault = book.build / "html" / "index.html", 0
    for _ in range(2):
        stage.lay_out(book, executed=False)
        assert stage.build(book) == 0
    assert len(calls) == 1
    assert index.read_text() == "build 0"

    write(book.source / "index.md", "# Changed\n")
    stage.lay_out(book, executed=False)
    fault = 2
    for _ in range(2):
        assert stage.build(book) == 2
    assert index.read_text() == "build 0"
    assert "the builder's words" in capsys.readouterr().out
    fault = 0
    assert stage.build(book) == 0
    assert index.read_text() == "build 3"


# Recording


def test_recording_makes_the_last_run_the_committed_one(book, monkeypatch):
    monkeypatch.setattr(record, "readme_table", lambda: "| new |")
    assert record.record(book) == []
    recorded = book.source / "results/laptop/ch1.json"
    assert recorded.read_bytes() == (book.results / "ch1.json").read_bytes()
    assert "2" in outputs(book.source / "chapters/1_tiny.ipynb")[-1]
    assert "42" in outputs(book.source / "board.ipynb")[-1]
    new = f"Tiny.\n{record.BEGIN}\n| new |\n{record.END}\nEnd.\n"
    assert (book.root / "README.md").read_text() == new
    # A fixed point: nothing is stale, and a second recording changes nothing.
    before = fingerprint(book.root)
    assert all(book.is_current(py) for py in book.chapters() + book.pages())
    assert record.record(book) == []
    assert fingerprint(book.root) == before


def test_a_committed_notebook_says_nothing_about_the_machine(executed):
    notebook = nbformat.read(executed.executed(executed.chapters()[0]), as_version=4)
    language = {"name": "python", "pygments_lexer": "ipython3"}
    assert notebook.metadata.language_info == language
    assert [dict(cell.metadata) for cell in notebook.cells] == [
        {},
        {"tags": ["hide-input"]},
        {},
        {},
    ]


def test_a_run_older_than_its_sources_is_not_recorded(book):
    write(book.root / "constraints.txt", "numpy==2.4.5\n")
    with pytest.raises(ValueError, match="make book.*1_tiny.py"):
        record.record(book)
    assert not (book.source / "results").exists()


def test_one_chapter_is_recorded_without_the_others(book, monkeypatch):
    monkeypatch.setattr(record, "readme_table", lambda: "| new |")
    second = book.source / "chapters/2_more.py"
    write(second, CHAPTER)
    write(book.build / "results/laptop/ch2.json", "{}")
    with pytest.raises(ValueError, match="make book.*2_more.py"):
        record.record(book)
    assert record.record(book, ["1_"]) == []
    kept = [path.name for path in (book.source / "results/laptop").iterdir()]
    assert kept == ["ch1.json"]
    assert "42" in outputs(book.source / "board.ipynb")[-1]
    assert not book.executed(second).exists()
    with pytest.raises(ValueError, match="begins like ..7_"):
        record.record(book, ["7_"])


def test_other_profiles_record_their_numbers_only(book, monkeypatch):
    monkeypatch.setattr(record, "readme_table", lambda: "| new |")
    write(book.build / "results/full/ch1.json", "{}")
    before = (book.source / "chapters/1_tiny.ipynb").read_bytes()
    assert record.record(Book(book.root, "full")) == []
    assert (book.source / "results/full/ch1.json").exists()
    assert (book.source / "chapters/1_tiny.ipynb").read_bytes() == before


def test_a_smoke_run_is_never_the_recorded_one(book):
    write(book.build / "results/smoke/ch1.json", "{}")
    with pytest.raises(ValueError, match="smoke run decides nothing"):
        record.record(Book(book.root, "smoke"))
    assert not (book.source / "results").exists()


def medians(unit: str, ours: float, loop: float) -> dict:
    both = {f"median_{unit}": {"batched": ours, "looped": loop}}
    return both | {"ratio": loop / ours, "largest_difference": 1e-7, "steps": 40}


def test_a_benchmark_is_recorded_as_its_comparisons(book):
    write(book.root / "benchmarks/heads.py", '"""Chapter 1: heads.\n\nMore."""\n')
    outcome = {"provenance": {"device": "CPU"}, "networks": {"mlp": {}, "cnn": {}}}
    outcome["networks"]["mlp"] = medians("us", 2.0, 8.0)
    write(book.build / "benchmarks/heads.json", json.dumps(outcome))
    record.record_benchmarks(book)
    kept = json.loads((book.source / "results/bench/heads.json").read_text())
    assert kept == {
        "title": "Chapter 1: heads",
        "comparisons": [
            {"case": "mlp", "unit": "us", "ours": 2.0, "loop": 8.0, "ratio": 4.0}
            | {"difference": 1e-7}
        ],
        "provenance": {"device": "CPU"},
    }
    plain = record.comparisons(medians("s", 1.0, 3.0))
    assert [(found["case"], found["unit"]) for found in plain] == [("", "s")]


def test_a_readme_without_its_markers_is_refused():
    with pytest.raises(ValueError, match="verdicts:begin"):
        record.with_table("no markers", "| new |")


def test_verdicts_in_a_phrase():
    assert tally(["not recorded yet"] * 3) == "not recorded yet"
    verdicts = ["reproduced", "not reproduced", "mixed", "reproduced"]
    phrase = "2 of 4 reproduced, 1 mixed, 1 not reproduced"
    assert tally(verdicts) == phrase


def test_verdicts_that_differ_from_the_record_are_listed():
    here = pd.DataFrame(
        {"claim": ["ch9.a", "ch9.b"], "verdict": ["reproduced", "undecided"]}
    )
    assert verdicts.changes(here, here) == ["every verdict is the recorded one"]
    recorded = here.assign(verdict="reproduced")
    head, *lines = verdicts.changes(here, recorded)
    assert head.startswith("1 differ from the record")
    assert lines == ["  ch9.b: undecided here, reproduced in the record"]


def test_a_smoke_run_is_listed_without_verdicts(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TAILWISE_PROFILE", "smoke")
    monkeypatch.setenv("TAILWISE_RESULTS", str(tmp_path))
    ledger = claims.Ledger("ch1")
    ledger.record("ch1.logistic", 9.0)
    ledger.save()
    verdicts.main()
    head, *lines = capsys.readouterr().out.strip().splitlines()
    assert head.startswith("a smoke run, not a verdict")
    assert len(lines) == len(claims.chapters())
    assert "ran: 1 claims measured, 0 s CPU" in lines[0]
    assert all(line.endswith("did not run") for line in lines[1:])


def test_writing_is_whole_or_not_at_all(tmp_path):
    script = tmp_path / "run"
    write(script, "old")
    script.chmod(0o755)
    write(script, "new")
    assert script.stat().st_mode & 0o777 == 0o755
    with pytest.raises(UnicodeEncodeError):
        write(script, "\ud800")
    assert script.read_text() == "new"
    assert list(tmp_path.iterdir()) == [script]


# The repository's address


@pytest.mark.parametrize("address", ["a/b", "jane-doe/Long.tail_2", "A1/-x"])
def test_addresses_that_github_takes(address):
    assert set_repository.check(address) == address


@pytest.mark.parametrize(
    "address",
    ["", "jane", "jane/", "/book", "a_b/book", "-a/book", "a-/book", "a--b/book"]
    + ["a/b/c", "jane/b k", "jane/..", "jane/x.git", f"{'a' * 40}/book", "jane/b\n"],
)
def test_addresses_that_github_refuses(address):
    with pytest.raises(ValueError, match="is not a GitHub"):
        set_repository.check(address)


@pytest.fixture
def checkout(tmp_path):
    """A checkout that states its address in five forms, and another project's."""
    old = "jane-doe/thing"
    git = {"cwd": tmp_path, "check": True}
    subprocess.run(["git", "init", "--quiet"], **git)
    stated = f'[project.urls]\nRepository = "https://github.com/{old}"\n'
    write(tmp_path / "pyproject.toml", stated)
    launch = f"https://colab.research.google.com/github/{old}/blob/main/a.ipynb"
    write(tmp_path / "README.md", f"{launch} https://jane-doe.github.io/thing/")
    install = f"git+https://github.com/{old}"
    write(tmp_path / "a.ipynb", json.dumps({"source": [f'"{install}"']}))
    write(tmp_path / "a.py", f'("pip", "{install}.git")\n')
    others = "https://github.com/jane-doe/thing-2 https://github.com/other/project"
    write(tmp_path / "other.md", others)
    write(tmp_path / ".gitignore", "ignored.md\n")
    write(tmp_path / "ignored.md", f"https://github.com/{old}")
    subprocess.run(["git", "add", "README.md"], **git)
    (tmp_path / "data.bin").write_bytes(b"\0github.com/jane-doe/thing")
    return tmp_path


def test_every_link_is_rewritten(checkout, capsys):
    untouched = {
        name: (checkout / name).read_bytes()
        for name in ("other.md", "ignored.md", "data.bin")
    }
    assert set_repository.set_repository(checkout, "acme/book") == 5
    assert "5 places now say acme/book" in capsys.readouterr().out
    assert set_repository.repository(checkout) == "acme/book"
    assert "acme.github.io/book/" in (checkout / "README.md").read_text()
    assert '/acme/book.git"' in (checkout / "a.py").read_text()
    assert json.loads((checkout / "a.ipynb").read_text())["source"] == [
        '"git+https://github.com/acme/book"'
    ]
    for name, content in untouched.items():
        assert (checkout / name).read_bytes() == content
    assert set_repository.set_repository(checkout, "jane-doe/thing") == 5


def test_a_place_that_disagrees_is_listed(checkout):
    assert set_repository.disagreements(checkout) == []
    write(checkout / "stray.md", "one\nhttps://github.com/jane/thing/issues\n")
    write(checkout / "site.md", "https://jane.github.io/thing/")
    assert set_repository.disagreements(checkout) == [
        "site.md:1 says jane/thing",
        "stray.md:2 says jane/thing",
    ]


def test_the_command_refuses_a_bad_address(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["set_repository.py", "owner_not_set/book"])
    assert set_repository.main() == 2
    assert "'owner_not_set'" in capsys.readouterr().err


# Colab


FREEZE = """\
# generated, see https://example.org/x==1
numpy==2.1.3
PyYAML==6.0.2
torch @ https://example.org/torch-2.11.0%2Bcu128-cp313-cp313-linux_x86_64.whl#sha256=0
torchvision==0.26.0+cu128
local-thing @ file:///thing/local-thing-1.0.0.tar.gz
"""


def test_colab_within_our_ranges():
    wanted = ["numpy>=2", "pyyaml>=6", "torch>=2.4", "torchvision>=0.19"]
    assert check_colab.faults(wanted, FREEZE) == []


# Lines of kinds that Colab's list holds.
REAL = """\
absl-py==1.4.0
# a comment
en_core_web_sm @ https://example.org/download/en_core_web_sm-3.8.0/en_core_web_sm-3.8.0-py3-none-any.whl
torch @ https://download.example.org/whl/cu128/torch-2.11.0%2Bcu128-cp313-cp313-linux_x86_64.whl#sha256=ab
google-colab @ file:///colabtools/dist/google_colab-1.0.0.tar.gz#sha256=ab
-e git+https://example.org/tool@1f2e#egg=tool
odd==not-a-version
numpy==2.1.3
scikit-learn==1.6.1
"""


def test_colabs_real_list_is_read():
    there = check_colab.installed(REAL)
    assert {name: str(version) for name, version in there.items()} == {
        "absl-py": "1.4.0",
        "en-core-web-sm": "3.8.0",
        "torch": "2.11.0+cu128",
        "numpy": "2.1.3",
        "scikit-learn": "1.6.1",
    }
    assert (
        check_colab.faults(["torch>=2.4", "numpy>=2", "scikit-learn>=1.6"], REAL) == []
    )
    assert check_colab.faults(["odd", "torch>=2.12"], REAL) == [
        "odd is not in Colab's list",
        "Colab has torch 2.11.0+cu128, we ask torch>=2.12",
    ]


def test_colab_outside_our_ranges():
    assert check_colab.faults(["numpy>=2.2", "torch<2.11", "scipy>=1"], FREEZE) == [
        "Colab has numpy 2.1.3, we ask numpy>=2.2",
        "Colab has torch 2.11.0+cu128, we ask torch<2.11",
        "scipy is not in Colab's list",
    ]
