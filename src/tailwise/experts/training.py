"""What the phases share: settings, the loop, and inputs that may be cached."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from tailwise.experts.expert import Expert, Images, in_chunks
from tailwise.training.batches import class_counts
from tailwise.training.checkpoint import Checkpoint, Moving, Run

Augment = Callable[[Tensor, torch.Generator], Tensor]  # images -> images
Progress = Callable[[int, float], None]  # steps done, loss of the last
Feed = Callable[[Tensor], tuple[Tensor, Tensor | None]]
SCHEDULES = ("onecycle", "cosine")
LOSSES = ("agcl", "adjusted")


@dataclass(frozen=True)
class Settings:
    """Of one phase. Those marked LPT are defaults of its released code, others ours."""

    steps: int = 120
    batch: int = 128  # with dual sampling, half from each sampler
    lr: float = 5e-3  # the largest, of AdamW
    head_lr: float | None = None  # of the head; by default lr
    weight_decay: float = 0.01
    schedule: str = "onecycle"  # or "cosine", which starts at lr
    tau: float = 1.0  # of logit adjustment; 0 is cross-entropy
    # Phase 2 and joint training
    loss: str = "agcl"  # or "adjusted": logit adjustment by each sampler's own counts
    dual: bool = True  # LPT: two samplers; else the instance-balanced one alone
    per_class: int = 4  # LPT: samples of a class in a row
    instance_weight: float = 0.5  # LPT: of the instance-balanced loss; falls to 0
    key_weight: float = 0.5  # LPT: of the cosines between queries and keys
    cloud: float = 0.5  # LPT
    margin: float = 0.1  # LPT
    smoothing: float = 0.1  # LPT
    gammas_class: tuple[float, float] = (0.0, 4.0)  # LPT: gamma_pos, gamma_neg
    gammas_instance: tuple[float, float] = (0.5, 8.0)  # LPT

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 2)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name} is {value}: expected at least {least}")
        for name in ("lr", "head_lr"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}: expected a finite number > 0")
        if self.schedule not in SCHEDULES:
            given = f"schedule is {self.schedule!r}"
            raise ValueError(f"{given}: expected one of {', '.join(SCHEDULES)}")
        if self.loss not in LOSSES:
            raise ValueError(f"loss is {self.loss!r}: expected {' or '.join(LOSSES)}")


DEFAULTS = Settings()


@dataclass(frozen=True)
class History:
    """Loss of each step; with group prompts, how often each was chosen, ``[pool]``."""

    losses: tuple[float, ...]
    usage: Tensor | None = None


def check_data(expert: Expert, images: Images, labels: Tensor) -> Tensor:
    """Samples of each class, ``[k]``; a ValueError for data that do not fit."""
    if len(images) != len(labels):
        raise ValueError(f"images has {len(images)}: expected {len(labels)}, as labels")
    return class_counts(labels, len(expert.head.weight))


def feed(
    expert: Expert,
    images: Images,
    start: int,
    *,
    generator: torch.Generator,
    augment: Augment | None = None,
    cached: bool = False,
) -> Feed:
    """Rows to the tokens that enter block `start`, and to queries if both are cached.

    Nothing before `start` is trained. With `cached` it is computed once for all images,
    not again in each step: the same numbers, up to rounding.
    """
    if cached and augment is not None:
        raise ValueError("cached is True: expected False with augment, new each step")

    @torch.no_grad()
    def tokens(batch: Tensor) -> Tensor:
        x = expert.run(expert.backbone.tokens(batch), 0, start)
        return x[:, :1] if start == expert.depth else x  # only the class token is read

    def fresh(rows: Tensor) -> tuple[Tensor, None]:
        batch = images[rows]
        return tokens(batch if augment is None else augment(batch, generator)), None

    if not cached:
        return fresh
    x, queries = in_chunks(tokens, images), None
    # Where prompts before the groups are trained, queries change.
    if expert.groups is not None and start == expert.group_start:
        queries = in_chunks(lambda part: expert.query(part, start), x)
    return lambda rows: (x[rows], None if queries is None else queries[rows])


def fit(
    parts: Iterable[nn.Module],
    batch_loss: Callable[[int], Tensor],
    settings: Settings,
    *,
    head: nn.Module | None = None,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    moving: Moving | None = None,
) -> tuple[float, ...]:
    """Minimise a loss of the step number over parts; the loss of each step.

    Parameters
    ----------
    parts : iterable of nn.Module
        Trained with ``settings.lr``; from now on they require gradients.
    batch_loss : callable
        Maps the step, 0 to steps - 1, to a scalar.
    head : nn.Module, optional
        Trained with ``settings.head_lr``.
    progress : callable, optional
        Called after each step.
    checkpoint : Checkpoint, optional
        Go on from it, and keep the run there.
    moving : dict, optional
        What else changes with the steps: generators, streams of rows, tensors.
    """
    given = [(list(parts), settings.lr)]
    if head is not None:
        given.append(([head], settings.head_lr or settings.lr))
    made = [
        dict(params=[p for part in parts for p in part.parameters()], lr=lr)
        for parts, lr in given
        if parts
    ]
    for group in made:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    decay = settings.weight_decay
    optimizer = torch.optim.AdamW(made, weight_decay=decay, fused=True)
    if settings.schedule == "onecycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [group["lr"] for group in made], settings.steps
        )
    else:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    losses, run = [], None
    if checkpoint is not None:
        run = Run(checkpoint, asdict(settings), optimizer, schedule, moving or {})
        losses = run.resume()
    for step in range(len(losses), settings.steps):
        loss = batch_loss(step)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise ValueError(f"the loss is {losses[-1]} at step {step}: lower the lr")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if run is not None:
            run.keep(losses, last=step + 1 == settings.steps)
        if progress is not None:
            progress(step + 1, losses[-1])
    optimizer.zero_grad()
    return tuple(losses)
