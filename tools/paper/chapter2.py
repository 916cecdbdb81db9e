"""Chapter 2: Waterbirds or ISIC 2019 with a ResNet-50, by ERM and then by DFR.

The worst groups of arXiv 2308.00473, after the scripts released with arXiv 2204.02937:
their network, augmentation, rate, decay and 100 epochs, and their way to choose and
average the last layers. Marked *ours*: half-width products on a GPU, the row with ERM's
threshold moved, which is the control for DFR, and of ISIC the splits, which lesions
count as malignant, that halves are drawn within groups, and that all is trained as on
Waterbirds.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tailwise import profiles
from tailwise.data import isic, waterbirds
from tailwise.data.assets import cache_dir
from tailwise.ledger import provenance
from tailwise.methods import dfr
from tailwise.methods.linear_head import threshold_shift
from tailwise.metrics import estimate
from tailwise.models import imagenet
from tailwise.profiles import reseeded
from tailwise.training.checkpoint import Checkpoint
from tailwise.training.epochs import evaluated, fit, half_of
from tailwise.training.photo_batches import Shown
from tools.book.layout import ROOT
from tools.paper import record
from tools.paper.arguments import Parser
from tools.paper.estimates import WEIGHTS, Plan, cost, reading, speed, training_rows
from tools.paper.harness import carry_out, forget
from tools.paper.sets import SETS

RUNS = ROOT / "_build" / "runs" / "groups"
READ = {"waterbirds": waterbirds, "isic": isic}
PARTS = ("train", "val", "test")
METHODS = ("ERM", "ERM, threshold moved", "DFR")
# Worst groups in per cent, of ISIC malignant without patch: a summary of the paper;
# DFR's own paper.
PUBLISHED = {
    "waterbirds": {"ERM": (72.86, 74.9), "DFR": (92.55, 92.9)},
    "isic": {"ERM": (64.38,), "DFR": (85.84,)},
}
# What is claimed to gain: the worst group, or the malignant without patch.
CLAIMED = {"waterbirds": ("ch2.waterbirds", None), "isic": ("ch2.isic", 2)}
GROUPS = {
    "waterbirds": "landbirds on land, on water, waterbirds on land, on water",
    "isic": "benign, benign with patch, malignant, malignant with patch",
}
TRAIN_IMAGES = {"waterbirds": sum(waterbirds.COUNTS["train"]), "isic": 1500}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train; the released scripts' values.

    Attributes
    ----------
    data : str
        A key of `READ`.
    network, weights
        As in `tailwise.models.imagenet.resnet`.
    side : int
        Of the images that the network sees.
    epochs, batch, lr, momentum, decay
        Of SGD with a constant rate.
    half : bool
        Whether a GPU may take its products in half width.
    """

    data: str = "waterbirds"
    network: str = "resnet50"
    weights: str | None = imagenet.WEIGHTS
    side: int = 224
    epochs: int = 100
    batch: int = 32
    lr: float = 1e-3
    momentum: float = 0.9
    decay: float = 1e-3
    half: bool = True


def train(recipe: Recipe, seed: int, data: str, folder: str, device: str) -> dict:
    """ERM from its checkpoint if there is one, then DFR on the validation images.

    Returns
    -------
    dict
        By `METHODS` accuracy on the test images of each group, NaN where one is empty,
        of the worst, and the mean; of DFR's heads the shares of zeros and the penalty.
    """
    shown = {
        split: Shown(READ[recipe.data].load_split(split, Path(data)), recipe.side, seed)
        for split in PARTS
    }
    half = half_of(device) if recipe.half else None
    model = imagenet.resnet(recipe.network, 2, seed=seed, weights=recipe.weights).to(
        device
    )
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.decay
    )
    here = Path(folder) / f"{recipe.data}, seed {seed}"
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
    # By rows as the scripts have it, a half could lack a small group of ISIC's.
    more = {} if recipe.data == "waterbirds" else {"split": "groups"}
    head = dfr.DeepFeatureReweighting(
        random_state=reseeded(seed), **dfr.VARIANTS["kirichenko2023"] | more
    )
    photos = {split: each.photos for split, each in shown.items()}
    result = _row(photos, features, scores, head)
    forget(here)
    return {"seed": seed, "losses": losses, **result}


