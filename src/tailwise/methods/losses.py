"""Chapters 4 and 5: one family of cross-entropy losses for imbalanced classes.

For logits ``z`` of an example with label ``y``, all but `asymmetric_loss` are

    omega_y log(1 + sum_{c != y} exp(zt_c - zt_y)),    zt_c = a_y D_c z_c + iota_yc

with four knobs, neutral at 1, 1, 1 and 0. For ``n_c`` examples of class c, n in all, k
classes, these are the `LOSSES` and the knobs that they turn:

    ce    none                              wce   omega_y = n / (k n_y)
    la    iota_yc = tau log(n_c / n)        ldt   a_y = (n_y / n_max)^gamma
    cdt   D_c = (n_c / n_max)^gamma         vs    those of cdt and of la
    ldam  iota_yy = -max_margin (n_min / n_y)^(1/4); the margin of the true logit alone

a_y and D_c are temperatures that **multiply** logits; other texts divide by them. LDAM
with a scale s is that of ``s z`` and ``s max_margin``. Predictions are the argmax of
the raw logits. The sum leaves the label out, so that losses below machine epsilon keep
their digits. Bad input raises a ValueError that names it. Sources: arXiv 2103.01550
(VS), 2001.01385 (CDT) and 2303.07608 (LDT, its equation (3b); CDT is (3a), and the sign
of iota in its (2) is opposite to ours); the scale of wce is ours.
"""

import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

PerClass = Tensor | Sequence[float]  # one number per class, [k]; arrays work too
REDUCTIONS = ("none", "mean", "sum")


def _number(name: str, value: float, low=-math.inf, high=math.inf) -> float:
    if not isinstance(value, Real) or not low <= value <= high or math.isinf(value):
        raise ValueError(f"{name} is {value!r}: expected {low:g} to {high:g}, finite")
    return value


def _table(name: str, values: PerClass, logits: Tensor | None = None) -> Tensor:
    """Checked numbers per class: float64, or as the logits."""
    like = torch.empty(0, dtype=torch.float64) if logits is None else logits
    device = None if logits is None else logits.device
    try:
        found = torch.as_tensor(values, dtype=like.dtype, device=device)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} is {values!r}: expected numbers, [k]") from None
    shape, k = list(found.shape), like.shape[-1] or max(found.numel(), 1)
    shapes, least = ([[k]], 0) if name != "offset" else ([[k], [k, k]], -math.inf)
    if shape not in shapes:
        wanted = " or ".join(map(str, shapes))
        raise ValueError(f"{name} is {shape}: expected {wanted}, numbers per class")
    if (bad := ~(found.isfinite() & (found > least))).any():
        value = found[bad][0].item()
        raise ValueError(f"{name} holds {value:g}: expected finite numbers > {least}")
    return found


def _check_batch(logits: Tensor, target: Tensor, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}: expected one of {REDUCTIONS}")
    for name, x, kind in (("logits", logits, "floats"), ("target", target, "integers")):
        if not isinstance(x, Tensor) or x.is_floating_point() != (kind == "floats"):
            given = getattr(x, "dtype", type(x).__name__)
            raise ValueError(f"{name} is {given}: expected a tensor of {kind}")
    *batch, k = shape = list(logits.shape) or [0]
    if k < 2 or logits.numel() == 0:
        raise ValueError(f"logits is {shape}: expected [..., k], k ≥ 2, not empty")
    if list(target.shape) != batch:
        raise ValueError(f"target is {list(target.shape)}: expected {batch}, as logits")
    if not (finite := logits.isfinite()).all():
        raise ValueError(f"logits holds {logits[~finite][0]}: expected finite numbers")
    if (bad := target != target.long().clamp(0, k - 1)).any():  # uint8 holds no 300
        raise ValueError(f"target holds {target[bad][0]}: expected labels 0 to {k - 1}")


def inverse_frequency(class_counts: PerClass, power: float = 1.0) -> Tensor:
    """Weights ``∝ n_c^-power``, float64 [k], with mean one over the examples."""
    counts = _table("class_counts", class_counts)
    weights = (counts / counts.max()) ** -_number("power", power)
    return weights * (counts.sum() / (counts @ weights))


def log_priors(class_counts: PerClass, tau: float = 1.0) -> Tensor:
    """Offsets of logit adjustment, ``iota_c = tau log(n_c / n)``."""
    counts = _table("class_counts", class_counts)
    return _number("tau", tau) * (counts / counts.sum()).log()


