"""Where cross-entropy drives classifiers and embeddings, in closed form.

Class c has n_c examples and the temperature delta_c. A logit is z_c(i) = w_c . h_i,
without a bias. In the unconstrained-features model (UFM) every embedding h_i is free,
and with a vanishing ridge on W and H its solution has the direction of

    min ||W||^2 / 2 + sum_i ||h_i||^2 / 2   subject to, for each c != y_i,
        "ldt", label-dependent temperature:   delta_y (w_y - w_c) . h_i >= 1
        "cdt", class-dependent temperature:   (delta_y w_y - delta_c w_c) . h_i >= 1

Cross-entropy (CE) is delta = 1 of either kind. Weights of examples and additive
adjustments are not in the constraints, so they do not move this limit.

Embeddings of a class coincide. With D = diag(delta), v = 1 ("ldt") or v_c = 1/delta_c
("cdt"), P = I - v v^T / v^T v and A = P diag(n_c / delta_c^2) P, the unique solution is

    Z = W H = P D^-1        W W^T = A^(1/2)        H^T H = D^-1 (A^+)^(1/2) D^-1

where column y of H is the embedding of class y. CE gives the geometry that arXiv
2208.05512 calls SELI. For STEP imbalance this is Theorem 1 of arXiv 2303.07608, see
`tailwise.geometry.printed`; the form for any counts and temperatures is derived in
chapter 5.
Matrices here are in float64 and in these units: every constraint is active, the
smallest margin is 1, and both factors are as long: tr W W^T = sum_c n_c ||h_c||^2. An
unequal ridge on W and H would only rescale the two Gram matrices.

`train_ufm`, from `tailwise.geometry.ufm`, trains the model.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

KINDS = ("ldt", "cdt")
Array = Tensor | np.ndarray | float | list | tuple
Grams = tuple[Tensor, Tensor]


def check_kind(kind: str) -> None:
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise ValueError(f"unknown kind {kind!r}: expected one of {known}")


def positive(name: str, values: Array) -> Tensor:
    """Values as float64 of shape [..., k], k >= 2; ValueError unless > 0 and finite."""
    values = torch.as_tensor(values, dtype=torch.float64)
    if values.ndim == 0 or values.shape[-1] < 2:
        shape = tuple(values.shape)
        raise ValueError(f"{name} has shape {shape}: expected [..., k], k ≥ 2")
    wrong = ~((values > 0) & values.isfinite())
    if wrong.any():
        raise ValueError(f"{name} holds {values[wrong][0].item()}: expected > 0")
    return values


def _check(class_counts: Array, delta: Array, kind: str) -> tuple[Tensor, Tensor]:
    """Counts and temperatures, of one shape [..., k]."""
    check_kind(kind)
    n, delta = positive("class_counts", class_counts), positive("delta", delta)
    if n.shape[-1] != (k := delta.shape[-1]):
        raise ValueError(f"delta is for {k} classes, class_counts for {n.shape[-1]}")
    return tuple(torch.broadcast_tensors(n, delta.to(n.device)))


def temperatures(n: Array, gamma: Array, *, mean_one: bool = False) -> Tensor:
    """Temperatures ``delta_c = (n_c / n_max)^gamma`` for counts n, ``[..., k]``.

    With gamma > 0 rare classes get a smaller delta, so a larger margin. Only ratios
    change the limit; `mean_one` divides by the mean over the classes, as code released
    for arXiv 2303.07608 does, which changes the speed and what a ridge does.
    """
    n = positive("class_counts", n)
    gamma = torch.as_tensor(gamma, dtype=n.dtype, device=n.device).unsqueeze(-1)
    if not gamma.isfinite().all():
        raise ValueError("gamma is not finite: expected numbers")
    delta = (n / n.amax(-1, keepdim=True)) ** gamma
    return delta / delta.mean(-1, keepdim=True) if mean_one else delta


def etf_temperatures(class_counts: Array) -> Tensor:
    """The symmetric point: with these "ldt" gives an ETF for any counts (gamma 1/2)."""
    return temperatures(class_counts, 0.5)


def etf_gram(k: int) -> Tensor:
    """Gram matrix ``I - 1/k`` of a simplex equiangular tight frame."""
    return torch.eye(k, dtype=torch.float64) - 1 / k


def null_direction(delta: Tensor, kind: str) -> Tensor:
    """The v of this page: ``sum_c v_c w_c = 0`` and ``sum_c delta_c v_c h_c = 0``.

    It tells how to centre the features of a trained network before they are compared.
    """
    check_kind(kind)
    return torch.ones_like(delta) if kind == "ldt" else 1 / delta


def centred(H: Tensor, delta: Tensor, v: Tensor) -> Tensor:
    """Class embeddings ``[..., k, d]`` moved to a zero sum with weights delta v."""
    share = delta * v / (delta * v).sum(-1, keepdim=True)
    return H - (share.unsqueeze(-1) * H).sum(-2, keepdim=True)


def sel_matrix(delta: Array, kind: str) -> Tensor:
    """Logits Z ``[..., k, k]`` of the limit; column y is an example of class y.

    The simplex-encoded labels ``e_y - 1/k`` for CE, else ``P D^-1``.
    """
    check_kind(kind)
    delta = positive("delta", delta)
    v = null_direction(delta, kind)
    v = v / v.norm(dim=-1, keepdim=True)
    P = torch.eye(v.shape[-1]).to(v) - v.unsqueeze(-1) * v.unsqueeze(-2)
    return P / delta.unsqueeze(-2)


def _roots(n: Tensor, delta: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """A^(1/2) and (A^+)^(1/2), [..., k, k]."""
    # Columns 2 to k of the reflection that takes v to the first axis, up to a sign, are
    # a basis Q of the complement of v. There A = R^T R has full rank, and the singular
    # values of R keep more digits than the eigenvalues of A.
    u = v / v.norm(dim=-1, keepdim=True)
    u[..., 0] += 1
    mirror = 2 * u.unsqueeze(-1) * u.unsqueeze(-2) / (u * u).sum(-1)[..., None, None]
    Q = (torch.eye(u.shape[-1]).to(u) - mirror)[..., 1:]
    R = n.sqrt().div(delta).unsqueeze(-1) * Q
    _, s, Vh = torch.linalg.svd(R, full_matrices=False)
    axes = Q @ Vh.mT
    return axes * s.unsqueeze(-2) @ axes.mT, axes / s.unsqueeze(-2) @ axes.mT


def grams_at(n: Tensor, delta: Tensor, v: Tensor) -> Grams:
    """`predicted_grams`, unchecked, for the null directions v ``[..., k]``."""
    root, inverse = _roots(n, delta, v)
    return root, inverse / (delta.unsqueeze(-1) * delta.unsqueeze(-2))


def predicted_grams(class_counts: Array, delta: Array, kind: str) -> Grams:
    """Gram matrices of classifiers and of class embeddings in the limit.

    Parameters
    ----------
    class_counts : array_like [..., k]
        Examples of each class; they need not be integers.
    delta : array_like [..., k]
        Temperatures, 1 for plain cross-entropy; leading dimensions broadcast.
    kind : {"ldt", "cdt"}

    Returns
    -------
    gram_w, gram_h : Tensor [..., k, k], float64
        ``W W^T`` and ``H^T H``, in the units of this module.

    Raises
    ------
    ValueError
        For counts or temperatures that are not positive and finite, an unknown kind,
        shapes that do not fit or fewer than two classes.

    Examples
    --------
    >>> counts = [100, 20, 10]
    >>> gram_w, _ = predicted_grams(counts, etf_temperatures(counts), "ldt")
    >>> bool(gram_error(gram_w, etf_gram(3)) < 1e-12)
    True
    """
    n, delta = _check(class_counts, delta, kind)
    return grams_at(n, delta, null_direction(delta, kind))


def multipliers(class_counts: Array, delta: Array, kind: str) -> Tensor:
    """Dual multipliers of the margins of one example, ``[..., k (c), k (y)]``.

    ``-[(A^+)^(1/2) Z]_cy``, over delta_y for "ldt" and delta_c for "cdt"; zero for
    c = y, all others positive. Training enforces the constraint with the smallest one
    last. Its logarithm, minus that of the example's weight, is the additive offset
    ``iota_{c|y}`` that removes most of the bias of a finite ridge.
    """
    n, delta = _check(class_counts, delta, kind)
    dual = -_roots(n, delta, null_direction(delta, kind))[1] @ sel_matrix(delta, kind)
    scale = delta.unsqueeze(-2 if kind == "ldt" else -1)
    return (dual / scale) * (1 - torch.eye(n.shape[-1]).to(dual))


def norms_and_cosines(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths ``[..., k]`` and cosines ``[..., k, k]`` of vectors, from their Gram."""
    length = gram.diagonal(dim1=-2, dim2=-1).sqrt()
    return length, gram / (length.unsqueeze(-1) * length.unsqueeze(-2))


