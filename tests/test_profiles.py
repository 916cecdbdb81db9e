"""The one switch."""

import pytest
import torch

from tailwise import profiles


@pytest.fixture(params=[False, True], ids=["no GPU", "GPU"])
def gpu(request, monkeypatch) -> bool:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param)
    return request.param


def test_the_tests_run_on_the_laptop():
    assert profiles.current().name == "laptop"


@pytest.mark.parametrize("unset", [None, ""])
def test_without_the_variable_the_gpu_decides(gpu, unset, monkeypatch):
    monkeypatch.delenv("TAILWISE_PROFILE")
    if unset is not None:
        monkeypatch.setenv("TAILWISE_PROFILE", unset)
    assert profiles.current().name == ("full" if gpu else "laptop")


@pytest.mark.parametrize("name", profiles.PROFILES)
def test_the_variable_decides_and_an_argument_beats_it(gpu, name, monkeypatch):
    monkeypatch.setenv("TAILWISE_PROFILE", name)
    found = profiles.current()
    assert found.name == name
    assert found.device == ("cuda" if gpu and name != "laptop" else "cpu")
    assert found.data == ("subset" if name == "laptop" else "full")
    monkeypatch.setenv("TAILWISE_PROFILE", "laptop")
    assert profiles.current(name) == found


def test_an_unknown_profile_is_named(monkeypatch):
    monkeypatch.setenv("TAILWISE_PROFILE", "desktop")
    with pytest.raises(
        ValueError, match="'desktop': expected one of laptop, full, paper"
    ):
        profiles.current()


@pytest.mark.parametrize(
    ("values", "picked"),
    [
        (dict(laptop=1, full=2, paper=3), [1, 2, 3]),
        (dict(laptop=1, full=2), [1, 2, 2]),
        (dict(laptop=1, paper=3), [1, 1, 3]),
        (dict(laptop=1), [1, 1, 1]),
        (dict(laptop=1, full=0), [1, 0, 0]),
    ],
)
def test_a_missing_size_falls_to_the_next_smaller(values, picked):
    found = [profiles.current(name).pick(**values) for name in profiles.PROFILES]
    assert found == picked


def test_sizes_grow():
    laptop, full, paper = map(profiles.current, profiles.PROFILES)
    for size in ("n_seeds", "epochs", "grid"):
        sizes = [getattr(profile, size) for profile in (laptop, full, paper)]
        assert sizes == sorted(sizes)
