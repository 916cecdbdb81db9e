"""A field trial: photographs of textiles, a real backbone, and too few defects.

The pictures are those of the package ``conformal-clip-data`` (Megahed et al.,
arXiv 2501.12596; MIT licence): 1,000 good ones, 500 with a defect all over and 500 with
a small local one, 250 pixels a side. ``pip install 'tailwise[field]'`` brings them and
the backbone; without it the page shows what was recorded.
"""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F

from tailwise.methods.solvers import leave_one_out_scores, solve_heads
from tailwise.methods.weighted import balancing_threshold
from tailwise.models import backbone
from tailwise.models.backbone import LAST
from tailwise.training import cache

PACKAGE = "conformal_clip_data"
KINDS = ("nominal", "global", "local")
SIZE = 256  # pixels a side; the photographs have 250
TAPS = {  # where the features come from
    "last map, mean": (LAST, "mean"),
    "last map, maximum": (LAST, "max"),
    "block 16, mean": (15, "mean"),
    "block 16, maximum": (15, "max"),
    "block 11, mean": (10, "mean"),
    "block 11, maximum": (10, "max"),
    "block 5, mean": (4, "mean"),
    "block 5, maximum": (4, "max"),
    "block 3, mean": (2, "mean"),
    "block 3, maximum": (2, "max"),
}
USUAL = "block 16, mean"  # 320 features; the last map has 1,280
RIDGES = (0.01, 0.1, 1.0, 10.0, 100.0)
N_GOOD = 250  # good pieces to fit on; as many defects at most
TUNED = 15  # the last block


def installed() -> bool:
    """Whether the extra ``field`` is installed."""
    return bool(_folder()) and backbone.installed()


def _folder() -> Path | None:
    found = find_spec(PACKAGE)
    return Path(found.origin).parent if found and found.origin else None


def paths(kind: str) -> list[Path]:
    """Files of the photographs of a kind, in the order of their names.

    Raises
    ------
    ImportError
        Without the extra.
    """
    root = _folder()
    if root is None or not backbone.installed():
        raise ImportError("the photographs need pip install 'tailwise[field]'")
    return sorted((root / "data/textile_images/simulated" / kind).glob("*.jpg"))


def photographs(kind: str) -> Tensor:
    """Grey photographs, uint8 ``[n, 1, 250, 250]``."""
    return torch.stack([_grey(path) for path in paths(kind)])


def _grey(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("L"))).unsqueeze(0)


def features(kind: str) -> dict[str, Tensor]:
    """Features of a kind by tap, float32 ``[n, d]``; computed once."""

    def compute() -> dict[str, Tensor]:
        taps = list(TAPS.values())
        found = backbone.embed(backbone.load(), images, SIZE, taps=taps, batch=16)
        return dict(zip(TAPS, found))

    images = photographs(kind)
    content = hashlib.sha256(images.numpy().tobytes()).hexdigest()
    settings = {"weights": backbone.SHA256, "images": content, "size": SIZE}
    return cache.compute_once(compute, settings | {"taps": TAPS}, [backbone])


@dataclass(frozen=True)
class Parts:
    """One draw of pieces: rows 0 to m - 1 of X are defects, the others are good.

    Attributes
    ----------
    X : Tensor [m + N_GOOD, d]
        Float64, standardised by these rows.
    y : Tensor [m + N_GOOD]
        1 for a defect, else -1.
    new, truth : Tensor
        The same for pieces that were not drawn from.
    """

    X: Tensor
    y: Tensor
    new: Tensor
    truth: Tensor


@dataclass(frozen=True)
class Rows:
    """Which pieces to fit on, and which are new."""

    bad: Tensor
    good: Tensor
    new_bad: Tensor
    new_good: Tensor


def draw_rows(n_good: int, n_bad: int, n_defects: int, seed: int) -> Rows:
    """Draw pieces to fit on: defects from one half of them, `N_GOOD` good ones.

    The other half of the defects and the other good pieces are new.

    Raises
    ------
    ValueError
        For more defects than half of what there is.
    """
    half = n_bad // 2
    if not 0 < n_defects <= half:
        raise ValueError(f"n_defects is {n_defects}: expected from 1 to {half}")
    g = torch.Generator().manual_seed(seed)
    bad, good = (torch.randperm(n, generator=g) for n in (n_bad, n_good))
    return Rows(bad[:n_defects], good[:N_GOOD], bad[half:], good[N_GOOD:])


def draw(good: Tensor, bad: Tensor, n_defects: int, seed: int) -> Parts:
    """`draw_rows` of features ``[n, d]``, scaled by the pieces to fit on."""
    rows = draw_rows(len(good), len(bad), n_defects, seed)
    X = torch.cat([bad[rows.bad], good[rows.good]]).double()
    new = torch.cat([bad[rows.new_bad], good[rows.new_good]]).double()
    centre, spread = X.mean(0), X.std(0)
    live = spread > 1e-6 * spread.max()

    def scale(Z: Tensor) -> Tensor:
        return torch.where(live, (Z - centre) / spread, 0.0)

    y, truth = (
        torch.cat([torch.ones(len(a)), -torch.ones(len(b))]).double()
        for a, b in ((rows.bad, rows.good), (rows.new_bad, rows.new_good))
    )
    return Parts(scale(X), y, scale(new), truth)


