"""Chapter 4's record: the contest and each mechanism by itself.

python -m tools.studies.study_mechanisms [--splits 0 … 9] [--pairs 0 1]
    [--parts contest …] [--folder FOLDER] [--runs RUNS] [--write]

Split s has the pair of pretraining seed s modulo the number of pairs, and the next one
for controls. Each part of each split is kept in RUNS, so that a run that was stopped
goes on. With --write what is there becomes book/results/experts/mechanisms.json. Five
to eight minutes of CPU time for all parts of a split.
"""

import argparse
import json
import time
from functools import cache
from itertools import chain
from pathlib import Path

import torch

from tailwise import profiles
from tailwise.experts import mechanisms, mixing, reports, study
from tailwise.experts.contest import Terms
from tailwise.experts.mechanisms import Repetition
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tailwise.models import experts as pretrained
from tools.book.layout import ROOT

RESULT = ROOT / "book" / "results" / "experts" / "mechanisms.json"
RUNS = ROOT / "_build" / "runs" / "mechanisms"
PARTS = {
    "contest": mechanisms.contest,
    "mixtures": mixing.mixtures,
    "other seed": mixing.other_seed,
    "mechanisms": mechanisms.mechanisms,
    "no gap": mechanisms.no_gap,
    "scorers": mixing.scorers,
    "few labels": mechanisms.few_labels,
    "noisy tail": mechanisms.noisy_tail,
    "joint": mechanisms.joint,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, nargs="+", default=range(10))
    parser.add_argument("--pairs", type=int, nargs="+", default=range(reports.N_PAIRS))
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--folder", type=Path, default=pretrained.EXPERTS)
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    stopwatch = provenance.Stopwatch()
    load = cache(lambda seed: study.load_pair(seed, folder=given.folder))
    terms = Terms(rates=reports.choices()["chosen"])
    for split in given.splits:
        n = len(given.pairs)
        turn = tuple(given.pairs[(split + i) % n] for i in range(min(2, n)))
        rep = Repetition(split, turn, load, terms)
        for part in given.parts:
            kept = given.runs / f"{part} {split}.json"
            if kept.is_file():
                continue
            began = time.process_time()
            rows = PARTS[part](rep)
            content = dict(rows=rows, cpu_s=round(time.process_time() - began, 1))
            write_whole(kept, json.dumps(content, indent=1) + "\n")
            print(f"split {split}, {part}: {content['cpu_s']} CPU s", flush=True)
    if given.write:
        found = [
            json.loads((given.runs / f"{part} {split}.json").read_text("utf-8"))
            for part in PARTS
            for split in range(100)
            if (given.runs / f"{part} {split}.json").is_file()
        ]
        result = dict(
            rows=list(chain.from_iterable(each["rows"] for each in found)),
            steps=terms.steps,
            rates=dict(terms.rates),
            cpu_s=round(sum(each["cpu_s"] for each in found)),
            provenance=provenance.describe(profiles.current("laptop"), stopwatch),
        )
        write_whole(RESULT, json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
