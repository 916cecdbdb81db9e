"""Linear heads, many at a time: weighted least squares and weighted logistic loss.

Every routine takes ``n`` samples of ``d`` features and ``B`` problems. Features are
``[n, d]`` when the problems share them and ``[B, n, d]`` when each has its own.
Intercepts are never penalised.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


def check_problem(X: Tensor, y: Tensor, weights: Tensor, ridge: float) -> None:
    """Validate the shapes and values shared by the solvers of this module."""
    if X.ndim not in (2, 3) or weights.ndim != 2:
        raise ValueError(
            "expected X [n, d] or [B, n, d] and weights [B, n]: "
            f"got X {tuple(X.shape)} and weights {tuple(weights.shape)}"
        )
    B, n = weights.shape
    if X.shape[-2] != n or (X.ndim == 3 and X.shape[0] != B):
        raise ValueError(
            f"X {tuple(X.shape)} does not fit weights {tuple(weights.shape)}: "
            "expected X [n, d] or [B, n, d] with weights [B, n]"
        )
    if y.shape not in ((n,), (B, n)):
        raise ValueError(f"y has shape {tuple(y.shape)}: expected ({n},) or ({B}, {n})")
    if not X.is_floating_point() or X.dtype != weights.dtype:
        raise ValueError(
            f"X is {X.dtype} and weights is {weights.dtype}: expected one float type"
        )
    for name, values in (("X", X), ("y", y), ("weights", weights)):
        # A finite sum, the fast check, means finite terms.
        if not (values.sum().isfinite() or torch.isfinite(values).all()):
            worst = values[~torch.isfinite(values)][0].item()
            raise ValueError(f"{name} holds {worst}: expected finite numbers")
    if (weights < 0).any():
        raise ValueError(f"weights holds {weights.min().item()}: expected ≥ 0")
    if (weights.sum(-1) == 0).any():
        raise ValueError("weights holds a row that sums to zero: expected some weight")
    if not 0 <= ridge < float("inf"):
        raise ValueError(f"ridge is {ridge}: expected a finite number ≥ 0")


def check_labels(y: Tensor) -> None:
    """Validate that every set of labels holds -1 and +1 and nothing else."""
    if not (y.abs() == 1).all() or (y.amax(-1) == y.amin(-1)).any():
        found = y.unique().tolist()[:3]
        raise ValueError(f"y holds {found}: expected both labels -1 and +1 in each set")


def _centred_gram(X: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted means [B, d] and weighted centred Gram matrices H_w [B, d, d]."""
    mean = (weights.unsqueeze(-2) @ X).squeeze(-2) / weights.sum(-1, keepdim=True)
    root = (X - mean.unsqueeze(-2)) * weights.sqrt().unsqueeze(-1)
    return mean, root.mT @ root


def _penalised(H: Tensor, penalty: float) -> Tensor:
    return H + penalty * torch.eye(H.shape[-1], dtype=H.dtype, device=H.device)


def _cholesky(A: Tensor) -> Tensor | None:
    """Cholesky factors, or None if a matrix is singular up to rounding."""
    factor, failed = torch.linalg.cholesky_ex(A)
    pivots = factor.diagonal(dim1=-2, dim2=-1)
    floor = pivots.amax(-1) * (A.shape[-1] * torch.finfo(A.dtype).eps) ** 0.5
    singular = failed.any() or (pivots.amin(-1) <= floor).any()
    return None if singular else factor


def _solve(H: Tensor, penalty: float, rhs: Tensor) -> Tensor:
    """(H + penalty I)^-1 rhs for rhs [B, d, t]; least norm where H is singular."""
    A = _penalised(H, penalty)
    if (factor := _cholesky(A)) is None:
        return torch.linalg.pinv(A, hermitian=True) @ rhs
    return torch.cholesky_solve(rhs, factor)


