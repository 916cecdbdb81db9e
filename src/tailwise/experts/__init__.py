"""Chapter 4: parameter-efficient experts on a long tail, and their mixture."""

from tailwise.experts.backbones import as_backbone
from tailwise.experts.expert import Expert, add_groups, in_chunks, make_expert, scores
from tailwise.experts.modules import CosineHead
from tailwise.experts.training import Settings, fit

__all__ = [
    "CosineHead",
    "Expert",
    "Settings",
    "add_groups",
    "as_backbone",
    "fit",
    "in_chunks",
    "make_expert",
    "scores",
]
