"""Chapter 1: pairs of CIFAR-10 with a ResNet-34, last layers from few samples.

Curves of accuracy against the ratio of weights, as in figures 6, 7 and 12 of arXiv
2506.20025, for 20, 90 and 1,000 samples. Printed: the network and its weights, the
pairs with their shares, AdamW, dropout of a half, latent widths of 128 to 512, rates of
0.001 and 0.01, 10 and 30 epochs, ten samples. Marked *ours*: which rate and which
epochs belong to which stage, batches of 128, images of 224 pixels, and that samples
come from training images held out, of which there are enough for 1,000.
"""

import argparse
import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailwise import profiles
from tailwise.data import cifar
from tailwise.data.assets import cache_dir
from tailwise.ledger import provenance
from tailwise.models import imagenet
from tailwise.profiles import reseeded
from tailwise.training.batches import generator_for
from tailwise.training.checkpoint import Checkpoint
from tailwise.training.epochs import evaluated, fit, half_of
from tailwise.training.processes import in_processes
from tailwise.weighting.descent import descend_heads
from tailwise.weighting.images import (
    FrozenPair,
    class_accuracies,
    resample,
    rule_heads,
)
from tailwise.weighting.simulation import crossing
from tools.book.layout import ROOT
from tools.paper import record
from tools.paper.plan import Plan, carry_out, cost, speed, training_rows

