"""Tiny classifiers with stacked parameters [S, K, ...]: S data sets, K members on each.

Every layer is a matrix product: a convolution multiplies the windows of its input. All
members of a data set see the same inputs, so that their first layers are one product.
Hidden values are ``[S, K, f, windows * n]``, examples last. With the windows in the
right order, to join four of them is then only another view of the same numbers, and the
weights lie in the order of torch's own layers.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Params = dict[str, Tensor]
Batch = tuple[Tensor, Tensor, Tensor | None]  # rows, classes, members of groups


def _whole(x: Tensor) -> Tensor:
    """Whole examples: [S, n, ...] -> [S, 1, n, d]."""
    return x.flatten(2).unsqueeze(1)


def _windows(x: Tensor) -> Tensor:
    """The 4 x 4 windows of 5 x 5 pixels, stride 3: [S, n, 14, 14] -> [S, 16, n, 25].

    The second convolution joins 2 x 2 of them, without overlap. The place of a window
    within such a group changes slowest in the order, the place of the group fastest.
    """
    S, n = x.shape[:2]
    x = x.unfold(2, 5, 3).unfold(3, 5, 3)  # [S, n, 4, 4, 5, 5]
    x = x.reshape(S, n, 2, 2, 2, 2, 25)  # group's row, row, group's column, column
    return x.permute(0, 3, 5, 2, 4, 1, 6).reshape(S, 16, n, 25)


@dataclass(frozen=True)
class Architecture:
    """Affine layers with ReLU between them, on windows cut from the inputs.

    Parameters are named ``weight1`` ``[outputs, inputs]``, ``bias1``, ``weight2`` …

    Attributes
    ----------
    name : str
    layers : tuple of (int, int)
        Outputs and inputs of each layer. A layer with more inputs than the one before
        it has outputs joins several of its windows.
    windows : callable
        Cuts inputs ``[S, n, ...]`` into ``[S, windows, n, d]``.
    input_shape : tuple of int
        Of one example.
    """

    name: str
    layers: tuple[tuple[int, int], ...]
    windows: Callable[[Tensor], Tensor]
    input_shape: tuple[int, ...]

    @property
    def n_classes(self) -> int:
        """Outputs of the last layer."""
        return self.layers[-1][0]

    def check(self, X: Tensor, S: int, **labels: Tensor | None) -> None:
        """Raise a ValueError unless inputs and labels fit, with the range of each."""
        n, *rest = X.shape[1:] if X.ndim > 1 else (0,)
        if (len(X), *rest) != (S, *self.input_shape) or n == 0:
            shape = ", ".join(map(str, (S, "n", *self.input_shape)))
            raise ValueError(f"X has shape {tuple(X.shape)}: expected ({shape})")
        if not X.is_floating_point() or not X.isfinite().all():
            raise ValueError(f"X is {X.dtype}: expected finite floating-point numbers")
        for name, values in labels.items():
            if values is None:
                continue
            if values.shape != (S, n) or values.is_floating_point():
                found = f"{tuple(values.shape)} and type {values.dtype}"
                raise ValueError(f"{name} has shape {found}: expected {S, n}, integers")
            most = self.n_classes - 1 if name == "y" else math.inf
            if values.min() < 0 or values.max() > most:
                found = f"{values.min()} to {values.max()}"
                raise ValueError(f"{name} holds {found}: expected 0 to {most}")

    def init(self, generator: torch.Generator) -> Params:
        """Draw one member, uniform in ±1/sqrt(inputs) as torch does; float64, CPU."""
        params = {}
        for i, (f, d) in enumerate(self.layers, 1):
            for name, shape in ((f"weight{i}", (f, d)), (f"bias{i}", (f,))):
                draw = torch.rand(shape, dtype=torch.float64, generator=generator)
                params[name] = (2 * draw - 1) * d**-0.5
        return params

    def forward(self, params: Params, x: Tensor) -> Tensor:
        """Logits of every member.

        Parameters
        ----------
        params : dict of Tensor [S, K, ...]
        x : Tensor [S, n, *input_shape]

        Returns
        -------
        Tensor [S, K, n, classes]
        """
        return self.values(params, self.windows(x).flatten(1, 2))[-1].mT

    def values(
        self, params: Params, rows: Tensor, reuse: list[Tensor] | None = None
    ) -> list[Tensor]:
        """Inputs of each layer from rows [S, windows * n, d], and logits [S, K, C, n].

        To ``reuse`` what an earlier call of the same sizes returned writes over it.
        """
        S, K = params["bias1"].shape[:2]
        values = [rows]
        for i, (f, d) in enumerate(self.layers, 1):
            weight, h = params[f"weight{i}"], values[-1]
            if i == 1:  # one product for all members of a data set
                weight, h = weight.reshape(S, K * f, d), h.mT
            else:
                weight, h = weight.reshape(S * K, f, d), h.view(S * K, d, -1)
            out = reuse and reuse[i].view(len(h), -1, h.shape[-1])
            h = torch.bmm(weight, h, out=out).view(S, K, f, -1)
            h.add_(params[f"bias{i}"].unsqueeze(-1))
            values.append(h.relu_() if i < len(self.layers) else h)
        return values

    def backward(
        self,
        params: Params,
        values: list[Tensor],
        slope: Tensor,
        out: Params,
        spare: list[Tensor],
    ) -> None:
        """Write the gradients of all parameters to ``out``, by the chain rule.

        Takes what `values` returned and the derivative by the logits, ``slope``
        [S, K, C, n]. ``spare`` is memory like ``values[1:-1]``. All are contiguous.
        """
        S, K = slope.shape[:2]
        for i, (f, d) in reversed(list(enumerate(self.layers, 1))):
            h, grad = values[i - 1], out[f"weight{i}"]
            torch.sum(slope, -1, out=out[f"bias{i}"])
            if i == 1:
                torch.bmm(slope.view(S, K * f, -1), h, out=grad.view(S, K * f, d))
                break
            slope, h = slope.view(S * K, f, -1), h.view(S * K, d, -1)
            torch.bmm(slope, h.mT, out=grad.view(S * K, f, d))
            weight = params[f"weight{i}"].reshape(S * K, f, d)
            below = torch.bmm(weight.mT, slope, out=spare[i - 2].view(h.shape))
            # ReLU lets nothing through where its output is 0.
            torch.ops.aten.threshold_backward.grad_input(below, h, 0, grad_input=below)
            slope = spare[i - 2]


class Batches:
    """Training data of S seeds, cut into the windows that the first layer multiplies.

    Parameters
    ----------
    architecture : Architecture
    X, y : Tensor [S, n, ...], [S, n]
    group : Tensor [S, n] or None
    n_groups : int
    """

    def __init__(self, architecture, X, y, group=None, n_groups=0):
        cut = architecture.windows(X)
        S, windows, self.n, d = self.shape = cut.shape
        self.architecture = architecture
        self.rows, self.y, self.member = cut.reshape(-1, d), y.long().flatten(), None
        if group is not None:
            self.member = F.one_hot(group.long().flatten(), n_groups).to(X)
        block = torch.arange(S * windows, device=X.device).view(S, windows, 1)
        self.first_row, self.first = block * self.n, block[:, 0] // windows * self.n

    def draw(self, order: Tensor, size: int) -> Iterator[Batch]:
        """Batches in the order [S, n] of each seed; an incomplete last one is dropped.

        Yields rows ``[S, windows * size, d]``, classes ``[S, size]`` and, as one-hot
        vectors, groups ``[S, size, G]``.
        """
        S, _, n, d = self.shape
        for pick in order.split(size, 1)[: n // size]:
            index = (self.first_row + pick.unsqueeze(1)).flatten()
            rows = self.rows.index_select(0, index).view(S, -1, d)
            index, member = (self.first + pick).flatten(), self.member
            if member is not None:
                member = member.index_select(0, index).view(S, size, -1)
            yield rows, self.y.index_select(0, index).view(S, size), member


class Gradients:
    """Gradients of weighted cross-entropy losses, written to memory that is kept.

    Parameters
    ----------
    architecture : Architecture
    out : dict of Tensor [S, K, ...]
        Where each call writes them; contiguous.
    """

    def __init__(self, architecture: Architecture, out: Params):
        self.architecture, self.out = architecture, out
        self.values = self.spare = None
        classes = torch.arange(architecture.n_classes, device=out["bias1"].device)
        self.classes = classes.unsqueeze(-1)

    def __call__(self, params: Params, batch: Batch, weigh: Callable) -> Tensor:
        """Losses [S, K, B]; ``weigh(losses, member)`` gives their weights."""
        rows, target, member = batch
        self.values = self.architecture.values(params, rows, self.values)
        if self.spare is None:
            self.spare = [torch.empty_like(h) for h in self.values[1:-1]]
        log_p = self.values[-1].log_softmax(-2)  # [S, K, classes, B]
        index = target[:, None, None].expand(-1, log_p.shape[1], 1, -1)
        losses = log_p.gather(-2, index).squeeze(-2).neg_()
        # d loss / d logits = softmax - one-hot, for each example times its weight.
        hit = (target.unsqueeze(-2) == self.classes).to(log_p).unsqueeze(1)
        weights = weigh(losses, member).unsqueeze(-2)
        # exp is slow where it underflows: a share of e^-80 is as good as none.
        slope = log_p.clamp_min_(-80).exp_().sub_(hit).mul_(weights)
        self.architecture.backward(params, self.values, slope, self.out, self.spare)
        return losses


def stack(members: list[Params], K: int, like: Tensor) -> tuple[Tensor, Params]:
    """K copies of each of S members: one vector, and its views [S, K, ...] by name."""
    starts = {name: torch.stack([m[name] for m in members]) for name in members[0]}
    copies = [p.unsqueeze(1).expand(-1, K, *p.shape[1:]) for p in starts.values()]
    flat = torch.cat([copy.flatten() for copy in copies]).to(like)
    parts = flat.split([copy.numel() for copy in copies])
    return flat, {n: part.view(c.shape) for n, part, c in zip(starts, parts, copies)}


def norm(params: Params) -> Tensor:
    """Euclidean norm over all parameters of a member, ``[S, K]``."""
    parts = [torch.linalg.vector_norm(p.flatten(2), dim=-1) for p in params.values()]
    return torch.linalg.vector_norm(torch.stack(parts), dim=0)


def take(params: Params, members: Tensor) -> Params:
    """A copy of some members of each data set."""
    return {name: p.index_select(1, members) for name, p in params.items()}


def finite(params: Params) -> Tensor:
    """Which members [S, K] have finite parameters only: their sums are finite."""
    return sum(p.flatten(2).sum(-1) for p in params.values()).isfinite()


def over(values: Tensor, params: Tensor) -> Tensor:
    """Values [..., K] shaped to multiply parameters [S, K, ...]."""
    return values.view(*values.shape, *(1,) * (params.ndim - 2))


def linear(name: str, n_classes: int, *input_shape: int) -> Architecture:
    """One affine layer on inputs of that shape."""
    layers = ((n_classes, math.prod(input_shape)),)
    return Architecture(name, layers, _whole, input_shape)


def hidden(name: str, width: int) -> Architecture:
    """One hidden layer of that width on images of 14 by 14, ten classes."""
    return Architecture(name, ((width, 196), (10, width)), _whole, (14, 14))


ARCHITECTURES = {
    each.name: each
    for each in (
        linear("plane", 2, 2),
        linear("linear", 10, 14, 14),
        hidden("mlp", 48),
        Architecture("cnn", ((12, 25), (24, 48), (10, 96)), _windows, (14, 14)),
    )
}


def find(architecture: str | Architecture) -> Architecture:
    """The architecture of that name; one that is given stays itself."""
    if isinstance(architecture, Architecture):
        return architecture
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(
            f"unknown architecture {architecture!r}: expected one of {known}"
        )
    return ARCHITECTURES[architecture]
