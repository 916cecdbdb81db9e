"""Group DRO for one network, and its rivals: the plain loss, and balanced groups."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from tailwise.data import spurious
from tailwise.profiles import reseeded


def erm_loss(logits: Tensor, group: Tensor) -> Tensor:
    """Cross-entropy for targets that are groups ``2 y + a``."""
    return F.cross_entropy(logits, group // 2)


def group_dro_loss(step: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Loss of group DRO for targets that are groups ``2 y + a``.

    Group weights move by exponentiated gradient with the given step size (Sagawa et
    al., 2020); groups that are absent from a batch keep theirs. `softad` takes
    the same steps in the logarithms of the weights, for many members at once.
    """
    q = torch.ones(4) / 4

    def loss(logits: Tensor, group: Tensor) -> Tensor:
        nonlocal q
        each = F.cross_entropy(logits, group // 2, reduction="none")
        member = F.one_hot(group, 4).to(each)
        mean = member.T @ each / member.sum(0).clamp_min(1)
        q = q.to(each) * torch.exp(step * mean.detach())
        q = q / q.sum()
        return q @ mean

    return loss


def group_balanced(images: spurious.Images, seed: int) -> spurious.Images:
    """As many images, drawn once, so that the groups that occur are equally likely."""
    counts = images.group.bincount(minlength=4).double()
    chance = (1 / counts)[images.group]
    generator = torch.Generator().manual_seed(reseeded(seed))
    rows = torch.multinomial(chance, len(images), True, generator=generator)
    return images.take(rows)
