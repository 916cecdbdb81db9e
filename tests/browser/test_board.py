"""The scoreboard's menus by keyboard, without scripts, and on paper."""

import re

import pytest
from built import HTML, give_up

BUILT = HTML / "book" / "scoreboard.html"
STEPS = (
    ("chapter", "ArrowDown"),
    ("verdict", "ArrowDown"),
    ("origin", "ArrowDown"),
    ("chapter", "Home"),
)
PAPER = {"width": 680, "height": 962}  # A4 in pixels between margins of 15 mm


@pytest.fixture(scope="module")
def claims() -> list[dict[str, str]]:
    """Every claim in the page with its chapter, its verdicts and whose it is."""
    if not BUILT.exists():
        give_up(f"not here: {BUILT} (make html)")
    found = re.findall(
        r"<tbody id='((ch\d+)\.\w+)' data-verdict='([^']+)' data-origin='([^']+)'",
        BUILT.read_text("utf-8"),
    )
    keys = ("id", "chapter", "verdict", "origin")
    return [dict(zip(keys, claim)) for claim in found]


@pytest.fixture
def board(visiting, claims):
    """Visit the page, from the disk and without a network."""
    return lambda query="", **more: visiting(
        BUILT.as_uri() + query, offline=True, **more
    )


def assert_shows(page, claims, chosen: list[str]) -> None:
    """The menus stand at the choice, and the page shows what fits it."""
    chapter, verdict, origin = chosen
    fit = [
        c
        for c in claims
        if chapter in ("", c["chapter"])
        and (not verdict or verdict in c["verdict"].split("|"))
        and origin in ("", c["origin"])
    ]
    menus = page.locator(".board-filter select")
    assert menus.evaluate_all("all => all.map((menu) => menu.value)") == chosen
    shown = page.locator(".board tbody:visible").evaluate_all(
        "all => all.map(t => t.id)"
    )
    assert shown == [claim["id"] for claim in fit]
    titles = page.locator(".scoreboard h2:visible").count()
    assert titles == len({claim["chapter"] for claim in fit})
    count = page.locator(".board-filter output").text_content()
    assert count == f"{len(fit)} of {len(claims)} claims"
    assert page.locator(".board-filter").is_visible()


def test_the_menus_show_what_they_say(board, claims):
    first = claims[0]["chapter"]
    with board() as page:
        options = page.locator("select[name=verdict] option").evaluate_all(
            "all => all.map((option) => option.value)"
        )
        whose = page.locator("select[name=origin] option").evaluate_all(
            "all => all.map((option) => option.value)"
        )
        chosen = {"chapter": "", "verdict": "", "origin": ""}
        assert_shows(page, claims, [*chosen.values()])
        for menu, key in STEPS:
            page.locator(f"select[name={menu}]").focus()
            page.keyboard.press(key)
            down = {"chapter": first, "verdict": options[1], "origin": whose[1]}
            chosen[menu] = "" if key == "Home" else down[menu]
            assert_shows(page, claims, [*chosen.values()])
        live = page.locator(".board-filter output").get_attribute("aria-live")
        assert live == "polite"


def test_an_address_can_ask_for_a_verdict(board, claims):
    with board("?verdict=not+reproduced&other=x") as page:
        assert_shows(page, claims, ["", "not reproduced", ""])


def test_without_scripts_every_claim_is_there_and_no_menu(board, claims):
    with board(java_script_enabled=False) as page:
        assert page.locator(".board tbody:visible").count() == len(claims)
        assert not page.locator(".board-filter").is_visible()


def test_on_paper_nothing_is_cut_off(board, claims):
    with board(viewport=PAPER) as page:
        page.emulate_media(media="print")
        assert page.locator(".board tbody:visible").count() == len(claims)
        assert not page.locator(".board-filter").is_visible()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PAPER["width"]
