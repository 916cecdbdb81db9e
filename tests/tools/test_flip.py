"""Switches are made of measured mistakes, on their page and in chapters."""

import re

import pytest

from tailwise.ledger import claims, mistakes
from tools.book.layout import ROOT
from tools.site import flip

MADE = mistakes.load()
SIDE = re.compile(
    r"<span class='flip-(without|with)'><span class='verdict[^>]*>([^<]+)<"
)


def sides(text: str, name: str) -> list[str]:
    return [verdict for side, verdict in SIDE.findall(text) if side == name]


@pytest.mark.parametrize("mistake", MADE, ids=lambda m: m.id)
def test_a_switch_shows_both_verdicts_of_each_claim(mistake):
    made = flip.item(mistake.id, "../")
    verdicts = {e.claim.id: e.verdicts() for e in mistakes.effects(mistake)}
    order = re.findall(r"href='\.\./scoreboard\.html#(ch\d\.\w+)'", made)
    assert sorted(order) == sorted(verdicts)
    assert sides(made, "without") == [verdicts[id][0] for id in order]
    assert sides(made, "with") == [verdicts[id][1] for id in order]
    flips = sum(e.flips for e in mistakes.effects(mistake))
    assert made.count("class='flip-changes'") == flips
    # Those that change come first.
    assert "flip-changes" in made.split("<tbody>")[1].split("</tr>")[0] or not flips


def test_the_page_has_every_switch_once():
    page = flip.page()
    for mistake in MADE:
        assert page.count(f"id='flip-{mistake.id}'") == 1
    for chapter in claims.chapters():
        short = mistakes.short_intervals(chapter)
        of = [c for c in claims.load(chapter).claims.values() if c.profile == "laptop"]
        assert f"{len(short)} of {len(of)} verdicts change." in page
    idle = page.partition("## No verdict changed")[2]
    assert set(re.findall(r"id='flip-(\w+)'", idle)) == {
        m.id for m in MADE if not any(e.flips for e in mistakes.effects(m))
    }


def test_switches_in_a_chapter_are_its_own():
    for chapter in map(claims.load, claims.chapters()):
        text = (ROOT / "book" / f"{chapter.page}.py").read_text("utf-8")
        for id in flip.MARK.findall(text):
            (mistake,) = (m for m in MADE if m.id == id)
            assert mistake.chapter == chapter.key
            assert any(effect.flips for effect in mistakes.effects(mistake))


def test_a_switch_for_nothing_is_refused():
    with pytest.raises(ValueError, match="'nothing', expected one of"):
        flip.fill_flips("<!-- flip: nothing -->")
    text = "Before <!-- flip: one_downsample --> after"
    assert flip.fill_flips(text, "../").startswith("Before <div class='flip'")
