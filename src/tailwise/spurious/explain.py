"""What a classifier looks at, as numbers: maps scored against known masks, and edits.

Heads are linear in globally averaged feature maps, for two classes: a positive score
means label 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


def class_activation_map(maps: Tensor, coef: Tensor, predicted: Tensor) -> Tensor:
    """Evidence for the predicted class at the resolution of the feature maps.

    The score of a linear head on averaged maps is the average of ``coef . maps`` over
    positions (plus the intercept); the map keeps the part that speaks for the
    predicted class.

    Parameters
    ----------
    maps : Tensor [n, d, h, w]
    coef : Tensor [d]
        In raw feature units.
    predicted : Tensor [n]
        Predicted labels, 0 or 1.

    Returns
    -------
    Tensor [n, h, w]
        Non-negative; evidence against the prediction is set to zero.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    if maps.ndim != 4 or coef.shape != maps.shape[1:2] or len(predicted) != len(maps):
        raise ValueError(
            "expected maps [n, d, h, w], coef [d] and predicted [n]: got "
            f"{tuple(maps.shape)}, {tuple(coef.shape)}, {tuple(predicted.shape)}"
        )
    evidence = torch.einsum("ndhw,d->nhw", maps, coef.to(maps))
    return (evidence * (2 * predicted.to(maps) - 1)[:, None, None]).relu()


@dataclass(frozen=True)
class MapShare:
    """Share of a map on a mask, and the share that a flat map would have.

    Attributes
    ----------
    share, floor : Tensor [n]
        NaN where the map or the mask is empty.
    """

    share: Tensor
    floor: Tensor


def map_share(cam: Tensor, mask: Tensor) -> MapShare:
    """How much of a map lies on a mask, beside the mask's own area.

    Parameters
    ----------
    cam : Tensor [n, h, w]
        Non-negative.
    mask : Tensor of bool [n, H, W]
        Averaged down to the map's resolution.

    Returns
    -------
    MapShare
    """
    area = F.adaptive_avg_pool2d(mask.unsqueeze(1).to(cam), cam.shape[-2:]).squeeze(1)
    total = cam.sum((-2, -1))
    floor = area.mean((-2, -1))
    empty = (total <= 0) | (floor <= 0)
    share = (cam * area).sum((-2, -1)) / total
    return MapShare(*(v.masked_fill(empty, torch.nan) for v in (share, floor)))


def flip_rate(scores: Tensor, scores_after: Tensor) -> Tensor:
    """Share of predictions that an edit changes; compare with a redraw's."""
    return ((scores > 0) != (scores_after > 0)).double().mean()


def edit_effect(scores: Tensor, scores_after: Tensor) -> Tensor:
    """Mean change of the score by an edit, in standard deviations of the scores."""
    return (scores_after - scores).mean() / scores.std()


def neuron_effects(features: Tensor, group: Tensor) -> Tensor:
    """Effect of the label and of the attribute on each feature, in standard deviations.

    Parameters
    ----------
    features : Tensor [n, d]
    group : Tensor [n]
        ``2 y + a``; all four groups must occur.

    Returns
    -------
    Tensor [2, d]
        Row 0: mean over attributes of the difference between labels; row 1: mean over
        labels of the difference between attributes.

    Raises
    ------
    ValueError
        If a group is empty.
    """
    counts = torch.bincount(group, minlength=4)
    if (counts == 0).any():
        raise ValueError(f"group counts are {counts.tolist()}: expected four groups")
    mean = torch.stack([features[group == k].mean(0) for k in range(4)])
    spread = features.std(0).clamp_min(1e-12)
    label = (mean[2] + mean[3] - mean[0] - mean[1]) / 2
    attribute = (mean[1] + mean[3] - mean[0] - mean[2]) / 2
    return torch.stack([label, attribute]) / spread
