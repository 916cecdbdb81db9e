"""Chapter 4's choices on validation images of the development split, shipped experts.

python tools/study_widths.py

Writes book/results/pairs/widths.json: accuracy after phase 1 by adapter width, and from
names alone by level of corruption. About two minutes of CPU time.
"""

import json

import torch

from common import ROOT
from study_pairs import DEVELOPMENT
from tailwise import profiles, provenance
from tailwise.claims import write_whole
from tailwise.data import glyph_corruption, glyphs
from tailwise.experts import choices, study

RESULT = ROOT / "book" / "results" / "pairs" / "widths.json"
WIDTHS = (2, 4, 8, 16, 32)


def main() -> None:
    torch.set_num_threads(1)
    stopwatch, pair = provenance.Stopwatch(), study.load_pair()
    task = glyphs.draw(DEVELOPMENT)
    widths = {
        kind: {
            width: choices.adapted_accuracy(pair, kind, task, DEVELOPMENT, width)
            for width in WIDTHS
        }
        for kind in study.KINDS
    }
    levels = {
        level: choices.named_accuracy(pair, glyphs.draw(DEVELOPMENT, level=level))
        for level in glyph_corruption.LEVELS
    }
    result = {
        "widths": widths,
        "levels": levels,
        "provenance": provenance.describe(profiles.current("laptop"), stopwatch),
    }
    write_whole(RESULT, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
