"""The one switch."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch

from tailwise import profiles
from tailwise.files import PACKAGE


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
    for size in ("n_seeds", "grid"):
        sizes = [getattr(profile, size) for profile in in_order]
        assert sizes == sorted(sizes)


def test_notebooks_are_tested_at_smoke_size_and_nothing_else_is(tmp_path):
    root = Path(__file__).parents[2]
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


def test_the_books_own_seeds_are_as_written(monkeypatch):
    for value in (None, "", "0"):
        if value is None:
            monkeypatch.delenv("TAILWISE_RESEED", raising=False)
        else:
            monkeypatch.setenv("TAILWISE_RESEED", value)
        assert [profiles.reseeded(seed) for seed in range(3)] == [0, 1, 2]


def test_larger_runs_use_seeds_that_no_smaller_one_used(monkeypatch):
    monkeypatch.delenv("TAILWISE_RESEED", raising=False)
    found = {}
    for name in profiles.PROFILES:
        monkeypatch.setenv("TAILWISE_PROFILE", name)
        found[name] = profiles.reseeded(7)
    assert found["smoke"] == found["laptop"] == 7
    assert found["full"] == found["paper"] < 2**32  # scikit-learn takes no larger one
    monkeypatch.setenv("TAILWISE_RESEED", "400")
    assert profiles.reseeded(7) == found["full"] != 7


def test_fresh_sets_of_seeds_do_not_overlap(monkeypatch):
    found = set()
    for name in range(6):
        monkeypatch.setenv("TAILWISE_RESEED", str(name))
        found |= {profiles.reseeded(seed) for seed in (0, 1, 99, 2_000_000)}
    assert len(found) == 24


@pytest.mark.parametrize("value", ["-1", "1.5", "two", "401"])
def test_a_set_of_seeds_is_a_whole_number(monkeypatch, value):
    monkeypatch.setenv("TAILWISE_RESEED", value)
    with pytest.raises(ValueError, match=f"TAILWISE_RESEED is '{value}': expected"):
        profiles.reseeded(0)


# Draws that are no repetition of anything measured: a bootstrap, a reader's own pilot,
# experts that ship, and state that follows from another generator.
NOT_RESEEDED = ("metrics", "simulation", "own", "pretraining", "modules")


def test_every_generator_takes_its_seed_from_the_set():
    bare = []
    for path in PACKAGE.rglob("*.py"):
        if {path.stem, path.parent.name} & set(NOT_RESEEDED):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                makes = node.func.attr in ("manual_seed", "default_rng", "SeedSequence")
                seeds = ast.unparse(node.args[0]) if makes and node.args else "reseeded"
                drawn = re.search("generate_state|digest|initial_seed", seeds)
                if "reseeded" not in seeds and not drawn:
                    bare.append(f"{path.name}: {ast.unparse(node)}")
    assert bare == []
