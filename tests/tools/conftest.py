"""What runs at paper size see in tests: folders of their own, and no network."""

import urllib.request
from dataclasses import replace

import pytest

from tools.paper import harness, sets


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """The folder that holds data, results, cache and checkpoints of a run."""
    monkeypatch.setenv("TAILWISE_PROFILE", "paper")
    for name in ("results", "cache", "data"):
        monkeypatch.setenv(f"TAILWISE_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")

    def no_network(*_, **__):
        raise OSError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    return tmp_path


@pytest.fixture
def trained(monkeypatch):
    """Nothing is fetched, and what is trained is what a test gives."""

    def given(rows: list) -> None:
        monkeypatch.setattr(harness, "spread", lambda *_: rows)
        for name, one in sets.SETS.items():
            there = replace(one, prepare=lambda folder: None)
            monkeypatch.setitem(sets.SETS, name, there)

    return given
