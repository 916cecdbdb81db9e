"""Linear heads under any loss of the book, all fitted at once by one tensor program.

A *member* is one loss with its settings. It is fitted to P data sets ``X [P, n, d]`` by
full-batch Adam from zero, with the same steps as every other member. For weights ``w``,
an adjusted cross-entropy ``l_i`` (`methods.losses`) and a ridge, it descends on

    sum_i w_i l_i / sum_i w_i + ridge / 2 |W|^2,

or on a risk of the ``l_i`` (`methods.risk`) plus the same penalty. Intercepts are not
penalised.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tailwise.methods import losses, risk

NEUTRAL = {"label_temperature": 1.0, "class_temperature": 1.0, "offset": 0.0}
STEPS, RATE = 100, 0.05
BETAS = (0.9, 0.999)  # of Adam


@dataclass(frozen=True)
class Member:
    """One loss with its settings.

    Attributes
    ----------
    ridge : float
    loss : str
        A key of `tailwise.methods.losses.LOSSES` without a margin, with its `params`.
    rule : str
        A key of `tailwise.methods.risk.RULES`, with its `rule_params`.
    weights : str
        Name of the sample weights; "equal", or one that `fit` is given. Only "equal"
        goes with a rule other than "erm".
    """

    ridge: float
    loss: str = "ce"
    params: Mapping[str, float] = field(default_factory=dict)
    rule: str = "erm"
    rule_params: Mapping[str, float] = field(default_factory=dict)
    weights: str = "equal"


@dataclass(frozen=True, kw_only=True)
class _Program:
    """Members as tensors over P data sets, k classes and M members.

    Rows come last: thin products are fastest with the long axis there, and so is a
    softmax over a few classes.
    """

    label_temperature: Tensor  # a_y of each row, [P, 1, M, n]
    class_temperature: Tensor  # [P, k, M, 1]
    offset: Tensor  # [P, k, M, 1]
    weights: Tensor  # times a_y; before, they sum to one over rows, [P, M, n]
    ridge: Tensor  # [M, 1]
    ruled: list[tuple[str, list[int], dict[str, Tensor]]]  # rule, members, parameters


def _check(X: Tensor, y: Tensor, members: Sequence[Member], weights: Mapping) -> None:
    if X.ndim != 3 or y.shape != X.shape[:2]:
        shapes = f"X {list(X.shape)}, y {list(y.shape)}"
        raise ValueError(f"{shapes}: expected X [P, n, d] and y [P, n]")
    if not X.isfinite().all():
        raise ValueError(f"X holds {X[~X.isfinite()][0]}: expected finite numbers")
    if not members:
        raise ValueError("members is empty: expected one at least")
    for name, values in weights.items():
        if values.shape != y.shape or not (values >= 0).all():
            given = f"weights {name!r} is {list(values.shape)}"
            raise ValueError(f"{given}: expected {list(y.shape)}, numbers ≥ 0")
        if (values.sum(-1) == 0).any():
            raise ValueError(f"weights {name!r} sums to 0: expected some weight")
    for m in members:
        if m.weights not in {"equal", *weights}:
            known = ", ".join(["equal", *weights])
            raise ValueError(f"weights is {m.weights!r}: expected one of {known}")
        if m.rule != "erm" and (m.weights != "equal" or m.loss != "ce"):
            raise ValueError(f"rule {m.rule!r} with {m.loss!r}, weights {m.weights!r}")
        if m.rule != "erm":
            risk.example_weights(X.new_ones(X.shape[1]), m.rule, **m.rule_params)
        if not 0 <= m.ridge < math.inf:
            raise ValueError(f"ridge is {m.ridge}: expected a finite number ≥ 0")


def _program(
    y: Tensor, counts: Tensor, members: Sequence[Member], weights: Mapping, like: Tensor
) -> _Program:
    (P, n), k, M = y.shape, counts.shape[-1], len(members)
    tables = {name: like.new_full((P, k, M), value) for name, value in NEUTRAL.items()}
    per_row = like.new_full((P, M, n), 1 / n)
    for j, member in enumerate(members):
        for p in range(P):
            found = losses.knobs(member.loss, counts[p].cpu(), **member.params)
            for name in tables.keys() & found.keys():
                tables[name][p, :, j] = found[name].to(like)
        if member.weights != "equal":
            w = weights[member.weights].to(like)
            per_row[:, j] = w / w.sum(-1, keepdim=True)
    label = y.unsqueeze(1).expand(-1, M, -1)
    a = tables["label_temperature"].mT.gather(2, label)
    return _Program(
        label_temperature=a.unsqueeze(1),
        class_temperature=tables["class_temperature"].unsqueeze(-1),
        offset=tables["offset"].unsqueeze(-1),
        weights=per_row * a,
        ridge=like.new_tensor([[m.ridge] for m in members]),
        ruled=_rules(members, like),
    )


def _rules(members: Sequence[Member], like: Tensor) -> list:
    """Each rule with its members and their parameters ``[M_r]``."""
    found = []
    for rule in sorted({m.rule for m in members} - {"erm"}):
        places = [j for j, m in enumerate(members) if m.rule == rule]
        params = {
            name: like.new_tensor([members[j].rule_params[name] for j in places])
            for name in risk.RULES[rule].params
        }
        found.append((rule, places, params))
    return found


def _gradient(X: Tensor, y: Tensor, W: Tensor, program: _Program) -> Tensor:
    """Gradient of every member, ``[P, k, M, d + 1]``; X has a last column of ones."""
    D, shape = program.class_temperature, W.shape[1:3]
    z = ((W * D).flatten(1, 2) @ X.mT).unflatten(1, shape)  # [P, k, M, n]
    p = z.mul_(program.label_temperature).add_(program.offset).softmax(1)
    label = y[:, None, None].expand(-1, 1, W.shape[2], -1)
    weights = program.weights
    if program.ruled:
        tiny = torch.finfo(p.dtype).tiny
        each = -p.gather(1, label).clamp_min(tiny).log().squeeze(1)  # [P, M, n]
        weights = weights.clone()
        for rule, places, params in program.ruled:  # a_y is 1 there
            weights[:, places] = risk.weights_of(rule, each[:, places], params)
    # d loss / d z_c = w_i a_y D_c (p_c - [c = y])
    p.scatter_add_(1, label, p.new_full((), -1.0).expand(label.shape))
    p.mul_(weights.unsqueeze(1))
    gradient = (p.flatten(1, 2) @ X).unflatten(1, shape) * D
    gradient[..., :-1] += program.ridge * W[..., :-1]
    return gradient


@torch.no_grad()
def fit(
    X: Tensor,
    y: Tensor,
    members: Sequence[Member],
    n_classes: int,
    *,
    counts: Tensor | None = None,
    weights: Mapping[str, Tensor] | None = None,
    steps: int = STEPS,
    rate: float = RATE,
) -> Tensor:
    """Fit every member to every data set: heads ``[P, M, d + 1, k]``, intercept last.

    Parameters
    ----------
    X : Tensor [P, n, d]
        Features, scaled; the computation takes their device and type.
    y : Tensor of int64 [P, n]
        Classes 0 to k - 1.
    members : sequence of M Member
    n_classes : int
    counts : Tensor [P, k], optional
        Class counts for the losses that need them, by default those of y.
    weights : mapping of str to Tensor [P, n], optional
        Sample weights by name; their scale is irrelevant.
    steps : int
    rate : float
        First learning rate of Adam; it falls to zero along a cosine.

    Raises
    ------
    ValueError
        For shapes that do not fit, non-finite features, unknown names, weights that
        are negative or sum to zero, a negative ridge, and parameters that a loss or a
        rule does not take.

    Examples
    --------
    >>> X = torch.tensor([[[-1.0], [1.0]]]); y = torch.tensor([[0, 1]])
    >>> fit(X, y, [Member(ridge=0.1)], 2).shape
    torch.Size([1, 1, 2, 2])
    """
    weights = weights or {}
    _check(X, y, members, weights)
    if counts is None:
        counts = torch.stack([row.bincount(minlength=n_classes) for row in y])
    if counts.shape != (len(X), n_classes):
        expected = f"expected [{len(X)}, {n_classes}]"
        raise ValueError(f"counts is {list(counts.shape)}: {expected}")
    # A chunk's rows and logits stay in the cache of a CPU, and fit the memory of a GPU.
    held = 2**20 if X.device.type == "cpu" else 2**28
    size = max(1, held // (X.shape[1] * (X.shape[2] + len(members) * n_classes)))
    found = []
    for rows in torch.arange(len(X)).split(size):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        some = {name: values[part] for name, values in weights.items()}
        program = _program(y[part], counts[part], members, some, X)
        found.append(_descend(X[part], y[part], program, n_classes, steps, rate))
    return torch.cat(found)


def _descend(
    X: Tensor, y: Tensor, program: _Program, k: int, steps: int, rate: float
) -> Tensor:
    P, n, d = X.shape
    X = torch.cat([X, X.new_ones(P, n, 1)], -1)
    W = X.new_zeros(P, k, len(program.ridge), d + 1)
    # Adam as in torch.optim, whose import alone takes seconds.
    first, second = torch.zeros_like(W), torch.zeros_like(W)
    for t in range(1, steps + 1):
        gradient = _gradient(X, y, W, program)
        first.lerp_(gradient, 1 - BETAS[0])
        second.lerp_(gradient.square_(), 1 - BETAS[1])
        scale = (second / (1 - BETAS[1] ** t)).sqrt_().add_(1e-8)
        pace = rate * (1 + math.cos(math.pi * (t - 1) / steps)) / 2
        W.addcdiv_(first, scale, value=-pace / (1 - BETAS[0] ** t))
    return W.permute(0, 2, 3, 1)


def logits_of(X: Tensor, heads: Tensor) -> Tensor:
    """Scores ``[P, C, n, k]`` of features ``[P, n, d]`` by ``[P, C, d + 1, k]``."""
    return X.unsqueeze(1) @ heads[..., :-1, :] + heads[..., -1:, :]
