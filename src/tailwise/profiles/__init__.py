"""How large to run, the one switch that every chapter reads, and with which seeds."""

from tailwise.profiles.seeds import CONFIRMING, keyed_generator, reseeded, seed_set
from tailwise.profiles.size_and_device import DECIDING, PROFILES, Profile, current

__all__ = [
    "CONFIRMING",
    "DECIDING",
    "PROFILES",
    "Profile",
    "current",
    "keyed_generator",
    "reseeded",
    "seed_set",
]