def gram_error(measured: Tensor, predicted: Tensor) -> Tensor:
    """Frobenius distance ``[...]`` of two Gram matrices, each scaled to norm one."""
    norm = torch.linalg.matrix_norm
    unit = [G / norm(G, keepdim=True) for G in (measured, predicted)]
    return norm(unit[0] - unit[1])


@dataclass(frozen=True)
class Blocks:
    """Vectors of majority and minority classes, in a few numbers ``[...]`` each.

    Mean squared lengths, and mean cosines of pairs of majority classes, of minority
    classes, and of one each; NaN where there is no pair. Such averages can agree while
    single entries do not: see also `gram_error`.
    """

    norm2_major: Tensor
    norm2_minor: Tensor
    cos_major: Tensor
    cos_minor: Tensor
    cos_between: Tensor

    @property
    def norm2_ratio(self) -> Tensor:
        """Squared length of majority over minority vectors."""
        return self.norm2_major / self.norm2_minor


def blocks(gram: Tensor, minority: Array) -> Blocks:
    """Summary of a Gram matrix ``[..., k, k]``; minority ``[k]`` is True for some."""
    minority = torch.as_tensor(minority, dtype=torch.bool, device=gram.device)
    if minority.shape != gram.shape[-1:] or minority.all() or not minority.any():
        raise ValueError(
            f"minority is {minority.tolist()}: expected [k], of both kinds"
        )
    M, m = (~minority).nonzero()[:, 0], minority.nonzero()[:, 0]
    length, cos = norms_and_cosines(gram)

    def within(rows: Tensor) -> Tensor:
        i, j = torch.triu_indices(len(rows), len(rows), 1, device=rows.device)
        return cos[..., rows[i], rows[j]].mean(-1)

    between = cos[..., M, :][..., m].mean((-2, -1))
    mean = [length[..., rows].square().mean(-1) for rows in (M, m)]
    return Blocks(*mean, within(M), within(m), between)


