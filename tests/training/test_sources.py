"""What a result's code is: the function's file and what it imports, and no more."""

from functools import partial
from pathlib import Path

import tiny_chunks

from tailwise.geometry import networks
from tailwise.training import sources
from tailwise.training.sources import closure, code_hash, file_of

FILES = {
    "a/__init__.py": "from a.face import shown",
    "a/face.py": "def shown():\n    import b.late",
    "a/other.py": "",
    "b/__init__.py": "",
    "b/late.py": "import os.path, torch",
    "b/early.py": "",
    "named.py": "from a import other",
    "offered.py": "from a import shown",
    "whole.py": "import a, named",
}


def names(root: Path, start: str) -> set[str]:
    found = closure(root / start, root)
    return {path.relative_to(root).as_posix() for path in found}


def test_imports_are_followed_where_they_lead(tmp_path):
    for name, code in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    shown = {"a/__init__.py", "a/face.py", "b/late.py"}
    assert names(tmp_path, "named.py") == {"named.py", "a/other.py"}
    assert names(tmp_path, "offered.py") == {"offered.py", *shown}
    assert names(tmp_path, "whole.py") == {
        *("whole.py", "named.py", "a/other.py"),
        *shown,
    }


def test_a_chapters_runs_do_not_depend_on_its_plots():
    found = {path.name for path in closure(Path(networks.__file__))}
    assert {"networks.py", "theory.py", "ufm.py", "imbalance.py"} <= found
    assert "plots.py" not in found


def test_a_change_anywhere_below_is_another_hash(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "PACKAGE", tmp_path / "a")
    monkeypatch.setattr(closure, "__defaults__", (tmp_path,))
    (tmp_path / "sums").write_text("1")
    monkeypatch.setattr(sources, "ASSETS", tmp_path)
    hashes = set()
    for name, code in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    steps = [("SHA256SUMS", "x"), ("SHA256SUMS", "y"), ("offered.py", "import a  #")]
    steps += [("b/late.py", "import os"), ("a/other.py", "not read")]
    for name, code in steps:
        (tmp_path / name).write_text(code)
        code_hash.cache_clear()
        hashes.add(code_hash(tmp_path / "offered.py"))
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
