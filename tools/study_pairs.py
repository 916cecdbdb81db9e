"""Chapter 4's table for experts of other pretraining seeds, which are not shipped.

python tools/pretrain_glyphs.py --seeds 0 1 2 --folder FOLDER
python tools/study_pairs.py FOLDER [--seeds 0 1 2] [--splits 0 1 2]

Writes book/results/pairs/experts.json. About four minutes of CPU time for each pair.
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch

from common import ROOT
from tailwise import profiles, provenance
from tailwise.claims import write_whole
from tailwise.data import glyphs
from tailwise.experts import pretrained, study

RESULT = ROOT / "book" / "results" / "pairs" / "experts.json"
DEVELOPMENT = 100  # the split on which rates are chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    torch.set_num_threads(1)
    stopwatch, rows, files = provenance.Stopwatch(), [], {}
    for seed in given.seeds:
        pair = study.load_pair(seed, folder=given.folder)
        for kind in pretrained.KINDS:
            name = pretrained.file_name(kind, seed)
            content = (given.folder / name).read_bytes()
            files[name] = hashlib.sha256(content).hexdigest()
        rates = study.choose_rates(pair, glyphs.draw(DEVELOPMENT), DEVELOPMENT)
        for number in given.splits:
            split = study.run(pair, glyphs.draw(number), number, rates)
            for method in split.logits:
                found = split.accuracy(method)
                found["unseen"] = split.accuracy(method, "test_unseen")["all"]
                rows.append({"pair": seed, "split": number, "method": method, **found})
            print(f"pair {seed}, split {number}: done", flush=True)
    result = {
        "rows": rows,
        "files": files,
        "provenance": provenance.describe(profiles.current("laptop"), stopwatch),
    }
    write_whole(RESULT, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
