"""Notebooks are tested at the smoke profile: every cell runs, on tiny data."""

from pathlib import Path

import pytest

# What takes long comes first, so that no process is left with it at the end.
LONG = (
    "tests/tools/test_paper_killed.py",
    "tests/second_device",
    "tests/training",
    "tests/experts",
    "tests/browser",
    "book",
)


def pytest_collection_modifyitems(config, items):
    places = [Path(config.rootpath, name) for name in LONG]

    def turn(item) -> int:
        begins = (
            n for n, place in enumerate(places) if item.path.is_relative_to(place)
        )
        return next(begins, len(places))

    items.sort(key=turn)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    # A notebook's kernel starts in the setup of its first cell, and keeps what it gets.
    with pytest.MonkeyPatch.context() as patch:
        if item.path.suffix == ".ipynb":
            patch.setenv("TAILWISE_PROFILE", "smoke")
        return (yield)
