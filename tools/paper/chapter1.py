"""Chapter 1: CIFAR-10 in pairs and CelebA, a ResNet-34, last layers from few samples.

Curves of accuracy against the ratio of weights, as in figures 6, 7 and 12 of arXiv
2506.20025, for 20, 90 and 1,000 samples. Of CelebA straight hair is the minority; its
publisher's splits train, give the samples, and judge. Printed: the network and its
weights, the pairs with their shares, AdamW, dropout of a half, latent widths of 128 to
512, rates of 0.001 and 0.01, 10 and 30 epochs, ten samples. Marked *ours*: which rate
and which epochs belong to which stage, batches of 128, images of 224 pixels, and that
CIFAR-10's samples come from training images held out, of which there are enough for
1,000.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailwise import profiles
from tailwise.data import celeba, cifar
from tailwise.data.assets import cache_dir
from tailwise.ledger import provenance
from tailwise.models import imagenet
from tailwise.profiles import reseeded
from tailwise.training import ranks
from tailwise.training.batches import generator_for
from tailwise.training.checkpoint import Checkpoint
from tailwise.training.epochs import evaluated, fit, half_of
from tailwise.training.photo_batches import Shown
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
from tools.paper.arguments import Parser
from tools.paper.estimates import WEIGHTS, Plan, cost, reading, speed, training_rows
from tools.paper.harness import carry_out, forget
from tools.paper.sets import SETS, DataSet

RUNS = ROOT / "_build" / "runs" / "pairs"
PAIRS = {  # minority, majority, and the minority's share
    "deer-horse": ("deer", "horse", 0.17),
    "cat-dog": ("cat", "dog", 0.17),
    "airplane-truck": ("airplane", "truck", 0.09),
    "straight-hair": ("straight hair", "other hair", 0.21),
}
CELEBA = 162_770  # training images
CLAIMED = {
    "deer-horse": "ch1.deer_horse",
    "straight-hair": "ch1.celeba",
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
        Images of CIFAR-10's majority that are held out to draw samples from, and of the
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


class Enlarged:
    """Images of CIFAR-10 with labels, in batches as `Shown` gives them."""

    def __init__(self, parts: list[Tensor], side: int, seed: int) -> None:
        self.images, self.side, self.seed = torch.cat(parts), side, seed
        sizes = torch.tensor([len(part) for part in parts])
        self.y = torch.tensor([1, 0]).repeat_interleave(sizes)

    def batches(
        self, epoch: int, batch: int, device: str
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """All images on a device: in order for evaluation, else shuffled and shared."""
        rows = torch.arange(len(self.y))
        if epoch:
            g = generator_for(self.seed, "pair", "order", str(epoch))
            rows = torch.randperm(len(rows), generator=g)
        for some in rows.split(batch):
            mine = ranks.share(some) if epoch else some
            x = enlarged(self.images[mine].to(device), self.side)
            yield x, self.y[some].to(device)


def images_of(recipe: Recipe, seed: int, folder: Path) -> dict[str, Enlarged | Shown]:
    """Those that train, the pool that samples are drawn from, and the test images."""
    if recipe.pair == "straight-hair":
        named = zip(("train", "pool", "test"), celeba.SPLITS)
        return {
            name: Shown(
                celeba.load_split(split, folder), recipe.side, seed, moved=False
            )
            for name, split in named
        }
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
    return {split: Enlarged(parts, recipe.side, seed) for split, parts in found.items()}


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
    optimizer = torch.optim.AdamW(model.parameters(), recipe.lr)
    here = Path(folder) / f"{recipe.pair}, seed {seed}"

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        g = generator_for(seed, "pair", "order", str(epoch))
        torch.manual_seed(g.initial_seed())  # of dropout
        yield from images["train"].batches(epoch, recipe.batch, device)

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
    found = {}
    for split in ("pool", "test"):
        shown = images[split].batches(0, recipe.batch, device)
        x, y = evaluated(body, shown, half)
        found[split] = [x[y == label] for label in (1, 0)]
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
    sizes = [n for n in SAMPLES if n <= len(pool)]
    made = {str(n): curves(pair, n, prior, recipe, seed) for n in sizes}
    forget(here)
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

    shape, source = (3, recipe.side, recipe.side), source_of(recipe)
    found, faces = cost(make, shape), recipe.pair == "straight-hair"
    n = CELEBA if faces else round((5000 - recipe.held) / (1 - PAIRS[recipe.pair][-1]))
    batch = recipe.batch if profiles.current().device == "cuda" else 4
    kept, passes = 2 * 12 * found.parameters / 1e9, n_seeds * n * recipe.epochs
    return Plan(
        title=f"chapter 1: {' and '.join(PAIRS[recipe.pair][:2])} of {source.title}, "
        f"{n_seeds} times {recipe.network} for {recipe.epochs} epochs, "
        "then last layers",
        licences=(source.licence, imagenet.LICENCE),
        rows=(
            source.row,
            *([WEIGHTS] if recipe.weights else []),
            ("checkpoints", f"{kept:.1f} GB", "of each network, weights and moments"),
            *training_rows(
                found,
                passes=passes,
                runs=n_seeds,
                batch=recipe.batch,
                rate=speed(make, shape, batch, half=recipe.half),
                width="bfloat16" if recipe.half else "TF32",
            ),
            *([reading(passes, recipe.side)] if faces else []),
            (
                "last layers",
                "minutes",
                "on the CPU; 512 features, 25 ratios; not counted",
            ),
        ),
        data_gb=source.room_gb(),
        kept_gb=kept,
        gpu_gb=found.memory_gb(recipe.batch, half=recipe.half),
    )


def source_of(recipe: Recipe) -> DataSet:
    return SETS["celeba" if recipe.pair == "straight-hair" else "cifar10"]


def parser() -> Parser:
    least = {"side": 32, "width": 1, "epochs": 1, "batch": 2, "held": SAMPLES[0]}
    found = Parser(1, __doc__, Recipe(), least, seeds=range(10), folder=RUNS)
    found.add_network()
    found.add_argument("--pair", choices=PAIRS, default="deer-horse")
    return found


def gains_over_priors(row: dict) -> float:
    """Worst class at the corrected ratio less that at the priors, of 20 samples."""
    rules = row["curves"]["20"]["rules"]
    return rules["PCA 99 %"]["worst"] - rules["priors"]["worst"]


def main(given: list[str]) -> int:
    chosen, profile = parser().parse(given), profiles.current()
    recipe = parser().recipe_of(chosen, pair=chosen.pair)
    stopwatch, data = provenance.Stopwatch(), cache_dir()
    places = str(data), str(chosen.folder), profile.device
    as_printed = recipe == Recipe(half=recipe.half, pair=recipe.pair)
    decides = [CLAIMED[recipe.pair]] if as_printed and recipe.pair in CLAIMED else []

    def tell(rows: list[dict]) -> None:
        about = {"recipe": asdict(recipe), "ratios": ratios().tolist()}
        kind = "celeba" if recipe.pair == "straight-hair" else "cifar10"
        name = f"{kind}-{recipe.pair}"
        path = record.write_rows(name, rows, profile, stopwatch, **about)
        print(table(rows), f"\nrecorded in {path}", sep="\n")
        value = gap_at_largest if recipe.pair == "deer-horse" else gains_over_priors
        for claim in decides:
            found = {claim: {None: [value(row) for row in rows]}}
            print(*record.enter("ch1", found, profile))

    return carry_out(
        lambda: plan_of(recipe, len(chosen.seeds)),
        checkpoints=chosen.folder,
        decides=decides,
        yes=chosen.yes,
        prepare=lambda: source_of(recipe).prepare(data),
        train=train,
        work=[(recipe, seed, *places) for seed in chosen.seeds],
        tell=tell,
        together=True,
    )
