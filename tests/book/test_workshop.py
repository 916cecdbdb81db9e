"""The workshop: schedules that fit, verdicts in the checked form, worked numbers."""

import re

import jupytext
import numpy as np
import pytest
import torch

from tailwise.ledger import claims
from tailwise.methods import risk, weighted
from tools.book.layout import ROOT, Book, fill
from tools.site import exercises, handouts, workshop
from tools.site.cards import Card

FOLDER = ROOT / "book" / "workshop"
PAGES = sorted(FOLDER.glob("*.md"))
TEACHERS = [path for path in PAGES if path.stem.startswith("teacher_")]
INDEX = (FOLDER / "index.md").read_text("utf-8")
SECTIONS = ["Goal", "Board plan", "Where people get stuck", "Ten minutes"]
SECTIONS += ["What would make us not use it"]
STATED = re.compile(rf"\*\*(?:{'|'.join(claims.VERDICTS)})\*\*(?! \(`ch\d\.\w+`\))")


def schedules(text: str) -> dict[str, tuple[int, dict[str, int]]]:
    """By heading: the minutes it promises, and those of each chapter's slot."""
    found = {}
    for heading, total, body in re.findall(
        r"^## ([^\n]+): (\d+) minutes\n(.+?)(?=^## )", text, re.M | re.S
    ):
        rows = re.findall(r"^\| (\d+) \| (.+?) \|", body, re.M)
        slots = {
            f"ch{match[1]}": int(minutes)
            for minutes, what in rows
            if (match := re.search(r"teacher_(\d)\.md", what))
        }
        promised = {"total": int(total), "sum": sum(int(m) for m, _ in rows)}
        found[heading] = promised, slots
    return found


def short_slots(text: str, twice: float = 2.0) -> list[str]:
    """Slots of a schedule that end before a slow laptop does."""
    faults = []
    for heading, (promised, slots) in schedules(text).items():
        if promised["total"] != promised["sum"]:
            faults.append(f"{heading}: {promised['sum']} minutes, not as promised")
        for key, minutes in slots.items():
            kept = claims.recorded(key, "laptop") if key in claims.chapters() else None
            needed = twice * kept.provenance["wall_s"] / 60 if kept else 0
            if minutes < needed:
                faults.append(f"{heading}, {key}: {minutes} < {needed:.1f} minutes")
    return faults


def test_schedules_add_up_and_leave_time_for_the_machine():
    assert set(schedules(INDEX)) == {"Half a day", "A full day"}
    assert short_slots(INDEX) == []
    assert len(schedules(INDEX)["A full day"][1]) == len(TEACHERS)


