"""Chapter 5: MNIST and CIFAR-10 under STEP imbalance, an MLP and a ResNet-18.

What figures 1 and 3 to 5 of arXiv 2303.07608 show of its networks: lengths and cosines
of classifiers and class means, distances to the limit, training accuracy. The MLP has
six layers of 2,048 and learns MNIST; the ResNet-18 begins with a 3 x 3 convolution and
learns CIFAR-10. Marked *ours*: the first weights, how pixels are scaled, and the order
of batches.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

from tailwise import profiles
from tailwise.data import cifar
from tailwise.data.assets import cache_dir
from tailwise.data.compat import import_torchvision
from tailwise.geometry import seli
from tailwise.geometry.sweep import marks
from tailwise.ledger import provenance
from tailwise.methods import losses
from tailwise.metrics import estimate
from tailwise.training import ranks
from tailwise.training.batches import generator_for
from tailwise.training.checkpoint import Checkpoint
from tailwise.training.epochs import fit
from tools.book.layout import ROOT
from tools.paper import record
from tools.paper.arguments import Parser
from tools.paper.estimates import Plan, cost, speed, training_rows
from tools.paper.harness import carry_out, forget
from tools.paper.sets import SETS, mnist

RUNS = ROOT / "_build" / "runs" / "geometry"
K = 10
SHAPES = {"mlp": (28**2,), "resnet18": (3, 32, 32)}
SIZES = ("n_major", "epochs", "batch", "width", "depth", "checks")
DATA = {"mlp": "mnist", "resnet18": "cifar10"}
NAMES = {"mlp": "mnist", "resnet18": "cifar10-step"}  # of what is recorded
PARAMETER = {"wce": "power", "la": "tau", "ldt": "gamma", "cdt": "gamma"}
CLAIMED = ("ch5.resnet", "ch5.resnet_lengths")
GAMMAS = {"gamma 0": 0.0, "gamma 1/2": 0.5}  # their parts
TRACKED = ("distance W", "distance H", "accuracy", "accuracy majority", "loss")
PANELS = {"mlp": "MLP", "resnet18": "ResNet"}  # of the paper's figures


@dataclass(frozen=True)
class Recipe:
    """How to train; what the paper prints, but for `checks`.

    Attributes
    ----------
    n_major : int
        Images of each majority class; the others have n_major / R.
    epochs, batch, lr, momentum, decay
        Of SGD; the rate falls to a tenth at a third and at two thirds of the epochs.
    network : {"mlp", "resnet18"}
    width, depth : int
        Of the MLP.
    checks : int
        How often the geometry is measured, evenly over the epochs.
    """

    n_major: int = 5000
    epochs: int = 350
    batch: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    decay: float = 1e-5
    network: str = "mlp"
    width: int = 2048
    depth: int = 6
    checks: int = 35


def network(recipe: Recipe, seed: int) -> nn.Sequential:
    """A body with batch norm and ReLU, and a classifier without a bias."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_for(seed, "mnist", "weights").initial_seed())
        if recipe.network == "resnet18":
            body = import_torchvision().models.resnet18(num_classes=K)
            body.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            body.maxpool, body.fc = nn.Identity(), nn.Identity()
            return nn.Sequential(body, nn.Linear(512, K, bias=False))
        sizes = [*SHAPES["mlp"]] + [recipe.width] * recipe.depth
        layers = [
            part
            for d, f in zip(sizes, sizes[1:])
            for part in (nn.Linear(d, f), nn.BatchNorm1d(f), nn.ReLU())
        ]
        head = nn.Linear(sizes[-1], K, bias=False)
    return nn.Sequential(nn.Sequential(*layers), head)


def load(folder: Path, kind: str = "mlp") -> tuple[Tensor, Tensor]:
    """Training images in units of their spread, and labels.

    ``[60000, 784]`` of MNIST for an MLP, ``[50000, 3, 32, 32]`` of CIFAR-10 for a
    residual network.
    """
    if kind == "resnet18":
        data = cifar.load_split("train", folder, kind="cifar10")
        X, y = data.images.float() / 255, data.labels
    else:
        data = mnist(folder, download=False)
        X, y = data.data.flatten(1).float() / 255, data.targets
    return (X - X.mean()) / X.std(), y