RUNS = ROOT / "_build" / "runs" / "pairs"
PAIRS = {  # minority, majority, and the minority's share
    "deer-horse": ("deer", "horse", 0.17),
    "cat-dog": ("cat", "dog", 0.17),
    "airplane-truck": ("airplane", "truck", 0.09),
}
SAMPLES, STEPS, LARGEST = (20, 90, 1000), (30, 300), 60.0
RULES = ("unweighted", "priors", "PCA 99 %", "effective dof", "threshold shift")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train and what to draw.

    Attributes
    ----------
    pair : str
        A key of `PAIRS`.
    network, weights
        As in `tailwise.models.imagenet.resnet`.
    side : int
        To which images are enlarged.
    width : int
        Of the layer before the last.
    epochs, batch, lr
        Of AdamW.
    held : int
        Images of the majority that are held out to draw samples from, and of the
        minority as its share asks for.
    resamples : int
        Samples of each size.
    ridge : float
        Of the least-squares heads.
    half : bool
        Whether a GPU may take its products in half width.
    """

    pair: str = "deer-horse"
    network: str = "resnet34"
    weights: str | None = imagenet.WEIGHTS
    side: int = 224
    width: int = 512
    epochs: int = 10
    batch: int = 128
    lr: float = 1e-3
    held: int = 1000
    resamples: int = 10
    ridge: float = 1e-2
    half: bool = True


def network(recipe: Recipe, seed: int, weights: str | None) -> nn.Sequential:
    """A body that ends in `width` features, half of them dropped at random; a head."""
    start, _ = imagenet.resnet(recipe.network, 1, seed=seed, weights=weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        d = 512 if recipe.network != "resnet50" else 2048
        latent, head = nn.Linear(d, recipe.width), nn.Linear(recipe.width, 2)
    return nn.Sequential(nn.Sequential(start, latent, nn.ReLU(), nn.Dropout(0.5)), head)


def enlarged(images: Tensor, side: int) -> Tensor:
    """uint8 ``[n, 3, 32, 32]`` as the network of ImageNet takes them."""
    options = dict(mode="bilinear", antialias=True, align_corners=False)
    x = F.interpolate(images.float() / 255, (side, side), **options)
    mean, deviation = (
        x.new_tensor(v).view(3, 1, 1) for v in (imagenet.MEAN, imagenet.DEVIATION)
    )
    return (x - mean) / deviation


def images_of(recipe: Recipe, seed: int, folder: Path) -> dict[str, list[Tensor]]:
    """Of minority and majority: those that train, the pool, and the test images."""
    *names, prior = PAIRS[recipe.pair]
    train, test = (
        cifar.load_split(split, folder, kind="cifar10") for split in cifar.SPLITS
    )
    found: dict[str, list[Tensor]] = {"train": [], "pool": [], "test": []}
    for name, odds in zip(names, (prior / (1 - prior), 1.0)):
        label = train.names.index(name)
        mine = train.images[train.labels == label]
        g = generator_for(seed, "pair", name)
        mine = mine[torch.randperm(len(mine), generator=g)]
        held, n = round(odds * recipe.held), len(mine)
        if not held < n:
            raise ValueError(f"held is {recipe.held}: there are {n} images of {name}")
        used = round(odds * (n - recipe.held))
        found["pool"].append(mine[:held])
        found["train"].append(mine[held : held + used])
        found["test"].append(test.images[test.labels == label])
    return found


def train(recipe: Recipe, seed: int, data: str, folder: str, device: str) -> dict:
    """Train a network, from its checkpoint if there is one, and refit its last layer.

    Returns
    -------
    dict
        Accuracies of the network's own head, and `curves`.
    """
    images = images_of(recipe, seed, Path(data))
    half = half_of(device) if recipe.half else None
    model = network(recipe, reseeded(seed), recipe.weights).to(device)
    x = torch.cat(images["train"])
    sizes = [len(part) for part in images["train"]]
    y = torch.tensor([1] * sizes[0] + [0] * sizes[1])
    optimizer = torch.optim.AdamW(model.parameters(), recipe.lr)
    here = Path(folder) / f"{recipe.pair}, seed {seed}"

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        g = generator_for(seed, "pair", "order", str(epoch))
        torch.manual_seed(g.initial_seed())  # of dropout
        for rows in torch.randperm(len(x), generator=g).split(recipe.batch):
            yield enlarged(x[rows].to(device), recipe.side), y[rows].to(device)

    with torch.random.fork_rng(devices=[0] if device == "cuda" else []):
        losses = fit(
            model,
            batches,
            F.cross_entropy,
            optimizer=optimizer,
            epochs=recipe.epochs,
            checkpoint=Checkpoint(here, 1, asdict(recipe) | {"seed": seed}),
            half=half,
        )
    body, head = model.eval()

    def features(some: Tensor) -> Tensor:
        shown = (
            (enlarged(part.to(device), recipe.side), part[:, 0, 0, 0])
            for part in some.split(recipe.batch)
        )
        return evaluated(body, shown, half)[0]

    found = {
        split: [features(each) for each in images[split]] for split in ("pool", "test")
    }
    own = [
        (head.cpu()(x).argmax(-1) == label).double().mean().item()
        for x, label in zip(found["test"], (1, 0))
    ]
    pool = torch.cat(found["pool"]).double()  # which has the priors of training
    centre, spread = pool.mean(0), pool.std(0).clamp_min(1e-8)
    scaled = {
        split: tuple((part.double() - centre) / spread for part in parts)
        for split, parts in found.items()
    }
    *names, prior = PAIRS[recipe.pair]
    pair = FrozenPair(tuple(names), scaled["pool"], scaled["test"], tuple(own))
    sizes = [n for n in SAMPLES if n <= recipe.held]
    made = {str(n): curves(pair, n, prior, recipe, seed) for n in sizes}
    shutil.rmtree(here, ignore_errors=True)
    return {"seed": seed, "losses": losses, "own": own, "curves": made}


def curves(
    pair: FrozenPair, n: int, prior: float, recipe: Recipe, seed: int
) -> dict[str, dict]:
    """Mean accuracies of both classes over resamples: sweeps over ratios, and rules."""
    g, grid = generator_for(seed, "pair", "samples", str(n)), ratios()
    X, y = resample(pair, n, recipe.resamples, prior=prior, generator=g)
    closed = rule_heads(X, y, recipe.ridge, grid=grid, n_draws=0, generator=g)
    judged = closed.judged(pair.test)
    sweeps = {"least squares": judged.sweep}
    for steps, heads in descend_heads(X, y, grid, STEPS).items():
        sweeps[f"{steps} steps"] = class_accuracies(*heads, pair.test)
    return {
        "sweeps": {name: each.mean(1).tolist() for name, each in sweeps.items()},
        "rules": {
            rule: {
                "worst": judged.worst(rule).nanmean().item(),
                "ratio": judged.ratio[rule].nanmean().item()
                if rule in judged.ratio
                else math.nan,
            }
            for rule in RULES
        },
    }


def ratios() -> Tensor:
    """Of the sweeps: from 1 to 60, the paper's largest."""
    return torch.logspace(0, math.log10(LARGEST), 25, dtype=torch.float64)


def gap_at_largest(row: dict, n: int = 20, solver: str = f"{STEPS[0]} steps") -> float:
    """Minority error minus majority error at the largest ratio."""
    minority, majority = row["curves"][str(n)]["sweeps"][solver]
    return majority[-1] - minority[-1]


