"""Photographs in files, and what they show."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor


@dataclass(frozen=True)
class Photos:
    """A split: files, and int64 ``[n]`` of what they show.

    Attributes
    ----------
    files : tuple of Path
        JPEG, of many sizes.
    y, place : Tensor
        The class, and what may stand for it: 1 for water behind a bird, or a patch on
        the skin; 0 where a data set has none.
    """

    files: tuple[Path, ...]
    y: Tensor
    place: Tensor

    @property
    def group(self) -> Tensor:
        """``2 y + place``, for two classes."""
        return 2 * self.y + self.place
