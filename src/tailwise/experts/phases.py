"""The training phases of an expert, two baselines, and all experts at once.

1. `phase_one`: shared prompts, adapters and head, with logit adjustment (our choice).
2. `phase_two`: group prompts, keys and head, all else frozen; two samplers, A-GCL and
   key matching, as in the released code of LPT.

The third phase fits a `tailwise.experts.scorer.Scorer` on the scores of all experts;
`train_jointly` trains all modules of all experts and the scorer instead of in phases.
Experts are trained in place, deterministically for a given generator. The backbone
stays as it is.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tailwise.experts.clouded_logits import agcl
from tailwise.experts.expert import Expert, Images
from tailwise.experts.modules import seeded
from tailwise.experts.scorer import Scorer, mix
from tailwise.experts.training import (
    DEFAULTS,
    Augment,
    History,
    Progress,
    Settings,
    check_data,
    feed,
    fit,
)
from tailwise.methods.losses import adjusted_cross_entropy, log_priors
from tailwise.training.batches import SideBySide, class_balanced, instance_balanced
from tailwise.training.checkpoint import Checkpoint


def _adjusted(counts: Tensor, tau: float) -> Callable[[Tensor, Tensor], Tensor]:
    offset = log_priors(counts.cpu(), tau)
    return lambda logits, y: adjusted_cross_entropy(logits, y, offset=offset)


def _ready(expert: Expert, images: Images, labels: Tensor) -> Tensor:
    """Samples of each class, once nothing of the expert is trained."""
    counts = check_data(expert, images, labels)
    expert.backbone.freeze()
    expert.requires_grad_(False)
    return counts


def phase_one(
    expert: Expert,
    images: Images,
    labels: Tensor,
    *,
    generator: torch.Generator,
    settings: Settings = DEFAULTS,
    augment: Augment | None = None,
    cached: bool = False,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train shared prompts, adapters and head, with logit adjustment.

    Parameters
    ----------
    expert : Expert
        Without group prompts. An expert that has a head alone is a linear probe.
    images : Tensor [n, ...] or Images
        As the backbone takes them.
    labels : Tensor [n]
        Each of the head's classes at least once.
    generator : torch.Generator
        A CPU generator: batches and augmentation follow from it.
    settings : Settings
    augment : callable, optional
        ``augment(images, generator)``, applied to each batch.
    cached : bool
        Compute once what comes before anything trained; without augment only.
    progress : callable, optional
        ``progress(steps_done, loss)``, called after each step.
    checkpoint : Checkpoint, optional
        Go on from it, and keep the run there.
    """
    if expert.groups is not None:
        raise ValueError("expert has group prompts: expected none before phase 2")
    counts = _ready(expert, images, labels)
    loss = _adjusted(counts, settings.tau)
    rows = instance_balanced(labels, settings.batch, generator=generator)
    start = 0 if expert.beside else expert.depth
    given = dict(generator=generator, augment=augment, cached=cached)
    inputs = feed(expert, images, start, **given)

    def batch_loss(step: int) -> Tensor:
        chosen = next(rows)
        x, _ = inputs(chosen)
        return loss(expert.head(expert.embed(x, start).features), labels[chosen])

    losses = fit(
        expert.beside,
        batch_loss,
        settings,
        head=expert.head,
        progress=progress,
        checkpoint=checkpoint,
        moving=dict(generator=generator, rows=rows),
    )
    return History(losses)


def linear_probe(expert: Expert, images: Images, labels: Tensor, **options) -> History:
    """Train the head of the plain backbone, with the loss of `phase_one`.

    The expert has neither prompts nor adapters; options as in `phase_one`.
    """
    for name in ("shared", "adapters"):
        if getattr(expert, name) is not None:
            raise ValueError(f"expert has {name}: expected a head alone")
    return phase_one(expert, images, labels, **options)


