"""What a run at paper size takes, printed and checked before it starts."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run fetches, keeps and takes; every number is an estimate.

    Attributes
    ----------
    title : str
    licences : tuple of str
        Of the data and the weights, to be read before they are fetched.
    rows : tuple of (what, how much, how that is known)
    disk_gb, gpu_gb : float
        What must be free; 0 of a GPU where that is not known.
    """

    title: str
    licences: tuple[str, ...]
    rows: tuple[tuple[str, str, str], ...]
    disk_gb: float
    gpu_gb: float = 0.0

    def __str__(self) -> str:
        widths = [max(len(row[i]) for row in self.rows) for i in (0, 1)]
        lines = [self.title, "", "estimates:"]
        lines += [f"  {a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in self.rows]
        return "\n".join(
            [*lines, "licences:", *(f"  {each}" for each in self.licences)]
        )

    def check(self, folders: list[Path], device: str) -> None:
        """A ValueError if a disk or the GPU has too little room for it."""
        for folder in folders:
            there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
            free = shutil.disk_usage(there).free / 1e9
            if free < self.disk_gb:
                raise ValueError(
                    f"{folder} has {free:.1f} GB free: expected {self.disk_gb:.1f} GB"
                )
        if device == "cuda" and self.gpu_gb:
            free = torch.cuda.mem_get_info()[0] / 1e9
            if free < self.gpu_gb:
                raise ValueError(
                    f"the GPU has {free:.1f} GB free: expected {self.gpu_gb:.1f} GB"
                )


def hours(seconds: float) -> str:
    """Such as 12 min or 3.5 h."""
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
