"""Risk rules as weights on examples: flooding, SoftAD, CVaR, chi-square DRO, tilting.

A rule turns the ``n`` losses of a batch into one weight each, ``w_i = d objective /
d loss_i``. The gradient of a model is then ``sum_i w_i grad loss_i``: one forward and
one backward pass, whatever the rule. Losses are ``[..., n]``; leading dimensions are
the members of an ensemble. `RULES` lists the rules and their parameters:

=========  =================================================  ===============
tau        level that losses are held to, in the loss's unit  finite
quantile   CVaR averages the worst ``1 - quantile``           [0, 1)
radius     largest ``mean (n p_i - 1)^2 / 2`` of weights p    (0, (n - 1) / 2]
gamma      tilt, in units of one over the loss                > 0
share      share of a batch whose losses lie below its level  (0, 0.5)
=========  =================================================  ===============

A threshold is solved for in each batch and held fixed in its gradient: exact for CVaR
and chi2, part of the definition for ``softad_cvar``, ``softad_dro``, ``auto_softad``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tailwise.methods.softad import (
    check_level,
    each,
    held,
    held_to_quantile,
    rho,
    rho_slope,
)

__all__ = [
    "RULES",
    "Params",
    "Rule",
    "check_level",
    "chi2_threshold",
    "effective_sample_size",
    "example_weights",
    "objective",
    "rho",
    "rho_slope",
    "weights_of",
]

Params = Mapping[str, float | Tensor]


def _cvar_tail(losses: Tensor, quantile: Tensor) -> tuple[Tensor, Tensor]:
    """Threshold [..., 1] and weights [..., n] of CVaR."""
    n = losses.shape[-1]
    slack = 2 * n * torch.finfo(losses.dtype).eps
    count = (1 - quantile) * n
    # 10 * (1 - 0.7) is 3.0000000000000004; a count of 3 is meant.
    whole = count.round().clamp_min(1)
    count = torch.where((count - whole).abs() <= slack, whole, count)
    rank = count.long().clamp_max(n - 1).expand(*losses.shape[:-1], 1)
    threshold = losses.sort(-1, descending=True).values.gather(-1, rank)
    above, tied = losses > threshold, losses == threshold
    left = count - above.sum(-1, keepdim=True)
    return threshold, (above + tied * (left / tied.sum(-1, keepdim=True))) / count


def _chi2_tail(losses: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Threshold [..., 1] and weights [..., n] of the worst case in a chi2 ball."""
    n, tiny = losses.shape[-1], torch.finfo(losses.dtype).tiny
    top = losses.amax(-1, keepdim=True)
    width = (top - losses.amin(-1, keepdim=True)).clamp_min(tiny)
    x = (losses - top) / width  # in [-1, 0]; 0 is the worst loss
    # Moments of the k largest. The 0 among them keeps the variance ≥ mean^2 / k, so
    # that the difference of squares loses only a factor k of the precision.
    k = torch.arange(1, n + 1, dtype=x.dtype, device=x.device)
    ordered = x.sort(-1, descending=True).values
    mean = ordered.cumsum(-1) / k
    spread = n * (ordered.square().cumsum(-1) / k - mean.square()).clamp_min(0)
    room = (2 * radius * k - (n - k)).expand(x.shape)  # (1 + 2 radius) k - n
    # Where the dual still rises at the next loss, its minimiser lies below that loss.
    gap = mean[..., :-1] - ordered[..., 1:]
    rises = gap.square() * room[..., :-1] < spread[..., :-1]
    last = torch.nn.functional.pad(rises * k[:-1], (1, 0)).amax(-1, keepdim=True).long()
    mean, spread, room = (part.gather(-1, last) for part in (mean, spread, room))
    threshold = mean - (spread / room.clamp_min(tiny)).sqrt()
    excess = (x - threshold).relu()
    # All-equal losses, or a ball that holds all the mass on the worst ones.
    excess = torch.where(excess.amax(-1, keepdim=True) > 0, excess, (x == 0).to(x))
    return top + width * threshold, excess / excess.sum(-1, keepdim=True)


# A risk returns its values and their derivative, as said in `softad`.


def _erm(losses: Tensor) -> tuple[Tensor, Tensor]:
    return losses.mean(-1, keepdim=True), each(losses)[1]