def draw(
    X: Tensor, y: Tensor, counts: Sequence[int], seed: int
) -> tuple[Tensor, Tensor]:
    """The first of each class in an order of the seed."""
    g = generator_for(seed, "mnist", "images")
    rows = []
    for c, n in enumerate(counts):
        members = (y == c).nonzero()[:, 0]
        if n > len(members):
            raise ValueError(f"class {c} has {len(members)} images: expected {n}")
        rows.append(members[torch.randperm(len(members), generator=g)[:n]])
    rows = torch.cat(rows)
    return X[rows], y[rows]


def step_counts(recipe: Recipe, ratio: int) -> Tensor:
    """Images of each class, the first half of the classes in the majority."""
    n_minor = recipe.n_major // ratio
    return seli.step_counts(K // 2, K - K // 2, recipe.n_major / n_minor, n_minor)


def knobs(loss: str, gamma: float, counts: Tensor) -> dict[str, Tensor]:
    """Of the loss; temperatures sum to k."""
    if loss == "wce":
        return {"weight": losses.inverse_frequency(counts, gamma)}
    found = losses.knobs(loss, counts, **{PARAMETER[loss]: gamma})
    return {
        name: x * K / x.sum() if "temperature" in name else x
        for name, x in found.items()
    }


def limit(loss: str, gamma: float, counts: Tensor) -> tuple[str, Tensor]:
    """Kind and temperatures of the limit that a loss has; ones without temperatures."""
    kind = loss if loss in seli.KINDS else "ldt"
    return kind, seli.temperatures(counts, gamma if loss in seli.KINDS else 0.0)


@torch.no_grad()
def measured(
    model: nn.Module, X: Tensor, y: Tensor, counts: Tensor, loss: str, gamma: float
) -> tuple[list[float], tuple[Tensor, Tensor]]:
    """Distances to the limit and accuracies, and Gram matrices of W and H."""
    model.eval()
    body, head = model
    sums = torch.zeros(K, head.in_features, device=X.device)
    right = torch.zeros(K, device=X.device)
    for rows in torch.arange(len(X), device=X.device).split(1000):
        h = body(X[rows])
        sums.index_add_(0, y[rows], h)
        right.index_add_(0, y[rows], (head(h).argmax(-1) == y[rows]).float())
    model.train()
    kind, delta = limit(loss, gamma, counts)
    means = sums.double().cpu() / counts.unsqueeze(-1)
    share = delta * seli.null_direction(delta, kind)
    means = means - (share / share.sum()) @ means
    W = head.weight.double().cpu()
    grams = W @ W.mT, means @ means.mT
    predicted = seli.predicted_grams(counts, delta, kind)
    errors = [float(seli.gram_error(a, b)) for a, b in zip(grams, predicted)]
    rates = right.cpu() / counts
    return [*errors, float(rates.mean()), float(rates[: K // 2].mean())], grams


def train(
    recipe: Recipe,
    ratio: int,
    loss: str,
    gamma: float,
    seed: int,
    data: str,
    folder: str,
    device: str,
) -> dict:
    """Train one network, from its checkpoint if there is one, and measure it.

    Returns
    -------
    dict
        The setting, ``tracked`` with a row for each check, and of W and H the squared
        ratio and the three mean cosines, as measured and in the limit.
    """
    X, y = load(Path(data), recipe.network)
    counts = step_counts(recipe, ratio)
    X, y = draw(X, y, counts.long().tolist(), seed)
    X, y = X.to(device), y.to(device)
    model = network(recipe, seed).to(device).train()
    n, turn = len(X), knobs(loss, gamma, counts)
    if n % recipe.batch == 1:
        raise ValueError(f"batch is {recipe.batch}: the last of {n} images is alone")
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.decay
    )
    thirds = recipe.epochs // 3, 2 * recipe.epochs // 3
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda epoch: 0.1 ** sum(epoch >= stop for stop in thirds)
    )
    order = generator_for(seed, "mnist", "batches")
    tracked = torch.full((recipe.epochs, len(TRACKED)), math.nan, dtype=torch.float64)
    about = asdict(recipe) | dict(ratio=ratio, loss=loss, gamma=gamma, seed=seed)
    here = Path(folder) / f"{recipe.network}, R {ratio}, {loss} {gamma:g}, seed {seed}"
    checks = {
        round(recipe.epochs * i / recipe.checks) for i in range(1, recipe.checks + 1)
    }

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(n, generator=order).to(device).split(recipe.batch):
            yield X[ranks.share(rows)], y[rows]

    def check(epoch: int, history: list[float]) -> None:
        if epoch in checks:
            found = measured(model, X, y, counts, loss, gamma)[0]
            tracked[epoch - 1] = torch.tensor([*found, history[-1]])

    fit(
        model,
        batches,
        lambda z, target: losses.adjusted_cross_entropy(z, target, **turn),
        optimizer=optimizer,
        schedule=schedule,
        epochs=recipe.epochs,
        checkpoint=Checkpoint(here, max(1, recipe.epochs // 20), about),
        moving={"order": order, "tracked": tracked},
        after=check,
    )
    result = _row(model, X, y, counts, loss, gamma)
    kept = tracked[[epoch - 1 for epoch in sorted(checks)]]
    forget(here)
    return {
        **dict(R=ratio, loss=loss, gamma=gamma, seed=seed),
        "epochs": sorted(checks),
        "tracked": {name: kept[:, i].tolist() for i, name in enumerate(TRACKED)},
        **result,
    }


def _row(model, X, y, counts, loss, gamma) -> dict:
    minority = counts < counts.max()
    kind, delta = limit(loss, gamma, counts)
    grams = measured(model, X, y, counts, loss, gamma)[1]
    row = {}
    for name, gram, predicted in zip(
        "WH", grams, seli.predicted_grams(counts, delta, kind)
    ):
        for what, each in (("", gram), (" limit", predicted)):
            found = seli.blocks(each, minority)
            row[f"{name}{what}"] = {
                "ratio^2": float(found.norm2_ratio),
                "cos MM": float(found.cos_major),
                "cos mm": float(found.cos_minor),
                "cos Mm": float(found.cos_between),
            }
    return row


def settings(chosen: argparse.Namespace) -> Iterator[tuple[int, str, float, int]]:
    """R, loss, gamma and seed of each network; gamma 0 is one loss, plain."""
    seen = set()
    for ratio, seed, loss, gamma in product(
        chosen.ratios, chosen.seeds, chosen.losses, chosen.gammas
    ):
        name = (ratio, loss if gamma else "ldt", gamma, seed)
        if name not in seen:
            seen.add(name)
            yield name


def parser() -> Parser:
    steps = [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5]
    least, seeds = dict.fromkeys(SIZES, 1), (0, 1, 2)
    found = Parser(5, __doc__, Recipe(), least, seeds=seeds, folder=RUNS)
    found.add_argument("--network", choices=SHAPES, default="mlp")
    found.add_argument("--ratios", type=int, nargs="+", help="R; a ResNet's: 10")
    found.add_argument("--losses", nargs="+", choices=PARAMETER, default=["ldt", "cdt"])
    found.add_argument("--gammas", type=float, nargs="+", default=steps)
    return found


def arguments(given: list[str]) -> argparse.Namespace:
    chosen = parser().parse(given)
    if chosen.ratios is None:
        chosen.ratios = [10, 2, 5, 20] if chosen.network == "mlp" else [10]
    if not all(1 <= r <= chosen.n_major for r in chosen.ratios):
        parser().error(f"ratios are {chosen.ratios}: expected 1 to {chosen.n_major}")
    return chosen


def plan_of(recipe: Recipe, runs: list[tuple]) -> Plan:
    """Estimates: operations counted, and the speed of this machine measured."""
    mlp, shape = recipe.network == "mlp", SHAPES[recipe.network]

    def make() -> nn.Sequential:
        return network(recipe, 0)

    found = cost(make, shape)
    source = SETS[DATA[recipe.network]]
    images = [
        int(step_counts(recipe, ratio).sum()) * recipe.epochs for ratio, *_ in runs
    ]
    on_gpu = profiles.current().device == "cuda"
    rate = speed(make, shape, recipe.batch if mlp or on_gpu else 16, half=False)
    checkpoint = 2 * 8 * found.parameters / 1e9  # one whole, one being written
    data = 60_000 * 28**2 * 4 / 1e9 if mlp else 50_000 * 3 * 32**2 * 4 / 1e9
    return Plan(
        title=f"chapter 5: {len(runs)} networks on {source.title}, "
        + (f"{recipe.depth} layers of {recipe.width}" if mlp else "ResNet-18")
        + f", {recipe.epochs} epochs",
        licences=(source.licence,),
        rows=(
            source.row,
            ("checkpoints", f"{checkpoint:.2f} GB", "of each network that is trained"),
            *training_rows(
                found,
                passes=sum(images),
                runs=len(runs),
                batch=recipe.batch,
                rate=rate,
                width="float32" if mlp else "TF32",
                more_gb=data,
            ),
        ),
        data_gb=source.room_gb(),
        kept_gb=4 * checkpoint,
        gpu_gb=found.memory_gb(recipe.batch) + data,
    )


def table(rows: list[dict], kind: str = "mlp") -> str:
    """Squared ratios and distances of classifiers beside the limit and the marks."""
    lines = ["  R  loss gamma  ratio^2      limit  paper  distance  paper  accuracy"]
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["R"], row["loss"], row["gamma"]), []).append(row)
    for (ratio, loss, gamma), some in groups.items():
        values = [row["W"]["ratio^2"] for row in some]
        spread = f" ± {estimate(values).stderr:.2f}" if len(values) > 1 else ""
        of = dict(panel=PANELS[kind], loss=loss.upper(), R=ratio, gamma=gamma)
        printed = [
            f"{cell.value.item():.2f}" if len(cell) else "–"
            for cell in (
                marks(figure=3, what="ratio2", **of),
                marks(figure=4, what="error_w", **of),
            )
        ]
        ends = [row["tracked"] for row in some]
        right = sum(end["accuracy"][-1] for end in ends) / len(some)
        distance = sum(end["distance W"][-1] for end in ends) / len(some)
        mean, expected = sum(values) / len(values), some[0]["W limit"]["ratio^2"]
        lines.append(
            f"{ratio:3}  {loss:4}{gamma:6.2f}  {mean:5.2f}{spread:7}{expected:6.2f}"
            f"  {printed[0]:>5}  {distance:8.2f}  {printed[1]:>5}  {right:8.3f}"
        )
    return "\n".join(lines)


def claimed(rows: list[dict]) -> dict[str, dict[str | None, list[float]]]:
    """What chapter 5 claims of residual networks, a value each; of LDT at R = 10."""
    found: dict[str, dict] = {claim: {} for claim in CLAIMED}
    for part, gamma in GAMMAS.items():
        key = (10, "ldt", gamma)
        mine = [row for row in rows if (row["R"], row["loss"], row["gamma"]) == key]
        pairs = [(row["W"], row["W limit"]) for row in mine]
        found["ch5.resnet"][part] = [
            max(abs(ours[name] - limit[name]) for name in ours if "cos" in name)
            for ours, limit in pairs
        ]
        found["ch5.resnet_lengths"][part] = [
            abs(math.log(ours["ratio^2"] / limit["ratio^2"])) for ours, limit in pairs
        ]
    return found


def main(given: list[str]) -> int:
    chosen, profile = arguments(given), profiles.current()
    recipe = parser().recipe_of(chosen, network=chosen.network)
    runs, kind = list(settings(chosen)), recipe.network
    stopwatch, data = provenance.Stopwatch(), cache_dir()
    places = (str(data), str(chosen.folder), profile.device)
    there = {run[:3] for run in runs} >= {
        (10, "ldt", gamma) for gamma in GAMMAS.values()
    }
    decides = CLAIMED if recipe == Recipe(network="resnet18") and there else ()

    def tell(rows: list[dict]) -> None:
        about = {"recipe": asdict(recipe)}
        path = record.write_rows(NAMES[kind], rows, profile, stopwatch, **about)
        print(f"\n{table(rows, kind)}\n\nrecorded in {path}")
        if decides:
            print(*record.enter("ch5", claimed(rows), profile), sep="\n")

    work = [(recipe, *each, *places) for each in runs]
    return carry_out(
        lambda: plan_of(recipe, runs),
        checkpoints=chosen.folder,
        decides=decides,
        yes=chosen.yes,
        prepare=lambda: SETS[DATA[kind]].prepare(data),
        train=train,
        work=work,
        tell=tell,
        together=True,
    )
