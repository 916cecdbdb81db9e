"""Chapter 4's table for experts of other pretraining seeds, which are not shipped.

python -m tools.studies.pretrain_glyphs --seeds 0 1 2 --folder FOLDER
python -m tools.studies.study_pairs FOLDER [--seeds 0 1 2] [--splits 0 1 2]

Writes book/results/experts/pairs.json. About four minutes of CPU time for each pair.
"""

import argparse
import hashlib
import json
from itertools import chain
from pathlib import Path

import torch

from tailwise import profiles
from tailwise.data import glyphs
from tailwise.experts import choices, reports, study
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tailwise.models import experts as pretrained
from tailwise.training.processes import in_processes
from tools.book.layout import ROOT

RESULT = ROOT / "book" / "results" / "experts" / "pairs.json"
DEVELOPMENT = 100  # the split on which rates are chosen


def one(folder: Path, seed: int, number: int, rates: dict[str, float]) -> list[dict]:
    """A row for each method on one split; that of the scorer has its weight's area."""
    torch.set_num_threads(1)
    pair = study.load_pair(seed, folder=folder)
    split = study.run(pair, glyphs.draw(number), number, rates)
    rows = []
    for method in split.logits:
        found = split.accuracy(method)
        found["unseen"] = split.accuracy(method, "test_unseen")["all"]
        if method == "scorer, summary":
            found["weight_auc"] = reports.weight_auc(split)
        rows.append({"pair": seed, "split": number, "method": method, **found})
    print(f"pair {seed}, split {number}: done", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    stopwatch, files, runs = provenance.Stopwatch(), {}, []
    development = glyphs.draw(DEVELOPMENT)
    for seed in given.seeds:
        for kind in pretrained.KINDS:
            name = pretrained.file_name(kind, seed)
            content = (given.folder / name).read_bytes()
            files[name] = hashlib.sha256(content).hexdigest()
        pair = study.load_pair(seed, folder=given.folder)
        rates = choices.choose_rates(pair, development, DEVELOPMENT, jobs=2)
        runs += [(given.folder, seed, number, rates) for number in given.splits]
    rows = in_processes(one, runs)
    result = {
        "rows": list(chain.from_iterable(rows)),
        "files": files,
        "provenance": provenance.describe(profiles.current("laptop"), stopwatch),
    }
    write_whole(RESULT, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
