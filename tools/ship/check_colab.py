"""Check that Colab's installed packages are within the ranges of pyproject.toml.

python -m tools.ship.check_colab FREEZE.txt

In Colab the package is installed without its dependencies, so each of them must be
there already. The list is pip-freeze.txt of github.com/googlecolab/backend-info.
"""

import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import (
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from tools.book.layout import ROOT, project


def installed(freeze: str) -> dict[str, Version]:
    """Versions by name from ``name==version`` and ``name @ …/name-version-….whl``.

    A line that tells no version, such as one of a repository, is left out: it matters
    only if we depend on it, and then it is named as not in the list.
    """
    versions = {}
    for line in freeze.splitlines():
        name, pinned, version = line.partition("==")
        try:
            if pinned:
                versions[canonicalize_name(name.strip())] = Version(version.strip())
            elif " @ " in line:
                path = urlsplit(line.partition(" @ ")[2].strip()).path
                name, found, *_ = parse_wheel_filename(unquote(Path(path).name))
                versions[name] = found
        except (InvalidVersion, InvalidWheelFilename):
            continue
    return versions


def faults(dependencies: list[str], freeze: str) -> list[str]:
    """What Colab lacks or has outside our range."""
    there = installed(freeze)
    found = []
    for requirement in map(Requirement, dependencies):
        version = there.get(canonicalize_name(requirement.name))
        if version is None:
            found.append(f"{requirement.name} is not in Colab's list")
        elif not requirement.specifier.contains(version, prereleases=True):
            found.append(
                f"Colab has {requirement.name} {version}, we ask {requirement}"
            )
    return found


def main() -> int:
    freeze = Path(sys.argv[1]).read_text(encoding="utf-8")
    found = faults(project(ROOT)["dependencies"], freeze)
    print("\n".join(found) or "Colab's packages are within our ranges")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
