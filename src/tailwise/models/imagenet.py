"""torchvision's residual networks, with a new last layer; weights fetched if asked."""

import torch
from torch import nn

from tailwise.data.compat import import_torchvision
from tailwise.profiles import reseeded

NAMES = ("resnet18", "resnet34", "resnet50")
WEIGHTS = "IMAGENET1K_V1"
LICENCE = "torchvision's weights: BSD-3, from ImageNet, whose terms are non-commercial"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of its images


def resnet(
    name: str, n_outputs: int, *, seed: int, weights: str | None = WEIGHTS
) -> nn.Sequential:
    """Body and head: images ``[n, 3, h, w]`` to features ``[n, d]`` to ``[n, k]``.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    n_outputs : int
    seed : int
        Of the head, and of the body without weights.
    weights : str, optional
        Of the body: a name in torchvision's enumeration for this network, fetched
        where they are not on disk and checked by hash; None starts at random.
    """
    if name not in NAMES:
        raise ValueError(f"network is {name!r}: expected one of {NAMES}")
    models = import_torchvision().models
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(reseeded(seed))
        body = models.get_model(name)
        head = nn.Linear(body.fc.in_features, n_outputs)
    if weights:
        chosen = models.get_model_weights(name)[weights]
        # Tensors only: nothing that is loaded can run code.
        options = dict(progress=False, check_hash=True, weights_only=True)
        body.load_state_dict(chosen.get_state_dict(**options))
    body.fc = nn.Identity()
    return nn.Sequential(body, head)
