"""Notebooks are tested at the smoke profile: every cell runs, on tiny data."""

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    # A notebook's kernel starts in the setup of its first cell, and keeps what it gets.
    with pytest.MonkeyPatch.context() as patch:
        if item.path.suffix == ".ipynb":
            patch.setenv("TAILWISE_PROFILE", "smoke")
        return (yield)
