"""Mistakes of evaluation, made on purpose on the networks of chapter 5.

Each function measures claims twice on the same networks, as the chapter does and with
the mistake: by claim and part, the two estimates.
"""

from dataclasses import replace

import torch
from torch import Tensor

from tailwise.data import imbalance
from tailwise.geometry import networks, study
from tailwise.geometry.networks import Networks
from tailwise.ledger.mistakes import Pairs
from tailwise.metrics import estimate
from tailwise.profiles import Profile

BOTH = "LDT 1/2 + 1/n"
FIXED = 1.0  # what is subtracted are the log priors, as they are


def prepare(profile: Profile) -> dict[str, Networks]:
    """The chapter's networks that these claims compare, by recipe and imbalance."""
    seeds = range(profile.pick(smoke=2, laptop=5, full=10))
    many = profile.pick(smoke=100, laptop=500, full=5000)
    options = {"full": profile.data == "full", "device": profile.device}
    found = {}
    for R, names in ((10, ("CE",)), (100, ("CE", "LA", BOTH))):
        task = imbalance.draw(seeds, many, many // R, **options)
        configs = {name: study.FIVE[name] for name in names}
        for name, recipe in (
            (f"R = {R}", networks.FEATURES),
            (f"R = {R}, ordinary", networks.ORDINARY),
        ):
            found[name] = networks.train(task, configs, recipe)
    return found


def average_by_class_count(runs: dict[str, Networks]) -> Pairs:
    """Classes count by their shares of the training images."""
    hundred = {
        "ridge on features": runs["R = 100"],
        "ordinary": runs["R = 100, ordinary"],
    }
    return {
        f"ch5.{claim}": {
            name: (
                study.gain(run, BOTH, rival),
                estimate((_by_share(run, BOTH) - _by_share(run, rival)).numpy()),
            )
            for name, run in hundred.items()
        }
        for claim, rival in (("weights_rescue", "CE"), ("beats_additive", "LA"))
    }


def knob_on_test(runs: dict[str, Networks]) -> Pairs:
    """The knob of the geometry swap is chosen on test images, its rivals' are not."""
    found = {}
    for how in ("additive", "norm"):
        parts = found[f"ch5.post_hoc_{how}"] = {}
        for name, run in runs.items():
            task = replace(run.task, val_y=run.task.test_y)
            leaked = replace(run, task=task, val_logits=run.test_logits)
            rival = study.choose(run, "CE", how).accuracy[0]
            parts[name] = tuple(
                estimate(
                    (study.choose(of, "CE", "geometry").accuracy[0] - rival).numpy()
                )
                for of in (run, leaked)
            )
    return found


def rival_untuned(runs: dict[str, Networks]) -> Pairs:
    """Only the geometry swap is tuned; log priors are subtracted as they are."""
    found = {}
    for name, run in runs.items():
        i, counts = run.index("CE"), run.task.counts.cpu()
        logits = run.test_logits[:, i], run.W[:, i]
        fixed = study.rebalance(*logits, counts, "additive", FIXED)
        swap = study.choose(run, "CE", "geometry").accuracy[0]
        found[name] = tuple(
            estimate((swap - rival).numpy())
            for rival in (
                study.choose(run, "CE", "additive").accuracy[0],
                study.accuracies(run, "CE", fixed)[0],
            )
        )
    return {"ch5.post_hoc_additive": found}


def _by_share(run: Networks, label: str) -> Tensor:
    """Accuracy on the test images with classes weighted by training images, [S]."""
    i, y = run.index(label), run.task.test_y.cpu()
    right = (run.test_logits[:, i].argmax(-1) == y).double()
    share = (run.task.counts / run.task.counts.sum()).cpu()
    each = torch.stack([right[:, y == c].mean(-1) for c in range(len(share))])
    found = share.to(each) @ each
    return found.masked_fill(run.diverged[:, i], torch.nan)
