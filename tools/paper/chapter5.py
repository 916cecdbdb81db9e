"""Chapter 5a: MNIST under STEP imbalance, an MLP of six layers of 2,048.

What figures 1 and 3 to 5 of arXiv 2303.07608 show of its MLP: lengths and cosines of
classifiers and class means, distances to the limit, training accuracy. Marked *ours*:
the first weights, how pixels are scaled, and the order of batches.
"""

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

from tailwise import profiles
from tailwise.data.assets import cache_dir
from tailwise.data.compat import import_torchvision
from tailwise.files import write_whole
from tailwise.geometry import collapse
from tailwise.ledger import claims, provenance
from tailwise.methods import losses
from tailwise.metrics import estimate
from tailwise.training.checkpoint import Checkpoint, Run
from tailwise.training.processes import in_processes
from tailwise.training.streams import generator_for
from tools.book.layout import ROOT
from tools.paper.plan import Plan, hours

RUNS = ROOT / "_build" / "runs" / "mnist"
K, SIDE = 10, 28
PARAMETER = {"wce": "power", "la": "tau", "ldt": "gamma", "cdt": "gamma"}
TRACKED = ("distance W", "distance H", "accuracy", "accuracy majority", "loss")
# Squared ratios of classifiers, read off Figure 3's MLP at R = 10.
PUBLISHED = {
    "ldt": {-1: 6.0, -0.5: 4.9, 0: 2.50, 0.5: 1.10, 1: 0.60, 1.5: 0.61},
    "cdt": {-1: 11.1, -0.5: 4.2, 0: 2.51, 0.5: 1.38, 1: 0.59, 1.5: 0.26},
}


@dataclass(frozen=True)
class Recipe:
    """How to train; what the paper prints, but for `checks`.

    Attributes
    ----------
    n_major : int
        Images of each majority class; the others have n_major / R.
    epochs, batch, lr, momentum, decay
        Of SGD; the rate falls to a tenth at a third and at two thirds of the epochs.
    width, depth : int
    checks : int
        How often the geometry is measured, evenly over the epochs.
    """

    n_major: int = 5000
    epochs: int = 350
    batch: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    decay: float = 1e-5
    width: int = 2048
    depth: int = 6
    checks: int = 35


def network(recipe: Recipe, seed: int) -> nn.Sequential:
    """Layers with batch norm and ReLU, and a classifier without a bias."""
    sizes = [SIDE**2] + [recipe.width] * recipe.depth
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_for(seed, "mnist", "weights").initial_seed())
        layers = [
            part
            for d, f in zip(sizes, sizes[1:])
            for part in (nn.Linear(d, f), nn.BatchNorm1d(f), nn.ReLU())
        ]
        head = nn.Linear(sizes[-1], K, bias=False)
    return nn.Sequential(nn.Sequential(*layers), head)


def load(folder: Path, *, download: bool) -> tuple[Tensor, Tensor]:
    """Training images ``[60000, 784]`` in units of their spread, and labels."""
    source = import_torchvision().datasets.MNIST
    try:
        data = source(folder, train=True, download=download)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"MNIST is not in {folder} and did not come: {reason}"
        ) from error
    X = data.data.flatten(1).float() / 255
    return (X - X.mean()) / X.std(), data.targets


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
    return collapse.step_counts(K // 2, K - K // 2, recipe.n_major / n_minor, n_minor)


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
    kind = loss if loss in collapse.KINDS else "ldt"
    return kind, collapse.temperatures(counts, gamma if loss in collapse.KINDS else 0.0)


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
    share = delta * collapse.null_direction(delta, kind)
    means = means - (share / share.sum()) @ means
    W = head.weight.double().cpu()
    grams = W @ W.mT, means @ means.mT
    predicted = collapse.predicted_grams(counts, delta, kind)
    errors = [float(collapse.gram_error(a, b)) for a, b in zip(grams, predicted)]
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
    X, y = load(Path(data), download=False)
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
    here = Path(folder) / f"R {ratio}, {loss} {gamma:g}, seed {seed}"
    every = max(1, recipe.epochs // 20)
    moving = {"order": order, "tracked": tracked, **dict(model.named_buffers())}
    run = Run(Checkpoint(here, every), about, optimizer, schedule, moving)
    history = run.resume()
    checks = {
        round(recipe.epochs * i / recipe.checks) for i in range(1, recipe.checks + 1)
    }
    for epoch in range(len(history) + 1, recipe.epochs + 1):
        total = torch.zeros((), device=device)
        for rows in torch.randperm(n, generator=order).to(device).split(recipe.batch):
            optimizer.zero_grad()
            z = model(X[rows])
            value = losses.adjusted_cross_entropy(z, y[rows], **turn)
            value.backward()
            optimizer.step()
            total += value.detach() * len(rows)
        schedule.step()
        history.append(float(total) / n)
        if not math.isfinite(history[-1]):
            raise ValueError(f"{here.name}: the loss is not finite in epoch {epoch}")
        if epoch in checks:
            found = measured(model, X, y, counts, loss, gamma)[0]
            tracked[epoch - 1] = torch.tensor([*found, history[-1]])
        run.keep(history, last=epoch == recipe.epochs)
    result = _row(model, X, y, counts, loss, gamma)
    kept = tracked[[epoch - 1 for epoch in sorted(checks)]]
    shutil.rmtree(here, ignore_errors=True)
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
        "WH", grams, collapse.predicted_grams(counts, delta, kind)
    ):
        for what, each in (("", gram), (" limit", predicted)):
            found = collapse.blocks(each, minority)
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


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tools.paper 5", description=__doc__)
    default = Recipe()
    steps = [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5]
    parser.add_argument("--yes", action="store_true", help="accept licences and start")
    parser.add_argument("--ratios", type=int, nargs="+", default=[10, 2, 5, 20])
    parser.add_argument(
        "--losses", nargs="+", choices=PARAMETER, default=["ldt", "cdt"]
    )
    parser.add_argument("--gammas", type=float, nargs="+", default=steps)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    for name in ("n_major", "epochs", "batch", "width", "depth", "checks"):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=getattr(default, name))
    parser.add_argument("--folder", type=Path, default=RUNS, help="of checkpoints")
    chosen = parser.parse_args(given)
    for name in ("n_major", "epochs", "batch", "width", "depth", "checks"):
        if (value := getattr(chosen, name)) < 1:
            parser.error(f"{name} is {value}: expected at least 1")
    if not all(1 <= r <= chosen.n_major for r in chosen.ratios):
        parser.error(f"ratios are {chosen.ratios}: expected 1 to {chosen.n_major}")
    return chosen