def test_a_schedule_that_does_not_fit_is_caught():
    shorter = INDEX.replace("| 50 | [Chapter 1]", "| 1 | [Chapter 1]")
    faults = short_slots(shorter)
    assert faults[0] == "Half a day: 191 minutes, not as promised"
    assert faults[1].startswith("Half a day, ch1: 1 < ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_verdict_is_never_stated_without_its_claim(page):
    assert not STATED.findall(page.read_text("utf-8"))
    assert STATED.findall("It holds: **reproduced**.")
    assert not STATED.findall("It holds: **reproduced** (`ch1.logistic`).")


def test_every_chapter_has_its_notes():
    numbers = {path.stem.removeprefix("teacher_") for path in TEACHERS}
    assert {key.removeprefix("ch") for key in claims.chapters()} <= numbers
    for path in TEACHERS:
        headings = re.findall(r"^## (.+)$", path.read_text("utf-8"), re.M)
        assert [h for h in headings if h in SECTIONS] == SECTIONS
        assert any("iscussion" in h for h in headings)


def test_every_method_has_a_paragraph_questions_and_a_pilot():
    text = (FOLDER / "meeting.md").read_text("utf-8")
    parts = re.split(r"^## \d · ", text, flags=re.M)[1:]
    assert len(parts) == len(TEACHERS)
    for part in parts:
        headings = re.findall(r"^### (.+)$", part, re.M)
        assert headings == ["In one paragraph", "Three questions", "Pilot"]
        rows = re.findall(r"^\| (\w[\w ]*) \| ", part, re.M)
        assert rows == ["data", "groups", "metric", "stop rule"]


# Numbers that the teacher writes on the board


def test_the_ratios_on_the_board_of_chapter_1():
    text = (FOLDER / "teacher_1.md").read_text("utf-8")
    ratios = [weighted.equal_error_ratio(0.2, delta) for delta in (0, 0.2, 0.3)]
    a, b, c = (f"{ratio:.0f}" for ratio in ratios)
    stated = rf"$\delta=0$ gives {a}, $\delta=0.2$ gives {b}, $\delta=0.3$ gives {c},"
    assert stated in text
    exercise = weighted.equal_error_ratio(0.1, 30 / 500)
    assert f"(9; {exercise:.1f} for 500;" in text
    with pytest.raises(ValueError, match="delta"):
        weighted.equal_error_ratio(0.1, 30 / 150)


@pytest.mark.parametrize(
    ("rule", "params"),
    [
        ("flooding", {"tau": 0.4}),
        ("softad", {"tau": 0.4}),
        ("cvar", {"quantile": 0.6}),
    ],
)
def test_the_weights_on_the_board_of_chapter_3(rule, params):
    text = (FOLDER / "teacher_3.md").read_text("utf-8")
    losses, *rows = re.findall(r"^\| (\w+) \| ([-\d. |]+) \|$", text, re.M)
    stated = {name.lower(): list(map(float, row.split(" | "))) for name, row in rows}
    values = torch.tensor(list(map(float, losses[1].split(" | "))))
    weights = len(values) * risk.example_weights(values, rule, **params)
    np.testing.assert_allclose(weights, stated[rule], atol=0.005)  # two decimals


def test_the_exponents_on_the_board_of_chapter_5():
    text = (FOLDER / "teacher_5.md").read_text("utf-8")
    found = [f"{100 ** (1 - 2 * gamma):g}" for gamma in (0, 0.25, 0.5, 1)]
    assert f"({found[0]}, {found[1]}, {found[2]} and {found[3]}:" in text


# What is filled in when the site is laid out


def test_the_page_is_filled_from_records_and_solutions():
    book = Book(ROOT, "laptop")
    table = workshop.minutes(book)
    for key in claims.chapters():
        kept = claims.recorded(key, "laptop")
        row = next(r for r in table.splitlines() if r.startswith(f"| {key[2:]} ·"))
        wanted = f"{kept.provenance['wall_s'] / 60:.1f}" if kept else "not recorded yet"
        assert f"| {wanted} |" in row
    assert workshop.listed(["9_nine.ipynb"]) == (
        "- [chapter 9](../exercises/9_nine.ipynb), "
        "{download}`the notebook <../exercises/9_nine.ipynb>`"
    )
    blocks = dict.fromkeys(("minutes", "exercises", "slides"), "FILLED")
    filled = fill(INDEX, blocks)
    assert filled.count("FILLED") == 3
    assert "computed:" not in filled


@pytest.mark.parametrize("path", TEACHERS, ids=lambda path: path.stem)
def test_the_notes_repeat_the_questions_of_the_quiz(path):
    number = path.stem.removeprefix("teacher_")
    (chapter,) = (ROOT / "book" / "chapters").glob(f"{number}_*.py")
    quiz = chapter.read_text("utf-8").partition("# ### Quiz\n")[2].partition("<det")[0]
    asked = dict(re.findall(r"^# (\d)\. (.+)$", quiz, re.M))
    found = exercises.tasks(jupytext.read(chapter), exercises.QUIZ)
    assert {str(k): question for k, question in found.items()} == asked
    made = workshop.with_questions(path.read_text("utf-8"), found)
    for k, question in asked.items():
        assert f"\n| {k}. {question} | " in made
    with pytest.raises(ValueError, match=r"asks \[1\], the notes answer \[1, 2, 3"):
        workshop.with_questions(path.read_text("utf-8"), {1: "Why?"})


# The half-day, minute by minute


def script_rows(text: str) -> list[tuple[int, int, str]]:
    """Start in minutes, length and what is done, of each row of the script."""
    rows = re.findall(r"^\| (\d):(\d\d) \| (\d+) \| (.+?) \|", text, re.M)
    return [(60 * int(h) + int(m), int(length), do) for h, m, length, do in rows]


def test_the_script_is_the_schedule_minute_by_minute():
    rows = script_rows((FOLDER / "half_day.md").read_text("utf-8"))
    ends = [start + length for start, length, _ in rows]
    assert [start for start, *_ in rows] == [0, *ends[:-1]]
    schedule = INDEX.partition("## Half a day")[2].partition("\n## ")[0]
    slots = [int(minutes) for minutes in re.findall(r"^\| (\d+) \| ", schedule, re.M)]
    turns = np.cumsum([0, *slots])
    assert set(turns) <= {0, *ends}
    assert ends[-1] == turns[-1] == 240
    for chapter in (1, 2, 5):
        start = next(row[0] for row in rows if f"Board of chapter {chapter}" in row[2])
        slot = re.search(rf"^\| \d+ \| \[Chapter {chapter}\]", schedule, re.M).start()
        before = re.findall(r"^\| (\d+) \| ", schedule[:slot], re.M)
        assert start == sum(map(int, before))


# Handouts


def test_a_handout_repeats_the_meeting_s_page_and_the_chapter():
    meeting = (FOLDER / "meeting.md").read_text("utf-8")
    card = Card("3", "T", "So?", "chapters/3_x", "It is.", ("reproduced",), 1, True)
    page = handouts.handout(card, "a\n line", handouts.parts_of(meeting, "3"))
    assert "**So?**" in page
    assert ":alt: a line\n" in page
    assert "**It is.** A model that was made robust" in page
    assert "1 of 1 reproduced" in page
    for line in (
        "1. How large is the tail",
        "| stop rule | stop after the temperature",
    ):
        assert line in meeting
        assert line in page


def test_a_method_without_its_parts_is_refused():
    with pytest.raises(ValueError, match="method 9: no .*Pilot"):
        handouts.parts_of("## 8 · Other\n\n### Pilot\n\nx\n", "9")