def table(rows: list[dict]) -> str:
    """Where the curves meet and what is gained, means over networks."""
    grid = ratios().numpy()
    lines = ["", "   n  solver         meet at  gap at 60   worst: priors  PCA 99 %"]
    for n, of in rows[0]["curves"].items():
        for solver in of["sweeps"]:
            both = np.mean([row["curves"][n]["sweeps"][solver] for row in rows], 0)
            meet, gap = float(crossing(grid, both[1] - both[0])), both[1] - both[0]
            where = f"{meet:.1f}" if np.isfinite(meet) else "nowhere"
            text = f"{int(n):4}  {solver:13}{where:>9}{gap[-1]:11.3f}"
            if solver == "least squares":
                worst = [
                    np.mean([row["curves"][n]["rules"][rule]["worst"] for row in rows])
                    for rule in ("priors", "PCA 99 %")
                ]
                text += f"{worst[0]:16.3f}{worst[1]:10.3f}"
            lines.append(text)
    return "\n".join(lines)


def plan_of(recipe: Recipe, n_seeds: int) -> Plan:
    """Estimates, each with how it was made."""

    def make() -> nn.Sequential:
        return network(recipe, 0, None)

    prior, shape = PAIRS[recipe.pair][-1], (3, recipe.side, recipe.side)
    found = cost(make, shape)
    n = round((5000 - recipe.held) / (1 - prior))
    batch = recipe.batch if profiles.current().device == "cuda" else 4
    kept = 2 * 12 * found.parameters / 1e9
    return Plan(
        title=f"chapter 1: {recipe.pair.replace('-', ' and ')} of CIFAR-10, {n_seeds} "
        f"times {recipe.network} for {recipe.epochs} epochs, then last layers",
        licences=(f"CIFAR-10: {cifar.PAGE}, names none", imagenet.LICENCE),
        rows=(
            ("images", "0.7 GB", "archive and files; torchvision checks it by MD5"),
            ("ImageNet", "0.1 GB", "weights; torchvision checks them by SHA-256"),
            ("checkpoints", f"{kept:.1f} GB", "of each network, weights and moments"),
            *training_rows(
                found,
                passes=n_seeds * n * recipe.epochs,
                runs=n_seeds,
                batch=recipe.batch,
                rate=speed(make, shape, batch, half=recipe.half),
                width="bfloat16" if recipe.half else "TF32",
            ),
            (
                "last layers",
                "minutes",
                "on the CPU; 512 features, 25 ratios; not counted",
            ),
        ),
        disk_gb=1.0 + kept,
        gpu_gb=found.memory_gb(recipe.batch, half=recipe.half),
    )


def arguments(given: list[str]) -> argparse.Namespace:
    parser, recipe = (
        argparse.ArgumentParser("tools.paper 1", description=__doc__),
        Recipe(),
    )
    parser.add_argument("--yes", action="store_true", help="accept licences and start")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--pair", choices=PAIRS, default=recipe.pair)
    parser.add_argument("--network", choices=imagenet.NAMES, default=recipe.network)
    parser.add_argument("--scratch", action="store_true", help="start at random")
    for name in ("side", "width", "epochs", "batch", "held"):
        parser.add_argument(f"--{name}", type=int, default=getattr(recipe, name))
    parser.add_argument("--full", action="store_true", help="no half-width products")
    parser.add_argument("--folder", type=Path, default=RUNS, help="of checkpoints")
    chosen = parser.parse_args(given)
    for name, least in (("side", 32), ("width", 1), ("epochs", 1), ("batch", 2)):
        if (value := getattr(chosen, name)) < least:
            parser.error(f"{name} is {value}: expected at least {least}")
    if chosen.held < SAMPLES[0]:
        parser.error(f"held is {chosen.held}: expected at least {SAMPLES[0]}")
    return chosen


def main(given: list[str]) -> int:
    chosen, profile = arguments(given), profiles.current()
    stopwatch, data = provenance.Stopwatch(), cache_dir()
    names = ("pair", "network", "side", "width", "epochs", "batch", "held")
    recipe = Recipe(
        weights=None if chosen.scratch else imagenet.WEIGHTS,
        half=not chosen.full,
        **{name: getattr(chosen, name) for name in names},
    )

    def run() -> None:
        cifar.prepare(data, download=True, kind="cifar10")
        places = str(data), str(chosen.folder), profile.device
        work = [(recipe, seed, *places) for seed in chosen.seeds]
        rows = in_processes(train, work, device=profile.device)
        about = {"recipe": asdict(recipe), "ratios": ratios().tolist()}
        path = record.write_rows(
            f"cifar10-{recipe.pair}", rows, profile, stopwatch, **about
        )
        print(table(rows), f"\nrecorded in {path}", sep="\n")
        if recipe == Recipe(half=recipe.half):
            gaps = [gap_at_largest(row) for row in rows]
            print(*record.enter("ch1", {"ch1.deer_horse": {None: gaps}}, profile))

    plan = plan_of(recipe, len(chosen.seeds))
    return carry_out(plan, [chosen.folder, data], yes=chosen.yes, run=run)