def recipe_of(chosen: argparse.Namespace) -> Recipe:
    names = ("n_major", "epochs", "batch", "width", "depth", "checks")
    return Recipe(**{name: getattr(chosen, name) for name in names})


def speed(recipe: Recipe, device: str, steps: int = 3) -> float:
    """Images a second, of a few steps of the real network on random batches."""
    model = network(recipe, 0).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), recipe.lr, recipe.momentum)
    x = torch.randn(recipe.batch, SIDE**2, device=device)
    y = torch.arange(recipe.batch, device=device) % K
    start = 0.0
    for step in range(steps + 1):
        if step == 1:  # the first allocates
            start = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        float(model[1].weight[0, 0].detach())  # waits for the device
    return steps * recipe.batch / (time.perf_counter() - start)


def plan_of(recipe: Recipe, runs: list[tuple], device: str) -> Plan:
    """Estimates: operations counted, and the speed of this machine measured."""
    parameters = sum(p.numel() for p in network(recipe, 0).parameters())
    images = [
        int(step_counts(recipe, ratio).sum()) * recipe.epochs for ratio, *_ in runs
    ]
    rate, passes = speed(recipe, device), sum(images)
    name = torch.cuda.get_device_name() if device == "cuda" else "this CPU"
    checkpoint = 2 * 8 * parameters / 1e9  # one that is whole, one being written
    memory = (12 * parameters + 60_000 * SIDE**2 * 4) / 1e9 + 0.5
    work = 6 * parameters * passes / 1e15
    return Plan(
        title=f"chapter 5a: {len(runs)} networks on MNIST, {recipe.depth} layers of "
        f"{recipe.width}, {recipe.epochs} epochs",
        licences=(
            "MNIST: Y. LeCun and C. Cortes, CC BY-SA 3.0 as Keras's documentation says",
        ),
        rows=(
            ("images", "0.07 GB", "archive and files; torchvision checks it by MD5"),
            ("checkpoints", f"{checkpoint:.2f} GB", "of each network that is trained"),
            ("GPU memory", f"{memory:.1f} GB", "weights, momentum, images; counted"),
            ("operations", f"{work:.1f} PFLOP", "6 a weight and image; counted"),
            ("speed", f"{rate:.0f} images/s", f"3 steps on {name}, measured now"),
            ("time", hours(passes / rate), f"one network {hours(images[0] / rate)}"),
        ),
        disk_gb=0.1 + 4 * checkpoint,
        gpu_gb=memory,
    )


def table(rows: list[dict]) -> str:
    """Squared ratios of classifiers beside the limit and the paper's marks."""
    lines = ["  R  loss gamma  ratio^2      limit  paper  accuracy"]
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["R"], row["loss"], row["gamma"]), []).append(row)
    for (ratio, loss, gamma), some in groups.items():
        values = [row["W"]["ratio^2"] for row in some]
        spread = f" ± {estimate(values).stderr:.2f}" if len(values) > 1 else ""
        mark = PUBLISHED.get(loss, {}).get(gamma) if ratio == 10 else None
        right = sum(row["tracked"]["accuracy"][-1] for row in some) / len(some)
        mean, expected = sum(values) / len(values), some[0]["W limit"]["ratio^2"]
        lines.append(
            f"{ratio:3}  {loss:4}{gamma:6.2f}  {mean:5.2f}{spread:7}{expected:6.2f}"
            f"  {mark or '–':>5}  {right:8.3f}"
        )
    return "\n".join(lines)


def main(given: list[str]) -> int:
    chosen, profile = arguments(given), profiles.current()
    recipe, runs = recipe_of(chosen), list(settings(chosen))
    stopwatch, data = provenance.Stopwatch(), cache_dir()
    try:
        plan = plan_of(recipe, runs, profile.device)
        print(plan)
        plan.check([chosen.folder, data], profile.device)
        if not chosen.yes:
            print("\nnothing was fetched: add --yes to accept the licences and start")
            return 0
        load(data, download=True)
        places = (str(data), str(chosen.folder), profile.device)
        work = [(recipe, *run, *places) for run in runs]
        rows = in_processes(train, work, device=profile.device)
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    result = {
        "rows": rows,
        "recipe": asdict(recipe),
        "provenance": provenance.describe(profile, stopwatch),
    }
    path = claims.results_dir(profile.name) / "mnist.json"
    write_whole(path, json.dumps(result, indent=1) + "\n")
    print(f"\n{table(rows)}\n\nrecorded in {path}")
    return 0
