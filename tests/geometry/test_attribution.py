"""No page says that the paper has what it lacks, or lacks what it has."""

import re

import pytest

from tools.book.layout import ROOT

PAGES = [
    ROOT / "book" / "chapters" / "5_ce_geometry.py",
    ROOT / "book" / "solutions" / "5_ce_geometry.py",
    ROOT / "book" / "claims" / "ch5.yml",
    ROOT / "book" / "workshop" / "teacher_5.md",
    ROOT / "book" / "workshop" / "meeting.md",
    ROOT / "book" / "glossary.md",
    ROOT / "book" / "decision_guide.py",
    ROOT / "src" / "tailwise" / "methods" / "losses.py",
    *sorted((ROOT / "src" / "tailwise" / "geometry").glob("*.py")),
]
# A wrong statement, why it is wrong, and a sentence in which it was made.
WRONG = [
    (
        r"(read|know) (only )?its abstract|not its text|could not read",
        "the text has been read",
        "We read its abstract and the released code, not its text.",
    ),
    (
        r"abstract (mentions|announces) a (post-?hoc|method)",
        "neither abstract nor text has a method after training",
        "The abstract mentions a post-hoc method.",
    ),
    (
        r"paper's (post-?hoc|rebalancing|accuracy|test accurac)",
        "the text has no test accuracy and nothing after training",
        "The paper's accuracy tables, which are long.",
    ),
    (
        r"(paper|authors?|Behnia[^.]*) (uses?|used|trains?|trained) [^.]*"
        r"(decay|ridge)[^.]*(5e-4|5\\cdot10\^\{-4\})",
        "the paper has 1e-5 for networks and none for the free model",
        "The paper trained with a weight decay of 5e-4.",
    ),
    (
        r"released model has [^.]*(decay|ridge)",
        "5e-4 is a default of the released script",
        "The released model has a weight decay of 5e-4.",
    ),
    (
        r"(ridge|decay)[^.]* explains (that|the (published|paper|figure|marks))",
        "unfinished training explains the marks, a ridge of 5e-4 does not",
        "The exact solution with the ridge explains that.",
    ),
    (
        r"stricter",
        "Figure 4 has the distance of whole Gram matrices too",
        "A stricter rule than the published averages.",
    ),
    (
        r"collapse[^.]*(is|as) (an effect|the work) of (the|a) (ridge|weight decay)"
        r"|collapse is its work|collapse comes with (the|a) ridge",
        "plain cross-entropy collapses without a ridge as the imbalance grows",
        "Minority collapse is an effect of the ridge.",
    ),
    (
        r"LDT[^.|]*(by|of|from|due to) Ye et al|CDT[^.|]*introduced (here|by this)",
        "LDT is introduced by this paper, CDT by Ye et al.",
        "LDT of Ye et al. is used.",
    ),
    (
        r"[Nn]one is quoted from the paper|[Tt]he formulas (below )?are derived "
        r"(here|in the book)",
        "the formulas for two sizes of classes are the paper's",
        "The formulas below are derived here.",
    ),
]


def plain(text: str) -> str:
    """One line, without comment signs."""
    return " ".join(re.sub(r"^\s*#+ ?", "", text, flags=re.MULTILINE).split())


def faults(text: str) -> list[str]:
    return [why for pattern, why, _ in WRONG if re.search(pattern, plain(text))]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_nothing_is_credited_to_the_paper_that_it_lacks(page):
    assert faults(page.read_text("utf-8")) == []


@pytest.mark.parametrize(("_", "why", "sentence"), WRONG, ids=range(len(WRONG)))
def test_each_wrong_sentence_is_found(_, why, sentence):
    assert why in faults(f"# Before.\n# {sentence}\n# After.")


def test_what_nobody_here_has_read_is_marked():
    """A claim on the extended version is second-hand, and no other claim is."""
    text = (ROOT / "book" / "claims" / "ch5.yml").read_text("utf-8")
    for entry in text.split("\n  - id: ")[1:]:
        extended = "origin: ours" not in entry and "extended arXiv" in entry
        assert ("evidence: second-hand" in entry) == extended, entry.split()[0]
