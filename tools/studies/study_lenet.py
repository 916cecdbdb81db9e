"""Chapter 3's LeNet on whole images of the full Fashion-MNIST, under the rare law.

python -m tools.studies.study_lenet [SEEDS]

Writes book/results/softad/lenet.json: a row a seed and a method with every number of
`tailwise.softad.study.NAMES`. About one minute of CPU time for each of the seeds, 10 by
default; networks are cached, so a run that was stopped goes on.
"""

import json
import sys
from dataclasses import replace

import torch

from tailwise import profiles
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tailwise.softad import lenet, study
from tools.book.layout import ROOT

RESULT = ROOT / "book" / "results" / "softad" / "lenet.json"
SIZE = study.Size(
    n_seeds=10, n_train=1000, n_val=500, n_test=1000, epochs=60, full=True
)


def main() -> None:
    torch.set_num_threads(1)
    stopwatch, n_seeds = provenance.Stopwatch(), int((sys.argv[1:] or [10])[0])
    size = replace(SIZE, n_seeds=n_seeds)
    result = lenet.run(
        "rare",
        size,
        study.LENET,
        sharp=study.SHARP,
        progress=lambda done, total: print(f"{done}/{total}", flush=True),
    )
    rows = [
        {"seed": seed, "method": label}
        | {
            number: float(study.values(result, label, number)[seed])
            for number in study.NAMES
            if label in study.SHARP or number not in ("eigenvalue", "loss_rise")
        }
        for seed in range(n_seeds)
        for label in result.labels
    ]
    about = provenance.describe(profiles.current("laptop"), stopwatch)
    text = json.dumps({"rows": rows, "provenance": about}, indent=1)
    write_whole(RESULT, text + "\n")


if __name__ == "__main__":
    main()
