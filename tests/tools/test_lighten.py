"""What is taken from a built site is what no page of it shows."""

import random
from hashlib import sha256
from io import BytesIO

import pytest
from fontTools.ttLib import TTFont
from PIL import Image, ImageChops

from tools.book.layout import ROOT, write
from tools.site import lighten
from tools.site.formulas import mathml

FONT = ROOT / "book" / "_static" / "formulas" / "stix-two-math.woff"


@pytest.mark.parametrize(
    ("sheet", "kept"),
    [
        (".a{b:c}.x{b:c}d{e:f}", ".a{b:c}d{e:f}"),
        (".x,.a{b:c}", ".x,.a{b:c}"),  # one that a page can meet is enough
        (".a.x{b:c}.a .x>d{b:c}", ""),
        (".a:not(.x, :is(.y)) d{b:c}", ".a:not(.x, :is(.y)) d{b:c}"),
        ('a[href$=".x"]{b:c}', 'a[href$=".x"]{b:c}'),
        ("@media print{.x{b:c}}", ""),
        ("@supports (b:c){@media print{.x{b:c}}d{e:f}}", "@supports (b:c){d{e:f}}"),
        ("@keyframes x{0%{b:c}to{b:d}}", "@keyframes x{0%{b:c}to{b:d}}"),
        ("@font-face{b:c}/* .x{} */.made-late{b:c}", "@font-face{b:c}.made-late{b:c}"),
        ("/*! (c) *//* e */.x{b:c}", "/*! (c) */"),
        ('@charset "u";.a{b:url(x.y)}', '@charset "u";.a{b:url(x.y)}'),
    ],
)
def test_rules_that_nothing_meets_go(sheet, kept):
    assert lighten.pruned(sheet, {"a", "href"}, ("made-",)) == kept


def test_names_are_those_of_pages_and_of_the_scripts_that_they_load(tmp_path):
    write(tmp_path / "js/one.js", "e.classList.add('from-script', `tip-${side}`)")
    write(tmp_path / "js/two.js", "'never-loaded'")
    page = '<p class="in-page"><script src="../_static/js/one.js?v=1"></script>'
    words, stems = lighten.names(tmp_path, [page])
    assert {"in-page", "from-script"} <= words
    assert "never-loaded" not in words
    assert stems == ("tip-",)


def test_a_font_keeps_what_is_shown_and_its_shapes(tmp_path):
    cut = tmp_path / "font.woff"
    cut.write_bytes(FONT.read_bytes())
    lighten.cut(cut, lighten.letters([mathml(r"\sqrt{x}+\Gamma")]))
    kept = {chr(code) for code in TTFont(cut).getBestCmap()}
    assert kept == set("√x+Γ") | {"\N{MATHEMATICAL ITALIC SMALL X}"} | {
        "\N{MATHEMATICAL ITALIC CAPITAL GAMMA}"
    }
    first = cut.read_bytes()
    cut.write_bytes(FONT.read_bytes())
    lighten.cut(cut, set("√x+Γ"))
    assert cut.read_bytes() == first
    assert len(first) < len(FONT.read_bytes()) / 20


def test_the_font_is_the_one_that_its_style_names():
    text = FONT.with_name("formulas.css").read_text("utf-8")
    assert sha256(FONT.read_bytes()).hexdigest() in text


def test_all_signs_of_a_root_are_equally_wide():
    font = TTFont(FONT)
    lighten.adjust(font)
    names = [n for n in font.getGlyphOrder() if n.partition(".")[0] == "uni221A"]
    assert len(names) > 5
    assert len({font["hmtx"][name][0] for name in names}) == 1
    for name in names:
        glyph = font["glyf"][name]
        assert font["hmtx"][name][1] == pytest.approx(glyph.xMin, abs=1)
        assert glyph.xMax <= font["hmtx"][name][0] + 40


def test_a_figure_loses_no_pixel_that_is_seen(tmp_path):
    draw = random.Random(0)
    flat, noise = Image.new("RGBA", (60, 40), (9, 99, 199, 128)), BytesIO()
    flat.putpixel((3, 3), (1, 2, 3, 0))
    flat.save(tmp_path / "flat.png", compress_level=0)
    Image.frombytes("L", (60, 40), draw.randbytes(2400)).save(noise, "png")
    (tmp_path / "tiny.png").write_bytes(noise.getvalue())
    made = lighten.figures(tmp_path)
    assert "flat" in made
    left = {path.name for path in tmp_path.iterdir()}
    assert {p.partition(".")[0] for p in left} == {"flat", "tiny"}
    assert len(left) == 2
    seen = Image.open(tmp_path / "flat.webp").convert("RGBa")
    assert ImageChops.difference(seen, flat.convert("RGBa")).getbbox() is None


def test_a_site_is_made_light_as_a_whole(tmp_path):
    static = tmp_path / "_static"
    write(static / "styles/a.css", ".seen{b:c}.unseen{b:c}")
    Image.new("RGB", (90, 90)).save(tmp_path / "x.png", compress_level=0)
    write(tmp_path / "_images/x.png", (tmp_path / "x.png").read_bytes())
    page = tmp_path / "book" / "page.html"
    write(
        page,
        '<link href="../_static/styles/a.css?v=1"><p class="seen">'
        '<img src="../_images/x.png"><a href="_sources/x.png">',
    )
    lighten.lighten(tmp_path)
    sheet = (static / "styles/a.css").read_bytes()
    assert sheet == b".seen{b:c}"
    assert page.read_text() == (
        f'<link href="../_static/styles/a.css?v={sha256(sheet).hexdigest()[:8]}">'
        '<p class="seen"><img src="../_images/x.webp"><a href="_sources/x.png">'
    )
    assert [p.name for p in (tmp_path / "_images").iterdir()] == ["x.webp"]


def test_a_formula_is_mathml_with_its_source():
    made = mathml("x<y", block=True)
    assert made.startswith('<math display="block"><semantics><mrow><mi>x</mi>')
    assert '<annotation encoding="application/x-tex">x&lt;y</annotation>' in made


@pytest.mark.parametrize("tex", [r"\pi_+", "A^{+}", "t_+^2", r"t^{\star}_{\pm}"])
def test_a_sign_that_is_an_index_has_no_room_around_it(tex):
    assert mathml(tex).count('<mo lspace="0" rspace="0">') == 1
    assert 'lspace="0"' not in mathml("a+b_i")


def test_lines_of_a_formula_stay_lines():
    assert mathml(r"a &= b \\ c &= d", block=True).count("<mtr>") == 2
    assert mathml(r"\begin{cases} a \\ b \end{cases}").count("<mtr>") == 2


def test_a_formula_that_is_not_understood_is_refused():
    with pytest.raises(ValueError, match=r"cannot be shown: \\nope x: .*\\nope"):
        mathml(r"\nope x")
