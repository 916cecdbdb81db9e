"""Bets by keyboard: locked before they are judged, kept, scored, read by a class."""

import re

import pytest
from built import HTML, give_up
from looks import MODES, violations

from tailwise.ledger import claims

BUILT = HTML / "book" / "predict.html"
OPEN = ".predict details[open]"


@pytest.fixture
def opened(visiting):
    if not BUILT.exists():
        give_up(f"not here: {BUILT} (make html)")
    return lambda **settings: visiting(BUILT.as_uri(), offline=True, **settings)


def outcomes() -> dict[str, int]:
    """By claim, in the page's order: whether the record says "reproduced"."""
    found = {}
    for chapter in map(claims.load, claims.chapters()):
        verdicts = claims.recorded(chapter.key, "laptop").verdicts
        for claim in chapter.carrying:
            if claim.id in verdicts:
                found[claim.id] = int(verdicts[claim.id] == "reproduced")
    return found


def bet(page, number: int, keys: str) -> None:
    """Press keys on a slider, and lock it."""
    item = page.locator(".predict").nth(number)
    item.locator("input").focus()
    for key in keys.split():
        page.keyboard.press(key)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")


def shows(page, chapter: int) -> None:
    page.get_by_role("button", name=f"Show chapter {chapter}").press("Enter")


def test_a_bet_is_locked_before_it_is_judged(opened):
    held = list(outcomes().values())
    ours = [id.startswith("ch1.") for id in outcomes()].count(True)
    with opened() as page:
        ids = page.locator(".predict").evaluate_all(
            "all => all.map(e => e.dataset.claim)"
        )
        assert ids == list(outcomes())
        bet(page, 0, "End")
        bet(page, 1, "Home ArrowRight ArrowRight")
        assert page.locator(".predict input:enabled").count() == len(held) - 2
        line = page.locator(".predict-score p")
        assert line.text_content() == f"2 of {len(held)} bets locked, none shown yet."
        assert page.locator(".predict details:visible").count() == 0
        shows(page, 1)
        assert page.locator(OPEN).count() == ours
        assert page.locator(".predict details:visible").count() == ours
        assert page.locator(".predict input:enabled").count() == len(held) - ours
        score = ((1 - held[0]) ** 2 + (0.1 - held[1]) ** 2) / 2
        told = f"Your score: {score:.3f} over 2 of {len(held)} bets"
        assert line.text_content().startswith(told)
        page.reload()
        assert page.locator(OPEN).count() == ours
        assert line.text_content().startswith(told)
        page.get_by_role("button", name="Forget my bets").press("Enter")
        assert page.locator(OPEN).count() == 0
        assert page.locator(".predict input:enabled").count() == len(held)


def test_the_class_sees_its_bets(opened):
    with opened() as page:
        bet(page, 0, "End")
        code = page.locator(".predict-code code").text_content()
        name, first, *rest = code.split(".")
        assert first == "100"
        assert set(rest) == {"x"}
        other = ".".join([name, "40", *rest])
        wrong = ["", "abc", ".".join(["0", "40", *rest]), f"{other}.x", f"{name}.101"]
        area = page.locator(".predict-class textarea")
        area.fill("\n".join([code, other, *wrong]))
        count = page.locator(".predict-class > p").text_content()
        assert count.startswith("2 of 6 codes read. Not of this page")
        assert all(f"“{text}”" in count for text in wrong[1:])
        chart = page.locator(".predict-bets")
        assert chart.count() == 1
        assert "2 bets, mean 70 %" in chart.text_content()
        assert "record" not in chart.text_content()
        shows(page, 1)
        (held, *_) = outcomes().values()
        score = ((1 - held) ** 2 + (0.4 - held) ** 2) / 2
        verdict = page.locator(".predict .verdict").first.text_content()
        told = f"2 bets, mean 70 %, score {score:.3f}, the record: {verdict}"
        assert told in chart.text_content()
        assert chart.locator("span").all_text_contents() == ["0", "100 %"]
        label = chart.locator("div").first.get_attribute("aria-label")
        assert re.findall(r"\d+", label)[1:] == list("0000100001")
        assert violations(page, ".predict-class") == []


def test_on_paper_a_bet_is_a_line(opened):
    with opened() as page:
        bet(page, 0, "End")
        shows(page, 1)
        line = page.locator(".predict-line").first
        assert not line.is_visible()
        page.emulate_media(media="print")
        assert line.is_visible()
        shown = ".predict-chapter :is(input, button, details), article textarea"
        assert page.locator(shown).count() > 3
        assert page.locator(f":is({shown}):visible").count() == 0
        whole = "e => getComputedStyle(e).breakInside"
        assert page.locator(".predict").first.evaluate(whole) == "avoid"


@pytest.mark.parametrize("mode", MODES)
def test_no_fault_after_a_bet(opened, mode):
    with opened(**MODES[mode]) as page:
        bet(page, 0, "End")
        shows(page, 1)
        assert violations(page, "article") == []


def test_without_scripts_a_bet_is_a_line_and_a_fold(opened):
    with opened(java_script_enabled=False) as page:
        first = page.locator(".predict").first
        assert "______ %" in first.locator(".predict-bet").text_content()
        assert not first.locator("details p").is_visible()
        first.locator("summary").click()
        assert first.locator("details p").is_visible()
