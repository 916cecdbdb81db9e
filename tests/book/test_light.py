"""The built site shows all icons, formulas and figures with the bytes that it kept."""

import base64
import html as entities
import re
import unicodedata
from hashlib import sha256
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import nbformat
import pytest
from built import pages_of
from fontTools.ttLib import TTFont
from PIL import Image, ImageChops

from tools.book.layout import ROOT

CHAPTERS = sorted((ROOT / "book" / "chapters").glob("*.ipynb"))
WHOLE = "theme/pydata_sphinx_theme/static/vendor/fontawesome/6.5.2/css/all.min.css"
NAMED = re.compile(r"((?:\.fa-[\w-]+:before,?)+)\{content:\"\\(\w+)\"\}")
SHOWN = re.compile(r'class="([^"]*\bfa-(?:solid|regular|brands) [^"]*)"')
PRIVATE = re.compile("[\ue000-\uf8ff]")
MATH = re.compile(r"<math.*?</math>", re.DOTALL)
VARIABLE = re.compile(r"<mi>(.)</mi>")
NO_TEXT = re.compile(
    r"<(script|style|pre|code|textarea|math)\b.*?</\1>|<[^>]+>", re.DOTALL
)
LOOSE = re.compile(r"\\\(|\\\[|\\begin\{|\$[^\s$][^$\n]*\$")


@pytest.fixture(scope="module")
def pages(html) -> dict[str, str]:
    return {name: (html / name).read_text("utf-8") for name in pages_of(html)}


def characters(font: Path) -> set[str]:
    return {chr(code) for code in TTFont(font).getBestCmap()}


# Icons


def icons_of(sheet: str) -> dict[str, str]:
    """The characters that a style sheet gives to classes of icons."""
    rules = NAMED.findall(sheet)
    return {
        name: chr(int(code, 16))
        for names, code in rules
        for name in re.findall(r"fa-[\w-]+", names)
    }


def missing_icons(html: Path, pages: dict[str, str]) -> set[str]:
    """Classes of icons in pages that the site has no rule or no glyph for."""
    whole = icons_of(files("pydata_sphinx_theme").joinpath(WHOLE).read_text("utf-8"))
    (home,) = (html / "_static" / "vendor" / "fontawesome").iterdir()
    ours = icons_of((home / "css" / "all.min.css").read_text("utf-8"))
    fonts = {
        style: characters(home / "webfonts" / f"fa-{style}-{weight}.woff")
        for style, weight in (("solid", 900), ("regular", 400), ("brands", 400))
    }
    found = set()
    for classes in {c for page in pages.values() for c in SHOWN.findall(page)}:
        style = re.search(r"\bfa-(solid|regular|brands)\b", classes)[1]
        for name in whole.keys() & set(classes.split()):
            if ours.get(name) != whole[name] or whole[name] not in fonts[style]:
                found.add(name)
    return found


def test_every_icon_of_a_page_has_its_glyph(html, pages):
    assert missing_icons(html, pages) == set()
    more = {"a.html": '<i class="fa-solid fa-poo"></i><i class="fa-solid fa-github">'}
    assert missing_icons(html, more) == {"fa-poo", "fa-github"}


def test_every_icon_of_a_style_sheet_has_its_glyph(html):
    static = html / "_static"
    sheets = [path.read_text("utf-8") for path in static.rglob("*.css")]
    fonts = [characters(path) for path in static.rglob("fa-*.woff")]
    named = {icon for sheet in sheets for icon in PRIVATE.findall(sheet)}
    assert len(named) > 10
    assert named <= set().union(*fonts)


def test_the_fonts_that_style_sheets_name_are_there(html):
    for sheet in (html / "_static").rglob("*.css"):
        text = sheet.read_text("utf-8")
        for name in re.findall(r"url\(\"?([^)\"]+\.(?:woff2?|ttf))\"?\)", text):
            assert (sheet.parent / name).is_file(), f"{sheet.name}: {name}"


# Formulas


def undrawn(font: set[str], page: str) -> set[str]:
    """Characters of a page's formulas that a font lacks, variables in italics."""
    found = set()
    for formula in MATH.findall(page):
        drawn = re.sub(r"<annotation.*?</annotation>", "", formula, flags=re.DOTALL)
        needed = set(entities.unescape(re.sub(r"<[^>]+>", "", drawn)))
        needed |= set(map(italic, VARIABLE.findall(drawn)))
        needed |= set("√") if "<msqrt" in drawn else set()
        found |= needed - font
    return found


def italic(letter: str) -> str:
    """The italic shape of a letter, or itself."""
    case = "CAPITAL" if letter.isupper() else "SMALL"
    name = unicodedata.name(letter).rpartition(f"{case} LETTER ")[2]
    try:
        return unicodedata.lookup(f"MATHEMATICAL ITALIC {case} {name}")
    except KeyError:
        return {"h": "ℎ"}.get(letter, letter)


def test_every_character_of_a_formula_has_its_shape(html, pages):
    font = characters(html / "_static" / "formulas" / "stix-two-math.woff")
    assert {n: u for n, page in pages.items() if (u := undrawn(font, page))} == {}
    assert sum(len(MATH.findall(page)) for page in pages.values()) > 500
    planted = "<math><msqrt><mi>ψ</mi></msqrt><mo>⊕</mo></math>"
    assert undrawn(font - {"√"}, planted) == set("ψ⊕√") | {italic("ψ")}


def loose(page: str) -> list[str]:
    """Formulas that stand in a page's text as TeX."""
    return LOOSE.findall(NO_TEXT.sub("", page))


def test_no_formula_is_left_in_tex(pages):
    assert {name: found for name, page in pages.items() if (found := loose(page))} == {}
    assert loose(r"<p>\(x\) and $y$, <code>$no$</code>") == [r"\(", "$y$"]


# Figures


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_figure_is_the_one_that_was_drawn(html, path):
    outputs = (o for c in nbformat.read(path, 4).cells for o in c.get("outputs", ()))
    drawn = [o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    assert drawn
    for data in map(base64.b64decode, drawn):
        before = Image.open(BytesIO(data)).convert("RGBa")
        name = f"{sha256(data).hexdigest()}.webp"
        after = Image.open(html / "_images" / name).convert("RGBa")
        assert ImageChops.difference(before, after).getbbox() is None, name
