"""Chapter 4: CIFAR-100-LT with two ViT-B/16; the run is `tools.studies.run_paper`."""

import argparse

from torch import nn

from tailwise import profiles
from tailwise.data import cifar
from tailwise.data.assets import cache_dir
from tailwise.data.compat import import_torchvision
from tailwise.data.imbalance import long_tail
from tailwise.experts import large
from tailwise.models import imagenet
from tools.paper.plan import Plan, carry_out, cost, speed, training_rows
from tools.studies import run_paper

LICENCES = (
    f"CIFAR-100: {cifar.PAGE}, names none",
    imagenet.LICENCE,
    "OpenAI's CLIP weights: MIT",
)


def backbone() -> nn.Module:
    """A ViT-B/16 with random weights, of which only what is small is trained."""
    module = import_torchvision().models.vit_b_16(num_classes=100)
    trained = module.class_token, *module.heads.parameters()
    for parameter in module.parameters():
        parameter.requires_grad = any(parameter is each for each in trained)
    return module


def plan_of(chosen: argparse.Namespace) -> Plan:
    """Estimates, each with how it was made."""
    found = cost(backbone, (3, large.SIZE, large.SIZE))
    n = int(long_tail(100, cifar.N_MAX, chosen.ratio, whole=True).sum())
    runs = 2 * len(chosen.seeds)  # backbones, each in two phases
    batch = chosen.batch if profiles.current().device == "cuda" else 2
    half = not chosen.full
    rows = training_rows(
        found,
        passes=2 * runs * n * chosen.epochs,
        runs=runs,
        batch=chosen.batch,
        rate=speed(backbone, (3, large.SIZE, large.SIZE), batch, half=half),
        width="bfloat16" if half else "float32",
    )
    return Plan(
        title="chapter 4: two ViT-B/16, supervised and CLIP, on CIFAR-100-LT, "
        f"imbalance {chosen.ratio}, {len(chosen.seeds)} times",
        licences=LICENCES,
        rows=(
            ("images", "0.7 GB", "the archive and what is kept of it, 0.2 GB after"),
            ("ImageNet, CLIP", "1 GB", "weights of two backbones, single precision"),
            ("checkpoints", "0.1 GB a seed", "counted"),
            *rows,
            ("besides", "not counted", "prompts, adapters, test images, the scorer"),
        ),
        disk_gb=2.5,
        gpu_gb=16.0,  # expected, with prompts and adapters
    )


def main(given: list[str]) -> int:
    """Print the plan; with --yes fetch the images and go on with the run."""
    rest = [each for each in given if each != "--yes"]
    chosen = run_paper.arguments(rest)
    status = 0

    def run() -> None:
        nonlocal status
        cifar.prepare(None, download=True)
        status = run_paper.main(rest)

    folders = [chosen.folder, cache_dir()]
    return carry_out(plan_of(chosen), folders, yes="--yes" in given, run=run) or status
