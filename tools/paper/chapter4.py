"""Chapter 4: long-tailed images with a supervised and a CLIP ViT-B/16.

The phases of LPT++, arXiv 2409.11323, on CIFAR-100-LT, Places-LT or iNaturalist 2018,
with prompt lengths, pool and blocks of LPT's released code, from weights on
ImageNet-21k as LPT starts. What decides the claims beside the experts: a probe and full
fine-tuning under the loss of phase 1, the mean of two probes, two visual experts, and
ablations. Marked *ours*: rates and epochs, which were not tuned, and that half of each
batch comes from either sampler. Of Places-LT and iNaturalist the best method with the
same weights is the best that is trained here. Claims about CIFAR-100-LT are about the
ratio 100.
"""

from dataclasses import asdict
from itertools import chain
from pathlib import Path

import torch
from torch import nn

from tailwise import profiles
from tailwise.data import cifar, longtails
from tailwise.data.assets import cache_dir
from tailwise.data.cifar import LongTail
from tailwise.data.compat import import_torchvision
from tailwise.data.imbalance import long_tail
from tailwise.experts import large, paper_size
from tailwise.experts.paper_size import Plan as Recipe
from tailwise.ledger import provenance
from tailwise.models import imagenet
from tools.book.layout import ROOT
from tools.paper import record
from tools.paper.arguments import Parser
from tools.paper.estimates import Plan, cost, reading, speed, training_rows
from tools.paper.harness import carry_out
from tools.paper.sets import SETS

RATIOS = (10, 50, 100)
RUNS = ROOT / "_build" / "runs" / "experts"
CLIP = "OpenAI's CLIP weights: MIT"
TIMM = "timm's weights on ImageNet-21k: Apache 2.0, from ImageNet, non-commercial"
KINDS = ("visual", "language")
SINGLE = [
    f"{kind}, {name}"
    for kind in KINDS
    for name in ("phase 1", "phase 2", paper_size.PROBE, paper_size.TUNED)
]
# Claims of a data set, and what is measured for each: the accuracy of a method, or how
# much the mixture gains over the best of several.
CLAIMED: dict[str, dict[str, str | list[str]]] = {
    "cifar100": {
        "ch4.cifar": [f"{kind}, phase 2" for kind in KINDS],
        "ch4.cifar_supervised": "visual, phase 1",
        "ch4.cifar_clip": "language, phase 1",
    },
    "places": {
        "ch4.places": SINGLE,
        "ch4.places_lpt": "visual, phase 2",
        "ch4.places_clip": "language, phase 1",
    },
    "inaturalist": {
        "ch4.inaturalist": SINGLE,
        "ch4.inaturalist_lpt": "visual, phase 2",
    },
}
# Of a network, in passes of a phase: how often images go through it.
PASSES = {"experts": 2 * 2, "controls": 2 * (1 + 1.5) + 2, "ablations": 2 * 4}


def load_starts(names: tuple[str, ...], weights: str, device: str, half) -> dict:
    """Both backbones, by the name of the expert."""
    placed = dict(device=device, half=half)
    return {
        "visual": large.load_supervised(weights, **placed),
        "language": large.load_clip(names, **placed),
    }


def tell_step(what: str, step: int, loss: float) -> None:
    if step % 50 == 0:
        print(f"{what}: step {step}, loss {loss:.3f}", flush=True)


def task_of(kind: str, recipe: Recipe, seed: int, folder: Path) -> LongTail:
    """A split; the published ones are the same for every seed."""
    if kind == "cifar100":
        return cifar.draw(seed, ratio=recipe.ratio, n_max=recipe.n_max)
    return longtails.draw(kind, folder)


def train(
    recipe: Recipe,
    kind: str,
    parts: tuple[str, ...],
    seed: int,
    weights: str,
    full: bool,
    data: str,
    folder: str,
    device: str,
) -> list[dict]:
    """All phases of all experts on one split, from what is kept of them.

    Returns
    -------
    list of dict
        As `paper_size.run`, and what was loaded.
    """
    half = None if full or device == "cpu" else torch.bfloat16
    task = task_of(kind, recipe, seed, Path(data))
    starts = load_starts(task.names, weights, device, half)
    here = Path(folder) / f"{kind}, ratio {recipe.ratio}"
    rows = paper_size.run(
        starts, task, seed, plan=recipe, folder=here, tell=tell_step, parts=parts
    )
    loaded = {kind: start.weights for kind, start in starts.items()}
    return [row | {"weights": loaded} for row in rows]


def backbone() -> nn.Module:
    """A ViT-B/16 with random weights, of which only what is small is trained."""
    module = import_torchvision().models.vit_b_16(num_classes=100)
    trained = module.class_token, *module.heads.parameters()
    for parameter in module.parameters():
        parameter.requires_grad = any(parameter is each for each in trained)
    return module


