"""Chapter 4's choices: validation pictures of development letters, pair 0.

python -m tools.studies.study_choices [--folder FOLDER] [--runs RUNS] [--kinds visual]

Writes book/results/experts/validation.json: accuracy by way of training and rate, and
by steps at the chosen rates. About ten minutes of CPU time. What is done is kept in
RUNS, so that a run that was stopped goes on; with one kind nothing is chosen yet.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch

from tailwise import profiles
from tailwise.data import glyphs
from tailwise.experts import choices, study
from tailwise.experts.contest import Bench, Terms
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tailwise.models import experts as pretrained
from tools.book.layout import ROOT

RESULT = ROOT / "book" / "results" / "experts" / "validation.json"
RUNS = ROOT / "_build" / "runs" / "choices"
SPLITS = (100, 101)
STEPS = (50, 100, 200, 400)


def kept(path: Path, make: Callable[..., list[dict]], *given, **options) -> list[dict]:
    """Rows that were found before and are kept in a file, or new ones."""
    if not path.is_file():
        write_whole(path, json.dumps(make(*given, **options)))
        print(path.stem, path.read_text("utf-8"), flush=True)
    return json.loads(path.read_text("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=pretrained.EXPERTS)
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--kinds", nargs="+", default=study.KINDS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    stopwatch = provenance.Stopwatch()
    pair = study.load_pair(0, folder=given.folder)
    tasks = {s: glyphs.draw(s, crowd=True, letters="development") for s in SPLITS}

    def tried(way: str, terms: Terms) -> list[dict]:
        found = []
        rates = choices.RATES[way]
        for kind, (seed, task), rate in product(given.kinds, tasks.items(), rates):
            path = given.runs / f"{way} {kind} {seed} {rate}.json"
            options = dict(terms=terms, rates=[rate])
            found += kept(path, choices.tried, pair, kind, task, seed, way, **options)
        return found

    terms = Terms()
    rates = [row for way in ("probe", "parts", "full") for row in tried(way, terms)]
    if len(given.kinds) < len(study.KINDS):
        return
    terms = replace(terms, rates=dict(terms.rates) | choices.chosen(rates))
    rates += tried("second", terms)  # after phase 1 at its own rate
    terms = replace(terms, rates=choices.chosen(rates))
    seed, steps = SPLITS[0], []
    task = tasks[seed]
    for kind, n in product(study.KINDS, STEPS):
        bench = Bench(pair, kind, task, seed, replace(terms, steps=n))
        steps += kept(given.runs / f"steps {kind} {n}.json", choices.by_way, bench)
    result = dict(rates=rates, chosen=dict(terms.rates), steps=steps)
    result["provenance"] = provenance.describe(profiles.current("laptop"), stopwatch)
    write_whole(RESULT, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
