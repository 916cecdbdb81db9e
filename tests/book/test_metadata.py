"""What several files say about the project: packages, version, address, install."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import jupytext
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tailwise
from tools.book.layout import ROOT, Book, project, repository
from tools.ship.set_repository import disagreements

BOOK = Book(ROOT, "laptop")
NOTEBOOKS = BOOK.chapters() + BOOK.pages()
CONDA_NAMES = {"torch": "pytorch"}
IMPORT_NAMES = {"scikit-learn": "sklearn", "pyyaml": "yaml", "pillow": "PIL"}


# Packages


def requirements(root: Path) -> set[str]:
    """The package's requirements with those of the extras that `make setup` installs.

    Not those of the other extras, which are for one page or command each.
    """
    stated = project(root)
    extras = (stated["optional-dependencies"][name] for name in ("book", "test"))
    return {*stated["dependencies"], *(line for extra in extras for line in extra)}


def conda_faults(root: Path) -> list[str]:
    """Where environment.yml and pyproject.toml ask for different packages."""
    ours = {f"python{project(root)['requires-python']}", "pip"}
    for requirement in requirements(root):
        name = Requirement(requirement).name
        ours.add(requirement.replace(name, CONDA_NAMES.get(name, name), 1))
    conda = yaml.safe_load((root / "environment.yml").read_text("utf-8"))
    theirs = {line for line in conda["dependencies"] if isinstance(line, str)}
    (by_pip,) = (d["pip"] for d in conda["dependencies"] if isinstance(d, dict))
    theirs |= {line for line in by_pip if not line.startswith("--")}
    only = [f"only in pyproject.toml: {line}" for line in sorted(ours - theirs)]
    return only + [f"only in environment.yml: {x}" for x in sorted(theirs - ours)]


def pins(root: Path) -> dict[str, str]:
    """Exact versions by name."""
    lines = (root / "constraints.txt").read_text("utf-8").splitlines()
    stated = (line.split("==") for line in lines if line and line[0] != "#")
    return {canonicalize_name(name): version for name, version in stated}


def pin_faults(root: Path) -> list[str]:
    """Requirements without a pin, or with one outside their range."""
    pinned, found = pins(root), []
    for requirement in map(Requirement, sorted(requirements(root))):
        version = pinned.get(canonicalize_name(requirement.name))
        if version is None:
            found.append(f"{requirement.name} is not pinned")
        elif not requirement.specifier.contains(version):
            found.append(f"{requirement} does not allow the pin {version}")
    return found


def imports(source: Path) -> set[str]:
    """Packages outside the standard library that modules below a folder import."""
    found = set()
    for module in source.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names)


def test_the_package_imports_what_it_declares():
    names = [Requirement(line).name for line in project(ROOT)["dependencies"]]
    declared = {IMPORT_NAMES.get(name, name) for name in names}
    optional = {"onnx", "open_clip", "IPython", "efficientnet_lite_pytorch", "timm"}
    optional |= {"distributed"}
    assert imports(ROOT / "src") <= declared | optional | {"tailwise"}


def test_conda_asks_for_the_same_packages():
    assert conda_faults(ROOT) == []


def test_every_requirement_is_pinned_within_its_range():
    assert pin_faults(ROOT) == []


def test_the_pins_are_portable():
    assert [v for v in pins(ROOT).values() if "+" in v or "@" in v or "/" in v] == []


@pytest.fixture
def project_copy(tmp_path) -> Path:
    for name in ("pyproject.toml", "environment.yml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"))
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_a_drift_from_conda_is_caught(project_copy):
    edit(project_copy / "environment.yml", "pytorch>=2.4", "pytorch>=2.5")
    edit(project_copy / "pyproject.toml", '    "seaborn>=0.13",\n', "")
    assert conda_faults(project_copy) == [
        "only in pyproject.toml: pytorch>=2.4",
        "only in environment.yml: pytorch>=2.5",
        "only in environment.yml: seaborn>=0.13",
    ]


def test_a_pin_out_of_range_is_caught(project_copy):
    edit(project_copy / "pyproject.toml", '"torch>=2.4"', '"torch>=99"')
    edit(project_copy / "constraints.txt", "\nseaborn==0.13.2\n", "\n")
    assert pin_faults(project_copy) == [
        "seaborn is not pinned",
        "torch>=99 does not allow the pin " + pins(project_copy)["torch"],
    ]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_carries_claims_records_and_templates(wheel):
    inside = set(wheel.namelist())
    for folder in ("claims", "results"):
        for path in (ROOT / "book" / folder).rglob("ch*.*"):
            below = path.relative_to(ROOT / "book").as_posix()
            assert f"tailwise/_book/{below}" in inside
    assert any(name.startswith("tailwise/data/assets/") for name in inside)
    assert "tailwise/ledger/templates/claims.html" in inside


def test_the_wheel_carries_every_licence(wheel):
    inside = {name.partition("/licenses/")[2] for name in wheel.namelist()}
    notices = (ROOT / "src").rglob("NOTICE*")
    assert inside >= {path.relative_to(ROOT).as_posix() for path in notices}
    assert "LICENSE" in inside


def test_the_wheels_description_links_to_what_is_there(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    described = wheel.read(name).decode("utf-8")
    targets = re.findall(r"\]\(([^)]*)\)", described)
    own = f"https://github.com/{repository(ROOT)}/"
    paths = [
        target.removeprefix(own).split("/", 2)[2]
        for target in targets
        if target.startswith(own)
    ]
    assert all(target.startswith("https://") for target in targets)
    assert "book/how_to_run.md" in paths
    assert all((ROOT / path).exists() for path in paths)


# Version


def stated_versions() -> dict[str, str]:
    """Every place that states the version."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    return {
        "pyproject.toml": project(ROOT)["version"],
        "tailwise.__version__": tailwise.__version__,
        "CITATION.cff": str(citation["version"]),
        "_config.yml": config["sphinx"]["config"]["release"],
    }


