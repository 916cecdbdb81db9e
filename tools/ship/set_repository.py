"""Set the repository's address everywhere.

python -m tools.ship.set_repository owner/name

pyproject.toml states the address; links, badges and install cells repeat it.
"""

import re
import subprocess
import sys
from pathlib import Path

from tools.book.layout import ROOT, repository, write

# What GitHub accepts: no hyphen at an end or doubled, and no underscore in an account.
OWNER = re.compile(r"(?=.{1,39}$)[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
NAME = re.compile(r"(?!\.\.?$)(?!.*\.git$)[A-Za-z0-9._-]{1,100}")


def check(address: str) -> str:
    """Return an ``owner/name`` that GitHub could have, or raise ValueError."""
    owner, _, name = address.partition("/")
    if not OWNER.fullmatch(owner):
        raise ValueError(f"{owner!r} in {address!r} is not a GitHub account name")
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} in {address!r} is not a GitHub repository name")
    return address


def text_files(root: Path) -> dict[Path, str]:
    """The text files that git tracks or would track, with their text."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=root, check=True, capture_output=True).stdout
    texts = {}
    for name in sorted(set(names.decode().split("\0")) - {""}):
        path = root / name
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if b"\0" not in content[:8192]:
                texts[path] = content.decode("utf-8", errors="surrogateescape")
    return texts


def rewrite(text: str, old: str, new: str) -> tuple[str, int]:
    """Replace one address by another in links of every form; count the places."""
    old_owner, old_name = map(re.escape, old.split("/"))
    new_owner, new_name = new.split("/")
    ends = r"(?![\w-])"
    forms = {
        rf"(github(?:\.com)?[:/]){old_owner}/{old_name}{ends}": rf"\g<1>{new}",
        rf"\b{old_owner}(\.github\.io/){old_name}{ends}": rf"{new_owner}\1{new_name}",
    }
    places = 0
    for form, replacement in forms.items():
        text, count = re.subn(form, replacement, text, flags=re.IGNORECASE)
        places += count
    return text, places


def set_repository(root: Path, address: str) -> int:
    """Rewrite every tracked text file and return how many places changed."""
    old, total = repository(root), 0
    for path, text in text_files(root).items():
        text, places = rewrite(text, old, check(address))
        if places:
            write(path, text)
            print(f"{places:4d}  {path.relative_to(root)}")
            total += places
    print(f"{total} places now say {address}")
    return total


def disagreements(root: Path) -> list[str]:
    """Every link to this project that states another address than pyproject.toml."""
    stated = repository(root)
    name = stated.split("/")[1]
    links = re.compile(
        rf"github(?:\.com)?[:/]([\w.-]+/(?:{re.escape(name)}|tailwise))(?![\w-])"
        rf"|\b([\w-]+)\.github\.io/({re.escape(name)}|tailwise)(?![\w-])"
    )
    wrong = []
    for path, text in text_files(root).items():
        for link in links.finditer(text):
            found = link[1] or f"{link[2]}/{link[3]}"
            if found != stated:
                line = text.count("\n", 0, link.start()) + 1
                wrong.append(f"{path.relative_to(root)}:{line} says {found}")
    return wrong


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: make set-repository REPO=owner/name", file=sys.stderr)
        return 2
    try:
        set_repository(ROOT, check(sys.argv[1]))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
