"""A chapter at the size of its paper, as a command on the small data of tests.

python tiny_paper.py CHAPTER […]      as python -m tools.paper

What real data are known by, and the weights of chapter 4, are those of the small ones.
Each checkpoint adds a line to the file $STEPS: of which network, after which step.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny_birds
import tiny_clip
import tiny_longtails
import torch
from tiny_vit import rng
from torch import Tensor

from tailwise.data import longtails, waterbirds
from tailwise.data.cifar import LongTail
from tailwise.experts import large, paper_size
from tailwise.experts.backbones import LAYOUTS, as_backbone
from tailwise.training.checkpoint import Checkpoint
from tools.paper import __main__ as paper
from tools.paper import chapter4

COUNTS = tiny_longtails.COUNTS
PLAIN = ((0.5,) * 3, (0.25,) * 3)


@dataclass(frozen=True)
class SmallPlan(paper_size.Plan):
    """What no option of chapter 4 says, and an epoch of few batches."""

    epochs: int = 1
    batch: int = 36
    pool: int = 4
    blocks: int = 1
    tokens: int = 2
    adapter: int = 2
    every: int = 2


def pictures(counts: Sequence[int], seed: int) -> tuple[Tensor, Tensor]:
    """A colour a class, under noise."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    colours = torch.rand(len(counts), 3, 1, 1, generator=rng(9))
    noise = 0.1 * torch.randn(len(labels), 3, 24, 24, generator=rng(seed))
    return (colours[labels] + noise).clamp(0, 1), labels


def task() -> LongTail:
    """A long tail as chapter 4 draws it from CIFAR-100."""
    images, labels = pictures(COUNTS, 1)
    test_images, test_labels = pictures([5] * 4, 2)
    return LongTail(
        images=images,
        labels=labels,
        test_images=test_images,
        test_labels=test_labels,
        counts=torch.tensor(COUNTS),
        names=tuple("abcd"),
    )


def starts(device: str = "cpu") -> dict[str, large.Start]:
    """Both backbones with random weights, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        modules = tiny_clip.torchvision_vit(), tiny_clip.ClipImageEncoder()
        names = torch.randn(len(COUNTS), 6).to(device)
    first, second = (
        as_backbone(module.to(device), large.resizing(LAYOUTS[kind], 32, *PLAIN))
        for kind, module in zip(("torchvision", "clip"), modules)
    )
    return {
        "visual": large.Start(first, "tiny"),
        "language": large.Start(second, "clip", names),
    }


def use(monkeypatch) -> None:
    """Take small data for real ones."""
    monkeypatch.setattr(waterbirds, "COUNTS", tiny_birds.COUNTS)
    for kind in longtails.KINDS:
        monkeypatch.setitem(longtails.COUNTS, kind, tiny_longtails.SIZES)
    monkeypatch.setattr(chapter4, "load_starts", lambda *given: starts(given[2]))
    monkeypatch.setattr(large, "check_packages", lambda *_: None)
    monkeypatch.setattr(chapter4, "speed", lambda *_, **__: 10.0)
    monkeypatch.setattr(chapter4, "Recipe", SmallPlan)


def note_steps(file: Path, monkeypatch) -> None:
    write = Checkpoint.write

    def noted(self: Checkpoint, step: int, *given, **values) -> None:
        write(self, step, *given, **values)
        with file.open("a") as lines:
            lines.write(f"{self.folder}: {step}\n")

    monkeypatch.setattr(Checkpoint, "write", noted)


if __name__ == "__main__":
    use(small := pytest.MonkeyPatch())
    note_steps(Path(os.environ["STEPS"]), small)
    sys.exit(paper.main(sys.argv[1:]))
