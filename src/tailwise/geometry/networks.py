"""Chapter 5: small networks trained with many parameterizations of cross-entropy.

S seeds x K configurations are one tensor program. Members of a seed share images, first
weights and the order of batches. Two recipes: `FEATURES` puts the ridge where the
unconstrained-features model has it, on the classifier and on the features, and none on
the layers below; `ORDINARY` is weight decay on everything, with batch normalisation.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailwise.data.imbalance import Task
from tailwise.geometry import seli
from tailwise.geometry.ufm import Config, Loss
from tailwise.profiles import reseeded


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    ordinary : bool
        Momentum, a step schedule, weight decay `ridge` on all weights, and batch
        normalisation and ReLU up to the features. Otherwise Adam, a cosine, and
        ``ridge_w / 2 ||W||^2 + ridge^2 / ridge_w / 2 sum_i ||h_i||^2`` for the loss
        averaged over the examples: by the balance of both factors a `ridge` of the UFM.
        Features are then linear in the last hidden layer.
    ridge, ridge_w : float
    lr, head_factor : float
        Learning rate, and what multiplies it for the classifier.
    epochs, batch_size : int
    widths : tuple of int
        Of the hidden layers and of the features.
    warm : bool
        Start the classifiers at the shape of their limit, in a random frame, with the
        squared length that they would have had together.
    """

    ordinary: bool = False
    ridge: float = 1e-4
    ridge_w: float = 1e-2
    lr: float = 2e-3
    head_factor: float = 30.0
    epochs: int = 120
    batch_size: int = 128
    widths: tuple[int, ...] = (80, 80, 32)
    warm: bool = False


FEATURES = Recipe()
ORDINARY = Recipe(True, ridge=5e-4, lr=0.1, head_factor=1.0, widths=(80, 80, 64))
# What arXiv 2303.07608 prints of its networks, but for their size and 350 epochs.
PRINTED = replace(ORDINARY, ridge=1e-5, epochs=60)


