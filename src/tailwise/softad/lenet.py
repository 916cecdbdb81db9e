"""A LeNet on whole images, one network at a time: too large to be stacked."""

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from tailwise.data import corruption
from tailwise.methods import risk
from tailwise.profiles import reseeded
from tailwise.softad import ensemble, sharpness
from tailwise.softad.sam_and_group_dro import CLIMBS, Method, Weights
from tailwise.softad.study import REACH, Result, Size, measured_on
from tailwise.training import cache
from tailwise.training.checkpoint import Checkpoint, Run


def lenet() -> nn.Sequential:
    """Two convolutions of 6 and 16 channels and layers of 120, 84 and 10, on 28 x 28.

    The sizes of the small network in the code released with arXiv 2408.03619.
    """
    return nn.Sequential(
        nn.Unflatten(1, (1, 28)),
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def train(
    model: nn.Module,
    X: Tensor,
    y: Tensor,
    method: Method,
    *,
    group: Tensor,
    epochs: int,
    batch_size: int,
    lr: float,
    generator: torch.Generator,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    milestones: Sequence[float] = (0.3, 0.6, 0.8),
    decay: float = 0.2,
    q_step: float = 0.3,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Train a module in place as `ensemble.train` trains a member.

    Parameters
    ----------
    model : nn.Module
        Without layers that act differently in training.
    X, y, group : Tensor [n, ...], [n], [n]
    method : Method
        Any but group DRO, which has no climb.
    generator : torch.Generator
        On the CPU; it orders the batches.
    checkpoint : Checkpoint, optional
        Go on from it, and keep the run there; its steps are epochs.

    Raises
    ------
    ValueError
        For group DRO, or a batch larger than the data.
    """
    if method.ascent not in ("none", *CLIMBS):
        raise ValueError(f"ascent is {method.ascent!r}: expected one of {CLIMBS}")
    if not 1 <= batch_size <= len(X):
        raise ValueError(f"batch_size is {batch_size}: expected 1 to n = {len(X)}")
    params = list(model.parameters())
    optimizer = torch.optim.SGD(params, lr, momentum, weight_decay=weight_decay)
    steps = [math.ceil(share * epochs - 1e-9) for share in milestones]
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda epoch: decay ** sum(epoch >= step for step in steps)
    )
    member = F.one_hot(group).to(X)
    q = X.new_full((1, 1, member.shape[-1]), 1 / member.shape[-1])
    first, late = (
        Weights([method], [0], grouped, q, q_step) for grouped in ("", "sharpdro")
    )

    def slopes(rows: Tensor, weigh: Weights) -> tuple[Tensor, ...]:
        losses = F.cross_entropy(model(X[rows]), y[rows], reduction="none")
        with torch.no_grad():
            weights = weigh(losses[None, None], member[rows][None])[0, 0]
        return torch.autograd.grad((weights * losses).sum(), params)

    run, done = None, []
    if checkpoint is not None:
        moving = {"order": generator, "weights of groups": q} | dict(
            model.named_buffers()
        )
        run = Run(checkpoint, {}, optimizer, schedule, moving)
        done = run.resume()
    for epoch in range(len(done), epochs):
        order = torch.randperm(len(X), generator=generator).to(X.device)
        for rows in order.split(batch_size)[: len(X) // batch_size]:
            grads = slopes(rows, first)
            if method.ascent in CLIMBS:
                here, below = [p.detach().clone() for p in params], grads
                _climb(params, below, method.reach)
                grads = slopes(rows, late)
                with torch.no_grad():
                    torch._foreach_copy_(params, here)
                if method.ascent == "sharpdro":
                    grads = torch._foreach_add(grads, below)
            for p, g in zip(params, grads):
                p.grad = g
            optimizer.step()
        schedule.step()
        if run is not None:
            done.append(0.0)
            run.keep(done, last=epoch + 1 == epochs)


@torch.no_grad()
def _climb(params: list[Tensor], slope: Sequence[Tensor], reach: float) -> None:
    total = _norm(slope)
    step = reach / total.clamp_min(torch.finfo(total.dtype).tiny)
    for p, g in zip(params, slope):
        p += step * g


def _norm(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([torch.linalg.vector_norm(part) for part in parts]).norm()


def run(
    law: corruption.Law,
    size: Size,
    methods: Sequence[Method],
    sharp: Sequence[str] = (),
    progress=None,
) -> Result:
    """A `lenet` by every method on every seed, each trained once, and all measured.

    Within a seed all methods share images, first weights and the order of batches.

    Parameters
    ----------
    law, size, methods, sharp
        As in `study.run`; the images keep their 28 x 28 pixels.
    progress : callable, optional
        Called with (done, total) after each network.
    """
    counts = dict(n_train=size.n_train, n_val=size.n_val, n_test=size.n_test)
    data = corruption.draw(law, size.n_seeds, full=size.full, pool=False, **counts)
    x, y, group = (
        part.to(size.device)
        for part in (data.train.x, data.train.y, data.train.severity)
    )
    p = corruption.law(law).tolist()
    how = {"epochs": size.epochs, "batch_size": size.batch_size, "lr": size.lr}
    sources = [sys.modules[__name__], ensemble, risk, corruption]
    models, shape = [], (size.n_seeds, len(methods))
    for s in range(size.n_seeds):
        for method in methods:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(reseeded(s))
                models.append(lenet().to(size.device))
            order = torch.Generator().manual_seed(reseeded(s))

            def fit(model, s=s, method=method, order=order):
                more = {"group": group[s], "generator": order}
                train(model, x[s], y[s], method, **more, **how)

            plain = asdict(method) | {"label": ""}
            settings = {"method": plain, "seed": s, "law": p, "full": size.full}
            settings |= how | {"n_train": size.n_train, "device": str(size.device)}
            cache.train_once(models[-1], fit, settings, sources)
            if progress:
                progress(len(models), math.prod(shape))

    @torch.no_grad()
    def logits_of(inputs: Tensor) -> Tensor:
        found = []
        for i, model in enumerate(models):
            parts = inputs[i // shape[1]].split(500)
            found.append(torch.cat([model(rows.to(x)).cpu() for rows in parts]))
        return torch.stack(found).unflatten(0, shape)

    def measure(s: int, k: int) -> tuple[float, float]:
        model = models[s * shape[1] + k]
        return sharpness.of(*module_loss(model, x[s], y[s]), REACH)

    norm = torch.stack([_norm([*m.parameters()]).detach().cpu() for m in models])
    return measured_on(
        data,
        law,
        logits_of,
        architecture="lenet",
        labels=tuple(method.label for method in methods),
        norm=norm.unflatten(0, shape),
        diverged=~norm.isfinite().unflatten(0, shape),
        measure=measure,
        sharp=sharp,
    )


def module_loss(
    model: nn.Module, X: Tensor, y: Tensor
) -> tuple[sharpness.Loss, Tensor]:
    """The mean cross-entropy of a module as a function of one vector, and its place."""
    named = {name: p.detach() for name, p in model.named_parameters()}

    def loss(w: Tensor) -> Tensor:
        parts = w.split([p.numel() for p in named.values()])
        params = {n: part.view(p.shape) for part, (n, p) in zip(parts, named.items())}
        return F.cross_entropy(functional_call(model, params, X), y)

    return loss, torch.cat([p.flatten() for p in named.values()])
