"""The house: CONTRIBUTING's table names the tree, and imports run one way."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import tailwise
from tools.book.layout import ROOT

SRC = ROOT / "src" / "tailwise"


def rooms(root: Path) -> set[str]:
    """Folders and ground modules that the table has to name."""
    tracked = subprocess.run(
        ["git", "-C", root, "ls-files"], capture_output=True, text=True, check=True
    ).stdout.split()
    folders = {
        f"{folder.as_posix()}/" for name in tracked for folder in Path(name).parents
    }
    pattern = r"(book|tools|src/tailwise)/\w+/|tests/|benchmarks/"
    return {folder for folder in folders if re.fullmatch(pattern, folder)}


def named(text: str) -> set[str]:
    """What the first column of the table names."""
    rows = re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_the_table_names_the_tree():
    table = named((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    ground = {name for name in table if name.endswith(".py")}
    assert table - ground == rooms(ROOT)
    assert all((SRC / name).is_file() for name in ground)


def test_every_room_has_a_floor():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = {name for layer in layers for name in layer.split(" | ")}
    packages = {f"tailwise.{path.parent.name}" for path in SRC.glob("*/__init__.py")}
    ground = {
        f"tailwise.{name.removesuffix('.py')}"
        for name in named((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
        if name.endswith(".py")
    }
    assert floors == packages | ground


def lint(root: Path) -> str:
    """What import-linter prints in a folder with a pyproject.toml and ``src``."""
    command = "import sys; sys.path.insert(0, 'src'); from importlinter.cli import *; "
    done = subprocess.run(
        [sys.executable, "-c", command + "lint_imports_command(['--no-cache'])"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def test_imports_run_one_way():
    assert "Contracts: 2 kept, 0 broken." in lint(ROOT)


def test_a_chapter_that_imports_another_is_found(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    skip = shutil.ignore_patterns("assets", "__pycache__")
    copy = shutil.copytree(SRC, tmp_path / "src" / "tailwise", ignore=skip)
    with (copy / "spurious" / "plots.py").open("a") as file:
        file.write("\nimport tailwise.weighting.study\n")
    found = lint(tmp_path)
    assert "Contracts: 1 kept, 1 broken." in found
    assert "tailwise.spurious is not allowed to import tailwise.weighting" in found


def test_help_is_a_map():
    shown = re.findall(r"`tailwise\.(\w+)`  ", tailwise.__doc__)
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    (chapters,) = (each.split(" | ") for each in layers if "tailwise.spurious" in each)
    packages = {path.parent.name for path in SRC.glob("*/__init__.py")}
    assert packages - {name.split(".")[1] for name in chapters} <= set(shown)
    assert all((SRC / n).is_dir() or (SRC / f"{n}.py").is_file() for n in shown)


def test_types_of_the_faces_hold():
    command = [sys.executable, "-m", "mypy", "--no-error-summary"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_names_of_before_hold_what_the_names_of_today_do():
    code = (
        "import sys, tailwise; assert 'torch' not in sys.modules; "
        "import tailwise.afr, tailwise.dfr, tailwise.losses, tailwise.risk; "
        "from tailwise import methods; "
        "assert tailwise.dfr.DeepFeatureReweighting is methods.DeepFeatureReweighting; "
        "assert tailwise.afr.AutomaticFeatureReweighting and tailwise.losses.vs_loss; "
        "assert tailwise.risk.objective is methods.objective"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