class Body(nn.Module):
    """The layers below the classifiers of all members: x [S, b, d] -> [S * K, f, b]."""

    def __init__(self, seeds: Sequence[int], K: int, sizes: Sequence[int], norm: bool):
        super().__init__()
        self.S, self.K, self.norm = len(seeds), K, norm
        self.weights, self.shifts = nn.ParameterList(), nn.ParameterList()
        self.gains, self.running = nn.ParameterList(), nn.ParameterList()
        generators = [torch.Generator().manual_seed(reseeded(seed)) for seed in seeds]
        for d, f in zip(sizes, sizes[1:]):
            drawn = torch.stack([torch.randn(f, d, generator=g) for g in generators])
            weight = (2 / d) ** 0.5 * drawn.repeat_interleave(K, 0)
            self.weights.append(nn.Parameter(weight))
            self.shifts.append(nn.Parameter(torch.zeros(len(weight), f, 1)))
            if norm:
                self.gains.append(nn.Parameter(torch.ones(len(weight) * f)))
                start = torch.stack([torch.zeros(len(weight) * f), self.gains[-1].data])
                self.running.append(nn.Parameter(start, requires_grad=False))

    def forward(self, x: Tensor) -> Tensor:
        h, last = x.mT, len(self.weights) - 1
        for i, (weight, shift) in enumerate(zip(self.weights, self.shifts)):
            M, f, _ = weight.shape
            if i == 0:  # one product for all members of a seed
                weight = weight.view(self.S, -1, x.shape[-1])
            h = torch.bmm(weight, h).view(M, f, -1)
            if self.norm:
                mean, var = self.running[i]
                stacked, own = h.view(1, M * f, -1), (self.gains[i], shift.flatten())
                h = F.batch_norm(stacked, mean, var, *own, training=self.training)
                h = h.view(M, f, -1)
            else:
                h = h + shift
            h = h.relu() if i < last or self.norm else h
        return h


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Trained members: S seeds x K configurations.

    Attributes
    ----------
    labels, configs, task, recipe
        What was trained.
    W, H : Tensor [S, K, k, f], float64
        Classifiers, and class means of the training features, centred as the limit is.
    epochs : tuple of int
        When the errors were measured; the last is the end.
    error_w, error_h : Tensor [S, K, T]
        `seli.gram_error` to the limit without ridge.
    train_recall : Tensor [S, K, k]
        Accuracy on the training images of each class.
    val_logits, test_logits : Tensor [S, K, m, k], [S, K, t, k]
        On CPU.
    diverged : Tensor of bool [S, K]
    """

    labels: tuple[str, ...]
    configs: tuple[Config, ...]
    task: Task
    recipe: Recipe
    W: Tensor
    H: Tensor
    epochs: tuple[int, ...]
    error_w: Tensor
    error_h: Tensor
    train_recall: Tensor
    val_logits: Tensor
    test_logits: Tensor
    diverged: Tensor

    def index(self, label: str) -> int:
        """Position of a label; ValueError for an unknown one."""
        if label not in self.labels:
            raise ValueError(f"unknown label {label!r}: expected one of {self.labels}")
        return self.labels.index(label)


def in_shape(W: Tensor, gram: Tensor) -> Tensor:
    """Vectors ``[..., k, f]`` with that Gram matrix, up to a factor, whose frame and
    summed squared length are those of W."""
    e, V = torch.linalg.eigh(gram)
    root = (V * e.clamp_min(0).sqrt().unsqueeze(-2)) @ V.mT
    U, _, Vh = torch.linalg.svd(W, full_matrices=False)
    shaped = root @ (U @ Vh)
    norm = torch.linalg.matrix_norm
    return shaped * (norm(W) / norm(shaped))[..., None, None]


class _Program:
    """All members' parameters, their loss and what is measured of them."""

    def __init__(self, task: Task, configs: Sequence[Config], recipe: Recipe):
        S, n, d = task.X.shape
        K, k, f = len(configs), len(task.counts), recipe.widths[-1]
        self.task, self.configs, self.recipe = task, configs, recipe
        self.shape, like = (S, K, k), task.X
        self.loss = Loss(task.counts.expand(K, k), configs)
        self.body = Body(task.seeds, K, (d, *recipe.widths), recipe.ordinary).to(like)
        start = [
            torch.randn(
                k,
                f,
                generator=torch.Generator().manual_seed(reseeded(seed + 1_000_000)),
            )
            for seed in task.seeds
        ]
        small = f**-0.5 * (1.0 if recipe.ordinary else 0.1)
        head = small * torch.stack(start).repeat_interleave(K, 0).to(like)
        if recipe.warm:
            head = in_shape(head, self.loss.targets()[0].repeat(S, 1, 1).to(like))
        self.head = head.requires_grad_()
        member = torch.arange(S * K, device=like.device) % K
        self.factor, self.offset, self.omega = (
            table[member].to(like)
            for table in (self.loss.factor, self.loss.offset, self.loss.omega)
        )

    def optimizer(self, steps: int):
        """Optimiser and schedule over that many steps."""
        recipe = self.recipe
        groups = [
            {"params": [p for p in self.body.parameters() if p.requires_grad]},
            {"params": [self.head], "lr": recipe.lr * recipe.head_factor},
        ]
        if recipe.ordinary:
            found = torch.optim.SGD(groups, recipe.lr, 0.9, weight_decay=recipe.ridge)
            stops = [steps // 3, 2 * steps // 3]
            return found, torch.optim.lr_scheduler.MultiStepLR(found, stops)
        found = torch.optim.Adam(groups, recipe.lr, fused=True)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(found, steps)
        return found, cosine

    def objective(self, x: Tensor, y: Tensor) -> Tensor:
        """Loss and ridge [S * K] of a batch x [S, b, d] with labels [S, b]."""
        h, recipe = self.body(x), self.recipe
        y = y.repeat_interleave(self.shape[1], 0)
        own = torch.arange(len(y), device=y.device).unsqueeze(-1)
        z = torch.bmm(self.head, h).mT * self.factor[own, y] + self.offset[own, y]
        losses = F.cross_entropy(z.mT, y, reduction="none")
        value = (losses * self.omega[own, y]).mean(-1)
        if recipe.ordinary:
            return value
        n = self.task.X.shape[1]
        of_w = recipe.ridge_w * self.head.square().sum((1, 2))
        of_h = recipe.ridge**2 / recipe.ridge_w * n * h.square().sum(1).mean(-1)
        return value + (of_w + of_h) / 2

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """[S, K, m, k] for x [S, m, d] or [m, d]."""
        x = x.expand(self.shape[0], -1, -1) if x.ndim == 2 else x
        parts = [torch.bmm(self.head, self.body(part)) for part in x.split(500, 1)]
        return torch.cat(parts, -1).mT.unflatten(0, self.shape[:2])

    @torch.no_grad()
    def vectors(self) -> tuple[Tensor, Tensor]:
        """Classifiers and centred class means, both [S, K, k, f]."""
        self.body.eval()
        one = F.one_hot(self.task.y).to(self.head)
        total = 0
        for part, labels in zip(self.task.X.split(500, 1), one.split(500)):
            total = total + self.body(part) @ labels
        self.body.train()
        means = (total.double() / self.task.counts).mT.unflatten(0, self.shape[:2])
        v = torch.where(self.loss.ldt, 1.0, 1 / self.loss.delta)
        W = self.head.detach().double().unflatten(0, self.shape[:2])
        return W, seli.centred(means, self.loss.delta, v)

    def errors(self) -> tuple[Tensor, Tensor]:
        """Distances to the limits, [S, K] for each of W and H."""
        pairs = zip(self.vectors(), self.loss.targets())
        return tuple(seli.gram_error(v @ v.mT, target) for v, target in pairs)


def train(
    task: Task,
    configs: dict[str, Config],
    recipe: Recipe = FEATURES,
    *,
    checks: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> Networks:
    """Train every configuration on every seed of a task, as one tensor program.

    Parameters
    ----------
    task : Task
    configs : dict of str to Config
        By label. Of a config only what describes the loss enters: its ridge, rate and
        seed are those of the recipe and the task.
    recipe : Recipe
    checks : int
        How often to measure the geometry, evenly over the epochs.
    progress : callable, optional
        Called with (done, total) after each epoch.

    Raises
    ------
    ValueError
        Without a configuration, for fewer than k - 1 features, and for numbers of
        a configuration that do not fit, see `tailwise.geometry.ufm.Config`.
    """
    k = len(task.counts)
    if not configs or recipe.widths[-1] < k - 1 or not 1 <= checks <= recipe.epochs:
        given = len(configs), recipe.widths[-1], checks
        raise ValueError(
            f"configs, features, checks are {given}: expected ≥ 1, ≥ {k - 1}, "
            f"1 to {recipe.epochs}"
        )
    n, size = task.X.shape[1], recipe.batch_size
    if recipe.ordinary and n % size == 1:
        raise ValueError(f"batch_size is {size}: the last of {n} images is left alone")
    program = _Program(task, tuple(configs.values()), recipe)
    optimizer, schedule = program.optimizer(recipe.epochs * math.ceil(n / size))
    generators = [
        torch.Generator().manual_seed(reseeded(s + 2_000_000)) for s in task.seeds
    ]
    stops = tuple(round(recipe.epochs * i / checks) for i in range(1, checks + 1))
    found, first = [], torch.arange(len(task.seeds)).unsqueeze(-1)
    for epoch in range(1, recipe.epochs + 1):
        order = torch.stack([torch.randperm(n, generator=g) for g in generators])
        for rows in order.to(task.X.device).split(size, 1):
            optimizer.zero_grad()
            program.objective(task.X[first, rows], task.y[rows]).sum().backward()
            optimizer.step()
            schedule.step()
        if epoch in stops:
            found.append(torch.stack(program.errors()))
        if progress:
            progress(epoch, recipe.epochs)
    program.body.eval()
    W, H = program.vectors()
    program.body.eval()
    seen = [program.logits(x).cpu() for x in (task.X, task.val_X, task.test_X)]
    right = (seen[0].argmax(-1) == task.y.cpu()).double()
    one = F.one_hot(task.y.cpu(), k).double()
    finite = (W.isfinite() & H.isfinite()).all(-1).all(-1).cpu()
    error_w, error_h = torch.stack(found, -1).cpu()
    return Networks(
        labels=tuple(configs),
        configs=tuple(configs.values()),
        task=task,
        recipe=recipe,
        W=W.cpu(),
        H=H.cpu(),
        epochs=stops,
        error_w=error_w,
        error_h=error_h,
        train_recall=right @ one / one.sum(0),
        val_logits=seen[1],
        test_logits=seen[2],
        diverged=~finite,
    )
