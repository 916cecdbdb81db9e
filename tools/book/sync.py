"""Bring each .ipynb half up to date with its .py half, the source of truth.

python -m tools.book.sync            rewrites the halves that differ
python -m tools.book.sync --check    names them instead

The exercise notebooks, which are made of chapters and solutions, are written too.
Only an unchanged cell keeps its output: `jupytext --update` would leave the old output
under the new code. An .ipynb half that was edited itself is refused, not overwritten:
its code is neither that of the .py half, nor what was committed, nor the last sync's.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from tools.book.layout import Book, dumps, read_source, write
from tools.site import exercises


def sources(text: str) -> str:
    """A hash of what the cells of a notebook say, without their outputs."""
    cells = [
        (cell["cell_type"], "".join(cell["source"]))
        for cell in json.loads(text)["cells"]
    ]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def committed(path: Path) -> str | None:
    """A file as it was committed last, or None."""
    name = ["git", "-C", path.parent, "show", f"HEAD:./{path.name}"]
    done = subprocess.run(name, capture_output=True, text=True, encoding="utf-8")
    return done.stdout if done.returncode == 0 else None


def sync(book: Book, *, check: bool = False) -> int:
    """Rewrite the .ipynb halves that differ and return how many did.

    Raises
    ------
    ValueError
        If an .ipynb half has edits of its own; and with `check`, if a half is stale.
    """
    stamp = book.build / "synced.json"
    last = json.loads(stamp.read_text()) if stamp.exists() else {}
    changed, faults = {}, []
    for py in book.chapters() + book.pages():
        ipynb = py.with_suffix(".ipynb")
        name = ipynb.relative_to(book.root).as_posix()
        new = dumps(read_source(py))
        old = ipynb.read_text(encoding="utf-8") if ipynb.exists() else None
        if old == new:
            continue
        changed[ipynb] = new
        before = committed(ipynb)
        known = {sources(text) for text in (new, before) if text} | {last.get(name)}
        if old and sources(old) not in known:
            faults.append(
                f"{name} has edits of its own: move them to {py.name}, or discard them "
                f"with git checkout {name}"
            )
        elif check:
            faults.append(f"{name} is older than {py.name}: run make sync")
    for name, new in exercises.made(book).items():
        ipynb = book.source / "exercises" / name
        if ipynb.exists() and ipynb.read_text(encoding="utf-8") == new:
            continue
        changed[ipynb] = new
        if check:
            name = ipynb.relative_to(book.root).as_posix()
            faults.append(f"{name} is older than chapter and solutions: run make sync")
    if faults:
        raise ValueError("\n".join(faults))
    for ipynb, text in changed.items():
        write(ipynb, text)
        last[ipynb.relative_to(book.root).as_posix()] = sources(text)
        print(f"updated {ipynb.relative_to(book.root)}")
    if changed:
        write(stamp, json.dumps(last, indent=1, sort_keys=True))
    return len(changed)


def main() -> int:
    try:
        sync(Book.here(), check="--check" in sys.argv)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
