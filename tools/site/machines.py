"""What machines read of the site: a site map, and a guide for language models."""

import re
from pathlib import Path

import nbformat
import yaml

from tools.book.layout import write

ROBOTS = "User-agent: *\nAllow: /\nSitemap: {address}sitemap.xml\n"
ABOUT = """\
# Tailwise

> {about}

Verdicts are computed from measurements; cite them by the id of their claim.

## For machines

- [Claims, records and verdicts]({address}_static/claims.json)
- [Their schema]({address}_static/claims.schema.json)
"""


def write_indexes(stage: Path) -> None:
    """Write robots.txt, sitemap.xml and llms.txt beside the pages of a stage."""
    config = yaml.safe_load((stage / "_config.yml").read_text("utf-8"))
    address = config["sphinx"]["config"]["html_baseurl"]
    parts = contents(yaml.safe_load((stage / "_toc.yml").read_text("utf-8")))
    names = [name for part in parts.values() for name in part]
    urls = "".join(f"<url><loc>{address}{name}.html</loc></url>\n" for name in names)
    space = "http://www.sitemaps.org/schemas/sitemap/0.9"
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    write(
        stage / "extra" / "sitemap.xml",
        f'{head}<urlset xmlns="{space}">\n{urls}</urlset>\n',
    )
    write(stage / "extra" / "robots.txt", ROBOTS.format(address=address))
    front = (stage / "book" / "index.md").read_text("utf-8")
    about = re.search(r"\*\*(.+?)\*\*", front)[1]
    guide = ABOUT.format(about=about, address=address)
    for caption, pages in parts.items():
        guide += f"\n## {caption}\n\n"
        for name in pages:
            guide += f"- [{title(stage / name)}]({address}{name}.html)\n"
    write(stage / "extra" / "llms.txt", guide)


def contents(toc: dict) -> dict[str, list[str]]:
    """Names of the documents by the caption of their part, in order."""
    found = {"Start": [toc["root"]]}
    for part in toc["parts"]:
        entries = part["chapters"]
        below = [name for entry in entries for name in _names(entry)]
        found.setdefault(part.get("caption", "Start"), []).extend(below)
    return found


def _names(entry: dict) -> list[str]:
    return [entry["file"], *(s["file"] for s in entry.get("sections", ()))]


def title(name: Path) -> str:
    """The first heading of a document, named without its extension."""
    path = name.with_suffix(".md")
    if path.exists():
        text = path.read_text("utf-8")
    else:
        text = nbformat.read(name.with_suffix(".ipynb"), 4).cells[0].source
    if not (found := re.search(r"^# (.+)$", text, re.M)):
        return name.name.capitalize()
    return re.sub(r"[`*]", "", found[1])
