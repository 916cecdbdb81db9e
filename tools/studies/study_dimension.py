"""Which count of features predicts the equal-error ratio, over networks of chapter 1.

python -m tools.studies.study_dimension

Writes book/results/backbone/dimension.json: a row for each pair, width of the feature
layer and seed, with the ratio at which both classes are equally accurate and the ratio
of each rule. Shipped images; about five minutes of one core.
"""

import json

import torch

from tailwise import profiles
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tailwise.weighting import images, learned_dimension, study
from tools.book.layout import ROOT
from tools.studies.study_backbone import COATS, DRESSES, SHIRTS

RESULT = ROOT / "book" / "results" / "backbone" / "dimension.json"
PAIRS, WIDTHS, SEEDS = (SHIRTS, COATS, DRESSES), (16, 64, 128), (10, 11, 12)
N, PRIOR, RIDGE, SAMPLES = 180, 0.2, 0.01, 20
RULES = ("priors", "PCA 99 %", "participation", "effective dof")


def one(names: tuple[str, str], width: int, seed: int) -> dict:
    """The ratios of one network."""
    profile = profiles.current("laptop")
    pair = images.frozen_pair(*names, profile, seed=seed, width=width)
    grid = torch.logspace(-0.3, 2, 37, dtype=torch.float64)
    tested = images.compare_rules(
        pair,
        N,
        RIDGE,
        n_resamples=SAMPLES,
        grid=grid,
        generator=torch.Generator().manual_seed(profiles.reseeded(seed)),
        prior=PRIOR,
        n_draws=0,
    )
    g = torch.Generator().manual_seed(profiles.reseeded(seed))
    samples = images.resample(pair, N, SAMPLES, prior=PRIOR, generator=g)
    ratios = torch.logspace(0.3, 2, 10, dtype=torch.float64)
    equal = study.equal_accuracy_ratio(tested)
    row = {"rare": names[0], "width": width, "seed": seed}
    row |= {"equal": equal.mean, "stderr": equal.stderr}
    row |= {rule: tested.ratio[rule].nanmean().item() for rule in RULES}
    row["learned, means"] = learned_dimension.learned_ratio(*samples, RIDGE, ratios)
    row["learned, spread too"] = learned_dimension.balanced_ratio(
        *samples, RIDGE, ratios
    )
    return row


def main() -> None:
    torch.set_num_threads(1)
    stopwatch, rows = provenance.Stopwatch(), []
    for names in PAIRS:
        for width in WIDTHS:
            for seed in SEEDS:
                rows.append(one(names, width, seed))
                print(rows[-1], stopwatch.read(), flush=True)
    result = {
        "rows": json.loads(json.dumps(rows), parse_constant=lambda _: None),
        "provenance": provenance.describe(profiles.current("laptop"), stopwatch),
    }
    write_whole(RESULT, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
