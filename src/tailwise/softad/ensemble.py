"""Many training runs, seeds x methods, as one tensor program."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tailwise.methods import risk
from tailwise.profiles import reseeded
from tailwise.softad import networks
from tailwise.softad.networks import (
    Architecture,
    Batch,
    Batches,
    Gradients,
    Params,
)
from tailwise.softad.sam_and_group_dro import (
    CLIMBS,
    GROUPED,
    Method,
    Weights,
    climb,
)


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Trained members: S seeds x K methods.

    Attributes
    ----------
    architecture, methods : Architecture, tuple of Method
    params : dict of Tensor [S, K, ...]
        After the last epoch; of a member that diverged, after the last one that left
        its mean loss and its parameters finite.
    diverged : Tensor [S, K]
    history : Tensor [S, K, E]
        Mean training loss of each epoch; NaN once a member has diverged.
    q : Tensor [S, K, G] or None
        Final group weights, NaN for methods without; None where no method has any.
    """

    architecture: Architecture
    methods: tuple[Method, ...]
    params: Params
    diverged: Tensor
    history: Tensor
    q: Tensor | None

    @property
    def norm(self) -> Tensor:
        """Euclidean norm of each member's parameters, ``[S, K]``."""
        return networks.norm(self.params)

    @torch.no_grad()
    def logits(self, X: Tensor, batch_size: int = 500) -> Tensor:
        """Logits ``[S, K, m, classes]`` for inputs ``[S, m, ...]``."""
        self.architecture.check(X, len(self.diverged))
        parts = X.split(batch_size, 1)
        return torch.cat([self.architecture.forward(self.params, x) for x in parts], 2)


class _Program:
    """All members of some seeds: one vector of parameters, and one of gradients."""

    def __init__(self, data: Batches, methods, generators, q: Tensor, q_step: float):
        K, architecture = len(methods), data.architecture
        self.data, self.generators = data, generators
        drawn = [architecture.init(generator) for generator in generators]
        self.flat, self.params = networks.stack(drawn, K, q)
        self.flat.grad, self.grads = networks.stack(drawn, K, q)
        self.weights = Weights(methods, list(range(K)), "groupdro", q, q_step)
        self.first = Gradients(architecture, self.grads)
        late = [k for k, m in enumerate(methods) if m.ascent in CLIMBS]
        self.late = torch.tensor(late, dtype=torch.long, device=q.device)
        self.late_weights = Weights(methods, late, "sharpdro", q, q_step)
        self.reach = q.new_tensor([methods[k].reach for k in late])
        self.keep = q.new_tensor([methods[k].ascent == "sharpdro" for k in late])
        self.second = Gradients(architecture, networks.stack(drawn, len(late), q)[1])

    def gradient(self, batch: Batch) -> Tensor:
        """Set the gradient of every member and return the mean losses [S, K]."""
        losses = self.first(self.params, batch, self.weights)
        if len(self.late):
            slope = networks.take(self.grads, self.late)
            moved = networks.take(self.params, self.late)
            moved = climb(moved, slope, self.reach)
            self.second(moved, batch, self.late_weights)
            for name, g in self.second.out.items():
                g.addcmul_(networks.over(self.keep, g), slope[name])
                self.grads[name].index_copy_(1, self.late, g)
        return losses.mean(-1)

    def run(self, schedule, epochs: int, size: int, tick: Callable) -> tuple:
        """Train; return the kept parameters, diverged [S, K] and history [S, K, E]."""
        kept, history = {name: p.clone() for name, p in self.params.items()}, []
        alive = networks.finite(kept)
        for _ in range(epochs):
            orders = [torch.randperm(self.data.n, generator=g) for g in self.generators]
            losses = []
            for batch in self.data.draw(torch.stack(orders).to(alive.device), size):
                losses.append(self.gradient(batch))
                schedule.optimizer.step()
            schedule.step()
            # Members share no parameters: one that is lost runs on beside the others,
            # and only its last finite state is kept.
            mean = torch.stack(losses).mean(0)
            alive = alive & mean.isfinite() & networks.finite(self.params)
            for name, p in self.params.items():
                torch.where(networks.over(alive, p), p, kept[name], out=kept[name])
            history.append(mean.masked_fill(~alive, math.nan))
            tick()
        return kept, ~alive, torch.stack(history, -1)


