"""Mixtures of experts: plain means, and a scorer that weighs experts for each image.

Scores are the cosine logits of m experts, stacked to ``[m, n, k]``; they compare only
if all experts have the same scale. The scorer sees nothing but scores. That it takes
the experts' confidences is said of LPT++; its layout, the two smaller inputs and its
training are ours.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailwise.experts.modules import seeded
from tailwise.experts.training import Progress, Settings, fit
from tailwise.training.batches import class_balanced, class_counts

INPUTS = ("confidences", "summary", "scalar")
SCORER_SETTINGS = Settings(steps=300)


def _check_scores(scores: Tensor) -> None:
    shape = list(scores.shape)
    if len(shape) != 3 or shape[0] < 1 or shape[2] < 2:
        raise ValueError(f"scores is {shape}: expected [m, n, k], experts first, k ≥ 2")
    if not (finite := scores.isfinite()).all():
        value = scores[~finite][0].item()
        raise ValueError(f"scores holds {value}: expected finite numbers")


def mean_logits(scores: Tensor) -> Tensor:
    """Mean of the experts' logits: ``[m, n, k]`` to ``[n, k]``."""
    _check_scores(scores)
    return scores.mean(0)


def mean_probabilities(scores: Tensor) -> Tensor:
    """Mean of the experts' softmax probabilities: ``[m, n, k]`` to ``[n, k]``."""
    _check_scores(scores)
    return scores.softmax(-1).mean(0)


def confidences(scores: Tensor) -> Tensor:
    """Probabilities of all experts side by side, ``[n, m k]``."""
    return scores.softmax(-1).transpose(0, 1).flatten(1)


def summary(scores: Tensor) -> Tensor:
    """Top-3 probabilities and entropy of each expert, ``[n, 4 m]``; needs k ≥ 3."""
    log_p = scores.log_softmax(-1)
    top = log_p.topk(3, -1).values.exp()
    entropy = -(log_p.exp() * log_p).sum(-1, keepdim=True)
    return torch.cat([top, entropy], -1).transpose(0, 1).flatten(1)


class Scorer(nn.Module):
    """Weights of m experts for each image: scores ``[m, n, k]`` to ``[n, m]``.

    Parameters
    ----------
    n_experts, n_classes : int
    inputs : {"confidences", "summary", "scalar"}
        All ``m k`` probabilities; or top-3 probabilities and entropy of each expert;
        or nothing, one learned number per expert and the same weights for all images.
    hidden : int
        Of the network: layer norm, linear, ReLU, linear, softmax over experts.
    generator : torch.Generator
        A CPU generator, for the start.
    """

    def __init__(
        self,
        n_experts: int,
        n_classes: int,
        *,
        generator: torch.Generator,
        inputs: str = "summary",
        hidden: int = 32,
    ) -> None:
        super().__init__()
        if inputs not in INPUTS:
            raise ValueError(f"inputs is {inputs!r}: expected one of {INPUTS}")
        least = 3 if inputs == "summary" else 2
        for name, value, low in (
            ("n_experts", n_experts, 1),
            ("n_classes", n_classes, least),
            ("hidden", hidden, 1),
        ):
            if value < low:
                raise ValueError(f"{name} is {value}: expected at least {low}")
        self.inputs, self.shape = inputs, (n_experts, n_classes)
        if inputs == "scalar":
            self.scalars = nn.Parameter(torch.zeros(n_experts))
            return
        width = n_experts * (n_classes if inputs == "confidences" else 4)
        with seeded(generator):
            self.network = nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, hidden),
                nn.ReLU(),
                nn.Linear(hidden, n_experts),
            )

    def forward(self, scores: Tensor) -> Tensor:
        _check_scores(scores)
        if (given := (scores.shape[0], scores.shape[2])) != self.shape:
            raise ValueError(f"scores has (m, k) = {given}: expected {self.shape}")
        if self.inputs == "scalar":
            return self.scalars.softmax(0).expand(scores.shape[1], -1)
        seen = confidences if self.inputs == "confidences" else summary
        return self.network(seen(scores)).softmax(-1)


def mix(scores: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of scores ``[m, n, k]``, weights ``[n, m]``: ``[n, k]``."""
    return torch.einsum("mnk,nm->nk", scores, weights)


def fit_scorer(
    scorer: Scorer,
    scores: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    settings: Settings = SCORER_SETTINGS,
    progress: Progress | None = None,
) -> tuple[float, ...]:
    """Phase 3: train a scorer in place, experts as they are; the loss of each step.

    Cross-entropy of the mixed scores on class-balanced batches. On training images
    experts are over-confident, most on rare classes, and the scorer learns from that.

    Parameters
    ----------
    scores : Tensor [m, n, k]
        Of the training images; gradients do not reach them.
    labels : Tensor [n]
    settings : Settings
        Steps, batch, learning rate, schedule and samples per class count here.
    """
    _check_scores(scores)
    if scores.shape[1] != len(labels):
        raise ValueError(f"scores has n = {scores.shape[1]}: expected {len(labels)}")
    class_counts(labels, scores.shape[2])
    scores = scores.detach()
    rows = class_balanced(
        labels, settings.batch, generator=generator, per_class=settings.per_class
    )

    def batch_loss(step: int) -> Tensor:
        chosen = next(rows)
        part = scores[:, chosen]
        return F.cross_entropy(mix(part, scorer(part)), labels[chosen])

    return fit([scorer], batch_loss, settings, progress=progress)
