"""Chapter 3: CIFAR under noise of six severities, the authors' two networks.

Balanced accuracies and test losses of the notebook saved with the code of arXiv
2408.03619: ERM, SharpDRO, COCE and COCE-A. SAM, flooding and SoftAD are the families of
chapter 3 beside them. The wide residual network of 28 layers learns either CIFAR; of
its results no number was readable. Data, networks, rates and grids are those of the
released code; in each trial the setting with the best validation accuracy counts.
Marked *ours*: every test image is shown at all six severities, so that rare ones are
measured as well as common ones.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailwise import profiles
from tailwise.data import cifar, corruption
from tailwise.data.assets import cache_dir
from tailwise.ledger import provenance
from tailwise.models.wide_resnet import wide_resnet
from tailwise.softad import lenet
from tailwise.softad.sam_and_group_dro import Method
from tailwise.training.batches import generator_for
from tailwise.training.checkpoint import Checkpoint
from tools.book.layout import ROOT
from tools.paper import record
from tools.paper.arguments import Parser
from tools.paper.estimates import Plan, cost, speed, training_rows
from tools.paper.harness import carry_out, forget
from tools.paper.sets import SETS

RUNS = ROOT / "_build" / "runs" / "noise"
NOISE = (0.0, 0.04, 0.06, 0.08, 0.09, 0.10)  # standard deviations, pixels in [0, 1]
PIXELS = {  # mean and deviation
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}
NETWORKS = ("lenet", "wide")
LEVELS = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4)
HALF = {"quantile": 0.5}
FAMILIES = {
    "ERM": (Method("ERM"),),
    "SharpDRO": tuple(
        Method(f"SharpDRO {r:g}", ascent="sharpdro", reach=r) for r in LEVELS
    ),
    "COCE": tuple(
        Method(f"COCE {t:g}", "frozen_cvar_softad", HALF | {"tau": t}) for t in LEVELS
    ),
    "COCE-A": tuple(
        Method(f"COCE-A {t:g}", "cvar_softad", HALF | {"tau": t}) for t in LEVELS
    ),
    "SAM": tuple(
        Method(f"SAM {r:g}", ascent="sam", reach=r)
        for r in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    ),
    "flooding": tuple(
        Method(f"flooding {t:g}", "flooding", {"tau": t}) for t in LEVELS
    ),
    "SoftAD": tuple(Method(f"SoftAD {t:g}", "softad", {"tau": t}) for t in LEVELS),
}
# Balanced accuracy, read off bars, and test loss of the saved notebook, Poisson's law.
PUBLISHED = {
    "ERM": (0.58, 3.28),
    "SharpDRO": (0.565, 3.58),
    "COCE": (0.60, 1.77),
    "COCE-A": (0.555, 1.55),
}
CLAIMS = {  # network, families, what is compared
    "ch3.cifar": ("lenet", "ERM", "COCE", "balanced"),
    "ch3.wide_networks": ("wide", "ERM", "SharpDRO", "worst"),
}
SUMMARY = ("balanced", "worst", "average", "loss")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train; the released code's values.

    Attributes
    ----------
    data : str
        A key of `PIXELS`.
    network : str
        One of `NETWORKS`.
    law : str
        Of the severities, one of `tailwise.data.corruption.LAWS`.
    n_train : int
        Images; the other training images are for validation.
    epochs, batch, lr, momentum, decay
        Of SGD; the rate falls to a fifth at 30, 60 and 80 % of the epochs.
    q_step : float
        Of SharpDRO's group weights.
    """

    data: str = "cifar10"
    network: str = "lenet"
    law: str = "rare"
    n_train: int = 39_950
    epochs: int = 200
    batch: int = 100
    lr: float = 0.03
    momentum: float = 0.9
    decay: float = 5e-4
    q_step: float = 0.01


def network(recipe: Recipe, seed: int) -> nn.Sequential:
    """`lenet` for three channels and 32 x 32 pixels, or a wide residual network."""
    n_classes = 10 if recipe.data == "cifar10" else 100
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_for(seed, "cifar", "weights").initial_seed())
        if recipe.network == "wide":
            return wide_resnet(n_classes)
        small = lenet.lenet()
        first, flat = nn.Conv2d(3, 6, 5), nn.Linear(400, 120)
        last = nn.Linear(84, n_classes)
        return nn.Sequential(first, *small[2:8], flat, *small[9:-1], last)


def noisy(
    images: Tensor, severity: Tensor | int, g: torch.Generator, kind: str
) -> Tensor:
    """Noise on uint8 images ``[n, 3, h, w]``, in whole grey levels, standardised.

    A generator in the same state draws the same pattern at every severity.
    """
    noise = torch.randn(images.shape, generator=g)
    noise *= torch.tensor(NOISE)[severity].view(-1, 1, 1, 1)
    x = (images + 255 * noise).clamp(0, 255).floor() / 255
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in PIXELS[kind])
    return (x - mean) / deviation


