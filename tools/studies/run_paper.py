"""Chapter 4 at paper size: CIFAR-100-LT with a supervised and a CLIP ViT-B/16.

make data DATASET=cifar100
TAILWISE_PROFILE=paper python -m tools.studies.run_paper [--ratio 100] [--seeds 0 1 2] …

A run that was stopped goes on when the same command is given again. At the end there is
a record for the ledger, ch4.json, and cifar100.json with the accuracy of every method;
`make record TAILWISE_PROFILE=paper` takes both into the book. The claim is about the
ratio 100: other ratios have a table of their own and leave the record as it is.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from tailwise import profiles
from tailwise.data import cifar
from tailwise.experts import large, paper_size
from tailwise.experts.paper_size import Plan
from tailwise.ledger import provenance
from tools.book.layout import ROOT
from tools.paper import record

CLAIM = "ch4.cifar"
DEFAULT = Plan()
RATIOS = (10, 50, 100)
RUNS = ROOT / "_build" / "runs" / "cifar100"


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ratio", type=int, choices=RATIOS, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=DEFAULT.epochs)
    parser.add_argument("--batch", type=int, default=DEFAULT.batch)
    parser.add_argument("--lr", type=float, default=DEFAULT.lr)
    parser.add_argument("--weights", choices=large.SUPERVISED, default="IMAGENET1K_V1")
    parser.add_argument("--folder", type=Path, default=RUNS, help="of checkpoints")
    parser.add_argument("--full", action="store_true", help="no half-width products")
    return parser.parse_args(given)


def load_starts(names: tuple[str, ...], weights: str, device: str, half) -> dict:
    """Both backbones, by the name of the expert."""
    placed = dict(device=device, half=half)
    return {
        "visual": large.load_supervised(weights, **placed),
        "language": large.load_clip(names, **placed),
    }


def tell(what: str, step: int, loss: float) -> None:
    if step % 50 == 0:
        print(f"{what}: step {step}, loss {loss:.3f}", flush=True)


def main(given: list[str] | None = None) -> int:
    chosen, profile = arguments(given), profiles.current()
    if profile.name != "paper":
        print("set TAILWISE_PROFILE=paper for this run", file=sys.stderr)
        return 1
    stopwatch, rows = provenance.Stopwatch(), []
    sizes = {k: getattr(chosen, k) for k in ("ratio", "epochs", "batch", "lr")}
    plan = Plan(**sizes)
    half = None if chosen.full or profile.device == "cpu" else torch.bfloat16
    try:
        names = cifar.load_split("test").names
        starts = load_starts(names, chosen.weights, profile.device, half)
        for seed in chosen.seeds:
            task = cifar.draw(seed, ratio=plan.ratio, n_max=plan.n_max)
            folder = chosen.folder / f"ratio {chosen.ratio}"
            rows += paper_size.run(
                starts, task, seed, plan=plan, folder=folder, tell=tell
            )
    except (ImportError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    gains = paper_size.mixture_gains(rows, list(starts))
    name = "cifar100" + ("" if chosen.ratio == 100 else f"-{chosen.ratio}")
    about = {"plan": asdict(plan), "half": str(half)}
    about["weights"] = {kind: start.weights for kind, start in starts.items()}
    record.write_rows(name, rows, profile, stopwatch, **about)
    for row in rows:
        print(f"{row['seed']} {row['method']:28}{row['all']:7.1%}{row['few']:7.1%} few")
    if chosen.ratio == 100:
        print(*record.enter("ch4", {CLAIM: {None: gains}}, profile))
    return 0


if __name__ == "__main__":
    sys.exit(main())