def _check(architecture, X, y, methods, group, epochs, batch_size, chunk) -> None:
    architecture.check(X, len(y), y=y, group=group)
    (S, n), labels = y.shape, [m.label for m in methods]
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"methods have labels {labels}: expected some, each once")
    if group is None and any(m.ascent in GROUPED for m in methods):
        raise ValueError(f"group is None: expected shape {S, n} for {GROUPED}")
    if not 1 <= batch_size <= n:
        raise ValueError(f"batch_size is {batch_size}: expected 1 to n = {n}")
    if min(epochs, 1 if chunk is None else chunk) < 1:
        raise ValueError(f"epochs is {epochs} and chunk {chunk}: expected ≥ 1")
    for m in methods:
        risk.example_weights(X.new_ones(batch_size), m.rule, **m.params)


@torch.no_grad()
def train(
    architecture: str | Architecture,
    X: Tensor,
    y: Tensor,
    methods: Sequence[Method],
    *,
    group: Tensor | None = None,
    epochs: int,
    batch_size: int,
    lr: float,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    milestones: Sequence[float] = (0.3, 0.6, 0.8),
    decay: float = 0.2,
    q_step: float = 0.3,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    chunk: int | None = None,
) -> Ensemble:
    """Train every method on every data set, by SGD with momentum as in torch.

    Data set s draws its first parameters and its order of batches from ``seed + s``.
    All methods share them, so that differences between methods are paired.

    Parameters
    ----------
    architecture : str or Architecture
        A key of `ARCHITECTURES`.
    X : Tensor [S, n, ...]
        Inputs; the computation takes their device and type.
    y : Tensor [S, n]
        Classes.
    methods : sequence of Method
    group : Tensor [S, n], optional
        Group of every example, such as its severity.
    epochs, batch_size : int
        An incomplete last batch is dropped in each epoch.
    lr, momentum, weight_decay : float
    milestones : sequence of float
        Shares of the epochs after which the learning rate is multiplied by `decay`.
    q_step : float
        Step size of the group weights.
    progress : callable, optional
        Called with (done, total) after each epoch.
    chunk : int, optional
        Train about so many members at once: whole seeds, at least one. Saves memory and
        changes results by rounding only.

    Raises
    ------
    ValueError
        For unknown names, shapes and numbers that do not fit, or labels that repeat.
    """
    architecture = networks.find(architecture)
    _check(architecture, X, y, methods, group, epochs, batch_size, chunk)
    S, size = len(X), len(X) if chunk is None else max(1, chunk // len(methods))
    n_groups = 1 if group is None else int(group.max()) + 1
    grouped = torch.tensor([m.ascent in GROUPED for m in methods])
    q = X.new_full((S, len(methods), n_groups), math.nan)
    q[:, grouped] = 1 / n_groups
    steps = [math.ceil(share * epochs - 1e-9) for share in milestones]
    done, total, parts = itertools.count(1), epochs * -(-S // size), []
    for start in range(0, S, size):
        part = slice(start, start + size)
        groups = group if group is None else group[part]
        data = Batches(architecture, X[part], y[part], groups, n_groups)
        generators = [
            torch.Generator().manual_seed(reseeded(seed + s)) for s in range(S)[part]
        ]
        program = _Program(data, methods, generators, q[part], q_step)
        optimizer = torch.optim.SGD(
            [program.flat], lr, momentum, weight_decay=weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, steps, decay)
        tick = (lambda: progress(next(done), total)) if progress else (lambda: None)
        parts.append(program.run(schedule, epochs, batch_size, tick))
    params, *rest = zip(*parts)
    params = {name: torch.cat([p[name] for p in params]) for name in params[0]}
    diverged, history = map(torch.cat, rest)
    q = q if grouped.any() else None
    return Ensemble(
        architecture=architecture,
        methods=tuple(methods),
        params=params,
        diverged=diverged,
        history=history,
        q=q,
    )