@dataclass(frozen=True)
class Found:
    """What a head does on new pieces.

    Attributes
    ----------
    area : float
        Area under the curve: the chance that a defect scores above a good piece.
    caught, stopped : dict of str to float
        Share of defects found and of good pieces stopped, by rule: "plain",
        "prior weights" and "moved threshold".
    """

    area: float
    caught: dict[str, float]
    stopped: dict[str, float]


def inspect(parts: Parts, ridges: Sequence[float] = RIDGES) -> Found:
    """Fit least-squares heads and judge them; uses nothing but the drawn pieces.

    The ridge is the one with the largest area under the curve of leave-one-out scores;
    so is the threshold from leave-one-out scores (chapter 1).
    """
    basis = torch.linalg.qr(parts.X.mT).Q  # heads lie in the span of the rows
    X, new, y = parts.X @ basis, parts.new @ basis, parts.y
    flat = torch.ones_like(y).unsqueeze(0)
    left_out = {r: leave_one_out_scores(X, y, flat, r)[0] for r in ridges}
    ridge = max(ridges, key=lambda r: roc_auc_score(y, left_out[r]))
    rare = (y > 0).sum()
    weights = torch.where(y > 0, (len(y) - rare) / rare, 1.0)
    coef, at = solve_heads(X, y, torch.stack([flat[0], weights]), ridge)
    scores = new @ coef.T + at
    moved = scores[:, 0] - balancing_threshold(left_out[ridge].unsqueeze(0), y)
    named = dict(plain=scores[:, 0])
    named |= {"prior weights": scores[:, 1], "moved threshold": moved}
    bad = parts.truth > 0
    return Found(
        float(roc_auc_score(parts.truth, scores[:, 0])),
        {rule: (s[bad] > 0).double().mean().item() for rule, s in named.items()},
        {rule: (s[~bad] > 0).double().mean().item() for rule, s in named.items()},
    )


def told(found: Found, rule: str, *, share: float = 0.01) -> str:
    """What an inspector would be told, at an assumed share of defective pieces."""
    caught, stopped = found.caught[rule], found.stopped[rule]
    alarms = share * caught + (1 - share) * stopped
    right = share * caught / alarms if alarms else 0.0
    return (
        f"Of 100 defective pieces it finds {100 * caught:.0f}; of 1,000 good ones it "
        f"stops {1000 * stopped:.0f}. If one piece in {1 / share:.0f} is defective, "
        f"{100 * right:.0f} of 100 alarms are right."
    )


# Fine-tuning


@torch.no_grad()
def early_maps(kind: str, n: int = 500, batch: int = 16) -> Tensor:
    """Maps before the last block of the first n photographs, ``[n, 192, 8, 8]``."""
    model, found = backbone.load(), []
    for rows in photographs(kind)[:n].split(batch):
        x = backbone.prepare(rows, SIZE).contiguous(memory_format=torch.channels_last)
        found.append(backbone.maps(model, x, [TUNED - 1])[TUNED - 1])
    return torch.cat(found)


class Tail(nn.Module):
    """The last block, the final convolution and a new head of one score."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.block, self.conv, self.norm, self.act = (
            model.get_submodule(name)
            for name in (f"_blocks.{TUNED}", "_conv_head", "_bn1", "_swish")
        )
        self.head = nn.Linear(backbone.WIDTH, 1)

    def features(self, x: Tensor) -> Tensor:
        """Features ``[n, 1280]`` of early maps."""
        return self.act(self.norm(self.conv(self.block(x)))).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Scores ``[n]`` of early maps."""
        return self.head(self.features(x)).squeeze(1)


def tuned_area(
    model: nn.Module,
    good: Tensor,
    bad: Tensor,
    n_defects: int,
    seed: int,
    *,
    epochs: int = 3,
) -> tuple[float, float]:
    """Area under the curve of the least-squares head on features as they came, and of
    the same kind of head after the last block was fine-tuned on the same pieces.

    Fine-tuning is class-weighted logistic loss with AdamW; the statistics of batch norm
    stay. Half of the pieces of both kinds are the test.

    Parameters
    ----------
    model : nn.Module
        The backbone; copied, not changed.
    good, bad : Tensor [n, 192, 8, 8]
        From `early_maps`.
    n_defects, seed, epochs : int
    """
    g = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tail = Tail(copy.deepcopy(model)).eval()
    before = _area(tail, good, bad, n_defects, seed)
    rows = draw_rows(len(good), len(bad), n_defects, seed)
    x = torch.cat([bad[rows.bad], good[rows.good]])
    y = torch.cat([torch.ones(len(rows.bad)), torch.zeros(len(rows.good))])
    weight = torch.tensor(len(rows.good) / n_defects)
    optimizer = torch.optim.AdamW(tail.parameters(), lr=1e-3, weight_decay=1e-2)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=g).split(32):
            loss = F.binary_cross_entropy_with_logits(
                tail(x[batch]), y[batch], pos_weight=weight
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return before, _area(tail, good, bad, n_defects, seed)


@torch.no_grad()
def _area(tail: Tail, good: Tensor, bad: Tensor, n_defects: int, seed: int) -> float:
    good, bad = (
        torch.cat([tail.features(x) for x in m.split(50)]) for m in (good, bad)
    )
    return inspect(draw(good, bad, n_defects, seed)).area
