"""The one switch."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
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
    small = name in ("smoke", "laptop")
    assert found.device == ("cuda" if gpu and not small else "cpu")
    assert found.data == ("subset" if small else "full")
    assert found.decides == (name != "smoke")
    monkeypatch.setenv("TAILWISE_PROFILE", "laptop")
    assert profiles.current(name) == found


def test_an_unknown_profile_is_named(monkeypatch):
    monkeypatch.setenv("TAILWISE_PROFILE", "desktop")
    with pytest.raises(
        ValueError, match="'desktop': expected one of smoke, laptop, full, paper"
    ):
        profiles.current()


@pytest.mark.parametrize(
    ("values", "picked"),
    [
        (dict(smoke=0, laptop=1, full=2, paper=3), [0, 1, 2, 3]),
        (dict(laptop=1, full=2), [1, 1, 2, 2]),
        (dict(laptop=1, paper=3), [1, 1, 1, 3]),
        (dict(smoke=2, laptop=1), [2, 1, 1, 1]),
        (dict(laptop=1, full=0), [1, 1, 0, 0]),
    ],
)
def test_a_missing_size_falls_to_the_next_smaller(values, picked):
    found = [profiles.current(name).pick(**values) for name in profiles.PROFILES]
    assert found == picked


def test_sizes_grow():
    in_order = [profiles.current(name) for name in profiles.PROFILES]
    for size in ("n_seeds", "epochs", "grid"):
        sizes = [getattr(profile, size) for profile in in_order]
        assert sizes == sorted(sizes)


def test_notebooks_are_tested_at_smoke_size_and_nothing_else_is(tmp_path):
    root = Path(__file__).parents[1]
    shutil.copy(root / "conftest.py", tmp_path)
    check = "import os; assert os.environ['TAILWISE_PROFILE'] == "
    cells = [nbformat.v4.new_code_cell(f"{check}'smoke'")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    (tmp_path / "test_b.py").write_text(f"def test_b():\n    {check}'laptop'\n")
    options = ("-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "a.ipynb", "test_b.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "2 passed" in done.stdout, done.stdout
