"""Two worlds of pictures through a real backbone: at full data, with its extra.

Nothing is trained here: the features are those of chapter 1 and of the field trial.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tailwise.matrix.worlds import Part, World, made, scaled, stacked
from tailwise.models import backbone
from tailwise.own import field
from tailwise.profiles import Profile, reseeded
from tailwise.weighting import frozen

# A pair of chapter 1, with the counts of the world "rare classes"; the rare one last.
PAIR, COUNTS = ("T-shirt", "shirt"), (1000, 50)
# Of 1,280 features: as many as the small networks have. With all of them the steps that
# every method takes end far from the minimum of the plain loss.
N_COMPONENTS = 128
# Textiles by kind, good ones first: to train and to validate; the others are the test.
PIECES = ((500, 20, 20), (200, 100, 100))


def principal(train: Tensor, *others: Tensor, k: int) -> list[Tensor]:
    """The k leading principal components of training features ``[n, d]``."""
    train, *others = (X[0] for X in scaled(train[None], *(X[None] for X in others)))
    basis = torch.linalg.svd(train.double(), full_matrices=False).Vh[:k].mT
    return [X.double() @ basis for X in (train, *others)]


def _part(pieces: Sequence[Tensor]) -> Part:
    """Pieces by group; the first group is class 0, the others class 1."""
    group = torch.cat([torch.full((len(p),), i) for i, p in enumerate(pieces)])
    return Part(torch.cat(list(pieces)), group.clamp_max(1), group)


def rare_shirts(P: Profile, seeds: Sequence[int]) -> World:
    """T-shirts and a few shirts; principal components of a real backbone's features.

    Validation and test images are the same for every seed, as in chapter 1.
    """
    found = [frozen.class_features(name, device=P.device) for name in PAIR]
    splits = []
    for seed in seeds:
        g = torch.Generator().manual_seed(reseeded(seed))
        drawn = [
            f["pool"][torch.randperm(len(f["pool"]), generator=g)[:n]]
            for f, n in zip(found, COUNTS)
        ]
        pieces = (drawn, *([f[part] for f in found] for part in ("val", "test")))
        parts = [_part(each) for each in pieces]
        features = principal(*(part.X for part in parts), k=N_COMPONENTS)
        splits.append([Part(X, p.y, p.group) for X, p in zip(features, parts)])
    known = dict(labelled=False, mixed_by="y")
    return made("backbone", "rare shirts", seeds, 2, PAIR, stacked(splits), **known)


def textiles(P: Profile, seeds: Sequence[int]) -> World:
    """Good pieces and a few with one of two kinds of defects, which are known."""
    found = [field.features(kind)[field.USUAL] for kind in field.KINDS]
    splits = []
    for seed in seeds:
        g = torch.Generator().manual_seed(reseeded(seed))
        mixed = [X[torch.randperm(len(X), generator=g)] for X in found]
        sizes = [[*n, len(X) - sum(n)] for X, n in zip(mixed, zip(*PIECES))]
        pieces = zip(*(X.split(n) for X, n in zip(mixed, sizes)))
        splits.append([_part(each) for each in pieces])
    groups = ("good", "global defect", "local defect")
    known = dict(labelled=True, mixed_by="group")
    return made("textiles", "rare defects", seeds, 2, groups, stacked(splits), **known)


PICTURES: dict[str, Callable[[Profile, Sequence[int]], World]] = {
    "backbone": rare_shirts,
    "textiles": textiles,
}
# The extra that brings what a world needs, and whether it is there.
NEEDS = {
    "backbone": ("backbone", backbone.installed),
    "textiles": ("field", field.installed),
}


def available(P: Profile) -> list[str]:
    """Worlds of pictures that a profile has on this machine."""
    return [name for name, (_, has) in NEEDS.items() if P.data == "full" and has()]


def left_out(P: Profile) -> str:
    """A sentence on worlds that a profile has, but not on this machine; or nothing."""
    extras = [extra for extra, has in NEEDS.values() if P.data == "full" and not has()]
    asked = " and ".join(f"pip install 'tailwise[{extra}]'" for extra in extras)
    return f"Worlds of pictures are left out; they need {asked}." if extras else ""
