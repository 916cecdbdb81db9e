"""Chapter 3: objectives that hold losses to a level, from flooding to SoftAD."""

from tailwise.softad.ensemble import Method, train
from tailwise.softad.networks import ARCHITECTURES

__all__ = ["ARCHITECTURES", "Method", "train"]
