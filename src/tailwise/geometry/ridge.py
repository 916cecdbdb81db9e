"""The unconstrained-features model with a finite ridge, solved exactly.

The solution has the symmetry of the problem: classes with equal counts and temperatures
can be exchanged. So a few numbers describe it, 12 under STEP imbalance, and Newton's
method finds them, for many ridges at once.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tailwise.geometry import seli, ufm


def _blocks(loss: ufm.Loss) -> Tensor:
    """Labels [k] of classes that can be exchanged without changing the loss."""
    n = loss.n[0]
    labels, alone = n.unique(return_inverse=True)[1], torch.arange(len(n)).to(n.device)
    offset = loss.offset[0] - loss.offset[0].diagonal().unsqueeze(-1)
    order = labels.argsort()
    for i, j in zip(order, order[1:]):
        swap = alone.clone()
        swap[i], swap[j] = j, i
        for T in (loss.scale[0], loss.log_mass[0], offset):
            same = torch.allclose(T, T[swap][:, swap], rtol=1e-9, atol=1e-9)
            if labels[i] == labels[j] and not same:
                return alone
    return labels


def _symmetric_basis(labels: Tensor, n: Tensor) -> Tensor:
    """Orthogonal basis [p, k, k] of the matrices that such exchanges leave alone."""
    # A multiple of the identity on the differences within each block of two or more,
    # and any matrix on the block means: with two blocks 2 + 4 numbers.
    member = (labels == labels.unique().unsqueeze(-1)).to(n)
    means = member / member.norm(dim=-1, keepdim=True)
    between = means[:, None, :, None] * means[None, :, None, :]
    own = between.diagonal().movedim(-1, 0)
    within = (torch.diag_embed(member) - own)[member.sum(-1) > 1]
    return torch.cat([within, between.flatten(0, 1)])


def ridge_grams(
    class_counts: seli.Array,
    config: ufm.Config,
    ridges: Sequence[float],
    *,
    max_steps: int = 200,
) -> seli.Grams:
    """The exact solution for each of many ridges, by Newton's method on all at once.

    The solution has the symmetry of the problem. Under STEP imbalance W and G together
    are 12 numbers: for each, one for the differences within the majority, one within
    the minority, and a 2 x 2 matrix for the block means. Other counts have more.

    Parameters
    ----------
    class_counts : array_like [k]
        The ridge is per example, so with more examples of each class it weighs more.
    config : Config
        Describes the loss; its ridge and how it trains do not enter. The scale of its
        temperatures does: see `seli.temperatures`.
    ridges : sequence of float, length L
        Each > 0. The bias shrinks like 1 / log(1 / ridge): 1e-40 still shows it.

    Returns
    -------
    gram_w, gram_h : Tensor [L, k, k]
        Of W and of the class embeddings; NaN where the method did not converge.
    """
    n, _ = ufm.check(class_counts, [config], None)
    ridges = torch.as_tensor(ridges, dtype=n.dtype, device=n.device)
    if ridges.ndim != 1 or not (ridges > 0).all() or not ridges.isfinite().all():
        raise ValueError(f"ridges is {ridges.tolist()}: expected numbers > 0")
    loss = ufm.Loss(n, [config])
    basis = _symmetric_basis(_blocks(loss), n[0])

    def factors(x: Tensor) -> Tensor:  # [2, k, k]: W and G, whose rows are classes
        return torch.einsum("fp,pab->fab", x.view(2, -1), basis)

    def objective(x: Tensor, ridge: Tensor) -> Tensor:  # over the ridge
        W, G = factors(x)
        log = loss.log_value((G @ W.mT).unsqueeze(0))[0]
        return (log - ridge.log()).exp() + (x * x).view(2, -1).sum(0) @ lengths / 2

    # Start on the ray of the limit: the best of many multiples, for every ridge.
    lengths = (basis * basis).sum((-2, -1))
    U, S, Vh = torch.linalg.svd(
        seli.sel_matrix(loss.delta[0], config.kind) * n[0].sqrt()
    )
    limit = torch.stack([U * S.sqrt() @ U.mT, Vh.mT * S.sqrt() @ Vh])
    ray = (torch.einsum("fab,pab->fp", limit, basis) / lengths).flatten()
    ray = torch.logspace(-2, 2, 121).to(n).unsqueeze(-1) * ray
    each = torch.func.vmap(objective)
    value = torch.func.vmap(each, (None, 0))(ray, ridges.unsqueeze(-1).expand(-1, 121))
    x = ray[value.nan_to_num(nan=math.inf).argmin(-1)]
    return _newton(objective, factors, x, ridges, n[0], max_steps)


def _newton(objective, factors, x, ridges, n, max_steps: int) -> seli.Grams:
    """Minimise from x [L, p]; the Gram matrices there."""
    slope = torch.func.vmap(torch.func.grad_and_value(objective))
    curvature = torch.func.vmap(torch.func.jacrev(torch.func.grad(objective)))
    g, f = slope(x, ridges)
    damping = torch.ones_like(f)
    for _ in range(max_steps):
        converged = g.abs().amax(-1) <= 1e-9 * (1 + x.abs().amax(-1))
        if converged.all():
            break
        # Turning both factors together changes nothing, so some curvatures are zero,
        # and at a saddle they are negative: both are damped away.
        e, V = torch.linalg.eigh(curvature(x, ridges))
        move = (V.mT @ g.unsqueeze(-1)) / (e.abs() + damping.unsqueeze(-1)).unsqueeze(
            -1
        )
        moved = x - (V @ move).squeeze(-1)
        new_g, new_f = slope(moved, ridges)
        better = new_f <= f + 1e-13 * f.abs()
        x, g = (torch.where(better[:, None], a, b) for a, b in ((moved, x), (new_g, g)))
        f = torch.where(better, new_f, f)
        damping = torch.where(better, damping / 5, damping * 4)
    x = x.masked_fill(~converged.unsqueeze(-1), math.nan)
    W, G = torch.func.vmap(factors)(x).unbind(1)
    H = G / n.sqrt().unsqueeze(-1)
    return W @ W.mT, H @ H.mT
