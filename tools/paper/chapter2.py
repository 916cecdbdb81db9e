"""Chapter 2: Waterbirds with a ResNet-50, by ERM and then by DFR.

The worst groups of arXiv 2308.00473, after the scripts released with arXiv 2204.02937:
their network, augmentation, rate, decay and 100 epochs, and their way to choose and
average the last layers. Marked *ours*: half-width products on a GPU, and the row with
ERM's threshold moved, which is the control for DFR.
"""

import argparse
import io
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tailwise import profiles
from tailwise.data import waterbirds
from tailwise.data.assets import cache_dir
from tailwise.data.compat import import_torchvision
from tailwise.data.waterbirds import Photos
from tailwise.ledger import provenance
from tailwise.methods import dfr
from tailwise.methods.linear_head import threshold_shift
from tailwise.metrics import estimate
from tailwise.models import imagenet
from tailwise.profiles import reseeded
from tailwise.training.batches import generator_for
from tailwise.training.checkpoint import Checkpoint
from tailwise.training.epochs import evaluated, fit, half_of
from tailwise.training.processes import in_processes
from tools.book.layout import ROOT
from tools.paper import record
from tools.paper.plan import Plan, carry_out, cost, speed, training_rows

RUNS = ROOT / "_build" / "runs" / "waterbirds"
READERS = 8  # processes that read images for a GPU, at most
METHODS = ("ERM", "ERM, threshold moved", "DFR")
# Worst groups in per cent: a summary of the paper; DFR's own paper.
PUBLISHED = {"ERM": (72.86, 74.9), "DFR": (92.55, 92.9)}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train; the released scripts' values.

    Attributes
    ----------
    network, weights
        As in `tailwise.models.imagenet.resnet`.
    side : int
        Of the images that the network sees.
    epochs, batch, lr, momentum, decay
        Of SGD with a constant rate.
    half : bool
        Whether a GPU may take its products in half width.
    """

    network: str = "resnet50"
    weights: str | None = imagenet.WEIGHTS
    side: int = 224
    epochs: int = 100
    batch: int = 32
    lr: float = 1e-3
    momentum: float = 0.9
    decay: float = 1e-3
    half: bool = True


class Shown(Dataset):
    """Images as the network sees them, by (epoch, row); epoch 0 is for evaluation.

    In other epochs they are cropped at random to 70 to 100 % of their area and
    mirrored, as follows from seed, epoch and row alone: processes that read, and a
    stop, change nothing.
    """

    def __init__(self, photos: Photos, side: int, seed: int) -> None:
        self.photos, self.seed = photos, seed
        t = import_torchvision().transforms
        last = t.ToTensor(), t.Normalize(imagenet.MEAN, imagenet.DEVIATION)
        whole = round(side * 256 / 224)
        self.plain = t.Compose([t.Resize((whole, whole)), t.CenterCrop(side), *last])
        crop = t.RandomResizedCrop(side, scale=(0.7, 1.0), ratio=(3 / 4, 4 / 3))
        self.moved = t.Compose([crop, t.RandomHorizontalFlip(), *last])

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, row = key
        image = Image.open(self.photos.files[row]).convert("RGB")
        if not epoch:
            return self.plain(image), self.photos.y[row]
        g = generator_for(self.seed, "waterbirds", "crop", str(epoch), str(row))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(g.initial_seed())
            return self.moved(image), self.photos.y[row]

    def batches(
        self, epoch: int, batch: int, device: str
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """All images on a device: in order for evaluation, else shuffled."""
        rows = torch.arange(len(self.photos.y))
        if epoch:
            g = generator_for(self.seed, "waterbirds", "order", str(epoch))
            rows = torch.randperm(len(rows), generator=g)
        keys = [[(epoch, int(r)) for r in some] for some in rows.split(batch)]
        on_gpu = torch.device(device).type == "cuda"
        workers = min(READERS, os.cpu_count() or 1) if on_gpu else 0
        for x, y in DataLoader(self, batch_sampler=keys, num_workers=workers):
            yield x.to(device), y.to(device)


def train(recipe: Recipe, seed: int, data: str, folder: str, device: str) -> dict:
    """ERM from its checkpoint if there is one, then DFR on the validation images.

    Returns
    -------
    dict
        By `METHODS` accuracy on the test images of each group, of the worst, and the
        mean; of DFR's heads the shares of zeros and the penalty.
    """
    shown = {
        split: Shown(waterbirds.load_split(split, Path(data)), recipe.side, seed)
        for split in waterbirds.SPLITS
    }
    half = half_of(device) if recipe.half else None
    model = imagenet.resnet(recipe.network, 2, seed=seed, weights=recipe.weights).to(
        device
    )
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.decay
    )
    here = Path(folder) / f"seed {seed}"
    losses = fit(
        model,
        lambda epoch: shown["train"].batches(epoch, recipe.batch, device),
        nn.functional.cross_entropy,
        optimizer=optimizer,
        epochs=recipe.epochs,
        checkpoint=Checkpoint(here, 1, asdict(recipe) | {"seed": seed}),
        half=half,
    )
    body, head = model.eval()
    features = {
        split: evaluated(body, data.batches(0, 100, device), half)[0]
        for split, data in shown.items()
    }
    scores = {
        split: (head.cpu()(x) @ torch.tensor([-1.0, 1.0])).detach().numpy()
        for split, x in features.items()
    }
    result = _row({s: d.photos for s, d in shown.items()}, features, scores, seed)
    shutil.rmtree(here, ignore_errors=True)
    return {"seed": seed, "losses": losses, **result}


def _row(photos: dict, features: dict, scores: dict, seed: int) -> dict:
    val, test = photos["val"], photos["test"]
    y, group = val.y.numpy(), val.group.numpy()
    head = dfr.DeepFeatureReweighting(
        random_state=reseeded(seed), **dfr.VARIANTS["kirichenko2023"]
    )
    X = {split: x.double().numpy() for split, x in features.items()}
    head.fit(X["val"], y, groups=group, X_reference=X["train"])
    threshold = threshold_shift(scores["val"], y, group)
    predicted = (
        scores["test"] > 0,
        scores["test"] > threshold,
        head.predict(X["test"]),
    )
    rows = {
        "C": head.C_,
        "zeros, single": dfr.zero_fraction(head.heads_.coef),
        "zeros, mean": dfr.zero_fraction(head.coef_),
    }
    for name, y_hat in zip(METHODS, predicted):
        right = torch.from_numpy(y_hat.astype(int)) == test.y
        each = [right[test.group == g].double().mean().item() for g in range(4)]
        rows[name] = {"groups": each, "worst": min(each)}
        rows[name]["mean"] = right.double().mean().item()
    return rows


def reading(side: int, n: int = 20) -> float:
    """Images that one core reads, crops and scales a second: drawn ones, 500 by 375."""
    small = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(small).resize((500, 375)).save(held := io.BytesIO(), "JPEG")
    photos = Photos((held,), *torch.zeros(2, 1, dtype=torch.int64))
    shown, start = Shown(photos, side, 0), time.perf_counter()
    for i in range(n):
        shown[i + 1, 0]
    return n / (time.perf_counter() - start)


def plan_of(recipe: Recipe, n_seeds: int) -> Plan:
    """Estimates, each with how it was made."""

    def make():
        return imagenet.resnet(recipe.network, 2, seed=0, weights=None)

    shape = 3, recipe.side, recipe.side
    found, n = cost(make, shape), sum(waterbirds.COUNTS["train"])
    batch = recipe.batch if profiles.current().device == "cuda" else 4
    rate = speed(make, shape, batch, half=recipe.half)
    passes, files = n_seeds * n * recipe.epochs, reading(recipe.side)
    kept = 2 * 8 * found.parameters / 1e9
    return Plan(
        title=f"chapter 2: Waterbirds, {n_seeds} times {recipe.network} for "
        f"{recipe.epochs} epochs, then DFR",
        licences=(
            "Waterbirds: non-commercial research and education, as WILDS says; from "
            "Caltech-UCSD Birds and Places",
            imagenet.LICENCE,
        ),
        rows=(
            ("images", "1 GB", "expected; groups are counted, there is no checksum"),
            ("ImageNet", "0.1 GB", "weights; torchvision checks them by SHA-256"),
            ("checkpoints", f"{kept:.1f} GB a seed", "weights and momentum, twice"),
            *training_rows(
                found,
                passes=passes,
                runs=n_seeds,
                batch=recipe.batch,
                rate=rate,
                width="bfloat16" if recipe.half else "TF32",
            ),
            (
                "reading",
                f"{passes / files / 3600:.1f} core hours",
                f"{files:.0f} images/s a core, measured now on drawn photographs",
            ),
        ),
        disk_gb=1.7 + kept * n_seeds,
        gpu_gb=found.memory_gb(recipe.batch, half=recipe.half),
    )


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tools.paper 2", description=__doc__)
    recipe = Recipe()
    parser.add_argument("--yes", action="store_true", help="accept licences and start")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--network", choices=imagenet.NAMES, default=recipe.network)
    parser.add_argument("--scratch", action="store_true", help="start at random")
    for name in ("side", "epochs", "batch"):
        parser.add_argument(f"--{name}", type=int, default=getattr(recipe, name))
    parser.add_argument("--full", action="store_true", help="no half-width products")
    parser.add_argument("--folder", type=Path, default=RUNS, help="of checkpoints")
    chosen = parser.parse_args(given)
    for name in ("side", "epochs", "batch"):
        if (value := getattr(chosen, name)) < 1:
            parser.error(f"{name} is {value}: expected at least 1")
    return chosen


def table(rows: list[dict]) -> str:
    """Accuracy of the groups in per cent, beside published worst groups."""
    lines = ["", f"{'':22}{'worst':>13}  groups of landbirds, waterbirds; published"]
    for name in METHODS:
        worst = [100 * row[name]["worst"] for row in rows]
        each = 100 * np.mean([row[name]["groups"] for row in rows], 0)
        spread = f" ± {estimate(worst).stderr:.1f}" if len(rows) > 1 else ""
        marks = ", ".join(map(str, PUBLISHED.get(name, ())))
        text = " ".join(f"{value:.1f}" for value in each)
        lines.append(
            f"{name:22}{np.mean(worst):6.1f}{spread:7}  {text}; {marks or '–'}"
        )
    return "\n".join(lines)


def main(given: list[str]) -> int:
    chosen, profile = arguments(given), profiles.current()
    stopwatch, data = provenance.Stopwatch(), cache_dir()
    recipe = Recipe(
        network=chosen.network,
        weights=None if chosen.scratch else imagenet.WEIGHTS,
        **{name: getattr(chosen, name) for name in ("side", "epochs", "batch")},
        half=not chosen.full,
    )

    def run() -> None:
        waterbirds.prepare(data, download=True)
        places = str(data), str(chosen.folder), profile.device
        work = [(recipe, seed, *places) for seed in chosen.seeds]
        rows = in_processes(train, work, device=profile.device)
        path = record.write_rows(
            "waterbirds", rows, profile, stopwatch, recipe=asdict(recipe)
        )
        print(table(rows), f"\nrecorded in {path}", sep="\n")
        gains = [row["DFR"]["worst"] - row["ERM"]["worst"] for row in rows]
        if recipe == Recipe(half=recipe.half):
            print(*record.enter("ch2", {"ch2.waterbirds": {None: gains}}, profile))

    return carry_out(
        plan_of(recipe, len(chosen.seeds)),
        [chosen.folder, data],
        yes=chosen.yes,
        run=run,
    )
