"""Draw the glyph atlas of chapter 4 with the DejaVu fonts that matplotlib carries.

python -m tools.studies.draw_glyphs

Latin, Greek and Cyrillic letters that all ten faces contain are drawn at 20 px with a
fixed baseline. No ink is cut: a picture that does not fit is an error. Of letters that
are pixel-identical in any face, the one with the lowest code point is kept.
"""

import io
import unicodedata
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from tailwise.data import glyphs
from tailwise.data.glyph_corruption import SIZE
from tools.book.layout import write_asset

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
EM, BASELINE = 20, 24  # pixels


def font_file(face: str) -> str:
    family, _, variant = face.partition(" ")
    family = family.replace("Mono", "SansMono")
    suffix = "" if variant == "Regular" else f"-{variant}"
    return str(FONTS / f"DejaVu{family}{suffix}.ttf")


def letters() -> list[int]:
    """Code points of the letters of three scripts that every face contains."""
    covered = [set(FT2Font(font_file(face)).get_charmap()) for face in glyphs.FACES]
    return [
        point
        for point in sorted(set.intersection(*covered))
        if unicodedata.category(chr(point)).startswith("L")
        and unicodedata.name(chr(point), "").split(" ")[0] in glyphs.SCRIPTS
    ]


def picture(point: int, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """One letter, centred on its advance width: uint8 ``[32, 32]``."""
    margin = 16  # a wider canvas shows whether ink would be cut
    canvas = Image.new("L", (SIZE + 2 * margin,) * 2)
    place = (margin + SIZE / 2, margin + BASELINE)
    ImageDraw.Draw(canvas).text(place, chr(point), fill=255, font=font, anchor="ms")
    pixels = np.asarray(canvas)
    inside = pixels[margin:-margin, margin:-margin]
    if inside.sum(dtype=int) != pixels.sum(dtype=int):
        raise ValueError(f"U+{point:04X} in {font.getname()} does not fit {SIZE} px")
    return inside


def without_twins(images: np.ndarray) -> list[int]:
    """Rows of ``[characters, faces, h, w]`` unlike every earlier row in every face."""
    seen = [set() for _ in range(images.shape[1])]
    kept = []
    for row, faces in enumerate(images):
        pixels = [face.tobytes() for face in faces]
        if not any(one in known for one, known in zip(pixels, seen)):
            kept.append(row)
        for one, known in zip(pixels, seen):
            known.add(one)
    return kept


def main() -> None:
    points = letters()
    fonts = [ImageFont.truetype(font_file(face), EM) for face in glyphs.FACES]
    images = np.stack([[picture(point, font) for font in fonts] for point in points])
    kept = without_twins(images)
    points = np.array(points, dtype=np.uint32)[kept]
    names = [unicodedata.name(chr(point)) for point in points]
    target = glyphs.choose_targets(names)
    packed = io.BytesIO()
    np.savez_compressed(packed, images=images[kept], code_points=points, target=target)
    write_asset(glyphs.GLYPHS, glyphs.ATLAS, packed.getvalue())
    print(f"{len(images)} letters, {len(kept)} without twins, {target.sum()} targets")
    print(f"{len(packed.getvalue()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
