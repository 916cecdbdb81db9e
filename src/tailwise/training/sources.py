"""The code that a function's results come from."""

import ast
import hashlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tailwise.data.assets import ASSETS
from tailwise.files import PACKAGE


def file_of(function: Callable) -> Path | None:
    """The file that says all of what a function does.

    None for a function of a notebook or of C, a method, and one inside another: what
    they do depends on more than a file and their arguments.
    """
    inner = inspect.unwrap(function)
    if not inspect.isfunction(inner) or inner.__closure__ or "<" in inner.__qualname__:
        return None
    path = Path(inspect.getsourcefile(inner) or "")
    return path if path.is_file() else None


@cache
def code_hash(path: Path) -> str:
    """Hash of a file, of what it imports from this package, and of the shipped data.

    As it stood at the first call, which is the code that this process has loaded.
    """
    digest = hashlib.sha256((ASSETS / "SHA256SUMS").read_bytes())
    root = PACKAGE.parent
    names = {p.relative_to(root).as_posix(): p for p in closure(path) - {path}}
    for name, found in [("", path), *sorted(names.items())]:
        content = hashlib.sha256(found.read_bytes()).hexdigest()
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def closure(path: Path, package: Path = PACKAGE) -> set[Path]:
    """A file, and each that it imports from a package, on and on.

    A module that is imported by name counts without the ``__init__`` above it, which
    in this package only offers names: another module that it offers does not count.
    """
    found: set[Path] = set()
    new = [path]
    while new:
        if (each := new.pop()) not in found:
            found.add(each)
            new += _imported(each, package)
    return found


def _imported(path: Path, package: Path) -> list[Path]:
    names = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    ours = [name.split(".") for name in names]
    found = [_module(package, parts) for parts in ours if parts[0] == package.name]
    return [path for path in found if path]


def _module(package: Path, parts: list[str]) -> Path | None:
    """The file of the longest beginning of a dotted name that is a module."""
    for size in range(len(parts), 0, -1):
        folder = package.parent.joinpath(*parts[:size])
        for candidate in (folder.with_suffix(".py"), folder / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None
