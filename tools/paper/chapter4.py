"""Chapter 4: CIFAR-100-LT with two ViT-B/16; the run is `tools.studies.run_paper`."""

import sys

from tailwise import profiles
from tailwise.data import cifar
from tailwise.data.assets import cache_dir
from tools.paper.plan import Plan
from tools.studies import run_paper

PLAN = Plan(
    title="chapter 4: two ViT-B/16, supervised and CLIP, on CIFAR-100-LT",
    licences=(
        f"CIFAR-100: {cifar.PAGE}, names none",
        "torchvision's weights: BSD-3, from ImageNet, whose terms are non-commercial",
        "OpenAI's CLIP weights: MIT",
    ),
    rows=(
        ("images", "0.7 GB", "the archive and what is kept of it, 0.2 GB after"),
        ("weights", "1 GB", "two backbones, single precision"),
        ("checkpoints", "0.1 GB a seed", "counted"),
        ("GPU memory", "16 GB", "expected, not measured: bfloat16, batches of 128"),
        ("time", "not known", "not measured"),
    ),
    disk_gb=2.5,
    gpu_gb=16.0,
)


def main(given: list[str]) -> int:
    """Print the plan; with --yes fetch the images and go on with the run."""
    rest = [each for each in given if each != "--yes"]
    chosen, device = run_paper.arguments(rest), profiles.current().device
    print(PLAN)
    try:
        PLAN.check([chosen.folder, cache_dir()], device)
        if "--yes" not in given:
            print("\nnothing was fetched: add --yes to accept the licences and start")
            return 0
        cifar.prepare(None, download=True)
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return run_paper.main(rest)
