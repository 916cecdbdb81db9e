"""Numbers and tables of chapter 4, from the splits of `tailwise.experts.study`."""

import json
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from tailwise.data import glyphs
from tailwise.experts import study
from tailwise.experts.scorer import mean_logits
from tailwise.experts.study import KINDS, Split
from tailwise.experts.training import Settings
from tailwise.ledger.claims import book_dir
from tailwise.metrics import Estimate, estimate
from tailwise.training.processes import in_processes

PARTS = ("all", "many", "medium", "few", "unseen")


def _part(
    part: str,
    seed: int,
    rates: dict[str, float],
    settings: Settings,
    n_test: int,
    device: str,
) -> Split | dict:
    task, pair = glyphs.draw(seed, n_test=n_test), study.load_pair().to(device)
    if part == "joint":
        return study.joint_logits(pair, task, seed, settings=settings)
    return study.run(pair, task, seed, rates, settings=settings, joint=False)


def run_splits(
    seeds: Sequence[int],
    rates: dict[str, float],
    *,
    settings: Settings = study.SETTINGS,
    n_test: int = 20,
    joint: bool = True,
    jobs: int = 2,
    device: str = "cpu",
) -> list[Split]:
    """`study.run` on several splits with the shipped pair, in separate processes.

    On a GPU one after the other, in this process. Without `joint` the accuracies of
    joint training are those that `tools/studies/study_pairs.py` recorded for these
    splits. Each test set has `n_test` images of each class.
    """
    parts = ("phases", "joint") if joint else ("phases",)  # the longest first
    shared = (rates, settings, n_test, device)
    runs = ((*each, *shared) for each in product(parts, seeds))
    found = in_processes(_part, runs, jobs=jobs, device=device)
    splits = found[: len(seeds)]
    for split, logits in zip(splits, found[len(seeds) :]):
        split.logits |= logits
    for split, seed in zip(splits, () if joint else seeds):
        split.recorded = recorded_joint(seed)
    return splits


def recorded_joint(seed: int) -> dict[str, dict[str, float]]:
    """Recorded accuracies by part of jointly trained methods, for the shipped pair."""
    rows = recorded_pairs()
    mine = (rows["pair"] == 0) & (rows["split"] == seed)
    mine &= rows["method"].str.endswith(", joint")
    if not mine.any():
        raise ValueError(f"seed is {seed}: expected a recorded split of pair 0")
    return rows[mine].set_index("method")[list(PARTS)].to_dict("index")


def accuracies(splits: Sequence[Split], method: str) -> dict[str, np.ndarray]:
    """One accuracy a split, for each of `PARTS`; "unseen" is the unseen face."""
    found = [
        split.recorded[method]
        if method in split.recorded
        else split.accuracy(method)
        | {"unseen": split.accuracy(method, "test_unseen")["all"]}
        for split in splits
    ]
    return {part: np.array([f[part] for f in found]) for part in PARTS}


def gain(
    splits: Sequence[Split], method: str, other: str, part: str = "all"
) -> Estimate:
    """Paired difference of accuracy between two methods, over splits."""
    a, b = (accuracies(splits, name)[part] for name in (method, other))
    return estimate(a - b)


def table(splits: Sequence[Split], methods: Sequence[str]) -> pd.DataFrame:
    """Accuracy in per cent, mean and standard error over splits; one row a method."""
    rows = {}
    for method in methods:
        found = accuracies(splits, method)
        rows[method] = {part: _text(100 * found[part]) for part in PARTS}
    return pd.DataFrame.from_dict(rows, orient="index")


def _text(values: np.ndarray) -> str:
    e = estimate(values)
    return f"{e.mean:.1f} ± {e.stderr:.1f}"


def recorded_pairs() -> pd.DataFrame:
    """Accuracies with experts of other pretraining seeds: columns pair, split, method
    and `PARTS`, as `tools/studies/study_pairs.py` recorded them."""
    path = book_dir() / "results" / "experts" / "pairs.json"
    return pd.DataFrame(json.loads(path.read_text("utf-8"))["rows"])


