"""What steps and width of the pretraining of chapter 4's visual expert bought.

python -m tools.studies.study_pretraining [--runs RUNS]

Writes book/results/experts/pretraining.json: for the shipped expert of seed 0, for one
of half the steps and for one of half the width, too, the parameters, and accuracy on
validation pictures of development letters by way of training, at the chosen rates.
About six minutes of CPU time on one thread; a run that was stopped goes on.
"""

import argparse
import json
from pathlib import Path

import torch

from tailwise import profiles
from tailwise.data import glyphs
from tailwise.experts import choices, pretraining, reports, study
from tailwise.experts.contest import Bench, Terms
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tools.book.layout import ROOT
from tools.studies.study_choices import SPLITS, kept

RESULT = ROOT / "book" / "results" / "experts" / "pretraining.json"
RUNS = ROOT / "_build" / "runs" / "pretraining"
SHIPPED = (64, pretraining.STEPS)  # width and steps
SIZES = (SHIPPED, (64, pretraining.STEPS // 2), (32, pretraining.STEPS // 2))


def measured(width: int, steps: int, terms: Terms) -> list[dict]:
    """Adapt a visual expert of seed 0 to both splits; pretrain it if none ships."""
    if (width, steps) == SHIPPED:
        visual = study.load_pair(0).visual
    else:
        visual = pretraining.pretrain_visual(0, steps, width=width)
    known = dict(width=width, pretraining=steps)
    known["parameters"] = sum(p.numel() for p in visual.parameters())
    pair, rows = study.Pair(visual, visual, visual), []
    for split in SPLITS:
        task = glyphs.draw(split, crowd=True, letters="development")
        for row in choices.by_way(Bench(pair, "visual", task, split, terms)):
            rows.append(known | dict(split=split) | row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=RUNS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    stopwatch, rows = provenance.Stopwatch(), []
    terms = Terms(rates=reports.choices()["chosen"])
    for width, steps in SIZES:
        rows += kept(
            given.runs / f"{width} {steps}.json", measured, width, steps, terms
        )
    result = dict(rows=rows)
    result["provenance"] = provenance.describe(profiles.current("laptop"), stopwatch)
    write_whole(RESULT, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
