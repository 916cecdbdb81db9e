"""Chapter 5's experiments on models without constraints and on small networks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tailwise.geometry import seli
from tailwise.geometry.networks import Networks
from tailwise.geometry.ridge import ridge_grams
from tailwise.geometry.ufm import UFM, Config, Loss, train_ufm
from tailwise.metrics import Estimate, estimate

FIVE = {
    "CE": Config(),
    "weighted CE": Config(weight_power=1),
    "LA": Config(tau=1),
    "LDT 1/2": Config(gamma=0.5),
    "LDT 1/2 + 1/n": Config(gamma=0.5, weight_power=1),
}
MORE = {
    "LDT -1/2": Config(gamma=-0.5),
    "LDT 1": Config(gamma=1),
    "CDT 1/2": Config("cdt", 0.5),
    "VS": Config("cdt", 0.25, tau=1),
}
GAMMAS = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
RATIOS = (10, 100)


def assisted(class_counts: seli.Array, config: Config) -> Config:
    """The configuration with offsets that remove most of the bias of its ridge.

    They are logarithms of dual multipliers **of the predicted limit**: a model trained
    so shows that it can take that shape, not that it finds the shape by itself. They
    replace an additive adjustment.
    """
    n = seli.positive("class_counts", class_counts)
    loss = Loss(n.unsqueeze(0), [config])
    dual = seli.multipliers(n, loss.delta[0], config.kind)  # [k (c), k (y)]
    offset = (dual / loss.omega[0]).fill_diagonal_(1).log()
    return replace(config, tau=0.0, offset=tuple(map(tuple, offset.tolist())))


def all_assisted(class_counts: seli.Array, names: Sequence[str]) -> dict[str, Config]:
    """`assisted` configurations of `FIVE` and `MORE`, by label."""
    known = FIVE | MORE
    return {f"{x}, assisted": assisted(class_counts, known[x]) for x in names}


def main_grid(seeds: Sequence[int] = (0,)) -> tuple[Tensor, list[Config]]:
    """Two kinds of temperature, two ratios and seven exponents, k = 10: counts and
    configurations, 28 for each seed."""
    grid = list(product(RATIOS, ("ldt", "cdt"), GAMMAS, seeds))
    counts = torch.stack([seli.step_counts(5, 5, R, 5) for R, *_ in grid])
    return counts, [Config(kind, gamma, seed=s) for _, kind, gamma, s in grid]


def train_limits(
    configs: dict[str, Config], ratios: Sequence[int], seeds: int, **train
) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Gram errors of W and of H of trained models to their limits, one a seed, and the
    smallest cosine of the classifier and the embedding of a class."""
    names = list(product(configs, ratios))
    members = [
        (seli.step_counts(5, 5, R, 5), replace(configs[name], seed=s))
        for name, R in names
        for s in range(seeds)
    ]
    counts = torch.stack([n for n, _ in members])
    found = train_ufm(counts, [c for _, c in members], **train)
    aligned = torch.cosine_similarity(found.W, found.H, -1).amin(-1)
    numbers = [
        x.view(len(names), seeds).numpy()
        for x in (found.error_w[:, -1], found.error_h[:, -1], aligned)
    ]
    return dict(zip(names, zip(*numbers)))


def slowest_margin_is_predicted(model: UFM) -> np.ndarray:
    """Whether the margin that is furthest behind has the smallest multiplier, [B].

    In the limit all margins are equal. The one that is furthest above the smallest is
    the last to get there; multipliers within one per cent count as equal.
    """
    found = []
    for b, config in enumerate(model.configs):
        delta, kind = model.delta[b], config.kind
        dual = seli.multipliers(model.class_counts[b], delta, kind)
        z = model.W[b] @ model.H[b].mT  # [k (c), k (y)]
        z = z * (delta if kind == "ldt" else delta.unsqueeze(-1))
        margin = z.diagonal() - z
        between = ~torch.eye(len(delta), dtype=torch.bool)
        dual, margin = dual[between], margin[between]
        found.append(dual[margin.argmax()] <= 1.01 * dual.min())
    return torch.stack(found).numpy()


