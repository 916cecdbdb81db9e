"""How large to run: the one switch that every chapter reads."""

import os
from dataclasses import dataclass
from typing import TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Sizes that every chapter uses.

    Attributes
    ----------
    name : str
        One of `PROFILES`, named by size.
    device : str
        A torch device. ``smoke`` and ``laptop`` always compute on the CPU.
    n_seeds : int
        Independent repetitions behind an interval.
    grid : int
        Points on the grid of a one-dimensional sweep.
    data : str
        ``"subset"`` (shipped with the package) or ``"full"``.
    """

    name: str
    device: str
    n_seeds: int
    grid: int
    data: str

    @property
    def decides(self) -> bool:
        """Whether numbers of this size mean something; else a run shows that it runs.

        Where it is false there are no verdicts, and chapters do not assert what needs
        more data.
        """
        return self.name in DECIDING

    def pick(
        self,
        *,
        laptop: T,
        smoke: T | None = None,
        full: T | None = None,
        paper: T | None = None,
    ) -> T:
        """Return the value for this profile; a missing one falls to the next smaller.

        Without `smoke`, a smoke run takes the laptop's.

        Examples
        --------
        >>> current("full").pick(smoke=2, laptop=40, full=400)
        400
        """
        by_size = {"smoke": (smoke, laptop), "laptop": (laptop,)}
        by_size |= {"full": (full, laptop), "paper": (paper, full, laptop)}
        return next(value for value in by_size[self.name] if value is not None)


def _accelerator() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


PROFILES = ("smoke", "laptop", "full", "paper")  # by size
DECIDING = PROFILES[1:]  # whose runs give verdicts and can be recorded


def current(name: str | None = None) -> Profile:
    """Return the profile in force.

    Parameters
    ----------
    name : str, optional
        A profile's name. By default ``$TAILWISE_PROFILE``; where that is unset,
        ``full`` if CUDA is present and ``laptop`` elsewhere.

    Raises
    ------
    ValueError
        For a name that is not a profile.

    Examples
    --------
    >>> current("laptop").device
    'cpu'
    """
    name = name or os.environ.get("TAILWISE_PROFILE")
    name = name or ("full" if torch.cuda.is_available() else "laptop")
    if name == "smoke":
        return Profile(name=name, device="cpu", n_seeds=2, grid=6, data="subset")
    if name == "laptop":
        return Profile(name=name, device="cpu", n_seeds=10, grid=48, data="subset")
    if name in PROFILES:
        place = _accelerator()
        return Profile(name=name, device=place, n_seeds=20, grid=96, data="full")
    raise ValueError(f"unknown profile {name!r}: expected one of {', '.join(PROFILES)}")
