"""All modules of all experts and the scorer at once, instead of in three phases."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tailwise.experts.expert import Expert, Images
from tailwise.experts.phases import dual_loss, dual_rows
from tailwise.experts.scorer import Scorer, mix
from tailwise.experts.training import (
    DEFAULTS,
    Augment,
    History,
    Progress,
    Settings,
    check_data,
    fit,
)


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
        As in `tailwise.experts.phases.phase_one`.
    """
    scales = [expert.head.scale for expert in experts]
    if len(set(scales)) != 1:
        raise ValueError(f"experts have scales {scales}: expected one, at least once")
    for index, expert in enumerate(experts):
        if expert.groups is None:
            raise ValueError(f"experts[{index}] has no group prompts: expected them")
        counts = check_data(expert, images, labels)
        expert.backbone.freeze()
        expert.requires_grad_(False)
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