def without_ridge(ratios: Sequence[float]) -> dict[str, Tensor]:
    """Cosine of two minority classifiers in the limit, k = 10, by imbalance ratio."""
    return {
        name: seli.step_blocks(5, 5, ratios, gamma, kind)[0].cos_minor
        for name, kind, gamma in (
            ("CE", "ldt", 0),
            ("LDT 1/2", "ldt", 0.5),
            ("CDT 1/6", "cdt", 1 / 6),
            ("CDT 1/4", "cdt", 0.25),
        )
    }


def minority_cosines(
    class_counts: Tensor, configs: dict[str, Config], ridges: Sequence[float]
) -> dict[str, Tensor]:
    """Mean cosine of two minority classifiers in the exact solution, by ridge."""
    minority = class_counts < class_counts.max()
    return {
        name: seli.blocks(
            ridge_grams(class_counts, config, ridges)[0], minority
        ).cos_minor
        for name, config in configs.items()
    }


def etf_error(config: Config, ridges: Sequence[float]) -> float:
    """Largest distance to the ETF of the exact classifiers, at both ratios."""
    etf, steps = seli.etf_gram(10), [seli.step_counts(5, 5, R) for R in RATIOS]
    found = [ridge_grams(n, config, ridges)[0] for n in steps]
    return max(seli.gram_error(grams, etf).max().item() for grams in found)


# Real networks


def accuracies(networks: Networks, label: str, logits: Tensor | None = None) -> Tensor:
    """Balanced, majority and minority accuracy on the test images, [3, S].

    NaN where the network diverged. Other `logits` may be given in its place.
    """
    i = networks.index(label)
    logits = networks.test_logits[:, i] if logits is None else logits
    found = _accuracies(logits, networks.task.test_y.cpu())
    return found.masked_fill(networks.diverged[:, i], torch.nan)


