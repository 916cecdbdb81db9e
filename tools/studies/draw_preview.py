"""Draw the picture that chats show beside a link: book/_static/preview.png.

python -m tools.studies.draw_preview

1200 by 630 pixels, as link previews ask. It shows no measured number, so that it does
not grow old: the title, and the book's subject as a long tail of classes.
"""

import io

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from tools.book.layout import ROOT, write

PATH = ROOT / "book" / "_static" / "preview.png"
GROUND, INK, MUTED, COMMON, RARE = "#10202f", "#f4f6f8", "#a9b8c6", "#5b9bd5", "#f0a35e"


def figure() -> plt.Figure:
    """The picture."""
    fig = plt.figure(figsize=(12, 6.3), dpi=100, facecolor=GROUND)
    ax = fig.add_axes((0.06, 0.07, 0.88, 0.42))
    count = np.arange(36)
    rare = count >= 9
    ax.bar(count, 0.86**count + 0.02, color=np.where(rare, RARE, COMMON), width=0.72)
    ax.set_axis_off()
    text = {"color": INK, "family": "DejaVu Sans", "ha": "left"}
    fig.text(0.06, 0.80, "Tailwise", size=62, weight="bold", **text)
    fig.text(0.06, 0.69, "Learning from rare classes, rare groups", size=27, **text)
    fig.text(0.06, 0.61, "and hard examples", size=27, **text)
    about = "Five papers · a verdict on each claim · runs on a laptop"
    fig.text(0.94, 0.45, about, size=18, **text | {"color": MUTED, "ha": "right"})
    return fig


def png(fig: plt.Figure) -> bytes:
    """A figure as a small PNG: 64 colours are enough for flat areas."""
    raw, small = io.BytesIO(), io.BytesIO()
    fig.savefig(raw, format="png", dpi=100, metadata={"Software": None})
    picture = Image.open(raw).convert("RGB").quantize(64)
    picture.save(small, format="png", optimize=True)
    return small.getvalue()


def main() -> None:
    content = png(figure())
    write(PATH, content)
    print(f"{PATH.relative_to(ROOT)}: {len(content) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