def temperatures(class_counts: PerClass, gamma: float) -> Tensor:
    """Multipliers of logits, ``delta_c = (n_c / n_max)^gamma``.

    Smaller for a rare class if gamma > 0, so that it needs a larger margin. Released
    code rescales them to mean one: another speed, the same limit.
    """
    counts = _table("class_counts", class_counts)
    return (counts / counts.max()) ** _number("gamma", gamma)


def _margins(class_counts: PerClass, max_margin: float) -> Tensor:
    # -m_y on the diagonal: from the true logit alone
    counts = _table("class_counts", class_counts)
    most = _number("max_margin", max_margin, 0)
    return -(most * (counts.min() / counts) ** 0.25).diag()


# Which knobs of a loss are not neutral: how to make them, from which parameters.
LOSSES: dict[str, dict[str, tuple]] = {
    "ce": {},
    "wce": {"weight": (inverse_frequency,)},
    "la": {"offset": (log_priors, "tau")},
    "ldt": {"label_temperature": (temperatures, "gamma")},
    "cdt": {"class_temperature": (temperatures, "gamma")},
    "vs": {"class_temperature": (temperatures, "gamma"), "offset": (log_priors, "tau")},
    "ldam": {"offset": (_margins, "max_margin")},
}


def knobs(loss: str, class_counts: PerClass, **params: float) -> dict[str, Tensor]:
    """Knobs that a loss in `LOSSES` turns, to pass to `adjusted_cross_entropy`."""
    if loss not in LOSSES:
        raise ValueError(f"loss is {loss!r}: expected one of {', '.join(LOSSES)}")
    takes = [name for _, *names in LOSSES[loss].values() for name in names]
    if set(params) != set(takes):
        given, names = (", ".join(p) or "none" for p in (params, takes))
        raise ValueError(f"loss {loss!r} got parameters {given}: it takes {names}")
    counts = _table("class_counts", class_counts)
    recipes = LOSSES[loss].items()
    return {
        k: make(counts, *(params[p] for p in names)) for k, (make, *names) in recipes
    }


def _log_odds_against(z: Tensor, label: Tensor) -> Tensor:
    """``log sum_{c != y} exp(z_c - z_y)`` [...], for labels [..., 1]."""
    gaps = z - z.gather(-1, label)
    return gaps.scatter(-1, label, -math.inf).logsumexp(-1)


def _reduced(losses: Tensor, reduction: str, weight: Tensor | None = None) -> Tensor:
    losses = losses if weight is None else weight * losses
    if reduction == "mean":
        return losses.mean() if weight is None else losses.sum() / weight.sum()
    return losses.sum() if reduction == "sum" else losses


def adjusted_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    label_temperature: PerClass | None = None,
    class_temperature: PerClass | None = None,
    offset: PerClass | None = None,
    weight: PerClass | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of ``zt_c = a_y D_c z_c + iota_yc``, weighted by ``omega_y``.

    Parameters
    ----------
    logits : Tensor [..., k]
        Classes last, k ≥ 2. The result, [...] or a scalar, has their type and device.
    target : Tensor [...]
        Labels 0 to k - 1, of an integer type.
    label_temperature, class_temperature, weight : Tensor or sequence [k], optional
        ``a``, ``D`` and ``omega``, all > 0. Gradients reach those that are tensors.
    offset : Tensor or sequence [k] or [k, k], optional
        ``iota_c`` for every label, or ``iota_yc`` with a row per label.
    reduction : {"none", "mean", "sum"}
        "none" and "sum" keep the weights. "mean" divides by **the sum of the weights
        in the batch**, as ``torch.nn.functional.cross_entropy`` does: their scale drops
        out, and so do they in a batch of one label. For the count, average "none".

    ValueError for another shape, type or range, and for logits that are not finite.
    """
    _check_batch(logits, target, reduction)
    y, z = target.long(), logits
    if class_temperature is not None:
        z = z * _table("class_temperature", class_temperature, logits)
    if label_temperature is not None:
        a = _table("label_temperature", label_temperature, logits)
        z = z * a[y].unsqueeze(-1)
    if offset is not None:
        iota = _table("offset", offset, logits)
        z = z + (iota if iota.ndim == 1 else iota[y])
    if weight is not None:
        weight = _table("weight", weight, logits)[y]
    # log(1 + e^x), to the last digit at any x
    losses = -logsigmoid(-_log_odds_against(z, y.unsqueeze(-1)))
    return _reduced(losses, reduction, weight)


def family_loss(
    logits: Tensor, target: Tensor, class_counts: PerClass, loss: str, **params
) -> Tensor:
    """Loss in `LOSSES` by name; ``params`` are its own, ``weight`` and ``reduction``.

    A ``weight`` replaces the loss's own. The rest is as in `adjusted_cross_entropy`.
    """
    given = {"reduction": params.pop("reduction", "mean")}
    if (weight := params.pop("weight", None)) is not None:
        given["weight"] = weight
    counts, shape = _table("class_counts", class_counts), getattr(logits, "shape", ())
    if 0 not in shape and shape[-1:] not in ((), counts.shape):
        expected = f"{list(shape[-1:])} for logits {list(shape)}"
        raise ValueError(f"class_counts is {list(counts.shape)}: expected {expected}")
    found = knobs(loss, counts, **params)
    return adjusted_cross_entropy(logits, target, **found | given)


def vs_loss(
    logits: Tensor,
    target: Tensor,
    class_counts: PerClass,
    *,
    gamma: float = 0.0,
    tau: float = 0.0,
    weight: PerClass | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Vector scaling: cross-entropy of ``(n_c / n_max)^gamma z_c + tau log(n_c / n)``.

    CDT for tau = 0, logit adjustment for gamma = 0, plain cross-entropy for both.
    The counts are those of the training set. All else, and by what "mean" divides, is
    as in `adjusted_cross_entropy`.

    Examples
    --------
    >>> vs_loss(torch.tensor([[2.0, 1.0]]), torch.tensor([1]), [90, 10], tau=1.0)
    tensor(3.2373)
    """
    given = dict(gamma=gamma, tau=tau, weight=weight, reduction=reduction)
    return family_loss(logits, target, class_counts, "vs", **given)


