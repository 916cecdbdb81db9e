"""One headless Chromium, which stays at home; without it these tests are skipped."""

from contextlib import contextmanager

import pytest
from built import give_up
from looks import launch_args


# Not pytest-playwright's: it lasts for the session, and so does its event loop, beside
# which tests of the same process could not start one of their own.
@pytest.fixture(scope="module")
def browser():
    try:
        import axe_playwright_python  # noqa: F401  what `looks` needs later
        from playwright.sync_api import sync_playwright

        arguments = launch_args()
    except (ModuleNotFoundError, FileNotFoundError) as missing:
        give_up(str(missing))
    with sync_playwright() as play:
        browser = play.chromium.launch(**arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visiting(browser):
    """A page in a context of its own, which is closed at the end of a block."""

    @contextmanager
    def visit(url: str, **settings):
        context = browser.new_context(**settings)
        page = context.new_page()
        page.goto(url, wait_until="load")
        yield page
        context.close()

    return visit
