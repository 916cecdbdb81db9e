"""The field trial: from photographs of textiles to what an inspector is told.

pip install '.[field]'
python -m tools.studies.study_field

Writes book/results/backbone/field.json: areas under the curve by where the features
come from, heads by number of defects, what the pilot says, and fine-tuning. About eight
minutes of one core.
"""

import json
import warnings

import numpy as np
import torch

from tailwise import own, profiles
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tailwise.models import backbone
from tailwise.own import field
from tools.book.layout import ROOT

RESULT = ROOT / "book" / "results" / "backbone" / "field.json"
DEFECTS = (5, 10, 20, 50, 100, 200)
PILOTS = (5, 20, 200)
DRAWS, AREA_DRAWS = 20, 3
TUNED = (("local", 100, 2), ("global", 20, 1))  # defects, draws


def areas(found: dict) -> list[dict]:
    """Area under the curve by tap, on the most defects that half of them allows."""
    rows = []
    for kind in field.KINDS[1:]:
        for tap in field.TAPS:
            drawn = [
                field.draw(found["nominal"][tap], found[kind][tap], 250, seed)
                for seed in range(AREA_DRAWS)
            ]
            values = [field.inspect(parts).area for parts in drawn]
            rows.append(
                {"kind": kind, "tap": tap, "area": np.round(values, 4).tolist()}
            )
            print(rows[-1], flush=True)
    return rows


def few(found: dict) -> list[dict]:
    """What heads on the usual features do, by number of defects; a row a draw."""
    rows, tap = [], field.USUAL
    for kind in field.KINDS[1:]:
        for n_defects in DEFECTS:
            for seed in range(DRAWS):
                parts = field.draw(
                    found["nominal"][tap], found[kind][tap], n_defects, seed
                )
                one = field.inspect(parts)
                row = {"kind": kind, "defects": n_defects, "area": one.area}
                rows.append(row | {"caught": one.caught, "stopped": one.stopped})
            print(rows[-1], flush=True)
    return rows


def pilots(found: dict) -> list[dict]:
    """What the pilot says of 1,000 good pieces and the first few defects."""
    rows, good = [], found["nominal"][field.USUAL]
    for kind in field.KINDS[1:]:
        for n_defects in PILOTS:
            X = torch.cat([good, found[kind][field.USUAL][:n_defects]]).numpy()
            y = np.array(["good"] * len(good) + ["defect"] * n_defects)
            row = {"kind": kind, "defects": n_defects}
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    pilot = own.pilot(own.from_arrays(X, y), n_splits=12)
                answer = own.verdict(pilot)
                recall = pilot.by_class.mean(0)[:, list(pilot.cells).index("defect")]
                row |= {"decision": answer.decision, "sentence": answer.sentence}
                row["caught"] = dict(zip(pilot.heads, np.round(recall, 4).tolist()))
            except ValueError as fault:
                row |= {"decision": "refused", "sentence": f"{fault}."}
            rows.append(row)
            print(row, flush=True)
    return rows


def tuning() -> list[dict]:
    """Areas before and after fine-tuning the last block."""
    rows, model = [], backbone.load()
    good = field.early_maps("nominal", 400)
    for kind, n_defects, draws in TUNED:
        bad = field.early_maps(kind, 300)
        for seed in range(draws):
            before, after = field.tuned_area(model, good, bad, n_defects, seed)
            row = {"kind": kind, "defects": n_defects, "seed": seed}
            rows.append(row | {"before": round(before, 4), "after": round(after, 4)})
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    torch.set_num_threads(1)
    stopwatch = provenance.Stopwatch()
    found = {kind: field.features(kind) for kind in field.KINDS}
    print("features", stopwatch.read(), flush=True)
    result = {
        "areas": areas(found),
        "few": few(found),
        "pilots": pilots(found),
        "tuning": tuning(),
        "weights": backbone.SHA256,
        "provenance": provenance.describe(profiles.current("laptop"), stopwatch),
    }
    write_whole(RESULT, json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