def step_counts(k_major: int, k_minor: int, ratio: Array, n_minor: Array = 1) -> Tensor:
    """Counts ``[..., k]`` of STEP imbalance, majority first, with n_major / n_minor."""
    if min(k_major, k_minor) < 1:
        raise ValueError(f"k_major, k_minor are {k_major, k_minor}: expected ≥ 1")
    ratio, n_minor = (torch.as_tensor(x, dtype=torch.float64) for x in (ratio, n_minor))
    # Either may be a number beside a tensor on another device.
    n_major, n_minor = ratio * n_minor, torch.ones_like(ratio) * n_minor
    pair = torch.stack([n_major, n_minor], -1)
    which = torch.tensor([0] * k_major + [1] * k_minor)
    return positive("class_counts", pair[..., which])


def step_blocks(
    k_major: int,
    k_minor: int,
    ratio: Array,
    gamma: Array,
    kind: str,
    n_minor: Array = 1,
) -> tuple[Blocks, Blocks]:
    """The geometry under STEP imbalance, of W and H, without linear algebra.

    Equals `predicted_grams` with ``delta = temperatures(counts, gamma)``; ratio, gamma
    and n_minor broadcast. Of "ldt", W depends on ``ratio^(1 - 2 gamma)`` only.
    """
    check_kind(kind)
    n = step_counts(k_major, k_minor, ratio, n_minor)[..., [0, -1]]
    delta = temperatures(n, gamma)
    n, delta = torch.broadcast_tensors(n, delta)
    # Of A: eigenvalue m_M (k_M - 1 times), m_m (k_m - 1 times), s (once) and 0 (once).
    size, m = n.new_tensor([k_major, k_minor]), n / delta**2
    share = size * null_direction(delta, kind) ** 2
    share = share / share.sum(-1, keepdim=True)
    s = (m * share.flip(-1)).sum(-1, keepdim=True)
    u = share.flip(-1) / size
    u_between = -(share / size).prod(-1).sqrt()

    def summary(power: float, scale: Tensor) -> Blocks:
        own, mixed = m**power, s**power
        norm2 = (own * (1 - 1 / size) + mixed * u) * scale**2
        pair = (mixed * u - own / size) * scale**2
        cos = (pair / norm2).masked_fill(size == 1, math.nan)
        between = mixed[..., 0] * u_between * scale.prod(-1) / norm2.prod(-1).sqrt()
        return Blocks(*norm2.unbind(-1), *cos.unbind(-1), between)

    return summary(0.5, torch.ones_like(delta)), summary(-0.5, 1 / delta)
