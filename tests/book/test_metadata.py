"""What several files say about the project: packages, version, address."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tailwise
from tools.book.layout import ROOT, Book, project, repository
from tools.ship.set_repository import disagreements

BOOK = Book(ROOT, "laptop")
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