def _worst(tail: Callable) -> Callable:
    """The largest ``w . losses`` over a set of weights, reached by those of a tail."""

    def worst(losses, column):
        _, weights = tail(losses.detach(), column)
        return (weights * losses).sum(-1, keepdim=True), weights

    return worst


def _cvar_each(losses: Tensor, quantile: Tensor) -> tuple[Tensor, Tensor]:
    # T_i = th + relu(l_i - th) / (1 - quantile)
    threshold, weights = _cvar_tail(losses.detach(), quantile)
    return threshold + losses.shape[-1] * weights * (losses - threshold), weights


def _chi2_each(losses: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    # T_i = th + sqrt(1 + 2 radius) relu(l_i - th)
    threshold, _ = _chi2_tail(losses.detach(), radius)
    slope = (1 + 2 * radius).sqrt() * (losses >= threshold)
    return threshold + slope * (losses - threshold), slope / losses.shape[-1]


def _tilted(losses: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    # log1p and expm1 keep the digits of a small gamma.
    top = losses.detach().amax(-1, keepdim=True)
    rise = torch.expm1(gamma * (losses - top)).mean(-1, keepdim=True)
    return top + torch.log1p(rise) / gamma, (gamma * losses).softmax(-1)


def _frozen_cvar(losses: Tensor, quantile: Tensor) -> tuple[Tensor, Tensor]:
    # As released: the threshold starts at 0 and no optimiser ever moves it, so that
    # all losses > 0 count alike.
    mean = losses.relu().mean(-1, keepdim=True)
    return mean / (1 - quantile), (losses > 0) / (losses.shape[-1] * (1 - quantile))


@dataclass(frozen=True)
class Rule:
    """Names of a rule's parameters, and its risk, which takes them in this order."""

    params: tuple[str, ...]
    risk: Callable[..., tuple[Tensor, Tensor]]


# Sources: Holland and Hamada, arXiv 2408.03619, released code; iflood: that of arXiv
# 2310.10006; auto_softad: ours. Closed-form thresholds: derived, see chapter 3.
RULES: dict[str, Rule] = {
    "erm": Rule((), _erm),
    "flooding": Rule(("tau",), held(_erm, torch.abs, torch.sign)),
    "iflood": Rule(("tau",), held(each, torch.abs, torch.sign)),
    "softad": Rule(("tau",), held(each)),
    "cvar": Rule(("quantile",), _worst(_cvar_tail)),
    "chi2_dro": Rule(("radius",), _worst(_chi2_tail)),
    "tilted": Rule(("gamma",), _tilted),
    # Pointwise: rho of each transformed loss. Aggregate: rho of the tail's mean.
    "softad_cvar": Rule(("tau", "quantile"), held(_cvar_each)),
    "softad_dro": Rule(("tau", "radius"), held(_chi2_each)),
    "cvar_softad": Rule(("tau", "quantile"), held(_worst(_cvar_tail))),
    "frozen_cvar_softad": Rule(("tau", "quantile"), held(_frozen_cvar)),
    "auto_softad": Rule(("share",), held_to_quantile),
}

_RANGES: dict[str, tuple[str, Callable[[Tensor, float], Tensor]]] = {
    "tau": ("finite", lambda tau, most: tau.isfinite()),
    "quantile": ("in [0, 1)", lambda q, most: (q >= 0) & (q < 1)),
    "radius": ("in (0, (n - 1) / 2 = {}]", lambda r, most: (r > 0) & (r <= most)),
    "gamma": ("finite and > 0", lambda g, most: (g > 0) & g.isfinite()),
    "share": ("in (0, 0.5)", lambda share, most: (share > 0) & (share < 0.5)),
}


def _column(value: float | Tensor, losses: Tensor) -> Tensor:
    """A parameter as [..., 1], with the losses' type and device."""
    if isinstance(value, Tensor):
        return value.to(losses).unsqueeze(-1)
    return losses.new_full((1,), value)


def _checked(losses: Tensor, rule: str, params: Params) -> list[Tensor]:
    """Every `_column` that the rule takes, once all input is found valid."""
    if rule not in RULES:
        raise ValueError(f"rule is {rule!r}: expected one of {', '.join(RULES)}")
    takes = RULES[rule].params
    if set(params) != set(takes):
        given, names = (", ".join(p) or "none" for p in (params, takes))
        raise ValueError(f"rule {rule!r} got parameters {given}: it takes {names}")
    if not isinstance(losses, Tensor) or not losses.is_floating_point():
        kind = getattr(losses, "dtype", type(losses).__name__)
        raise ValueError(f"losses is {kind}: expected a tensor of floats [..., n]")
    if losses.ndim == 0 or losses.numel() == 0:
        raise ValueError(f"losses is {list(losses.shape)}: expected [..., n], n ≥ 1")
    if not (finite := losses.isfinite()).all():
        raise ValueError(f"losses holds {losses[~finite][0]}: expected finite numbers")
    columns, most = [], (losses.shape[-1] - 1) / 2
    for name in takes:
        value, members = params[name], list(losses.shape[:-1])
        try:
            columns.append(_column(value, losses).expand(*members, 1))
        except (TypeError, RuntimeError):
            given = f"{list(value.shape)}" if isinstance(value, Tensor) else repr(value)
            raise ValueError(
                f"{name} is {given}: expected a number, or a tensor that broadcasts "
                f"to {members} for losses {list(losses.shape)}"
            ) from None
        expected, allowed = _RANGES[name]
        if (bad := ~allowed(columns[-1], most)).any():
            worst = columns[-1][bad][0].item()
            raise ValueError(f"{name} is {worst}: expected {expected.format(most)}")
    return columns


@torch.no_grad()
def weights_of(rule: str, losses: Tensor, params: Params) -> Tensor:
    """`example_weights` without its checks, for training loops.

    Nothing is read back from a GPU; a bad parameter gives bad weights.
    """
    found = RULES[rule]
    return found.risk(losses, *(_column(params[p], losses) for p in found.params))[1]


def example_weights(losses: Tensor, rule: str, **params: float | Tensor) -> Tensor:
    """Weight of every example: the derivative of `objective` by its loss.

    Parameters
    ----------
    losses : Tensor [..., n]
        One batch of n losses per member.
    rule : str
        A key of `RULES`.
    **params : float or Tensor
        Those in ``RULES[rule].params``; a tensor broadcasts to the leading
        dimensions [...], so that each member may have its own.

    Returns
    -------
    Tensor [..., n]
        Without a graph. Sums to 1 for ``erm``, ``cvar``, ``chi2_dro`` and ``tilted``;
        where negative, the loss is raised. Tied losses have equal weights.

    Raises
    ------
    ValueError
        For losses that are empty or not finite, a rule that is unknown, or parameters
        that are missing, too many, out of range or of a shape that does not fit.

    Examples
    --------
    >>> example_weights(torch.tensor([0.0, 3.0, 1.0, 2.0]), "cvar", quantile=0.5)
    tensor([0.0000, 0.5000, 0.0000, 0.5000])
    """
    _checked(losses, rule, params)
    return weights_of(rule, losses, params)


def objective(losses: Tensor, rule: str, **params: float | Tensor) -> Tensor:
    """Risk of every member [...], whose gradient is `example_weights`.

    Parameters and errors as there. Rules with a level add it to ``rho``, which
    changes the value only.
    """
    return RULES[rule].risk(losses, *_checked(losses, rule, params))[0].mean(-1)


def chi2_threshold(losses: Tensor, radius: float | Tensor) -> Tensor:
    """Minimiser th of ``th + sqrt(1 + 2 radius) sqrt(mean relu(l - th)^2)`` [...].

    In closed form: ``mean_k - sqrt(n var_k / ((1 + 2 radius) k - n))`` over the k
    losses above it; the largest loss where the ball holds all the mass on its ties.
    Derived, see chapter 3. Parameters and errors as in `example_weights`.
    """
    columns = _checked(losses, "chi2_dro", {"radius": radius})
    return _chi2_tail(losses, *columns)[0].squeeze(-1)


def effective_sample_size(weights: Tensor) -> Tensor:
    """``(sum w)^2 / sum w^2`` [...]: n where all weights [..., n] are equal.

    Weights of opposite signs cancel; NaN where all are zero.
    """
    return weights.sum(-1).square() / weights.square().sum(-1)
