"""What a result's code is: the function's file and what it imports, and no more."""

from functools import partial
from pathlib import Path

import pytest
import tiny_chunks

from tailwise.geometry import networks
from tailwise.training import sources
from tailwise.training.sources import closure, code_hash, file_of

FILES = {
    "p/__init__.py": "",
    "p/a/__init__.py": "from p.a.face import shown",
    "p/a/face.py": "def shown():\n    import p.late",
    "p/a/other.py": "",
    "p/late.py": "import os.path, q.r, torch",
    "p/early.py": "",
    "p/named.py": "from p.a import other",
    "p/offered.py": "from p.a import shown",
    "p/whole.py": "import p.a, p.named",
    "q/r.py": "",  # beside the package, as torch is where both are installed
}


@pytest.fixture
def package(tmp_path):
    for name, code in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(code)
    return tmp_path / "p"


@pytest.mark.parametrize(
    ("start", "found"),
    [
        ("named", ["a/other.py"]),
        ("offered", ["a/__init__.py", "a/face.py", "late.py"]),
        (
            "whole",
            ["a/__init__.py", "a/face.py", "a/other.py", "late.py", "named.py"],
        ),
    ],
)
def test_imports_are_followed_where_they_lead(package, start, found):
    paths = closure(package / f"{start}.py", package) - {package / f"{start}.py"}
    assert sorted(path.relative_to(package).as_posix() for path in paths) == found


def test_a_chapters_runs_do_not_depend_on_its_plots():
    found = {path.name for path in closure(Path(networks.__file__))}
    assert {"networks.py", "seli.py", "ufm.py", "imbalance.py"} <= found
    assert "plots.py" not in found


def test_a_change_anywhere_below_is_another_hash(package, monkeypatch):
    monkeypatch.setattr(sources, "PACKAGE", package)
    monkeypatch.setattr(closure, "__defaults__", (package,))
    monkeypatch.setattr(sources, "ASSETS", package)
    hashes = set()
    steps = [("SHA256SUMS", "x"), ("SHA256SUMS", "y"), ("offered.py", "import p.a  #")]
    steps += [("late.py", "import os"), ("a/other.py", "not read")]
    for name, code in steps:
        (package / name).write_text(code)
        code_hash.cache_clear()
        hashes.add(code_hash(package / "offered.py"))
    code_hash.cache_clear()
    assert len(hashes) == len(steps) - 1


def test_a_function_that_holds_more_than_its_file_says_has_none():
    def inner():
        return tmp

    tmp = 1
    assert file_of(tiny_chunks.drawn) == Path(tiny_chunks.__file__)
    for function in (inner, lambda: 0, max, partial(tiny_chunks.drawn, 1), "".join):
        assert file_of(function) is None
    assert file_of(Path.exists.__get__(Path())) is None
