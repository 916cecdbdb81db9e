"""A mistake of evaluation, made on purpose on the recorded runs of chapter 4."""

import pandas as pd

from tailwise.data import glyphs
from tailwise.experts import reports
from tailwise.ledger.mistakes import Pairs
from tailwise.profiles import Profile

FEW = {  # claims about the rare classes: what is compared with what
    "ch4.loss_matters": ("probe", "probe with CE"),
    "ch4.peft_tail": ("phase 1", "probe"),
    "ch4.dual_sampling": reports.SECOND["two samplers"],
    "ch4.agcl": reports.SECOND["A-GCL − LA"],
}


def prepare(profile: Profile) -> pd.DataFrame:
    """The recorded accuracies, whatever the profile, with one more column.

    "by share" averages the three parts of the classes with their shares of the training
    images, which are the same on every split.
    """
    rows, task = reports.recorded(), glyphs.draw(0, n_val=1, n_test=1)
    parts = {name: getattr(task, name) for name in ("many", "medium", "few")}
    share = {name: int(task.counts[of].sum()) for name, of in parts.items()}
    total = sum(share.values())
    mean = sum(rows[name] * n / total for name, n in share.items())
    return rows.assign(**{"by share": mean})


def average_by_image_count(rows: pd.DataFrame) -> Pairs:
    """Classes count by their training images, where the claim is about rare ones."""
    found = {}
    for claim, pair in FEW.items():
        right, wrong = (
            reports.by_kind(rows, *pair, part) for part in ("few", "by share")
        )
        found[claim] = {kind: (right[kind], wrong[kind]) for kind in right}
    return found
