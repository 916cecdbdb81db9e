"""A sample file for those who have none at hand: chapter 2's birds, embedded."""

import io
from pathlib import Path

import numpy as np
import torch

from tailwise.data import spurious
from tailwise.files import write_whole
from tailwise.models import resnet
from tailwise.models.pretrained import pretrained_body
from tailwise.training import loop

LABELS = np.array(["top", "dress"])


def write(path: str | Path, *, share: float = 0.5, seed: int = 0) -> Path:
    """Write features of the birds world, its labels and grounds, as an ``.npz``.

    The shipped network of chapter 2, which has seen other garments on both grounds,
    is frozen and embeds the training images, of which 95 % agree with their ground.

    Parameters
    ----------
    path : str or Path
        Written whole or not at all.
    share : float
        Share of chapter 2's training images; at 0.5 there are 2,397.
    seed : int

    Returns
    -------
    Path
    """
    world = spurious.HARSH_BIRDS.scaled(share)
    images = spurious.draw(world, generator=torch.Generator().manual_seed(seed)).train
    model = resnet.SmallResNet(2)
    model.body.load_state_dict(pretrained_body(), strict=False)
    model.eval()
    with torch.no_grad():
        X = loop.extract(model.features, images.x).float().cpu().numpy()
    grounds = np.array(world.attributes)
    path, content = Path(path), io.BytesIO()
    np.savez(content, X=X, y=LABELS[images.y], groups=grounds[images.a])
    write_whole(path, content.getvalue())
    return path
