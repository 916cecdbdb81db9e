"""Finish the built site: badges in the navigation, previews for links, a page 404.

Jupyter Book's own templates stay as they are; each step changes the text of pages.
"""

import html
import re
from pathlib import Path
from posixpath import join, normpath

from tools.book.layout import Book, project, write
from tools.site.cards import Card, cards

NAVIGATION = re.compile(r'<nav class="bd-links.*?</nav>', re.DOTALL)
LINK = re.compile(r'(<a class="[^"]*\binternal" href=")([^"#]*)(#?">)(.*?)(</a>)')
PREVIEW = "_static/preview.png"


def finish(book: Book, site: Path) -> None:
    """Change the pages of a site that has just been built."""
    found = {card.page: card for card in cards(book.source)}
    base, about = base_url(book.root), project(book.root)["description"]
    for path in sorted(site.rglob("*.html")):
        name = path.relative_to(site).as_posix()
        if name.startswith("_static/") or name == "index.html":
            continue  # templates of the theme; a page that leads to the front page
        text = path.read_text(encoding="utf-8")
        card = found.get(name.removeprefix("book/").removesuffix(".html"))
        text = with_badges(text, name, found)
        text = with_preview(text, base, name, card.finding if card else about)
        write(path, text)
    write(site / "404.html", not_found(base))


def base_url(root: Path) -> str:
    """The address of the published site, which _config.yml states."""
    config = (root / "_config.yml").read_text(encoding="utf-8")
    return re.search(r'html_baseurl: "([^"]+/)"', config)[1]


def with_badges(page: str, name: str, found: dict[str, Card]) -> str:
    """Say beside each chapter in the navigation what held up and how long it runs."""

    def badge(link: re.Match) -> str:
        # The page's own entry has the address "#".
        target = normpath(join(name, "..", link[2])) if link[2] else name
        card = found.get(target.removeprefix("book/").removesuffix(".html"))
        if card is None or not card.badge:
            return link[0]
        title = f"the paper’s claims: {card.tally}; {card.time} on a laptop"
        small = f'<span class="nav-badge" title="{title}">{card.badge}</span>'
        return f"{link[1]}{link[2]}{link[3]}{link[4]}{small}{link[5]}"

    return NAVIGATION.sub(lambda nav: LINK.sub(badge, nav[0]), page)


def plain(markdown: str) -> str:
    """A sentence without its emphasis and formula signs."""
    return re.sub(r"[*$`]", "", markdown)


def with_preview(page: str, base: str, name: str, about: str) -> str:
    """Add what chats and search engines show of a link."""
    title = re.search(r"<title>(.*?)</title>", page, flags=re.DOTALL)[1]
    about = html.escape(plain(about))
    facts = {
        "og:type": "article",
        "og:site_name": "Tailwise",
        "og:title": title.strip(),
        "og:description": about,
        "og:url": base + name,
        "og:image": base + PREVIEW,
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": "Tailwise: rare classes, rare groups and hard examples",
    }
    tags = [f'<meta property="{key}" content="{facts[key]}"/>' for key in facts]
    tags.append(f'<meta name="description" content="{about}"/>')
    tags.append('<meta name="twitter:card" content="summary_large_image"/>')
    return page.replace("</head>", "  ".join(f"{tag}\n" for tag in tags) + "</head>", 1)


def not_found(base: str) -> str:
    """The page for an address that does not exist; it needs no other file."""
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>No such page — Tailwise</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{
    font: 1.1rem/1.6 system-ui, sans-serif;
    margin: 15vh auto 0;
    max-width: 32rem;
    padding: 0 1.5rem;
  }}
</style>
</head>
<body>
<main>
<h1>No such page</h1>
<p>The address leads to nothing in this book; perhaps a page has moved.</p>
<ul>
<li><a href="{base}">The front page of Tailwise</a></li>
<li><a href="{base}book/scoreboard.html">The scoreboard</a></li>
<li><a href="{base}search.html">Search</a></li>
</ul>
</main>
</body>
</html>
"""
