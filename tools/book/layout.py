"""What the maintainers' scripts share: where things are, and what a run depends on."""

import ast
import hashlib
import os
import re
import tempfile
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MARK = re.compile(r"<!-- computed: (\w+) -->")
ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ("tools", "tailwise.ledger")  # packages whose templates fill the pages
# Pages that read nothing of what this run's chapters measure, the longest first. The
# guide reads a record that is committed.
GUIDE, TRIAL, MATRIX = "decision_guide.py", "field_trial.py", "transfer_matrix.py"
INDEPENDENT = (MATRIX, "bring_your_own.py", TRIAL, GUIDE)
STUDIES = "backbone"  # book/results of chapter 1 and the trial: features that ship not
LONGEST = ("4_lpt_experts.py", "2_dfr_sufficiency.py")  # of the solutions


def profile_name() -> str:
    """The profile in force; imports the package, and so torch, only if it must."""
    if name := os.environ.get("TAILWISE_PROFILE"):
        return name
    from tailwise import profiles

    return profiles.current().name


def project(root: Path) -> dict:
    """The project table of pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]


def repository(root: Path) -> str:
    """The address that pyproject.toml states, as ``owner/name``."""
    return project(root)["urls"]["Repository"].removeprefix("https://github.com/")


@dataclass(frozen=True)
class Book:
    """A checkout seen at one profile. Notebooks are named by their .py half."""

    root: Path
    profile: str

    @classmethod
    def here(cls) -> "Book":
        return cls(ROOT, profile_name())

    @property
    def on_cpu(self) -> bool:
        """Whether a notebook computes on one thread of the CPU, and several at once."""
        if self.profile in ("smoke", "laptop"):
            return True
        from tailwise import profiles

        return profiles.current(self.profile).device == "cpu"

    @property
    def source(self) -> Path:
        return self.root / "book"

    @property
    def build(self) -> Path:
        return self.root / "_build"

    @property
    def results(self) -> Path:
        """Where `tailwise.ledger.claims` writes this machine's records."""
        return self.build / "results" / self.profile

    def chapters(self) -> list[Path]:
        """Chapters, independent pages and solutions, which run in any order.

        The longest come first and short pages last, so that no core is idle for long at
        the end.
        """
        chapters = sorted((self.source / "chapters").glob("*.py"))
        pages = [path for name in INDEPENDENT if (path := self.source / name).exists()]
        solutions = sorted((self.source / "solutions").glob("*.py"))
        solutions.sort(key=lambda py: [py.name != name for name in LONGEST])
        return [*chapters, *pages[:1], *solutions, *pages[1:]]

    def pages(self) -> list[Path]:
        """Notebooks that read what the chapters measured."""
        found = self.source.glob("*.py")
        return sorted(py for py in found if py.name not in INDEPENDENT)

    def executed(self, py: Path) -> Path:
        """Where the executed notebook lies."""
        below = py.relative_to(self.source).with_suffix(".ipynb")
        return self.build / "executed" / self.profile / below

    def reads(self, py: Path) -> list[Path]:
        """Files and folders that decide what a notebook's outputs are."""
        found = [*closure(py, self.root / "src"), self.root / "constraints.txt"]
        recorded = self.source / "results"
        if py in self.pages():
            return [*found, self.source / "claims", self.results, recorded]
        if py.name == GUIDE:
            return [*found, recorded]
        if py.name == TRIAL:
            return [*found, recorded / STUDIES]
        if py.name == MATRIX:
            return [*found, *self._of_others("transfer")]
        number, named, _ = py.name.partition("_")
        if not (named and number.isdigit()):
            return found
        chapter = f"ch{number}"
        found += self._of_others(chapter)  # "At scale" shows them
        found += recorded.glob("*/reseeded.json")  # has a say in every mark
        found += [self.source / "claims" / f"{chapter}.yml"]
        # Studies recorded apart.
        shown = {"ch1": STUDIES, "ch3": "softad", "ch4": "experts"}
        return [*found, recorded / shown[chapter]] if chapter in shown else found

    def _of_others(self, name: str) -> list[Path]:
        """Records of other profiles; a run never shows the committed one of its own."""
        found = (self.source / "results").glob(f"*/{name}.json")
        return [path for path in found if path.parent.name != self.profile]

    def key(self, py: Path) -> str:
        """A hash of everything that decides what a notebook's outputs are."""
        return f"{self.profile} {fingerprint(*self.reads(py))}"

    def is_current(self, py: Path) -> bool:
        """Whether the executed notebook belongs to the sources as they are now."""
        done = self.executed(py)
        stamp = done.with_suffix(".key")
        return done.exists() and stamp.exists() and stamp.read_text() == self.key(py)


