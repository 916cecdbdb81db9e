"""Every method of the book that ends in a linear head on frozen features.

A method is a set of *candidates*, each a head ``[d + 1, k]`` for every seed; validation
data choose among them (`tailwise.matrix.run`). Averages of scores of linear heads are
averages of their coefficients, and a shifted threshold is another intercept, so that a
candidate is one head whatever the method.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tailwise.matrix.stacked_heads import Member, fit
from tailwise.matrix.worlds import World
from tailwise.methods.dfr import balanced_rows
from tailwise.methods.losses import inverse_frequency, log_priors
from tailwise.methods.weighted import WeightedHead
from tailwise.profiles import reseeded

RIDGES = (1e-3, 1e-2, 1e-1)
SHIFTS = tuple(np.linspace(-1, 3, 17).tolist())
PLAIN = "CE"
N_SUBSETS = 10
RULE_RIDGE = 0.1  # of chapter 1's rule; smaller ones leave it without a solution


@dataclass(frozen=True)
class Method:
    """A method and the settings that validation chooses from.

    Attributes
    ----------
    chapter : int
        Where it is explained; 0 for the baseline.
    says : str
        What it does, in a few words.
    settings : tuple of mappings
        Fields of `Member` besides the ridge, one mapping a setting.
    kind : str
        "whole": heads on all rows. "ridge": that of plain CE with the largest ridge.
        "shift": those of plain CE with other intercepts.
        "classes", "groups": mean of heads on balanced subsets. "experts": mean of two.
    """

    chapter: int
    says: str
    settings: tuple[Mapping, ...] = ({},)
    kind: str = "whole"


def _grid(rule: str, *params: Mapping) -> tuple[Mapping, ...]:
    return tuple({"rule": rule, "rule_params": p} for p in params)


def _losses(loss: str, *params: Mapping) -> tuple[Mapping, ...]:
    return tuple({"loss": loss, "params": p} for p in params)


METHODS: dict[str, Method] = {
    PLAIN: Method(0, "cross-entropy, every row alike"),
    "CE, largest ridge": Method(0, "the same, with the largest ridge", kind="ridge"),
    "weights by priors": Method(
        1, "rows weigh one over their class count", ({"weights": "priors"},)
    ),
    "weights by effective ratio": Method(
        1,
        "corrected for effective degrees of freedom",
        ({"weights": "effective"},),
    ),
    "weights by groups": Method(
        2, "rows weigh one over their group count", ({"weights": "groups"},)
    ),
    "shifted threshold": Method(
        5, "plain head; intercepts moved along the log priors", kind="shift"
    ),
    "downsample averaging": Method(
        1, "mean of ten heads on class-balanced subsets", kind="classes"
    ),
    "DFR": Method(2, "mean of ten heads on group-balanced subsets", kind="groups"),
    "SoftAD": Method(
        3, "losses pushed to a level", _grid("softad", {"tau": 0.1}, {"tau": 0.3})
    ),
    "SoftAD of CVaR": Method(
        3,
        "mean of the worst half pushed to a level",
        _grid(
            "cvar_softad",
            {"quantile": 0.5, "tau": 0.1},
            {"quantile": 0.5, "tau": 0.4},
        ),
    ),
    "LA": Method(
        5, "log priors added in training", _losses("la", {"tau": 0.5}, {"tau": 1.0})
    ),
    "LDT": Method(
        5,
        "temperature of the true class in training",
        _losses("ldt", {"gamma": 0.25}, {"gamma": 0.5}),
    ),
    "VS": Method(
        5,
        "temperatures by class, and log priors",
        _losses("vs", {"gamma": 0.15, "tau": 1.0}, {"gamma": 0.3, "tau": 1.0}),
    ),
    "LDT 1/2 + 1/n": Method(
        5,
        "LDT with gamma 1/2, and weights by priors",
        ({"loss": "ldt", "params": {"gamma": 0.5}, "weights": "priors"},),
    ),
    "mean of experts": Method(
        4, "mean of two heads: two feature sets or halves", kind="experts"
    ),
}


def applies(method: str, world: World) -> bool:
    """Whether a method says anything of its own about a world."""
    return world.labelled or method not in ("weights by groups", "DFR")


def class_counts(world: World) -> Tensor:
    """Training rows of each class, ``[S, k]``."""
    y = world.train.y
    return torch.stack([row.bincount(minlength=world.n_classes) for row in y])


def sample_weights(world: World) -> tuple[dict[str, Tensor], int]:
    """Weights of the training rows by name, ``[S, n]``, and how many seeds fell back.

    In those the effective rule has no solution and `WeightedHead` takes the priors.
    """
    y, found, fell_back = world.train.y, {}, 0
    counts = class_counts(world)
    found["priors"] = _by_count(counts, y)
    effective = []
    for X, labels, priors in zip(world.train.X.cpu(), y.cpu(), found["priors"]):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            head = WeightedHead("effective", RULE_RIDGE).fit(X.numpy(), labels.numpy())
        fell_back += bool(caught)
        table = torch.from_numpy(head.class_weight_).to(y.device)
        effective.append(priors if caught else table[labels.to(y.device)])
    found["effective"] = torch.stack(effective)
    cells = world.cells(world.train)
    size = int(cells.max()) + 1
    counts = torch.stack([row.bincount(minlength=size) for row in cells])
    found["groups"] = _by_count(counts, cells)
    return found, fell_back


def _by_count(counts: Tensor, cells: Tensor) -> Tensor:
    # A group that does not occur has no rows to weigh.
    tables = [inverse_frequency(c.clamp_min(1).cpu()).to(cells.device) for c in counts]
    return torch.stack(tables).gather(-1, cells)


def subsets(cells: Tensor, n_subsets: int, seeds: Sequence[int]) -> Tensor:
    """Rows of balanced subsets ``[S, R, m]``, drawn by the seed of each data set.

    Every cell that occurs gives as many rows as the smallest one has in any seed.
    """
    labels = cells.cpu().numpy()
    smallest = min(np.unique(row, return_counts=True)[1].min() for row in labels)
    found = []
    for s, row in zip(seeds, labels):
        rng = np.random.default_rng((reseeded(0), s))
        draws = (balanced_rows(row, rng, per_group=smallest) for _ in range(n_subsets))
        found.append(np.stack(list(draws)))
    return torch.from_numpy(np.stack(found)).to(cells.device)


def halves(cells: Tensor) -> tuple[Tensor, Tensor]:
    """Disjoint halves of the rows, ``[S, n / 2]`` each; each shares out every cell."""
    order = cells.argsort(dim=-1, stable=True)
    n = cells.shape[-1] // 2 * 2
    return order[:, :n:2], order[:, 1:n:2]


def _members(method: Method) -> list[Member]:
    return [Member(ridge=r, **s) for s in method.settings for r in RIDGES]


def _picked(world: World, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Features and labels of rows ``[S, m]``."""
    X, y = world.train.X, world.train.y
    return X.gather(1, rows[..., None].expand(-1, -1, X.shape[-1])), y.gather(1, rows)