def full_fine_tuning(
    expert: Expert,
    images: Images,
    labels: Tensor,
    *,
    generator: torch.Generator,
    settings: Settings = DEFAULTS,
    augment: Augment | None = None,
    blocks_only: bool = False,
    progress: Progress | None = None,
) -> tuple[Expert, History]:
    """Train a copy of backbone and head alone, with the loss of `phase_one`.

    Parameters as there. With `blocks_only` what comes before and after the blocks keeps
    its weights, as the patch embedding does in the released code of LIFT. The expert
    that is returned has its own, frozen backbone; the one that is given stays as it is.
    """
    counts = check_data(expert, images, labels)
    backbone = expert.backbone.thawed_copy()
    parts = backbone.blocks if blocks_only else [backbone.module]
    backbone.module.requires_grad_(not blocks_only)
    tuned = Expert(backbone, copy.deepcopy(expert.head))
    loss = _adjusted(counts, settings.tau)
    rows = instance_balanced(labels, settings.batch, generator=generator)

    def batch_loss(step: int) -> Tensor:
        chosen = next(rows)
        batch = images[chosen]
        batch = batch if augment is None else augment(batch, generator)
        return loss(tuned(batch), labels[chosen])

    # The backbone may have dropout, which draws from torch's own random state.
    with seeded(generator):
        losses = fit(parts, batch_loss, settings, head=tuned.head, progress=progress)
    backbone.freeze()
    return tuned, History(losses)


def dual_rows(
    labels: Tensor, settings: Settings, generator: torch.Generator
) -> SideBySide:
    """Endless indices ``[2, batch / 2]``: class-balanced, then instance-balanced.

    Without ``settings.dual`` they are ``[1, batch]``, all instance-balanced.
    """
    if not settings.dual:
        batch = settings.batch
        return SideBySide(instance_balanced(labels, batch, generator=generator))
    half = settings.batch // 2
    balanced = class_balanced(
        labels, half, generator=generator, per_class=settings.per_class
    )
    return SideBySide(balanced, instance_balanced(labels, half, generator=generator))


def dual_loss(
    cosines: Tensor,
    labels: Tensor,
    match: Tensor | None,
    counts: Tensor,
    step: int,
    settings: Settings,
    *,
    scale: float,
    generator: torch.Generator,
) -> Tensor:
    """Loss of a class-balanced half, and with a falling weight of the other.

    Each is A-GCL minus ``key_weight`` times the mean of summed cosines between a query
    and its keys. The weight falls per step, in the released code of LPT per epoch.
    With the loss "adjusted" each half has logit adjustment by its own sampler's
    prior: none for the class-balanced half. Without ``settings.dual`` all of the batch
    is instance-balanced, at weight one.

    Parameters
    ----------
    cosines : Tensor [2 h, k]
        The class-balanced half first.
    labels : Tensor [2 h]
    match : Tensor [2 h, top], optional
        Cosines with the chosen keys; none without group prompts.
    counts : Tensor [k]
    step : int
        0 to ``settings.steps - 1``.
    """

    def part(rows: slice, gammas: tuple[float, float], tau: float) -> Tensor:
        cos, y = cosines[rows], labels[rows]
        if settings.loss == "adjusted":
            found = _adjusted(counts, tau)(scale * cos, y)
        else:
            found = agcl(
                cos,
                y,
                counts,
                generator=generator,
                cloud=settings.cloud,
                margin=settings.margin,
                scale=scale,
                gamma_pos=gammas[0],
                gamma_neg=gammas[1],
                smoothing=settings.smoothing,
            )
        if match is None:
            return found
        return found - settings.key_weight * match[rows].sum(-1).mean()

    if not settings.dual:
        return part(slice(None), settings.gammas_instance, settings.tau)
    half = len(cosines) // 2
    balanced = part(slice(half), settings.gammas_class, 0.0)
    instance = part(slice(half, None), settings.gammas_instance, settings.tau)
    return balanced + settings.instance_weight * (1 - step / settings.steps) * instance