def _row(photos: dict, features: dict, scores: dict, head) -> dict:
    val, test = photos["val"], photos["test"]
    y, group = val.y.numpy(), val.group.numpy()
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
        rows[name] = {"groups": each, "worst": float(np.nanmin(each))}
        rows[name]["mean"] = right.double().mean().item()
    return rows


def plan_of(recipe: Recipe, n_seeds: int) -> Plan:
    """Estimates, each with how it was made."""

    def make():
        return imagenet.resnet(recipe.network, 2, seed=0, weights=None)

    shape, data = (3, recipe.side, recipe.side), SETS[recipe.data]
    found = cost(make, shape)
    batch = recipe.batch if profiles.current().device == "cuda" else 4
    passes = n_seeds * TRAIN_IMAGES[recipe.data] * recipe.epochs
    kept = 2 * 8 * found.parameters / 1e9
    return Plan(
        title=f"chapter 2: {data.title}, {n_seeds} times {recipe.network} for "
        f"{recipe.epochs} epochs, then DFR",
        licences=(data.licence, imagenet.LICENCE),
        rows=(
            data.row,
            *([WEIGHTS] if recipe.weights else []),
            ("checkpoints", f"{kept:.1f} GB a seed", "weights and momentum, twice"),
            *training_rows(
                found,
                passes=passes,
                runs=n_seeds,
                batch=recipe.batch,
                rate=speed(make, shape, batch, half=recipe.half),
                width="bfloat16" if recipe.half else "TF32",
            ),
            reading(passes, recipe.side),
        ),
        data_gb=data.room_gb(),
        kept_gb=kept * n_seeds,
        gpu_gb=found.memory_gb(recipe.batch, half=recipe.half),
    )


def parser() -> Parser:
    least = {"side": 1, "epochs": 1, "batch": 1}
    found = Parser(2, __doc__, Recipe(), least, seeds=range(5), folder=RUNS)
    found.add_network()
    found.add_argument("--data", choices=READ, default="waterbirds")
    return found


def table(rows: list[dict], data: str = "waterbirds") -> str:
    """Accuracy of the groups in per cent, beside published ones."""
    lines = ["", f"{'':22}{'worst':>13}  {GROUPS[data]}; published"]
    for name in METHODS:
        worst = [100 * row[name]["worst"] for row in rows]
        each = 100 * np.mean([row[name]["groups"] for row in rows], 0)
        spread = f" ± {estimate(worst).stderr:.1f}" if len(rows) > 1 else ""
        marks = ", ".join(map(str, PUBLISHED[data].get(name, ())))
        text = " ".join(f"{value:.1f}" for value in each)
        lines.append(
            f"{name:22}{np.mean(worst):6.1f}{spread:7}  {text}; {marks or '–'}"
        )
    return "\n".join(lines)


def gains(rows: list[dict], group: int | None) -> list[float]:
    """DFR less ERM in a group, or in the worst of each."""
    both = [
        [
            row[name]["worst"] if group is None else row[name]["groups"][group]
            for row in rows
        ]
        for name in ("DFR", "ERM")
    ]
    return [ours - theirs for ours, theirs in zip(*both)]


def main(given: list[str]) -> int:
    chosen, profile = parser().parse(given), profiles.current()
    recipe = parser().recipe_of(chosen, data=chosen.data)
    stopwatch, data = provenance.Stopwatch(), cache_dir()
    places = str(data), str(chosen.folder), profile.device
    claim, group = CLAIMED[recipe.data]
    as_printed = recipe == Recipe(half=recipe.half, data=recipe.data)

    def tell(rows: list[dict]) -> None:
        about = {"recipe": asdict(recipe)}
        path = record.write_rows(recipe.data, rows, profile, stopwatch, **about)
        print(table(rows, recipe.data), f"\nrecorded in {path}", sep="\n")
        if as_printed:
            found = {claim: {None: gains(rows, group)}}
            print(*record.enter("ch2", found, profile))

    return carry_out(
        lambda: plan_of(recipe, len(chosen.seeds)),
        checkpoints=chosen.folder,
        decides=[claim] if as_printed else [],
        yes=chosen.yes,
        prepare=lambda: SETS[recipe.data].prepare(data),
        train=train,
        work=[(recipe, seed, *places) for seed in chosen.seeds],
        tell=tell,
        together=True,
    )
