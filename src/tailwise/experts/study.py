"""A pair of pretrained experts of GlyphNames, and where their heads start."""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tailwise.data.glyphs import Glyphs, Task
from tailwise.experts.backbones import as_backbone
from tailwise.experts.expert import Expert, in_chunks, make_expert
from tailwise.experts.training import Settings
from tailwise.models import experts as pretrained
from tailwise.training.batches import generator_for

KINDS = pretrained.KINDS
SETTINGS = Settings(steps=100)


@dataclass(frozen=True)
class Pair:
    """A visual and a language expert of one pretraining seed."""

    visual: torch.nn.Module
    language: torch.nn.Module
    text: torch.nn.Module

    def to(self, place: str | torch.dtype) -> "Pair":
        """A copy on a device or of a type; this pair stays as it is."""
        parts = (self.visual, self.language, self.text)
        return Pair(*(copy.deepcopy(part).to(place) for part in parts))

    def fresh(
        self,
        kind: str,
        task: Task,
        seed: int,
        *,
        head: str | None = None,
        embedded: Tensor | None = None,
        **parts,
    ) -> Expert:
        """An untrained expert whose head starts at class means or at names.

        `head` may be "means", "text" or "random"; by default "means" for the visual
        and "text" for the language expert. `embedded` are embeddings of the training
        images, if they are at hand. Other parameters as in `make_expert`.
        """
        heads = ("means", "text", "random")
        head = head or ("means" if kind == "visual" else "text")
        if head not in heads or (kind, head) == ("visual", "text"):
            raise ValueError(f"head is {head!r} for {kind}: expected one of {heads}")
        backbone = as_backbone(getattr(self, kind))
        train = placed(task.train, backbone.like)
        made = make_expert(
            backbone, len(task.counts), generator=generator_for(seed, kind), **parts
        )
        if head == "text":
            made.head.init_text(self.text.encode(task.names).detach())
        elif head == "means":
            if embedded is None:
                embedded = in_chunks(backbone.module, train.images)
            made.head.init_means(embedded, train.labels)
        return made


def placed(part: Glyphs, like: Tensor) -> Glyphs:
    """Images of the type of a weight and on its device, and labels there too."""
    labels = part.labels.to(like.device)
    return replace(part, images=part.images.to(like), labels=labels)


def load_pair(number: int = 0, **options) -> Pair:
    """Load a pair of shipped experts; options as in `pretrained.load`.

    Each kind has the pretraining seed `number`, counted anew where they end.
    """
    seeds = (found[number % len(found)] for found in pretrained.SEEDS.values())
    visual, language = (
        pretrained.load(kind, seed, **options)
        for kind, seed in zip(pretrained.SEEDS, seeds)
    )
    return Pair(visual, *language)