def ldt_loss(
    logits: Tensor,
    target: Tensor,
    class_counts: PerClass,
    *,
    gamma: float,
    weight: PerClass | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Label-dependent temperature: cross-entropy of ``(n_y / n_max)^gamma z_c``.

    All logits of an example are scaled by the number of its label y, not each by that
    of its own class c. Parameters and errors as in `vs_loss`.
    """
    given = dict(gamma=gamma, weight=weight, reduction=reduction)
    return family_loss(logits, target, class_counts, "ldt", **given)


def asymmetric_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma_pos: float = 0.0,
    gamma_neg: float = 4.0,
    smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Single-label asymmetric loss ``-sum_c t_c f_c log p_c``, ``p = softmax(z)``.

    ``t_c = (1 - smoothing) [c = y] + smoothing / k``; ``f_y = (1 - p_y)^gamma_pos`` and
    ``f_c = p_c^gamma_neg`` else. So **gamma_neg does nothing without smoothing**, and
    mostly undoes it if there is some. Both gammas are ≥ 0; at 0 this is cross-entropy
    with label smoothing. The rest is as in `adjusted_cross_entropy`. Source: released
    code of LPT, whose gradient is NaN where p_y rounds to 1 if 0 < gamma_pos < 1.
    """
    _check_batch(logits, target, reduction)
    label, k = target.long().unsqueeze(-1), logits.shape[-1]
    spread = _number("smoothing", smoothing, 0, 1) / k
    pos, neg = _number("gamma_pos", gamma_pos, 0), _number("gamma_neg", gamma_neg, 0)
    odds, log_p = _log_odds_against(logits, label), logits.log_softmax(-1)
    # From log(1 - p_y), since a power of 1 - p_y has an infinite slope at 0.
    true = (pos * logsigmoid(odds)).exp() * logsigmoid(-odds)
    others = ((neg * log_p).exp() * log_p).scatter(-1, label, 0).sum(-1)
    return _reduced(-(1 - (k - 1) * spread) * true - spread * others, reduction)


def focal_loss(
    logits: Tensor, target: Tensor, *, gamma: float = 2.0, reduction: str = "mean"
) -> Tensor:
    """Focal loss ``-(1 - p_y)^gamma log p_y`` with ``p = softmax(z)``.

    Sure and right examples count less; at ``gamma = 0`` this is cross-entropy. It is
    `asymmetric_loss` with ``gamma_pos = gamma`` and no smoothing, under the name that
    people look for. It knows nothing of class counts. Lin et al., 2017, arXiv
    1708.02002, equation 4, for several classes.

    Examples
    --------
    >>> z, y = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    >>> bool(focal_loss(z, y) < focal_loss(z, y, gamma=0))
    True
    """
    return asymmetric_loss(
        logits, target, gamma_pos=gamma, gamma_neg=0.0, reduction=reduction
    )