def drawn(recipe: Recipe, seed: int, folder: Path) -> dict[str, tuple[Tensor, ...]]:
    """Images, labels and severities of "train" and "val"; half of them mirrored."""
    data = cifar.load_split("train", folder, kind=recipe.data)
    n = len(data.labels)
    if not recipe.batch <= recipe.n_train < n:
        raise ValueError(
            f"n_train is {recipe.n_train}: expected {recipe.batch} to {n - 1}"
        )
    g = generator_for(seed, "cifar", "noise")
    edges = corruption.law(recipe.law).cumsum(0)[:-1]
    uniform = torch.rand(n, dtype=torch.float64, generator=g)
    severity = torch.searchsorted(edges, uniform, right=True)
    mirror = torch.rand(n, generator=g) < 0.5
    images = data.images.clone()
    images[mirror] = images[mirror].flip(-1)
    order = torch.randperm(n, generator=g)
    found = {}
    for split, rows in (
        ("train", order[: recipe.n_train]),
        ("val", order[recipe.n_train :]),
    ):
        x = noisy(images[rows], severity[rows], g, recipe.data)
        found[split] = x, data.labels[rows], severity[rows]
    return found


@torch.no_grad()
def judged(model: nn.Module, x: Tensor, y: Tensor, device: str) -> dict[str, float]:
    """Mean accuracy and loss."""
    z = torch.cat([model(some.to(device)).cpu() for some in x.split(1000)])
    right = (z.argmax(-1) == y).double().mean().item()
    return {"accuracy": right, "loss": F.cross_entropy(z.double(), y).item()}


