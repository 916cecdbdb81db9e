"""The unconstrained-features model (UFM), many configurations trained at once.

A configuration minimises, over W and the embeddings h_i of all N examples,

    1/N sum_i omega_y log(1 + sum_{c != y} exp(zt_c - zt_y))
        + ridge / 2 (||W||^2 + ||H||^2),      zt_c = a_y Delta_c w_c . h_i + iota_{c|y}

with (a_y, Delta_c) = (delta_y, 1) for "ldt" and (1, delta_c) for "cdt". Embeddings of a
class that start together stay together, so the parameters are W and the vectors
g_c = sqrt(n_c) h_c: gradient descent takes the same path as on all N embeddings.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tailwise.geometry import seli
from tailwise.profiles import reseeded


@dataclass(frozen=True)
class Config:
    """One parameterization of cross-entropy, and how it is trained.

    Attributes
    ----------
    kind : {"ldt", "cdt"}
    gamma : float
        ``delta_c = (n_c / n_max)^gamma``; 0 is plain cross-entropy.
    delta : sequence [k], optional
        Temperatures instead of gamma's.
    tau : float
        Additive adjustment: ``iota_c = tau log(n_c / N)``.
    offset : nested sequence [k (c), k (y)], optional
        Added to iota, such as the logarithm of `seli.multipliers`; the diagonal is
        ignored.
    weight_power : float
        ``omega_c`` is proportional to ``n_c^-weight_power``, with mean 1 over examples.
    weight : sequence [k], optional
        Weights instead of those, taken as they are.
    ridge : float
    lr : float
        Length of a step where `normalised`; else it multiplies the gradient.
    normalised : bool
        Divide the gradient by its norm. Without, the ridgeless model crawls.
    init : float
        Standard deviation of the first parameters.
    seed : int
        Draws the first parameters; configurations with one seed start together. Some
        starts need several times the steps of others.
    """

    kind: str = "ldt"
    gamma: float = 0.0
    delta: Sequence[float] | None = None
    tau: float = 0.0
    offset: Sequence[Sequence[float]] | None = None
    weight_power: float = 0.0
    weight: Sequence[float] | None = None
    ridge: float = 0.0
    lr: float = 0.5
    normalised: bool = True
    init: float = 0.1
    seed: int = 0

    def __post_init__(self):
        seli.check_kind(self.kind)
        for name in ("gamma", "tau", "weight_power"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}: expected a number")
        if not 0 <= self.ridge < math.inf:
            raise ValueError(f"ridge is {self.ridge}: expected ≥ 0")
        for name in ("lr", "init"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: expected > 0")


@dataclass(frozen=True, kw_only=True)
class UFM:
    """Trained members, one per configuration.

    Attributes
    ----------
    configs : tuple of Config
    class_counts, delta : Tensor [B, k]
    W, H : Tensor [B, k, d]
        Classifiers and class embeddings; of a member that diverged, at the last check
        that found it finite.
    steps : Tensor [T]
        Steps taken at each check.
    error_w, error_h : Tensor [B, T]
        `seli.gram_error` to the limit without ridge; NaN once diverged.
    log_loss : Tensor [B, T]
        Logarithm of the loss without its ridge; -1000 is a common value.
    diverged : Tensor [B]
    """

    configs: tuple[Config, ...]
    class_counts: Tensor
    delta: Tensor
    W: Tensor
    H: Tensor
    steps: Tensor
    error_w: Tensor
    error_h: Tensor
    log_loss: Tensor
    diverged: Tensor

    @property
    def grams(self) -> seli.Grams:
        """Gram matrices of W and of the class embeddings, ``[B, k, k]``."""
        return self.W @ self.W.mT, self.H @ self.H.mT


class Loss:
    """The losses of B configurations, as numbers per label y and class c.

    Parameters
    ----------
    n : Tensor [B, k]
        Class counts.
    configs : sequence of Config, length B

    Attributes
    ----------
    delta, omega : Tensor [B, k]
        Temperatures, and weights of examples by their label.
    factor, offset : Tensor [B, k (y), k (c)]
        ``zt_c = factor_yc z_c + offset_yc`` for an example with label y.
    log_mass : Tensor [B, k (y), k (c)]
        Logarithm of ``n_y omega_y / N``, -inf for c = y.
    """

    def __init__(self, n: Tensor, configs: Sequence[Config]):
        self.n = n
        B, k = n.shape

        def rows(name: str, default: Callable[[int], Tensor], *shape: int) -> Tensor:
            found = []
            for b, c in enumerate(configs):
                v = getattr(c, name)
                v = torch.as_tensor(
                    default(b) if v is None else v, dtype=n.dtype, device=n.device
                )
                v = v.clone().fill_diagonal_(0) if v.ndim == 2 else v
                if v.shape != shape or not v.isfinite().all():
                    v = v.tolist()
                    raise ValueError(f"{name} is {v}: expected finite, {list(shape)}")
                found.append(v)
            return torch.stack(found)

        def weight(b: int) -> Tensor:
            raw = n[b] ** -configs[b].weight_power
            return raw * n[b].sum() / (n[b] * raw).sum()

        def delta(b: int) -> Tensor:
            return seli.temperatures(n[b], configs[b].gamma)

        self.delta = seli.positive("delta", rows("delta", delta, k))
        self.omega = seli.positive("weight", rows("weight", weight, k))
        pairs = rows("offset", lambda b: n.new_zeros(k, k), k, k)
        ldt = torch.tensor([c.kind == "ldt" for c in configs], device=n.device)
        self.ldt = ldt.unsqueeze(-1)
        # "ldt" scales rows of the logits, "cdt" columns.
        delta = self.delta.unsqueeze(-1)
        self.factor = torch.where(ldt[:, None, None], delta, delta.mT).expand(B, k, k)
        share = n / n.sum(-1, keepdim=True)
        tau = n.new_tensor([[c.tau] for c in configs])
        self.offset = (tau * share.log()).unsqueeze(-2) + pairs.mT
        mass = (share * self.omega).log().unsqueeze(-1).expand(B, k, k)
        own = torch.eye(k, dtype=torch.bool, device=n.device)
        self.log_mass = mass.masked_fill(own, -math.inf)
        # Z = G W^T has sqrt(n_y) in its rows.
        self.scale = self.factor / n.sqrt().unsqueeze(-1)

    def log_value(self, Z: Tensor) -> Tensor:
        """Logarithm of the loss [B], right where the loss itself would be zero.

        Z [B, k (y), k (c)] are products of g_y and w_c.
        """
        zt = torch.addcmul(self.offset, Z, self.scale)
        gap = zt - zt.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
        own = torch.eye(Z.shape[-1], dtype=torch.bool, device=Z.device)
        gap = gap.masked_fill(own, -math.inf).logsumexp(-1)
        log = torch.where(gap < -30, gap, softplus(gap).log())
        return (log + self.log_mass.amax(-1)).logsumexp(-1)  # -inf only for c = y

    def targets(self) -> seli.Grams:
        """Gram matrices of the limits, [B, k, k]."""
        v = torch.where(self.ldt, 1.0, 1 / self.delta)
        return seli.grams_at(self.n, self.delta, v)


class Descent:
    """Gradient descent on theta [B, 2, k, d]: W, and G with rows sqrt(n_c) h_c."""

    def __init__(self, loss: Loss, theta: Tensor, configs: Sequence[Config]):
        def column(name: str) -> Tensor:
            return theta.new_tensor([float(getattr(c, name)) for c in configs])

        self.loss, self.theta = loss, theta
        self.W, self.G = theta.unbind(1)
        self.grad = torch.empty_like(theta)
        self.ridge = column("ridge").view(-1, 1, 1, 1)
        self.lr, normalised = column("lr"), column("normalised").bool()
        # A member without ridge may scale its gradient freely, if it is normalised.
        self.free = normalised & (self.ridge.flatten() == 0)
        self.plain = ~normalised
        self.any_plain, self.any_kept = self.plain.any(), ~self.free.all()
        self.Z = theta.new_empty(theta.shape[0], theta.shape[2], theta.shape[2])

    def slope(self) -> Tensor:
        """Fill `grad`; the logarithms [B] of what members with `free` divided it by."""
        loss, Z = self.loss, self.Z
        torch.bmm(self.G, self.W.mT, out=Z)
        torch.addcmul(loss.offset, Z, loss.scale, out=Z)
        # log of mass * p(c | y) for wrong c. With margins in the hundreds p underflows:
        # its largest entry is divided out, and p(y) - 1 is minus the sum of the rest.
        C = torch.log_softmax(Z, -1).add_(loss.log_mass)
        top = C.flatten(1).amax(-1)
        C.sub_(top[:, None, None]).exp_()
        C.diagonal(dim1=-2, dim2=-1).copy_(-C.sum(-1))
        C.mul_(loss.scale)
        if self.any_kept:
            C.mul_(torch.where(self.free, 1.0, top.exp())[:, None, None])
        self.grad[:, 0] = torch.bmm(C.mT, self.G)
        self.grad[:, 1] = torch.bmm(C, self.W)
        if self.any_kept:
            self.grad.addcmul_(self.ridge, self.theta)
        return top

    def step(self, rate: float) -> None:
        self.slope()
        length = torch.linalg.vector_norm(self.grad.flatten(1), dim=-1)
        if self.any_plain:
            length = length.masked_fill(self.plain, 1.0)
        self.theta.addcmul_(self.grad, (self.lr * -rate / length).view(-1, 1, 1, 1))


def start(configs: Sequence[Config], k: int, d: int, like: Tensor) -> Tensor:
    """First parameters [B, 2, k, d]."""
    drawn = {
        seed: torch.randn(
            2, k, d, generator=torch.Generator().manual_seed(reseeded(seed))
        )
        for seed in {c.seed for c in configs}
    }
    return torch.stack([c.init * drawn[c.seed].to(like) for c in configs])


def check(class_counts, configs: Sequence[Config], d: int | None) -> tuple:
    n = seli.positive("class_counts", class_counts)
    B, k = len(configs), n.shape[-1]
    if not B or n.shape not in ((k,), (B, k)):
        raise ValueError(
            f"class_counts has shape {tuple(n.shape)} for {B} configs: "
            f"expected [k] or [B, k], and a config at least"
        )
    d = 2 * k if d is None else d
    if d < k - 1:
        raise ValueError(f"d is {d}: expected ≥ k - 1 = {k - 1} dimensions")
    return n.expand(B, k), d


@torch.no_grad()
def train_ufm(
    class_counts: seli.Array,
    configs: Sequence[Config],
    *,
    d: int | None = None,
    steps: int = 3000,
    decay: float = 1.0,
    checks: int = 30,
    progress: Callable[[int, int], None] | None = None,
) -> UFM:
    """Train every configuration, all as one tensor program, in float64.

    Parameters
    ----------
    class_counts : array_like [k] or [B, k]
        One for all configurations, or one each.
    configs : sequence of Config, length B
    d : int, optional
        Dimension of the embeddings, at least k - 1; 2 k by default.
    steps : int
    decay : float
        Steps shrink geometrically, the last by this factor. Without a ridge they can
        stay as long, for the parameters grow; with one, use such as 1e-4.
    checks : int
        How often to measure; evenly in the logarithm of the steps taken.
    progress : callable, optional
        Called with (done, total) after each check.

    Raises
    ------
    ValueError
        For counts, temperatures or weights that are not positive and finite, an unknown
        kind, d < k - 1, and shapes or numbers that do not fit.

    Examples
    --------
    >>> counts = [50, 50, 5, 5]
    >>> trained = train_ufm(counts, [Config(gamma=0.5), Config(weight_power=1)])
    >>> bool(trained.error_w[:, -1].amax() < 0.01)
    True
    """
    configs = tuple(configs)
    n, d = check(class_counts, configs, d)
    if min(steps, checks) < 1 or not 0 < decay < math.inf:
        raise ValueError(
            f"steps, checks, decay are {steps, checks, decay}: expected ≥ 1, ≥ 1, > 0"
        )
    loss = Loss(n, configs)
    descent = Descent(loss, start(configs, n.shape[-1], d, n), configs)
    kept, alive, history = descent.theta.clone(), n.new_ones(len(n)).bool(), []
    targets, root = loss.targets(), n.sqrt().unsqueeze(-1)
    stops = {round(steps ** (i / checks)) for i in range(1, checks + 1)}
    for step in range(steps):
        descent.step(decay ** (step / max(1, steps - 1)))
        if step + 1 in stops:
            alive = alive & descent.theta.flatten(1).isfinite().all(-1)
            kept = torch.where(alive.view(-1, 1, 1, 1), descent.theta, kept)
            W, H = kept[:, 0], kept[:, 1] / root
            grams = W @ W.mT, H @ H.mT
            found = [seli.gram_error(G, t) for G, t in zip(grams, targets)]
            found.append(loss.log_value(kept[:, 1] @ kept[:, 0].mT))
            history.append(torch.stack(found).masked_fill(~alive, math.nan))
            if progress:
                progress(len(history), len(stops))
    error_w, error_h, log_loss = torch.stack(history, -1)
    return UFM(
        configs=configs,
        class_counts=n,
        delta=loss.delta,
        W=W,
        H=H,
        steps=torch.tensor(sorted(stops)),
        error_w=error_w,
        error_h=error_h,
        log_loss=log_loss,
        diverged=~alive,
    )