def _accuracies(logits: Tensor, y: Tensor) -> Tensor:
    k = logits.shape[-1]
    right = (logits.argmax(-1) == y).double()
    each = torch.stack([right[:, y == c].mean(-1) for c in range(k)])
    parts = each, each[: k // 2], each[k // 2 :]
    return torch.stack([part.mean(0) for part in parts])


def exact_ridge_error(networks: Networks, label: str) -> np.ndarray:
    """Distance of W, one a seed, to the exact solution at the recipe's ridge."""
    i, task = networks.index(label), networks.task
    config = networks.configs[i]
    target, _ = ridge_grams(task.counts.cpu(), config, [networks.recipe.ridge])
    W = networks.W[:, i]
    return seli.gram_error(W @ W.mT, target).numpy()


def limit_errors(networks: Networks, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Distances of W and H, one a seed, to the limit at the end of training."""
    i = networks.index(label)
    return tuple(e[:, i, -1].numpy() for e in (networks.error_w, networks.error_h))


# Changing a trained classifier


REBALANCE = {
    "geometry": (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
    "norm": (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0),
    "additive": (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0),
}


def rebalance(
    logits: Tensor, W: Tensor, class_counts: Tensor, how: str, knob: float
) -> Tensor:
    """Logits of a classifier that was changed after training.

    Parameters
    ----------
    logits : Tensor [..., m, k]
        Without a bias: ``h @ W.T``.
    W : Tensor [..., k, d]
    class_counts : Tensor [k]
    how : {"geometry", "norm", "additive"}
        "geometry" gives W the Gram matrix that "ldt" with gamma = `knob` would have,
        in its own frame: ``W' = G^(1/2) (W W^T)^(+1/2) W``, with the trace of W (ours).
        "norm" divides w_c by ``||w_c||^knob``, "additive" subtracts ``knob log pi_c``.
    knob : float
        At 0 "norm" and "additive" change nothing; "geometry" then gives the limit of
        plain cross-entropy.

    ValueError for another `how`.
    """
    _check_how(how)
    if how == "additive":
        return logits - knob * (class_counts / class_counts.sum()).log().to(logits)
    if how == "norm":
        scale = W.norm(dim=-1) ** -knob
        return logits * scale.unsqueeze(-2).to(logits)
    delta = seli.temperatures(class_counts, knob)
    G, _ = seli.predicted_grams(class_counts, delta, "ldt")
    own = W.double() @ W.double().mT
    trace = own.diagonal(dim1=-2, dim2=-1).sum(-1)
    G = G * (trace / G.trace())[..., None, None]
    change = _power(G, 0.5) @ _power(own, -0.5)
    return logits @ change.mT.to(logits)


def _check_how(how: str) -> None:
    if how not in REBALANCE:
        raise ValueError(f"unknown how {how!r}: expected one of {', '.join(REBALANCE)}")


def _power(gram: Tensor, exponent: float) -> Tensor:
    """A power of positive semidefinite matrices on their range; NaN stays NaN."""
    lost = ~gram.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
    e, V = torch.linalg.eigh(gram.masked_fill(lost, 0.0))
    kept = e > 1e-9 * e.amax(-1, keepdim=True)
    e = torch.where(kept, e.clamp_min(1e-300) ** exponent, 0.0)
    return ((V * e.unsqueeze(-2)) @ V.mT).masked_fill(lost, torch.nan)


@dataclass(frozen=True)
class Rebalanced:
    """A knob chosen on validation images, and what it gives on test images.

    Attributes
    ----------
    knob : ndarray [S]
    accuracy : Tensor [3, S]
        Balanced, majority, minority.
    """

    knob: np.ndarray
    accuracy: Tensor


def choose(networks: Networks, label: str, how: str) -> Rebalanced:
    """For each seed the knob of `rebalance` with the best balanced validation accuracy.

    Raw logits compete too, as knob NaN; of equals the first wins.
    """
    _check_how(how)
    i, task = networks.index(label), networks.task
    W, counts = networks.W[:, i], task.counts.cpu()
    knobs = (float("nan"), *REBALANCE[how])

    def scores(logits: Tensor, y: Tensor) -> Tensor:  # [knobs, 3, S]
        changed = [rebalance(logits, W, counts, how, knob) for knob in knobs[1:]]
        return torch.stack([_accuracies(z, y.cpu()) for z in (logits, *changed)])

    on_val = scores(networks.val_logits[:, i], task.val_y)[:, 0]
    best = on_val.round(decimals=9).argmax(0)  # equal up to the order of a sum
    found = scores(networks.test_logits[:, i], task.test_y)
    picked = found[best, :, torch.arange(len(best))].mT
    picked = picked.masked_fill(networks.diverged[:, i], torch.nan)
    return Rebalanced(np.array([knobs[b] for b in best]), picked)


def accuracy_table(networks: Networks, labels: Sequence[str]) -> pd.DataFrame:
    """Accuracies of some configurations, mean and standard error over seeds."""
    names = ("balanced", "majority", "minority")
    rows = {
        label: dict(zip(names, map(_text, accuracies(networks, label))))
        for label in labels
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def rebalanced_table(networks: Networks, label: str) -> pd.DataFrame:
    """Raw logits, and every way to change them, with the knobs that were chosen."""
    names = ("balanced", "majority", "minority")
    rows = {"raw": dict(zip(names, map(_text, accuracies(networks, label))))}
    for how in REBALANCE:
        found = choose(networks, label, how)
        rows[how] = dict(zip(names, map(_text, found.accuracy)))
        knobs = ("raw" if np.isnan(k) else f"{k:g}" for k in found.knob)
        rows[how]["knobs"] = ", ".join(knobs)
    return pd.DataFrame.from_dict(rows, orient="index").fillna("")


def contests(runs: dict[str, Networks]) -> dict[str, dict[str, Estimate]]:
    """Paired differences of balanced accuracy after training, by claim and run."""
    found = {name: {} for name in ("", "_norm", "_additive")}
    retrained = {}
    for name, run in runs.items():
        changed = {how: choose(run, "CE", how).accuracy[0] for how in REBALANCE}
        swap, additive = changed["geometry"], changed["additive"]
        raw, again = (accuracies(run, x)[0] for x in ("CE", "LDT 1/2 + 1/n"))
        for key, other in zip(found, (raw, changed["norm"], additive)):
            found[key][name] = estimate((swap - other).numpy())
        retrained[name] = estimate((again - additive).numpy())
    claims = {f"ch5.post_hoc{key}": parts for key, parts in found.items()}
    return claims | {"ch5.retraining_pays": retrained}


def _text(values: Tensor) -> str:
    e = estimate(values.numpy())
    return f"{e.mean:.3f} ± {e.stderr:.3f}"


def gain(networks: Networks, label: str, other: str, which: int = 0) -> Estimate:
    """Paired difference of test accuracy between two configurations, over seeds.

    `which` is 0 for balanced, 1 for majority, 2 for minority accuracy.
    """
    a, b = (accuracies(networks, name)[which] for name in (label, other))
    return estimate((a - b).numpy())