def train(
    recipe: Recipe, method: Method, seed: int, data: str, folder: str, device: str
) -> dict:
    """Train one network, from its checkpoint if there is one, and judge it.

    Returns
    -------
    dict
        Accuracies and losses on training and validation images, and on the test images
        at each severity; the norm of the parameters.
    """
    parts, model = drawn(recipe, seed, Path(data)), network(recipe, seed).to(device)
    about = asdict(recipe) | asdict(method) | {"seed": seed}
    here = Path(folder) / "-".join(
        [recipe.data, recipe.network, recipe.law, method.label, f"seed {seed}"]
    )
    x, y, severity = (part.to(device) for part in parts["train"])
    lenet.train(
        model,
        x,
        y,
        method,
        group=severity,
        epochs=recipe.epochs,
        batch_size=recipe.batch,
        lr=recipe.lr,
        generator=generator_for(seed, "cifar", "batches"),
        momentum=recipe.momentum,
        weight_decay=recipe.decay,
        q_step=recipe.q_step,
        checkpoint=Checkpoint(here, max(1, recipe.epochs // 20), about),
    )
    model.eval()
    test = cifar.load_split("test", Path(data), kind=recipe.data)
    shown = [
        noisy(test.images, s, generator_for(seed, "cifar", "test"), recipe.data)
        for s in range(len(NOISE))
    ]
    found = {split: judged(model, *parts[split][:2], device) for split in parts}
    forget(here)
    norm = torch.cat([p.detach().flatten() for p in model.parameters()]).norm().item()
    return {
        **dict(seed=seed, label=method.label, norm=norm, **found),
        "test": [judged(model, each, test.labels, device) for each in shown],
    }


def chosen_rows(rows: list[dict], law: str) -> dict[str, list[dict]]:
    """By family a row a seed: the setting that validates best, and its summary."""
    p, found = corruption.law(law).numpy(), {}
    for name, methods in FAMILIES.items():
        labels = [method.label for method in methods]
        for seed in sorted({row["seed"] for row in rows}):
            mine = [r for r in rows if r["seed"] == seed and r["label"] in labels]
            if mine:
                best = max(mine, key=lambda row: row["val"]["accuracy"])
                right, loss = (
                    np.array([at[what] for at in best["test"]])
                    for what in ("accuracy", "loss")
                )
                summary = {"balanced": right.mean(), "worst": right.min()}
                summary |= {"average": p @ right, "loss": p @ loss}
                found.setdefault(name, []).append(best | summary)
    return found


def table(found: dict[str, list[dict]], recipe: Recipe) -> str:
    """Means over seeds; the notebook's are of LeNets on CIFAR-10 and the rare law."""
    named = recipe.data, recipe.network, recipe.law
    published = PUBLISHED if named == ("cifar10", "lenet", "rare") else {}
    lines = ["", "           balanced  paper  worst  average  test loss  paper  chosen"]
    for name, rows in found.items():
        mean = {k: np.mean([row[k] for row in rows]) for k in SUMMARY}
        marks = [f"{mark:g}" for mark in published.get(name, ())] or ["–", "–"]
        labels = ", ".join(row["label"].rpartition(" ")[2] for row in rows)
        lines.append(
            f"{name:10}{mean['balanced']:9.3f}{marks[0]:>7}{mean['worst']:7.3f}"
            f"{mean['average']:9.3f}{mean['loss']:11.2f}{marks[1]:>7}  {labels}"
        )
    return "\n".join(lines)


def settings(families: list[str], seeds: list[int]) -> Iterator[tuple[Method, int]]:
    for seed in seeds:
        for name in families:
            for method in FAMILIES[name]:
                yield method, seed


def plan_of(recipe: Recipe, work: list[tuple[Method, int]]) -> Plan:
    """Estimates, each with how it was made."""

    def make() -> nn.Sequential:
        return network(recipe, 0)

    found, small = cost(make, (3, 32, 32)), recipe.network == "lenet"
    whole = small or profiles.current().device == "cuda"
    batch, steps = (recipe.batch, 20) if whole else (10, 2)
    rate = speed(make, (3, 32, 32), batch, half=False, steps=steps)
    times = sum(2 if method.ascent != "none" else 1 for method, _ in work)
    data, kept = 4 * 3 * 32**2 * 2 * 50_000 / 1e9, 2 * 8 * found.parameters / 1e9
    source = SETS[recipe.data]
    return Plan(
        title=f"chapter 3: {len(work)} {'LeNets' if small else 'wide ResNets'} on "
        f"noisy {source.title}, {recipe.epochs} epochs, law {recipe.law!r}",
        licences=(source.licence,),
        rows=(
            source.row,
            (
                "memory",
                f"{2 * data:.0f} GB",
                "noisy images, twice while they are drawn",
            ),
            ("checkpoints", f"{kept:.2f} GB", "of each network that is trained"),
            *training_rows(
                found,
                passes=times * recipe.n_train * recipe.epochs,
                runs=len(work),
                batch=recipe.batch,
                rate=rate,
                width="TF32",
                more_gb=data,
            ),
        ),
        data_gb=source.room_gb(),
        kept_gb=8 * kept,
        gpu_gb=found.memory_gb(recipe.batch) + data,
    )


def parser() -> Parser:
    least = {"n_train": 1, "epochs": 1, "batch": 1}
    found = Parser(3, __doc__, Recipe(), least, seeds=range(3), folder=RUNS)
    found.add_argument("--data", choices=PIXELS, default="cifar10")
    found.add_argument("--network", choices=NETWORKS, default="lenet")
    found.add_argument(
        "--methods", nargs="+", choices=FAMILIES, help="wide: ERM and SharpDRO"
    )
    found.add_argument("--law", choices=corruption.LAWS, default="rare")
    return found


def main(given: list[str]) -> int:
    chosen, profile = parser().parse(given), profiles.current()
    stopwatch, data = provenance.Stopwatch(), cache_dir()
    kinds = {name: getattr(chosen, name) for name in ("data", "network", "law")}
    recipe = parser().recipe_of(chosen, **kinds)
    everything = list(FAMILIES) if chosen.network == "lenet" else ["ERM", "SharpDRO"]
    families = chosen.methods or everything
    work = list(settings(families, chosen.seeds))
    places = str(data), str(chosen.folder), profile.device
    decides = [
        claim
        for claim, (network, *both, _) in CLAIMS.items()
        if recipe == Recipe(network=network) and {*both} <= {*families}
    ]

    def tell(rows: list[dict]) -> None:
        found = chosen_rows(rows, recipe.law)
        parts = [recipe.data, "noise"] + ["wide"] * (recipe.network == "wide")
        name = "-".join(parts + [recipe.law] * (recipe.law != "rare"))
        path = record.write_rows(name, rows, profile, stopwatch, recipe=asdict(recipe))
        print(table(found, recipe), f"\nrecorded in {path}", sep="\n")
        for claim in decides:
            _, plain, rival, what = CLAIMS[claim]
            pairs = zip(found[rival], found[plain])
            gains = [ours[what] - theirs[what] for ours, theirs in pairs]
            print(*record.enter("ch3", {claim: {None: gains}}, profile))

    return carry_out(
        lambda: plan_of(recipe, work),
        checkpoints=chosen.folder,
        decides=decides,
        yes=chosen.yes,
        prepare=lambda: SETS[recipe.data].prepare(data),
        train=train,
        work=[(recipe, *each, *places) for each in work],
        tell=tell,
    )