def _averaged(world: World, cells: Tensor, n_subsets: int) -> Tensor:
    rows = subsets(cells, n_subsets, world.seeds)
    flat = [part.flatten(0, 1) for part in _expanded(world, rows)]
    heads = fit(*flat, _members(METHODS[PLAIN]), world.n_classes)
    return heads.unflatten(0, rows.shape[:2]).mean(1)


def _expanded(world: World, rows: Tensor) -> tuple[Tensor, Tensor]:
    parts = [_picked(world, rows[:, r]) for r in range(rows.shape[1])]
    return tuple(torch.stack(field, 1) for field in zip(*parts))


def _experts(world: World) -> Tensor:
    members, k = _members(METHODS[PLAIN]), world.n_classes
    if not world.views:
        both = [_picked(world, rows) for rows in halves(world.cells(world.train))]
        return torch.stack([fit(X, y, members, k) for X, y in both]).mean(0)
    X, y, v = world.train.X, world.train.y, world.views
    first, second = (fit(part, y, members, k) for part in (X[..., :v], X[..., v:]))
    intercept = first[..., -1:, :] + second[..., -1:, :]
    return torch.cat([first[..., :-1, :], second[..., :-1, :], intercept], -2) / 2


def _shifted(heads: Tensor, counts: Tensor) -> Tensor:
    """Heads whose scores lose ``tau log prior``, for every tau: ``[S, C T, d + 1, k]``.

    The plain ones come first, so that a tie leaves the threshold where it was.
    """
    prior = torch.stack([log_priors(c.cpu()) for c in counts]).to(heads)
    found = []
    for tau in sorted(SHIFTS, key=abs):
        moved = heads.clone()
        moved[..., -1, :] -= tau * prior.unsqueeze(1)
        found.append(moved)
    return torch.cat(found, 1)


def candidates(
    world: World, *, n_subsets: int = N_SUBSETS
) -> tuple[dict[str, Tensor], int]:
    """Heads ``[S, C, d + 1, k]`` of each method that applies; seeds that fell back.

    All heads on all rows are one call of `heads.fit`, and those on subsets
    another.
    """
    used = {name: m for name, m in METHODS.items() if applies(name, world)}
    whole = {name: _members(m) for name, m in used.items() if m.kind == "whole"}
    weights, fell_back = sample_weights(world)
    counts = class_counts(world)
    together = fit(
        world.train.X,
        world.train.y,
        sum(whole.values(), []),
        world.n_classes,
        counts=counts,
        weights=weights,
    )
    split = together.split([len(members) for members in whole.values()], 1)
    found = dict(zip(whole, split))
    largest = RIDGES.index(max(RIDGES))
    makers = {
        "ridge": lambda: found[PLAIN][:, largest : largest + 1],
        "shift": lambda: _shifted(found[PLAIN], counts),
        "classes": lambda: _averaged(world, world.train.y, n_subsets),
        "groups": lambda: _averaged(world, world.train.group, n_subsets),
        "experts": lambda: _experts(world),
    }
    return {
        name: found[name] if name in whole else makers[method.kind]()
        for name, method in used.items()
    }, fell_back
