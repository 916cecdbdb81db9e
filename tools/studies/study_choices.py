"""Chapter 4's choices on validation images of the development split, shipped experts.

python -m tools.studies.study_choices

Writes book/results/experts/validation.json: accuracy after phase 1 by adapter width,
after full fine-tuning by learning rate, and from names alone by level of corruption.
About three minutes of CPU time.
"""

import json
from dataclasses import replace

import torch

from tailwise import profiles
from tailwise.data import glyph_corruption, glyphs
from tailwise.experts import choices, study
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tools.book.layout import ROOT
from tools.studies.study_pairs import DEVELOPMENT

RESULT = ROOT / "book" / "results" / "experts" / "validation.json"
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
    rates = {
        kind: {
            rate: choices.tuned_accuracy(
                pair, kind, task, DEVELOPMENT, replace(study.SETTINGS, lr=rate)
            )
            for rate in choices.RATES
        }
        for kind in study.KINDS
    }
    levels = {
        level: choices.named_accuracy(pair, glyphs.draw(DEVELOPMENT, level=level))
        for level in glyph_corruption.LEVELS
    }
    result = {
        "adapter width": widths,
        "rate": rates,
        "level": levels,
        "provenance": provenance.describe(profiles.current("laptop"), stopwatch),
    }
    write_whole(RESULT, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
