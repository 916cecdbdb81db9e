"""Take from a built site what no page of it shows: rules of style, glyphs and bytes.

Style sheets keep the rules that a page or a script can meet, the fonts of icons and
formulas keep the characters that are shown, and figures become WebP without loss.
"""

import html
import re
import unicodedata
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image

from tools.book.layout import write

SCRIPT = re.compile(r'<script[^>]* src="[^"]*_static/([^"?]+)')
SHEET = re.compile(r'(href="[^"]*_static/([^"?]+\.css))[^"]*"')
COMMENT = re.compile(r"/\*(!?).*?\*/", re.DOTALL)
RULE = re.compile(r"([^{};]+)\{[^{}]*\}")
EMPTY = re.compile(r"@(?:media|supports)[^{};]*\{\s*\}")
INSIDE = re.compile(r"\([^()]*\)|\[[^]]*\]")
CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")
ICON = re.compile(r"\\([ef][0-9a-f]{3})|([\ue000-\uf8ff])")
SOURCES = re.compile(r'url\(([^)]+)\.woff2\) format\("woff2"\),url\(\1\.ttf\)[^,;}]+')
FORMULA = re.compile(r"<math.*?</math>", re.DOTALL)
UNSEEN = re.compile(r"<annotation.*?</annotation>|<[^>]+>", re.DOTALL)


def lighten(site: Path) -> None:
    """Make the pages of a site light, in place."""
    static = site / "_static"
    paths = [path for path in site.rglob("*.html") if static not in path.parents]
    pages = {path: path.read_text("utf-8") for path in paths}
    words, stems = names(static, pages.values())
    sheets = {
        path: pruned(path.read_text("utf-8"), words, stems)
        for path in static.rglob("*.css")
    }
    shown = icons(sheets.values())
    for font in static.rglob("vendor/**/*.ttf"):
        cut(font, shown)
        font.unlink()
        font.with_suffix(".woff2").unlink()
    for font in static.glob("formulas/*.woff"):
        cut(font, letters(pages.values()))
    for path, text in sheets.items():
        write(path, SOURCES.sub(r'url(\1.woff) format("woff")', text))
    converted = figures(site / "_images")

    def versioned(link: re.Match) -> str:
        content = (static / link[2]).read_bytes()
        return f'{link[1]}?v={sha256(content).hexdigest()[:8]}"'

    for path, text in pages.items():
        text = SHEET.sub(versioned, text)
        for name in converted:
            text = text.replace(f"_images/{name}.png", f"_images/{name}.webp")
        write(path, text)


# Style sheets


def names(static: Path, pages: Iterable[str]) -> tuple[set[str], tuple[str, ...]]:
    """Words of pages and their scripts, any of which may be a class, and their stems.

    A stem ends in a hyphen: a script puts it before what it knows only then.
    """
    pages = [*pages]
    sources = {static / name for page in pages for name in SCRIPT.findall(page)}
    scripts = [path.read_text("utf-8") for path in sources]
    words = {word for text in pages + scripts for word in re.findall(r"[\w-]+", text)}
    stems = re.findall(r"[A-Za-z][\w-]+-(?![\w-])", " ".join(scripts))
    return words, tuple(sorted(set(stems)))


def pruned(sheet: str, words: set[str], stems: tuple[str, ...] = ()) -> str:
    """A style sheet without the rules that name a class which nothing can have."""
    notices = [found[0] for found in COMMENT.finditer(sheet) if found[1]]

    def kept(rule: re.Match) -> str:
        selectors = rule[1]
        while INSIDE.search(selectors):  # what :not() names need not be there
            selectors = INSIDE.sub("", selectors)
        for selector in selectors.split(","):
            classes = CLASS.findall(selector)
            if all(name in words or name.startswith(stems) for name in classes):
                return rule[0]
        return ""

    sheet = RULE.sub(kept, COMMENT.sub("", sheet))
    while EMPTY.search(sheet):
        sheet = EMPTY.sub("", sheet)
    return "".join(notices) + sheet


# Fonts


def icons(sheets: Iterable[str]) -> set[str]:
    """The icons of style sheets: characters for private use."""
    found = (pair for sheet in sheets for pair in ICON.findall(sheet))
    return {chr(int(code, 16)) if code else icon for code, icon in found}


def letters(pages: Iterable[str]) -> set[str]:
    """The characters of the formulas of pages, with the sign of roots."""
    formulas = (found for page in pages for found in FORMULA.findall(page))
    text = "".join(html.unescape(UNSEEN.sub("", found)) for found in formulas)
    return {*text, "√"}


def is_italic(letter: str) -> bool:
    """Whether a browser may show it in the place of a variable's plain letter."""
    name = unicodedata.name(letter, "")
    return name.startswith("MATHEMATICAL ITALIC") or letter == "ℎ"


def cut(font: Path, characters: set[str]) -> None:
    """Write beside a font, or over it, a WOFF with some of its characters."""
    options = subset.Options(flavor="woff", layout_features=["ssty"])
    options.drop_tables += ["FFTM"]
    with subset.load_font(font, options) as whole:
        shapes = {chr(code) for code in whole.getBestCmap()}
        italics = {
            shape
            for shape in filter(is_italic, shapes)
            if unicodedata.normalize("NFKC", shape) in characters
        }
        chosen = subset.Subsetter(options)
        chosen.populate(text="".join(characters | italics))
        chosen.subset(whole)
        if "MATH" in whole:
            adjust(whole)
        subset.save_font(whole, font.with_suffix(".woff"), options)


def adjust(font: TTFont) -> None:
    """Set the fractions of a line as close as TeX does, and all roots equally wide.

    Chromium keeps a place for the widest sign of a root, whichever it draws.
    """
    constants = font["MATH"].table.MathConstants
    constants.FractionNumeratorShiftUp.Value = 394
    constants.FractionDenominatorShiftDown.Value = 345
    root, metrics = font.getBestCmap()[ord("√")], font["hmtx"]
    variants = font["MATH"].table.MathVariants
    place = variants.VertGlyphCoverage.glyphs.index(root)
    signs = variants.VertGlyphConstruction[place]
    names = {sign.VariantGlyph for sign in signs.MathGlyphVariantRecord}
    names |= {part.glyph for part in signs.GlyphAssembly.PartRecords}
    width, _ = metrics[root]
    for name in names - {root}:
        glyph, (own, left) = font["glyf"][name], metrics[name]
        glyph.coordinates.scale((width / own, 1))
        glyph.coordinates.toInt()
        glyph.recalcBounds(font["glyf"])
        metrics[name] = width, round(left * width / own)


# Figures


def figures(folder: Path) -> list[str]:
    """Make WebP of the PNG of a folder where that is smaller; return their names."""
    made = []
    for path in sorted(folder.glob("*.png")):
        smaller = path.with_suffix(".webp")
        Image.open(path).save(smaller, lossless=True)
        if smaller.stat().st_size < path.stat().st_size:
            path.unlink()
            made.append(path.stem)
        else:
            smaller.unlink()
    return made
