"""A switch by keyboard: the verdict with the mistake, and back; no script is needed."""

import pytest
from built import HTML, give_up
from looks import MODES, violations

BUILT = HTML / "book" / "flip.html"


@pytest.fixture
def opened(visiting):
    if not BUILT.exists():
        give_up(f"not here: {BUILT} (make html)")
    return lambda **settings: visiting(BUILT.as_uri(), offline=True, **settings)


def shown(page) -> list[tuple[bool, bool]]:
    """Of each claim of the first switch: whether either side is visible."""
    rows = page.locator(".flip").first.locator("td")
    return [
        tuple(
            cell.locator(f".flip-{side}").is_visible() for side in ("without", "with")
        )
        for cell in rows.all()
    ]


@pytest.mark.parametrize("scripts", [True, False])
def test_a_key_flips_the_verdict_and_flips_it_back(opened, scripts):
    with opened(java_script_enabled=scripts) as page:
        assert set(shown(page)) == {(True, False)}
        page.locator(".flip input").first.focus()
        page.keyboard.press("Space")
        assert set(shown(page)) == {(False, True)}
        said = page.locator(".flip output").first
        assert said.inner_text() == "On: with the mistake."
        page.keyboard.press("Space")
        assert set(shown(page)) == {(True, False)}


def test_on_paper_both_are_shown(opened):
    with opened() as page:
        page.emulate_media(media="print")
        assert set(shown(page)) == {(True, True)}


@pytest.mark.parametrize("mode", MODES)
def test_no_fault_with_every_switch_on(opened, mode):
    with opened(**MODES[mode]) as page:
        for box in page.locator(".flip input").all():
            box.check()
        assert violations(page, "article") == []


def test_a_switch_has_the_name_of_its_mistake(opened):
    with opened() as page:
        first = page.get_by_role("switch").first
        name = page.locator(".flip-switch label").first.inner_text().strip()
        assert page.get_by_role("switch", name=name).count() >= 1
        assert not first.is_checked()
