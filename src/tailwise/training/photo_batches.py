"""Photographs as a network of ImageNet sees them, in batches."""

import os
from collections.abc import Iterator

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tailwise.data.compat import import_torchvision
from tailwise.data.photos import Photos
from tailwise.models import imagenet
from tailwise.training import ranks
from tailwise.training.batches import generator_for

READERS = 8  # processes that read images for a GPU, at most


class Shown(Dataset):
    """Images as the network sees them, by (epoch, row); epoch 0 is for evaluation.

    In other epochs they are, if `moved`, cropped at random to 70 to 100 % of their area
    and mirrored, as follows from seed, epoch and row alone: processes that read, and a
    stop, change nothing.
    """

    def __init__(
        self, photos: Photos, side: int, seed: int, *, moved: bool = True
    ) -> None:
        self.photos, self.y, self.seed = photos, photos.y, seed
        t = import_torchvision().transforms
        last = t.ToTensor(), t.Normalize(imagenet.MEAN, imagenet.DEVIATION)
        whole = round(side * 256 / 224)
        self.plain = t.Compose([t.Resize((whole, whole)), t.CenterCrop(side), *last])
        crop = t.RandomResizedCrop(side, scale=(0.7, 1.0), ratio=(3 / 4, 4 / 3))
        self.moved = (
            t.Compose([crop, t.RandomHorizontalFlip(), *last]) if moved else None
        )

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        epoch, row = key
        image = Image.open(self.photos.files[row]).convert("RGB")
        if not epoch or not self.moved:
            return self.plain(image)
        g = generator_for(self.seed, "photos", "crop", str(epoch), str(row))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(g.initial_seed())
            return self.moved(image)

    def batches(
        self, epoch: int, batch: int, device: str
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """All images on a device: in order for evaluation, else shuffled and shared."""
        rows = torch.arange(len(self.y))
        if epoch:
            g = generator_for(self.seed, "photos", "order", str(epoch))
            rows = torch.randperm(len(rows), generator=g)
        parts = rows.split(batch)
        mine = [ranks.share(some) if epoch else some for some in parts]
        keys = [[(epoch, int(r)) for r in some] for some in mine]
        on_gpu = torch.device(device).type == "cuda"
        workers = min(READERS, os.cpu_count() or 1) if on_gpu else 0
        for some, x in zip(
            parts, DataLoader(self, batch_sampler=keys, num_workers=workers)
        ):
            yield x.to(device), self.y[some].to(device)