def phase_two(
    expert: Expert,
    images: Images,
    labels: Tensor,
    *,
    generator: torch.Generator,
    settings: Settings = DEFAULTS,
    augment: Augment | None = None,
    cached: bool = False,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train group prompts, keys and head; shared prompts and adapters are frozen.

    Parameters as in `phase_one`, for an expert after `add_groups`. The class counts
    must differ. The history tells how often each entry of the pool was chosen.
    """
    if expert.groups is None:
        raise ValueError("expert has no group prompts: expected add_groups before")
    given = dict(generator=generator, settings=settings, augment=augment, cached=cached)
    given |= dict(progress=progress, checkpoint=checkpoint)
    return _second(expert, images, labels, **given)


def head_alone(
    expert: Expert,
    images: Images,
    labels: Tensor,
    *,
    generator: torch.Generator,
    settings: Settings = DEFAULTS,
    augment: Augment | None = None,
) -> History:
    """Phase 2 without group prompts: its loss and samplers train the head alone.

    The control for `phase_two`; parameters as there.
    """
    if expert.groups is not None:
        raise ValueError("expert has group prompts: expected none beside the head")
    given = dict(generator=generator, settings=settings, augment=augment)
    return _second(expert, images, labels, **given)


def _second(
    expert: Expert,
    images: Images,
    labels: Tensor,
    *,
    generator: torch.Generator,
    settings: Settings,
    augment: Augment | None,
    cached: bool = False,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> History:
    counts = _ready(expert, images, labels)
    rows, start = dual_rows(labels, settings, generator), expert.group_start
    groups = expert.groups
    given = dict(generator=generator, augment=augment, cached=cached)
    inputs = feed(expert, images, start, **given)
    pool = 0 if groups is None else len(groups.keys)
    usage = torch.zeros(pool, dtype=torch.long, device=counts.device)

    def batch_loss(step: int) -> Tensor:
        chosen = next(rows).flatten()
        x, queries = inputs(chosen)
        out = expert.embed(x, start, queries)
        if groups is not None:
            usage.add_(out.chosen.flatten().bincount(minlength=pool))
        return dual_loss(
            expert.head.cosines(out.features),
            labels[chosen],
            out.match,
            counts,
            step,
            settings,
            scale=expert.head.scale,
            generator=generator,
        )

    losses = fit(
        [] if groups is None else [groups],
        batch_loss,
        settings,
        head=expert.head,
        progress=progress,
        checkpoint=checkpoint,
        moving=dict(generator=generator, rows=rows, usage=usage),
    )
    return History(losses, usage)


def train_jointly(
    experts: Sequence[Expert],
    scorer: Scorer,
    images: Images,
    labels: Tensor,
    *,
    generator: torch.Generator,
    settings: Settings = DEFAULTS,
    augment: Augment | None = None,
    progress: Progress | None = None,
) -> History:
    """Minimise the dual loss of the mixed cosines over everything but the backbones.

    Parameters
    ----------
    experts : sequence of Expert
        After `add_groups`, with one scale; each sees the same augmented batch.
    scorer : Scorer
        Weighs the experts' cosines; gradients also pass through what it sees.
    images, labels, generator, settings, augment, progress
        As in `phase_one`.
    """
    scales = [expert.head.scale for expert in experts]
    if len(set(scales)) != 1:
        raise ValueError(f"experts have scales {scales}: expected one, at least once")
    for index, expert in enumerate(experts):
        if expert.groups is None:
            raise ValueError(f"experts[{index}] has no group prompts: expected them")
        counts = _ready(expert, images, labels)
    rows = dual_rows(labels, settings, generator)
    heads = nn.ModuleList(expert.head for expert in experts)

    def batch_loss(step: int) -> Tensor:
        chosen = next(rows).flatten()
        batch = images[chosen]
        batch = batch if augment is None else augment(batch, generator)
        out = [expert.embed(expert.backbone.tokens(batch)) for expert in experts]
        cosines = torch.stack([h.cosines(o.features) for h, o in zip(heads, out)])
        return dual_loss(
            mix(cosines, scorer(scales[0] * cosines)),
            labels[chosen],
            torch.cat([o.match for o in out], -1),
            counts,
            step,
            settings,
            scale=scales[0],
            generator=generator,
        )

    parts = [scorer, *(part for expert in experts for part in expert.beside)]
    return History(fit(parts, batch_loss, settings, head=heads, progress=progress))
