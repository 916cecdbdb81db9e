"""Chapter 3: objectives that hold losses to a level, from flooding to SoftAD."""

from tailwise.softad.ensemble import train
from tailwise.softad.networks import ARCHITECTURES
from tailwise.softad.sam_and_group_dro import Method

__all__ = ["ARCHITECTURES", "Method", "train"]