def test_one_version():
    assert len(set(stated_versions().values())) == 1, stated_versions()


# The citation file, by the Citation File Format 1.2.0


def citation_faults(text: str) -> list[str]:
    """Fields that are missing, unknown or malformed."""
    stated = yaml.safe_load(text)
    patterns = {
        "cff-version": r"1\.2\.0",
        "message": r".{10,}",
        "title": r".{10,}",
        "type": r"software|dataset",
        "version": r"\d+\.\d+\.\d+",
        "date-released": r"\d{4}-\d{2}-\d{2}",
        "repository-code": r"https://\S+",
    }
    others = {"authors", "license", "keywords", "abstract", "url", "references"}
    faults = [
        f"unknown field {key}" for key in stated.keys() - patterns.keys() - others
    ]
    for key, pattern in patterns.items():
        if not re.fullmatch(pattern, str(stated.get(key, ""))):
            faults.append(f"{key} is {stated.get(key)!r}")
    if not all(
        a.keys() & {"name", "family-names"} for a in stated.get("authors", [{}])
    ):
        faults.append("an author without a name")
    if unknown := set(stated.get("license", ["none"])) - {"MIT", "CC-BY-4.0"}:
        faults.append(f"license {unknown}")
    return faults


def test_the_citation_is_valid():
    assert citation_faults((ROOT / "CITATION.cff").read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("type: software", "type: book", "type is 'book'"),
        ("cff-version: 1.2.0", "cff-version: 2", "cff-version is 2"),
        ("message:", "massage:", "unknown field massage"),
        ("message:", "massage:", "message is None"),
        ("name:", "nom:", "an author without a name"),
        ("[MIT, ", "[MITT, ", "license {'MITT'}"),
    ],
)
def test_a_planted_fault_in_the_citation_is_caught(old, new, fault):
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert text.count(old) == 1
    assert fault in citation_faults(text.replace(old, new))


# The repository's address


def test_every_link_states_the_repository():
    assert disagreements(ROOT) == []


def test_the_citation_and_the_book_name_the_repository():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    address = f"https://github.com/{repository(ROOT)}"
    assert citation["repository-code"] == address
    assert config["repository"]["url"] == address


# The install cell


def install_cell(py: Path) -> str:
    """The first code cell of a notebook."""
    cells = jupytext.read(py).cells
    return next(cell.source for cell in cells if cell.cell_type == "code")


def install_faults(cell: str) -> list[str]:
    """What would harm a reader: in Colab, or anywhere else."""
    faults = []
    if f"git+https://github.com/{repository(ROOT)}" not in cell:
        faults.append("installs from another address")
    if "--no-deps" not in cell:
        faults.append("installs dependencies")
    if re.search(r"\b(torch|numpy)\b", cell):
        faults.append("names torch or numpy")
    shell = {"get_ipython": lambda: pytest.fail("it installs outside Colab")}
    try:
        exec(compile(cell, "install cell", "exec"), shell)
    except SyntaxError:
        faults.append("is not valid in a plain script")
    except pytest.fail.Exception as failure:
        faults.append(str(failure))
    return faults


GOOD = f"""\
import importlib.util
import sys

if "google.colab" in sys.modules and not importlib.util.find_spec("tailwise"):
    get_ipython().run_line_magic(
        "pip", "install -q --no-deps git+https://github.com/{repository(ROOT)}"
    )
"""


@pytest.mark.parametrize("py", NOTEBOOKS, ids=lambda py: f"{py.parent.name}/{py.name}")
def test_a_notebook_installs_the_package_in_colab_only(py):
    assert install_faults(install_cell(py)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("GOOD", "GOOD", None),
        (repository(ROOT), "jane/other", "installs from another address"),
        ("--no-deps ", "", "installs dependencies"),
        ("-q", "-q numpy", "names torch or numpy"),
        ('"google.colab" in sys.modules', "True", "it installs outside Colab"),
        ("get_ipython()", "%pip get_ipython()", "is not valid in a plain script"),
    ],
)
def test_a_harmful_install_cell_is_caught(monkeypatch, old, new, fault):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert install_faults(GOOD.replace(old, new)) == ([fault] if fault else [])


def test_a_failed_installation_says_what_to_do(monkeypatch):
    """Not only that there is no module of that name, one cell later."""
    calls = []
    monkeypatch.setitem(sys.modules, "google.colab", object())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    shell = {"get_ipython": lambda: SimpleNamespace(run_line_magic=pip)}

    def pip(*line):
        calls.append(line)

    cell = install_cell(NOTEBOOKS[0])
    with pytest.raises(ImportError, match="could not install git.*Correct the address"):
        exec(cell, shell)
    assert len(calls) == 1


def test_every_notebook_installs_alike():
    assert len({install_cell(py) for py in NOTEBOOKS}) == 1


def test_an_installed_package_is_left_alone(monkeypatch):
    calls = []
    monkeypatch.setitem(sys.modules, "google.colab", object())
    shell = {"get_ipython": lambda: calls.append("pip")}
    exec(GOOD, shell)
    assert calls == []
