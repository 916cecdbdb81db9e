"""One headless Chromium, which stays at home; without it these tests are skipped."""

from contextlib import contextmanager

import pytest
from built import give_up
from looks import launch_args


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict:
    try:
        return launch_args()
    except FileNotFoundError as missing:
        give_up(str(missing))


@pytest.fixture(scope="session")
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
