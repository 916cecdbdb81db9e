"""How often a pilot says "use" on noise, and how often on effects that are there.

200 sets of pure noise with units, identifiers, copies and shuffled indices, written as
files and read as a reader's would be, and 60 for each planted effect. A planted
effect is named by what it is worth: how many points of accuracy, averaged over classes,
the best threshold gains over a coin. The counts go to book/results/own/noise.json.

python tools/studies/study_noise.py [--sets N] [--planted N] [--jobs N]
"""

import argparse
import json
import tempfile
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from scipy import stats

from tailwise import own
from tailwise.files import write_whole
from tailwise.metrics import wilson

RESULT = Path(__file__).parents[2] / "book" / "results" / "own" / "noise.json"
KINDS = ("rows", "units", "identifier", "copies", "index", "groups")
OBJECTIVES = ("balanced", "worst", "cost")
EFFECTS = (0.05, 0.1, 0.2)  # points of mean accuracy over classes above a coin
N, D, SHARE, SPLITS = 600, 12, 0.2, 12


def table(kind: str, effect: float, seed: int) -> pd.DataFrame:
    """Features, labels and what the kind adds; `effect` 0 is noise."""
    rng = np.random.default_rng(seed)
    of = 4 if kind == "units" else 1
    n = N // of
    rare = rng.permutation(np.arange(n) < SHARE * n)
    X = rng.normal(size=(n, D))
    # So far apart that the best threshold is right for 1/2 + effect of each class.
    X[:, 0] += rare * 2 * stats.norm.ppf(0.5 + effect)
    if kind == "units":
        X = np.repeat(X, of, 0) + 0.2 * rng.normal(size=(N, D))
    found = pd.DataFrame(X, columns=[f"f{k}" for k in range(D)])
    found["label"] = np.where(np.repeat(rare, of), "rare", "common")
    if kind == "units":
        found["unit"] = np.repeat(rng.permutation(10 * n)[:n], of)
    if kind == "identifier":
        found["part_id"] = np.argsort(np.argsort(rare + rng.random(n))) + 5000
    if kind == "groups":
        found["group"] = rng.choice(["A", "B"], n)
    if kind == "copies":
        found = pd.concat([found, found.sample(n // 20, random_state=seed)])
    return found if kind == "index" else found.sample(frac=1, random_state=seed)


def one(kind: str, objective: str, effect: float, seed: int) -> str:
    """The decision on one set, read from a file."""
    costs = own.Costs(miss=4.0) if objective == "cost" else None
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "a.csv"
        found = table(kind, effect, seed).reset_index(drop=True)
        if kind == "index":  # the index tells the class, and is shuffled
            found = found.sort_values("label", ignore_index=True)
            found = found.sample(frac=1, random_state=seed)
        found.to_csv(path, index=kind == "index")
        data = own.load(path)
        pilot = own.pilot(
            data, n_splits=SPLITS, objective=objective, costs=costs, seed=seed
        )
    # On noise any price is accepted, which makes "use" easier; with an effect too.
    return own.verdict(pilot, accept=1.0).decision


def counted(decisions: list[str]) -> dict:
    """How many say what, and Wilson's interval of the share of "use"."""
    n, use = len(decisions), decisions.count("use")
    low, high = wilson(use, n)
    return {
        "sets": n,
        "use": use,
        "undecided": decisions.count("undecided"),
        "keep": decisions.count("keep"),
        "share": use / n,
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


def study(sets: int, planted: int, jobs: int) -> dict:
    """Noise of every kind with every objective, then each planted effect."""
    asked = [
        (KINDS[k % len(KINDS)], OBJECTIVES[k // len(KINDS) % len(OBJECTIVES)], 0.0, k)
        for k in range(sets)
    ]
    for effect in EFFECTS:
        asked += [
            (KINDS[k % len(KINDS)], "balanced", effect, 10_000 + k)
            for k in range(planted)
        ]
    said = joblib.Parallel(jobs)(joblib.delayed(one)(*each) for each in asked)
    noise = said[:sets]
    found = {"noise": counted(noise), "by_objective": {}, "effects": {}}
    for objective in OBJECTIVES:
        some = [d for d, each in zip(noise, asked) if each[1] == objective]
        found["by_objective"][objective] = counted(some)
    for k, effect in enumerate(EFFECTS):
        part = said[sets + planted * k : sets + planted * (k + 1)]
        found["effects"][str(effect)] = counted(part)
    return found | {"samples": N, "features": D, "share": SHARE, "splits": SPLITS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200, help="of noise")
    parser.add_argument("--planted", type=int, default=60, help="of each effect")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    found = study(given.sets, given.planted, given.jobs)
    write_whole(RESULT, json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
