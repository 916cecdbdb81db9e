"""Seeds: the same in every run of a size, or one of the sets that confirm."""

import os

import numpy as np
import torch

from tailwise.profiles.size_and_device import PROFILES, current

CONFIRMING = 400  # the set of seeds of the profiles above `laptop`; the last there is


def seed_set() -> int:
    """The set of seeds that a run uses.

    ``$TAILWISE_RESEED`` names it. Where it is unset, ``smoke`` and ``laptop`` use 0,
    the seeds as they are written, and the larger profiles use `CONFIRMING`, which no
    smaller run has used: they confirm what was seen there.

    Raises
    ------
    ValueError
        If the variable is not a whole number from 0 to 400.
    """
    given = os.environ.get("TAILWISE_RESEED")
    if not given:
        return CONFIRMING if current().name in PROFILES[2:] else 0
    if not (given.isdecimal() and int(given) <= CONFIRMING):
        raise ValueError(
            f"TAILWISE_RESEED is {given!r}: expected a whole number from 0 to "
            f"{CONFIRMING}"
        )
    return int(given)


def reseeded(seed: int) -> int:
    """The seed that a run uses for `seed`: the same, or one of its set, see `seed_set`.

    Sets do not overlap for seeds below ten million.
    """
    return seed + seed_set() * 10_000_019


def keyed_generator(*key: int) -> torch.Generator:
    """A CPU generator of its own for a seed, and numbers that say what it is for."""
    seeds = np.random.SeedSequence(reseeded(key[0]), spawn_key=key[1:])
    return torch.Generator().manual_seed(int(seeds.generate_state(1)[0]))