def solve_heads(
    X: Tensor, y: Tensor, weights: Tensor, ridge: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Weighted least-squares heads with a free intercept, one per row of weights.

    Each minimises ``sum_i w_i (y_i - x_i.c - b)^2 + n * ridge * |c|^2``. With
    ``ridge=0`` and dependent features the solution of least norm is returned.

    Parameters
    ----------
    X : Tensor [n, d] or [B, n, d]
        Features, shared or one set per problem.
    y : Tensor [n] or [B, n]
        Targets; labels in {-1, +1} for a classifier.
    weights : Tensor [B, n]
        Sample weights, ≥ 0. Only with ``ridge=0`` is their scale irrelevant.
    ridge : float
        Penalty per sample, in units of the features' variance; ≥ 0.

    Returns
    -------
    coef : Tensor [B, d]
    intercept : Tensor [B]

    Raises
    ------
    ValueError
        For shapes that do not fit, non-finite values, weights that are negative or
        sum to zero, or a negative ridge.

    Examples
    --------
    >>> X = torch.tensor([[0.0], [1.0], [2.0]]); y = 3 * X[:, 0] + 1
    >>> coef, intercept = solve_heads(X, y, torch.ones(1, 3))
    >>> round(coef.item(), 4), round(intercept.item(), 4)
    (3.0, 1.0)
    """
    check_problem(X, y, weights, ridge)
    mean, H = _centred_gram(X, weights)
    y = y.expand(weights.shape)
    y_mean = (weights * y).sum(-1) / weights.sum(-1)
    moment = ((weights * (y - y_mean.unsqueeze(-1))).unsqueeze(-2) @ X).mT
    coef = _solve(H, X.shape[-2] * ridge, moment).squeeze(-1)
    return coef, y_mean - (mean * coef).sum(-1)


def effective_dof(X: Tensor, weights: Tensor, ridge: float) -> Tensor:
    """Effective degrees of freedom of weighted ridge heads, intercept not counted.

    ``df = tr(H_w (H_w + n * ridge * I)^-1)`` with the weighted centred Gram matrix
    ``H_w``; it is ``d`` for a full-rank fit without ridge and falls towards 0 as the
    ridge grows. Derived, see chapter 1.

    Parameters
    ----------
    X : Tensor [n, d] or [B, n, d]
    weights : Tensor [B, n]
        Scaled so that the majority class has weight 1.
    ridge : float

    Returns
    -------
    Tensor [B]

    Raises
    ------
    ValueError
        As `solve_heads`.
    """
    check_problem(X, X.new_zeros(X.shape[-2]), weights, ridge)
    return _dof(_centred_gram(X, weights)[1], X.shape[-2], ridge)


def _dof(H: Tensor, n: int, ridge: float) -> Tensor:
    spectrum = torch.linalg.eigvalsh(H).clamp_min(0)
    if ridge > 0:
        return (spectrum / (spectrum + n * ridge)).sum(-1)
    tolerance = spectrum[..., -1:] * max(n, H.shape[-1]) * torch.finfo(H.dtype).eps
    return (spectrum > tolerance).sum(-1).to(H.dtype)


def leave_one_out_scores(
    X: Tensor, y: Tensor, weights: Tensor, ridge: float = 0.0
) -> Tensor:
    """Score of every sample from the head that was fitted without it.

    Computed from one fit per problem through the leverages ``h_i``:
    ``y_i - r_i / (1 - h_i)`` with residual ``r_i``.

    Parameters
    ----------
    X, y, weights, ridge
        As in `solve_heads`; the penalty ``n * ridge`` stays that of all n samples.

    Returns
    -------
    Tensor [B, n]

    Raises
    ------
    ValueError
        As `solve_heads`, and where a sample alone fixes a direction (leverage 1):
        leaving it out is then not defined.
    """
    coef, intercept = solve_heads(X, y, weights, ridge)
    mean, H = _centred_gram(X, weights)
    centred = X - mean.unsqueeze(-2)
    solved = _solve(H, X.shape[-2] * ridge, centred.mT).mT
    total = weights.sum(-1, keepdim=True)
    leverage = weights * ((centred * solved).sum(-1) + 1 / total)
    if (leverage >= 1 - 1e-8).any():
        raise ValueError(
            "a sample has leverage 1, so that leaving it out is not defined: "
            "use a ridge > 0 or more samples than features"
        )
    fitted = (X @ coef.unsqueeze(-1)).squeeze(-1) + intercept.unsqueeze(-1)
    return y - (y - fitted) / (1 - leverage)


@dataclass(frozen=True, kw_only=True)
class _RatioProblem:
    """Normal equations of R ratios on S data sets, from the moments of the classes."""

    gram: list[Tensor]  # of the majority and of the minority, [S, 1, d, d]
    gap: Tensor  # between their means, [S, 1, d]
    between: Tensor  # weight of the term that the gap adds, [S, R, 1]
    ratios: Tensor  # [S, R]
    centre: Tensor  # weighted mean of the features, [S, R, d]
    target: Tensor  # and of the labels, [S, R]

    def normal_matrices(self) -> Tensor:
        """Gram matrices about the weighted means, ``[S, R, d, d]``.

        That within the classes plus one term of rank one between their means.
        """
        majority, minority = self.gram
        H = torch.addcmul(majority, self.ratios[..., None, None], minority)
        outer = (self.gap.mT @ self.gap).unsqueeze(1)
        return H.addcmul_(self.between.unsqueeze(-1), outer)

    def coef(self, penalty: float) -> Tensor:
        """Coefficients ``[S, R, d]``."""
        # Pays on a CPU from about eight ratios on; on a GPU it was not tried.
        if self.ratios.shape[1] > 8 and self.gap.device.type == "cpu":
            found = self._coef_by_pencil(penalty)
            if found is not None:
                return found
        moment = (2 * self.between * self.gap).unsqueeze(-1)
        return _solve(self.normal_matrices(), penalty, moment).squeeze(-1)

    def pencil(self, penalty: float) -> tuple[Tensor, Tensor] | None:
        """Values ``[S, d]`` and basis B ``[S, d, d]``; None if a majority is singular.

        With ``G_0 + penalty I = L L^T`` and ``L^-1 G_1 L^-T = Q diag(v) Q^T`` the part
        within the classes and the penalty are ``L Q (I + ratio diag(v)) Q^T L^T``, so
        that its inverse is ``B (I + ratio diag(v))^-1 B^T`` with ``B = L^-T Q``. The
        rest, between the classes, has rank one (Sherman and Morrison).
        """
        majority, minority = (gram.squeeze(1) for gram in self.gram)
        factor = _cholesky(_penalised(majority, penalty))
        if factor is None:
            return None
        half = torch.linalg.solve_triangular(factor, minority, upper=False)
        whole = torch.linalg.solve_triangular(factor, half.mT, upper=False)
        values, vectors = torch.linalg.eigh(whole)
        return values, torch.linalg.solve_triangular(factor.mT, vectors, upper=True)

    def _coef_by_pencil(self, penalty: float) -> Tensor | None:
        """All ratios from one eigendecomposition."""
        if (pencil := self.pencil(penalty)) is None:
            return None
        values, basis = pencil
        gap = self.gap @ basis
        solved = gap / (1 + self.ratios.unsqueeze(-1) * values.unsqueeze(1))
        size = 1 + self.between * (gap * solved).sum(-1, keepdim=True)
        return 2 * self.between / size * (solved @ basis.mT)


def _ratio_problems(
    X: Tensor, y: Tensor, ratios: Tensor, ridge: float
) -> Iterator[_RatioProblem]:
    """The normal equations of a few data sets at a time, once all are validated."""
    if X.ndim != 3 or y.shape != X.shape[:2]:
        raise ValueError(
            f"expected X [S, n, d] and y [S, n]: got {tuple(X.shape)}, {tuple(y.shape)}"
        )
    check_problem(X, y, X.new_ones(y.shape), ridge)
    check_labels(y)
    ratios = ratios.to(X).expand(len(X), -1)
    usable = (ratios > 0) & ratios.isfinite()
    if not usable.all():
        worst = ratios[~usable][0].item()
        raise ValueError(f"ratios holds {worst}: expected positive, finite numbers")
    # On a CPU a chunk stays in the cache (three times as fast), on a GPU it fits the
    # memory.
    held = 2**22 if X.device.type == "cpu" else 2**30
    each = ratios.shape[-1] * X.shape[-1] ** 2 * X.element_size()
    size = max(1, held // each)
    return map(_ratio_problem, X.split(size), y.split(size), ratios.split(size))


def _ratio_problem(X: Tensor, y: Tensor, ratios: Tensor) -> _RatioProblem:
    minority = (y > 0).to(X.dtype)
    mean, gram, weight = [], [], []
    for member, scale in ((1 - minority, torch.ones_like(ratios)), (minority, ratios)):
        class_mean, class_gram = _centred_gram(X, member)
        mean.append(class_mean.unsqueeze(1))
        gram.append(class_gram.unsqueeze(1))
        weight.append((member.sum(-1, keepdim=True) * scale).unsqueeze(-1))
    gap, total = mean[1] - mean[0], weight[0] + weight[1]
    between = weight[0] * weight[1] / total
    centre = (weight[0] * mean[0] + weight[1] * mean[1]) / total
    target = ((weight[1] - weight[0]) / total).squeeze(-1)
    return _RatioProblem(
        gram=gram, gap=gap, between=between, ratios=ratios, centre=centre, target=target
    )


def solve_ratio_heads(
    X: Tensor, y: Tensor, ratios: Tensor, ridge: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Heads for many class-weight ratios on many data sets, from class moments.

    The same heads as `solve_heads` with weight ``ratio`` on the minority (y = +1) and
    1 on the majority, but the Gram matrix of each class is built only once per data
    set, and on a CPU many ratios share one factorisation.

    Parameters
    ----------
    X : Tensor [S, n, d]
    y : Tensor [S, n]
        Labels in {-1, +1}; +1 is the minority.
    ratios : Tensor [R] or [S, R]
        Minority weight over majority weight, > 0.
    ridge : float

    Returns
    -------
    coef : Tensor [S, R, d]
    intercept : Tensor [S, R]

    Raises
    ------
    ValueError
        For shapes that do not fit, labels other than -1 and +1, a data set without
        one of the classes, non-finite values, or a ratio that is not positive.
    """
    heads, penalty = [], X.shape[-2] * ridge
    for problem in _ratio_problems(X, y, ratios, ridge):
        coef = problem.coef(penalty)
        heads.append((coef, problem.target - (problem.centre * coef).sum(-1)))
    coef, intercept = map(torch.cat, zip(*heads))
    return coef, intercept


def ratio_dof(X: Tensor, y: Tensor, ratios: Tensor, ridge: float) -> Tensor:
    """Effective degrees of freedom of `solve_ratio_heads`, ``[S, R]``.

    The same number as `effective_dof`; parameters and errors as in
    `solve_ratio_heads`.
    """
    problems = _ratio_problems(X, y, ratios, ridge)
    return torch.cat(
        [_dof(problem.normal_matrices(), X.shape[-2], ridge) for problem in problems]
    )


def dof_at_ratios(X: Tensor, y: Tensor, ridge: float) -> Callable[[Tensor], Tensor]:
    """`ratio_dof` as a function of the ratios, from one factorisation a data set.

    Parameters and errors as in `solve_ratio_heads`; the function takes finite, positive
    ratios ``[S, R]`` and returns degrees of freedom ``[S, R]``.
    """
    n, d = X.shape[-2:]
    problems = list(_ratio_problems(X, y, X.new_ones(1), ridge))
    pencils = [problem.pencil(n * ridge) if ridge else None for problem in problems]
    if None in pencils:
        return lambda ratios: ratio_dof(X, y, ratios, ridge)
    values, basis = map(torch.cat, zip(*pencils))
    gap = torch.cat([problem.gap for problem in problems]) @ basis
    counts = [(side * y > 0).sum(-1, keepdim=True).to(X) for side in (-1, 1)]

    def at(ratios: Tensor) -> Tensor:
        weights = counts[0], counts[1] * ratios
        between = weights[0] * weights[1] / (weights[0] + weights[1])
        scale = 1 / (1 + ratios.unsqueeze(-1) * values.unsqueeze(1))
        within = (scale * basis.square().sum(1, keepdim=True)).sum(-1)
        solved = gap * scale
        size = 1 + between * (gap * solved).sum(-1)
        rank_one = between * (solved @ basis.mT).square().sum(-1) / size
        return d - n * ridge * (within - rank_one)

    return at


def solve_logistic_heads(
    X: Tensor,
    y: Tensor,
    weights: Tensor,
    ridge: float = 0.0,
    *,
    tolerance: float = 1e-8,
    max_steps: int = 50,
) -> tuple[Tensor, Tensor]:
    """Weighted logistic heads with a free intercept, by Newton's method on all at once.

    Each minimises ``sum_i w_i log(1 + exp(-y_i f_i)) + n * ridge * |c|^2``.

    Parameters
    ----------
    X, y, weights, ridge
        As in `solve_heads`, with labels in {-1, +1}.
    tolerance : float
        Largest gradient entry per sample at which a problem counts as solved.
    max_steps : int

    Returns
    -------
    coef : Tensor [B, d]
    intercept : Tensor [B]
        NaN for problems that did not converge, or that have no minimiser: separable
        ones without ridge.

    Raises
    ------
    ValueError
        As `solve_heads`, and for labels other than -1 and +1 or only one of them.
    """
    check_problem(X, y, weights, ridge)
    check_labels(y)
    B, n = weights.shape
    Z = torch.cat([X, X.new_ones(*X.shape[:-1], 1)], -1)
    penalty = torch.full((Z.shape[-1],), 2 * n * ridge, dtype=X.dtype, device=X.device)
    penalty[-1] = 0
    theta = X.new_zeros(B, Z.shape[-1])
    for _ in range(max_steps):
        margin = y * (Z @ theta.unsqueeze(-1)).squeeze(-1)
        miss = torch.sigmoid(-margin)
        gradient = -((weights * y * miss).unsqueeze(-2) @ Z).squeeze(-2)
        gradient = gradient + penalty * theta
        converged = gradient.abs().amax(-1) <= tolerance * n
        if converged.all():
            break
        root = Z * (weights * miss * (1 - miss)).sqrt().unsqueeze(-1)
        hessian = root.mT @ root + torch.diag(penalty)
        step = _solve(hessian, 0.0, gradient.unsqueeze(-1)).squeeze(-1)
        # Newton's step, shortened where it would move a score by more than 4.
        reach = (Z @ step.unsqueeze(-1)).squeeze(-1).abs().amax(-1)
        theta = theta - step * (4 / reach.clamp_min(4)).unsqueeze(-1)
    if ridge == 0:  # a head without mistakes could be scaled up for ever
        converged = converged & ((margin <= 0) & (weights > 0)).any(-1)
    theta[~converged] = torch.nan
    return theta[:, :-1], theta[:, -1]