def plan_of(
    recipe: Recipe, kind: str, parts: tuple[str, ...], n_seeds: int, full: bool
) -> Plan:
    """Estimates, each with how it was made."""
    found, source = cost(backbone, (3, large.SIZE, large.SIZE)), SETS[kind]
    if kind == "cifar100":
        n = int(long_tail(100, recipe.n_max, recipe.ratio, whole=True).sum())
    else:
        n, _ = longtails.COUNTS[kind]
    phases = sum(PASSES[part] for part in parts)
    batch = recipe.batch if profiles.current().device == "cuda" else 2
    passes = n_seeds * phases * n * recipe.epochs
    rows = training_rows(
        found,
        passes=passes,
        runs=round(n_seeds * phases),
        batch=recipe.batch,
        rate=speed(backbone, (3, large.SIZE, large.SIZE), batch, half=not full),
        width="float32" if full else "bfloat16",
    )
    # What lies beside the backbones is not counted, so that memory is not, either.
    memory = 16.0 if kind == "cifar100" else 24.0
    rows = [row for row in rows if row[0] != "GPU memory"]
    rows.insert(1, ("GPU memory", f"{memory:.0f} GB", "expected, not counted"))
    name = f"{source.title}-LT, imbalance {recipe.ratio}"
    return Plan(
        title="chapter 4: two ViT-B/16, supervised and CLIP, on "
        f"{name if kind == 'cifar100' else source.title}, {n_seeds} times: "
        + ", ".join(parts),
        licences=(source.licence, imagenet.LICENCE, TIMM, CLIP),
        rows=(
            source.row,
            ("ImageNet, CLIP", "1 GB", "weights of two backbones, single precision"),
            ("checkpoints", "2.2 GB a seed", "two of a network that is tuned whole"),
            *rows,
            *([] if kind == "cifar100" else [reading(passes, large.SIZE)]),
            (
                "besides",
                "not counted",
                "prompts, adapters, test images, the scorer; tuning counts 1.5 times",
            ),
        ),
        data_gb=source.room_gb() + 1.1,
        kept_gb=2.2,
        gpu_gb=memory,
    )


def parser() -> Parser:
    least = {"epochs": 1, "batch": 2}
    found = Parser(4, __doc__, Recipe(), least, seeds=range(3), folder=RUNS)
    found.add_argument("--data", choices=CLAIMED, default="cifar100")
    found.add_argument(
        "--ratio", type=int, choices=RATIOS, default=100, help="of CIFAR-100-LT"
    )
    found.add_argument("--parts", nargs="+", choices=paper_size.PARTS)
    found.add_argument("--lr", type=float, default=Recipe.lr)
    found.add_argument("--weights", choices=large.SUPERVISED, default=large.IN21K)
    found.add_argument("--full", action="store_true", help="no half-width products")
    return found


def table(rows: list[dict]) -> str:
    """Accuracies in per cent, means over seeds."""
    lines = ["", f"{'':44}   all  many medium   few"]
    for name in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == name]
        each = (
            100 * sum(row[group] for row in mine) / len(mine)
            for group in ("all", "many", "medium", "few")
        )
        lines.append(f"{name:44}" + " ".join(f"{value:5.1f}" for value in each))
    return "\n".join(lines)


def measured(rows: list[dict], kind: str) -> dict[str, dict[None, list[float]]]:
    """By claim a value of each seed, for the claims whose methods were all trained."""
    trained, found = {row["method"] for row in rows}, {}
    for claim, of in CLAIMED[kind].items():
        if isinstance(of, str):
            values = [row["all"] for row in rows if row["method"] == of]
        elif trained.issuperset(of):
            values = list(paper_size.mixture_gains(rows, of))
        else:
            continue
        found[claim] = {None: values}
    return found


def prepare(kind: str, weights: str, folder: Path) -> None:
    """Fetch a data set, once all packages are there that the weights need."""
    large.check_packages(weights)
    SETS[kind].prepare(folder)


def main(given: list[str]) -> int:
    chosen, profile = parser().parse(given), profiles.current()
    kind, ratio = chosen.data, Recipe.ratio
    if kind == "cifar100":
        ratio = chosen.ratio
    recipe = parser().recipe_of(chosen, ratio=ratio, lr=chosen.lr)
    stopwatch, data = provenance.Stopwatch(), cache_dir()
    parts = tuple(chosen.parts or paper_size.PARTS)
    places = str(data), str(chosen.folder), profile.device
    as_claimed = recipe == Recipe() and chosen.weights == large.IN21K

    def tell(found: list[list[dict]]) -> None:
        rows = list(chain(*found))
        about = {"plan": asdict(recipe), "full": chosen.full}
        name = kind if recipe.ratio == Recipe.ratio else f"{kind}-{recipe.ratio:g}"
        path = record.write_rows(name, rows, profile, stopwatch, **about)
        print(table(rows), f"\nrecorded in {path}", sep="\n")
        if as_claimed:
            lines = record.enter("ch4", measured(rows, kind), profile)
        else:
            lines = record.stated(CLAIMED[kind])
        print(*lines, sep="\n")

    return carry_out(
        lambda: plan_of(recipe, kind, parts, len(chosen.seeds), chosen.full),
        checkpoints=chosen.folder,
        decides=list(CLAIMED[kind]) if as_claimed else [],
        yes=chosen.yes,
        prepare=lambda: prepare(kind, chosen.weights, data),
        train=train,
        work=[
            (recipe, kind, parts, seed, chosen.weights, chosen.full, *places)
            for seed in chosen.seeds
        ],
        tell=tell,
    )
