"""The built site, as its tests read it."""

import os
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from tools.book.layout import ROOT

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
ADDRESS = CONFIG["sphinx"]["config"]["html_baseurl"]  # where the site is published
HTML = Path(os.environ.get("TAILWISE_HTML", ROOT / "_build" / "html"))


def give_up(reason: str) -> None:
    """Skip; where everything is meant to be installed, that would hide a broken set-up,
    so fail there."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


class Page(HTMLParser):
    """The anchors of a page and the addresses that it names."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors, self.links = set(), []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs[key] for key in ("id", "name") if attrs.get(key)}
        self.links += [attrs[key] for key in ("href", "src") if attrs.get(key)]
        if attrs.get("http-equiv", "").lower() == "refresh":
            self.links.append(attrs["content"].partition("url=")[2])


def pages_of(html: Path) -> dict[str, Page]:
    """Pages by their path below the site's root."""
    names = (path.relative_to(html).as_posix() for path in html.rglob("*.html"))
    # The theme leaves its templates among the assets.
    return {n: Page(html / n) for n in names if not n.startswith("_static/")}