def closure(py: Path, src: Path) -> list[Path]:
    """A file, and each that it imports from the packages below `src`, on and on.

    With a module come the packages that hold it, and with a package what lies in its
    folder and is no code: data, templates, scripts of pages.
    """
    found, new = set(), [py]
    while new:
        path = new.pop()
        if path in found:
            continue
        found.add(path)
        if path.suffix != ".py":
            continue
        if path.name == "__init__.py":
            new += [p for p in path.parent.rglob("*") if _is_data(p, path.parent)]
        for name in imported(path.read_text(encoding="utf-8")):
            folder = src
            for part in name.split("."):
                folder = folder / part
                candidates = (folder / "__init__.py", folder.with_suffix(".py"))
                new += [p for p in candidates if p.is_file()]
    return sorted(found)


def _is_data(path: Path, package: Path) -> bool:
    inside = path.relative_to(package).parents
    nested = any((package / folder / "__init__.py").is_file() for folder in inside[:-1])
    return path.is_file() and path.suffix not in (".py", ".pyc") and not nested


@cache
def imported(code: str) -> tuple[str, ...]:
    """Dotted names that a module may mean where it imports."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)


def fingerprint(*paths: Path) -> str:
    """SHA-256 over names and contents of files, and of all files below folders."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                name = file.relative_to(path.parent).as_posix()
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; an existing file keeps its mode.

    Not `tailwise.files.write_whole`: some scripts run where the package is not.
    """
    content = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def fill(text: str, parts: dict[str, str]) -> str:
    """Put each part in the place of its mark, ``<!-- computed: NAME -->``.

    Raises
    ------
    ValueError
        If the marks in the text are not those of the parts.
    """
    marked = MARK.findall(text)
    if sorted(marked) != sorted(parts):
        raise ValueError(f"the page marks {marked}, computed are {[*parts]}")
    return MARK.sub(lambda mark: parts[mark[1]], text)


def read_source(py: Path):
    """The .py half as a notebook; ids and outputs come from its .ipynb half.

    An output is kept only by a cell whose code is unchanged.
    """
    import jupytext
    import nbformat
    from jupytext.combine import combine_inputs_with_outputs

    notebook, ipynb = _with_defaults(jupytext.read(py)), py.with_suffix(".ipynb")
    if not ipynb.exists():
        return notebook
    committed = _with_defaults(nbformat.read(ipynb, as_version=4))
    code = {cell.id: cell.source for cell in committed.cells}
    notebook = combine_inputs_with_outputs(notebook, committed)
    for cell in notebook.cells:
        if cell.cell_type == "code" and code.get(cell.id) != cell.source:
            cell.outputs, cell.execution_count = [], None
    return notebook


def _with_defaults(notebook):
    """Name what a .py half without a header leaves to be guessed from its cells."""
    metadata = notebook.metadata
    metadata.setdefault("jupytext", {})["cell_metadata_filter"] = "tags,mystnb,-all"
    metadata.setdefault("kernelspec", {"display_name": "Python 3 (ipykernel)"})
    metadata["kernelspec"] |= {"language": "python", "name": "python3"}
    return notebook


def dumps(notebook) -> str:
    """A notebook as text without what changes from machine to machine."""
    import nbformat

    language = notebook.metadata.get("language_info", {})
    for key in language.keys() - {"name", "pygments_lexer"}:
        del language[key]
    notebook.metadata.pop("widgets", None)
    notebook.metadata.get("jupytext", {}).pop("text_representation", None)
    for cell in notebook.cells:
        for key in ("execution", "collapsed", "trusted"):
            cell.metadata.pop(key, None)
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


def write_asset(folder: Path, name: str, content: bytes) -> None:
    """Write a shipped file whole or not at all, and its line in SHA256SUMS."""
    write(folder / name, content)
    sums = folder / "SHA256SUMS"
    lines = sums.read_text("utf-8").splitlines() if sums.exists() else []
    kept = [line for line in lines if line.split()[1] != name]
    kept.append(f"{hashlib.sha256(content).hexdigest()}  {name}")
    kept.sort(key=lambda line: line.split()[1])
    write(sums, "\n".join(kept) + "\n")
