"""What each treatment of chapter 2 costs and buys, as rows of a budget."""

import math
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from tailwise.data.spurious import Splits
from tailwise.models import resnet
from tailwise.profiles import reseeded
from tailwise.spurious.study import SeedRun, automatic, moved, over_seeds, refitted
from tailwise.training import loop

SAMPLE = 480  # images that a timing uses


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def prices(run: SeedRun, splits: Splits) -> dict[str, float]:
    """CPU seconds of a trained image, an embedded one, and of each way to refit.

    Measured here and now: an epoch over 480 images and a pass over as many, each after
    one that is not counted, and the fits on the features of the run, whose world
    `splits` are.
    """
    x, y = splits.train.x[:SAMPLE], splits.train.y[:SAMPLE]
    x = x.to(memory_format=torch.channels_last)
    with torch.random.fork_rng(devices=[]):
        model = resnet.SmallResNet(2).to(memory_format=torch.channels_last)
    world = SimpleNamespace(features=run.features, splits=splits)
    own, val, f = run.heads["ERM"], splits.val, run.features
    g = torch.Generator().manual_seed(reseeded(0))

    def train():
        loop.train(model, x, y, epochs=1, generator=g, batch_size=96)

    def embed():
        loop.extract(resnet.folded(model).features, x)

    train()  # the first convolutions of a process take several times as long
    embed()
    return {
        "trained image": cpu_seconds(train) / SAMPLE,
        "embedded image": cpu_seconds(embed) / SAMPLE,
        "threshold": cpu_seconds(lambda: moved(own, f["val"], val)),
        "AFR": cpu_seconds(lambda: automatic(own, world)),
        "DFR": cpu_seconds(lambda: refitted(world, f["val"], val, 0)),
    }


def bill(
    runs: Sequence[SeedRun],
    splits: Splits,
    price: dict[str, float],
    *,
    epochs: int,
    n_tried: int,
) -> pd.DataFrame:
    """One row a treatment: group labels, CPU seconds, what it buys and who pays.

    Parameters
    ----------
    runs : sequence of SeedRun
    splits : Splits
        Of one of them, for the counts.
    price : dict of str to float
        See `prices`.
    epochs : int
        Of training.
    n_tried : int
        Networks that group DRO's settings were chosen with.

    Returns
    -------
    DataFrame
        "falls most" is the group that loses most against ERM, and by how many points;
        accuracies are in percent. Labels are those of groups; AFR, the threshold and
        group DRO use the ones of the validation set to choose, the others to fit.
    """
    train, val, hold = len(splits.train), len(splits.val), len(splits.hold)
    training = epochs * train * price["trained image"]
    look = price["embedded image"]
    rows = {
        "ERM": (0, training),
        "ERM, moved threshold": (val, val * look + price["threshold"]),
        "AFR": (val, (val + hold) * look + price["AFR"]),
        "DFR": (val, (val + train) * look + price["DFR"]),
        "group-balanced sampling": (train, training),
        "group DRO": (train + val, (1 + n_tried) * training),
        "balanced data": (train, training),
    }
    found = []
    for method, (labels, seconds) in rows.items():
        change = [over_seeds(runs, method, f"group {k}", "ERM").mean for k in range(4)]
        worst = int(np.argmin(change))
        pays = f"{splits.world.groups[worst]} {100 * change[worst]:+.0f}"
        numbers = ("worst", "accuracy_test_mean", "accuracy_train_prior")
        percent = [100 * over_seeds(runs, method, n).mean for n in numbers]
        found.append(
            [labels, f"{seconds:.1f}", *(f"{p:.0f}" for p in percent)]
            + [pays if change[worst] < 0 else "nobody"]
        )
    columns = ["group labels", "CPU s", "worst group", "test mean", "train-prior mean"]
    return pd.DataFrame(found, index=list(rows), columns=[*columns, "falls most"])


def monitoring(runs: Sequence[SeedRun], splits: Splits, method: str = "DFR") -> str:
    """What it takes to know a method's worst group, in a sentence; see `audit`."""
    worst = over_seeds(runs, method, "worst").mean
    counts = np.bincount(splits.train.group)
    need, look = audit(worst, counts[counts > 0].min() / counts.sum())
    return (
        f"to know the worst group within 5 points (95 %): {need} labelled\n"
        f"images of it, which are met among about {look:,}"
    )


def audit(accuracy: float, share: float, *, half: float = 0.05) -> tuple[int, int]:
    """Labelled images of a group that fix its accuracy to ± `half`, and all to look at.

    By the normal interval of 95 %; a group that is a `share` of what arrives is met
    once in 1 / share images.

    Raises
    ------
    ValueError
        Unless accuracy, share and half are in (0, 1).

    Examples
    --------
    >>> audit(0.9, 0.01)
    (139, 13900)
    """
    for name, value in {"accuracy": accuracy, "share": share, "half": half}.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value}: expected between 0 and 1")
    n = math.ceil(1.96**2 * accuracy * (1 - accuracy) / half**2)
    return n, math.ceil(round(n / share, 6))
