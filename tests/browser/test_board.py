"""The scoreboard's menus by keyboard, without scripts, and on paper."""

import re
from pathlib import Path

import driver
import pytest
from driver import HTML

BUILT = HTML / "book" / "scoreboard.html"
PAPER = 680


def claims_of(page: Path) -> list[dict[str, str]]:
    """Every claim in the page with its chapter, its verdicts and whose it is."""
    found = re.findall(
        r"<tbody id='((ch\d+)\.\w+)' data-verdict='([^']+)' data-origin='(\w+)'",
        page.read_text("utf-8"),
    )
    keys = ("id", "chapter", "verdict", "origin")
    return [dict(zip(keys, claim)) for claim in found]


@pytest.fixture(scope="module")
def visit() -> dict:
    """What `board.mjs` saw in the built page."""
    return driver.run("board.mjs", BUILT, needs={"the site, make html": BUILT})


@pytest.fixture(scope="module")
def claims(visit) -> list[dict[str, str]]:
    return claims_of(BUILT)


def fits(claim: dict, chapter: str, verdict: str, origin: str) -> bool:
    return (
        chapter in ("", claim["chapter"])
        and (not verdict or verdict in claim["verdict"].split("|"))
        and origin in ("", claim["origin"])
    )


def test_the_menus_show_what_they_say(visit, claims):
    chosen = [state["chosen"] for state in visit["states"]]
    first = claims[0]["chapter"]
    assert chosen[0] == ["", "", ""]
    assert chosen[1] == [first, "", ""]
    assert chosen[3] == [first, "reproduced", "paper"]
    assert chosen[4] == ["", "reproduced", "paper"]
    for state in [*visit["states"], visit["asked"]]:
        expected = [c for c in claims if fits(c, *state["chosen"])]
        assert state["ids"] == [claim["id"] for claim in expected]
        assert state["titles"] == len({claim["chapter"] for claim in expected})
        assert state["count"] == f"{len(expected)} of {len(claims)} claims"
        assert state["menus"]
    assert visit["live"] == "polite"


def test_an_address_can_ask_for_a_verdict(visit):
    assert visit["asked"]["chosen"] == ["", "not reproduced", ""]


def test_without_scripts_every_claim_is_there_and_no_menu(visit, claims):
    assert visit["still"] == {"claims": len(claims), "menus": False}


def test_on_paper_nothing_is_cut_off(visit, claims):
    assert len(visit["paper"]["ids"]) == len(claims)
    assert not visit["paper"]["menus"]
    assert visit["paper"]["width"] <= PAPER