def recorded_choices(what: str) -> pd.DataFrame:
    """Validation accuracy in per cent by expert, from `tools/studies/study_choices.py`.

    `what` is "adapter width", after phase 1, or "rate", of full fine-tuning.
    """
    path = book_dir() / "results" / "experts" / "validation.json"
    found = pd.DataFrame(json.loads(path.read_text("utf-8"))[what]).T
    return (100 * found).round(1).rename(columns=float).rename_axis(columns=what)


def pair_gains(other: Sequence[tuple[str, str]], part: str = "all") -> pd.DataFrame:
    """Paired differences of recorded accuracies, in points; one column a pair.

    `other` has pairs of methods: the first less the second.
    """
    rows = recorded_pairs().set_index(["pair", "split", "method"])[part].unstack()
    found = {}
    for a, b in other:
        change = 100 * (rows[a] - rows[b])
        found[f"{a} − {b}"] = {
            f"pair {pair}": _signed(values.to_numpy())
            for pair, values in change.groupby("pair")
        }
    return pd.DataFrame.from_dict(found, orient="index")


def pair_mixture_gains() -> dict[int, np.ndarray]:
    """Mean of logits after phase 2 less the better expert, a value a split, by pair."""
    rows = recorded_pairs().set_index(["pair", "split", "method"])["all"].unstack()
    best = rows[[f"{kind}, phase 2" for kind in KINDS]].max(axis=1)
    change = rows["mean of logits, phase 2"] - best
    return {pair: found.to_numpy() for pair, found in change.groupby("pair")}


def _signed(values: np.ndarray) -> str:
    e = estimate(values)
    return f"{e.mean:+.1f} ± {e.stderr:.1f}"


def right(split: Split, of: str = "phase 2", on: str = "test") -> Tensor:
    """Which expert is right on which image, bool ``[2, n]``."""
    labels = getattr(split.task, on).labels
    return torch.stack(
        [split.logits[f"{kind}, {of}"][on].argmax(-1) == labels for kind in KINDS]
    )


def either_right(splits: Sequence[Split], of: str = "phase 2") -> Estimate:
    """Share of test images on which at least one expert is right."""
    found = [right(split, of).any(0).double().mean().item() for split in splits]
    return estimate(np.array(found))


def weight_auc(split: Split, inputs: str = "summary") -> float:
    """How well the weight of the visual expert tells that it alone is right.

    Area under the ROC curve over test images with exactly one expert right; 1/2 is
    chance.
    """
    visual, language = right(split)
    one = visual != language
    return roc_auc_score(visual[one].numpy(), split.weights[inputs][one, 0].numpy())


def leak(splits: Sequence[Split]) -> pd.DataFrame:
    """Accuracy of the finished experts on training and on test images, in per cent."""
    rows = {}
    for kind in KINDS:
        for name, few in (("rare classes", True), ("all others", False)):
            row = {}
            for on in ("train", "test"):
                values = []
                for split in splits:
                    labels = getattr(split.task, on).labels
                    chosen = split.task.few[labels] == few
                    hit = right(split, on=on)[KINDS.index(kind)][chosen]
                    values.append(100 * hit.double().mean().item())
                row[on] = _text(np.array(values))
            rows[f"{kind}, {name}"] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def leak_gap(splits: Sequence[Split]) -> Estimate:
    """Training less test accuracy: in rare classes less in all others, both experts."""
    found = []
    for split in splits:
        gaps = {}
        for few in (True, False):
            means = []
            for on in ("train", "test"):
                labels = getattr(split.task, on).labels
                chosen = split.task.few[labels] == few
                means.append(right(split, on=on)[:, chosen].double().mean().item())
            gaps[few] = means[0] - means[1]
        found.append(gaps[True] - gaps[False])
    return estimate(np.array(found))


def scaled_mean(split: Split, factor: float, of: str = "phase 2") -> Tensor:
    """Mean of test logits after those of the language expert were multiplied."""
    both = [split.logits[f"{kind}, {of}"]["test"] for kind in KINDS]
    return mean_logits(torch.stack([both[0], factor * both[1]]))
