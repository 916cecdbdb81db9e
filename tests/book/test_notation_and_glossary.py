"""Notation, glossary, recaps and the first change say what is there."""

import ast
import re
from pathlib import Path

import pytest

from tools.book.layout import ROOT

BOOK = ROOT / "book"
CHAPTERS = sorted((BOOK / "chapters").glob("*.py"))


# Notation: each code name of a symbol is one that the package uses


def used_names(package: Path) -> set[str]:
    """Arguments, attributes, functions, and letters that shapes are unpacked into."""
    names = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.arg(arg=name) | ast.FunctionDef(name=name):
                    names.add(name)
                case ast.Attribute(attr=name, ctx=ast.Store()):
                    names.add(name)
                case ast.AnnAssign(target=ast.Name(id=name)):
                    names.add(name)
                case ast.Assign(targets=targets, value=value):
                    if ".shape" in ast.unparse(value):
                        every = [n for target in targets for n in ast.walk(target)]
                        names |= {n.id for n in every if isinstance(n, ast.Name)}
    return names


def code_names(notation: str) -> list[str]:
    """Names in the table's second column, also in expressions like ``1 - prior``."""
    names = []
    for line in re.findall(r"^\| \$.*$", notation, flags=re.MULTILINE):
        for code in re.findall(r"`([^`]+)`", line.split(" | ")[1]):
            nodes = ast.walk(ast.parse(code))
            names += [node.id for node in nodes if isinstance(node, ast.Name)]
    return names


def test_every_code_name_in_the_notation_is_used():
    stated = code_names((BOOK / "notation.md").read_text("utf-8"))
    assert len(stated) > 30
    assert set(stated) - used_names(ROOT / "src" / "tailwise") == set()


def test_a_planted_code_name_is_caught(tmp_path):
    (tmp_path / "a.py").write_text(
        "def f(x):\n    B, n = x.shape\n    local = n\n"
        "    self.kept_ = local + B.attr\n"
        "class C:\n    field: int\n"
    )
    row = "| $x$ | `1 - x`, `kept_[0, 1]`, `local` | a `word` |\n"
    table = f"| symbol | in the code | meaning |\n|---|---|---|\n{row}"
    assert code_names(table) == ["x", "kept_", "local"]
    assert used_names(tmp_path) == {"f", "x", "B", "n", "kept_", "field"}
    assert set(code_names(table)) - used_names(tmp_path) == {"local"}


# The box of a chapter's paper

BOX = ["What the paper proves.", "What it shows.", "What we could read."]


def boxes(text: str) -> list[str]:
    """What the boxes of a .py half say, label by label; a label stands in a quote."""
    return re.findall(r"^# > \*\*(What .+?)\*\*$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("py", CHAPTERS, ids=lambda py: py.stem)
def test_one_box_says_what_the_paper_proves_shows_and_what_was_read(py):
    assert boxes(py.read_text("utf-8")) == BOX


def test_a_box_with_a_missing_part_is_caught():
    box = "# > **What the paper proves.**\n# > Nothing.\n# >\n# > **What it shows.**\n"
    assert boxes(box) == BOX[:2]
    assert boxes(box.replace("# > ", "# ")) == []


# The glossary

JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def glossary_faults(text: str) -> list[str]:
    """Terms without a Japanese name, one sentence, or a chapter; terms out of order."""
    body = text.partition("```{glossary}\n")[2].partition("\n```")[0]
    faults, terms = [], []
    for entry in body.split("\n\n"):
        term, *rest = entry.splitlines()
        terms.append(term)
        japanese, sentence, chapters = [*rest, "", "", ""][:3]
        name = re.fullmatch(r"\[(.+)\]\{\.language-ja\}", japanese)
        if not name or not JAPANESE.search(name[1]):
            faults.append(f"{term}: no Japanese name")
        if not re.fullmatch(r"  [A-Z].+[^.]\.", sentence) or ". " in sentence:
            faults.append(f"{term}: not one sentence")
        if not re.fullmatch(r"  Chapter \d+(, Chapter \d+)*\.", chapters):
            faults.append(f"{term}: no chapter")
    lowered = [term.lower() for term in terms]
    pairs = zip(lowered, lowered[1:])
    return faults + [f"{b}: after {a}" for a, b in pairs if not a < b]


def test_the_glossary_is_complete():
    text = (BOOK / "glossary.md").read_text("utf-8")
    assert text.count("{.language-ja}") > 70
    assert glossary_faults(text) == []


GOOD_TERM = "Head\n[ヘッド]{.language-ja}\n  The last layer.\n  Chapter 1, Chapter 2."


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("ヘッド", "head", "Head: no Japanese name"),
        ("layer.", "layer. Or the first.", "Head: not one sentence"),
        ("layer.", "layer", "Head: not one sentence"),
        ("Chapter 1, Chapter 2", "See there", "Head: no chapter"),
        ("Head", "Abc", "abc: after adapter"),
    ],
)
def test_a_planted_fault_in_the_glossary_is_caught(old, new, fault):
    first = GOOD_TERM.replace("Head", "Adapter")
    page = f"# G\n\n```{{glossary}}\n{first}\n\n{GOOD_TERM}\n```\n"
    assert glossary_faults(page) == []
    changed = GOOD_TERM.replace(old, new)
    assert glossary_faults(page.replace(GOOD_TERM, changed)) == [fault]


# Recaps


def recap_faults(chapters: list[Path]) -> list[str]:
    """Chapters whose recap does not lead to the chapters before and after."""
    faults = []
    for n, py in enumerate(chapters):
        recap = py.read_text("utf-8").partition("# ## Recap\n")[2]
        for other in chapters[max(0, n - 1) : n + 2]:
            # Numbers tell neighbours: chapters 3 and 5 are none.
            apart = abs(int(other.name[0]) - int(py.name[0]))
            if apart == 1 and f"]({other.stem}.ipynb)" not in recap:
                faults.append(f"{py.name}: its recap has no link to {other.stem}.ipynb")
    return faults


def test_every_recap_leads_to_its_neighbours():
    assert recap_faults(CHAPTERS) == []


def test_a_missing_neighbour_is_caught(tmp_path):
    links = {1: [2], 2: [1], 3: [2], 5: []}
    for number, others in links.items():
        text = "".join(f"# [{n}]({n}_x.ipynb)\n" for n in others)
        (tmp_path / f"{number}_x.py").write_text(f"# ## Recap\n{text}")
    found = recap_faults(sorted(tmp_path.glob("*.py")))
    assert found == ["2_x.py: its recap has no link to 3_x.ipynb"]


# How to run


def test_the_first_change_that_is_described_is_there():
    page = (BOOK / "how_to_run.md").read_text("utf-8")
    new, old, section = re.search(
        r"write `(\S+)` for `(\S+)` in the first cell under \*(.+?)\* in chapter 1",
        page,
    ).groups()
    chapter = CHAPTERS[0].read_text("utf-8")
    cell = chapter.partition(f"# ## {section}\n")[2].split("# %%\n")[1]
    assert cell.count(old) == 1
    assert new != old
