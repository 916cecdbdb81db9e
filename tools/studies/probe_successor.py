"""What the book would lose if its builder were replaced by the builder's successor.

python -m tools.studies.probe_successor COMMAND

COMMAND is a ``jupyter-book`` of version 2 or later, in an environment of its own. The
last stage (`make html`) is built a second time in a temporary folder, and compared with
the pages of the first. Nothing in the checkout changes.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import yaml

from tools.book.layout import Book

# What it takes apart of the present builder's settings, by what it is to a reader.
SETTINGS = {
    "extensions": "extensions of Sphinx",
    "html_js_files": "scripts of the pages",
    "html_css_files": "styles of the pages",
    "templates_path": "templates of the pages",
    "html_math_renderer": "formulas without a script",
    "html_extra_path": "site map and robots",
    "notfound_template": "the page 404",
}
COMPLAINT = re.compile(r"^(?:⛔️?|⚠️) +(?:\S+\.(?:md|ipynb)\S* )?(.+)$", re.M)


def successor_config(config: dict, toc: dict, stage: Path) -> dict:
    """The settings of a stage in the successor's form."""

    def entry(part: dict) -> dict:
        made = {"file": _file(stage, part["file"])}
        if "title" in part:
            made["title"] = part["title"]
        if "sections" in part:
            made["children"] = [entry(section) for section in part["sections"]]
        return made

    pages = [{"file": _file(stage, toc["root"])}]
    for part in toc["parts"]:
        below = [entry(chapter) for chapter in part["chapters"]]
        named = "caption" in part
        pages += [{"title": part["caption"], "children": below}] if named else below
    project = {"title": config["title"], "toc": pages}
    project["bibliography"] = config["bibtex_bibfiles"]
    return {"version": 1, "project": project, "site": {"title": config["title"]}}


def _file(stage: Path, name: str) -> str:
    suffix = ".md" if (stage / f"{name}.md").exists() else ".ipynb"
    return f"{name}{suffix}"


def nodes(tree: object) -> Iterator[dict]:
    """Every node of a page of the successor."""
    if isinstance(tree, list):
        for part in tree:
            yield from nodes(part)
    elif isinstance(tree, dict):
        yield tree
        for part in tree.values():
            yield from nodes(part)


def made_of(pages: list[dict]) -> Counter:
    """What the successor made of the book, in the words of `html_of`."""
    kinds = {
        "math": "displayed formulas",
        "inlineMath": "formulas in a line",
        "heading": "headings",
        "details": "folds",
    }
    found = Counter()
    for page in pages:
        for node in nodes(page["mdast"]):
            if (kind := node.get("type")) in kinds:
                found[kinds[kind]] += 1
            found["images with a text"] += kind == "image" and bool(node.get("alt"))
            id = str(node.get("html_id", ""))
            found["anchors of claims"] += bool(re.match(r"ch\d[.-]", id))
            found["folds"] += node.get("visibility") == "hide"
    return found


def html_of(pages: list[str]) -> Counter:
    """The same of the pages as they are now."""
    forms = {
        "displayed formulas": r'<div class="math',
        "formulas in a line": r'<span class="math',
        "headings": r"<h[1-6][ >]",
        "folds": r"<details",
        "images with a text": r'<img [^>]*alt="[^"]',
        "anchors of claims": r"<span id='ch\d\.",
    }
    found = Counter()
    for page in pages:
        article = page.partition("<article")[2].partition("</article>")[0]
        for name, form in forms.items():
            found[name] += len(re.findall(form, article))
    return found


def complaints(log: str) -> list[tuple[str, int]]:
    """Kinds of complaints and how often each occurs; names and numbers do not count."""
    named = r' \(at .*\)|".*?"|\d+'
    kinds = (re.sub(named, "…", line) for line in COMPLAINT.findall(log))
    return Counter(kind.strip() for kind in kinds).most_common()


def report(settings: dict, before: Counter, after: Counter, log: str) -> str:
    """What is lost, as text."""
    lines = ["# Settings without a counterpart"]
    lines += [
        f"- {what}: {settings[k]}" for k, what in SETTINGS.items() if settings.get(k)
    ]
    lines += ["", "# Contents, as they are and as they would be"]
    for name, number in before.items():
        lost = "" if after[name] >= number else f"  ({number - after[name]} lost)"
        lines.append(f"- {name}: {number} and {after[name]}{lost}")
    lines += ["", "# What it complains of"]
    lines += [f"- {number} × {kind}" for kind, number in complaints(log)[:20]]
    return "\n".join(lines)


def probe(book: Book, command: str) -> str:
    """Build the last stage with the successor and compare."""
    stage, html = book.build / "stage", book.build / "html"
    if not (stage / "_toc.yml").exists() or not (html / "index.html").exists():
        raise ValueError(f"not here: {stage} and {html} (make html)")
    config, toc = (
        yaml.safe_load((stage / name).read_text("utf-8"))
        for name in ("_config.yml", "_toc.yml")
    )
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(copytree(stage, Path(folder) / "book"))
        for name in ("_config.yml", "_toc.yml"):  # else it asks whether to convert
            (copy / name).unlink()
        made = yaml.safe_dump(successor_config(config, toc, copy), allow_unicode=True)
        (copy / "myst.yml").write_text(made, "utf-8")
        done = subprocess.run(
            [command, "build", "--site"],
            cwd=copy,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        log = done.stdout + done.stderr
        pages = [
            json.loads(path.read_text("utf-8"))
            for path in sorted((copy / "_build" / "site" / "content").glob("*.json"))
        ]
    names = re.findall(r"(?:root|file): (\S+)", (stage / "_toc.yml").read_text("utf-8"))
    now = [(html / f"{name}.html").read_text("utf-8") for name in names]
    before, after = html_of(now), made_of(pages)
    before, after = Counter(pages=len(now)) + before, Counter(pages=len(pages)) + after
    return report(config["sphinx"]["config"], before, after, log)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    print(probe(Book.here(), sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
