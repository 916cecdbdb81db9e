"""Pretrain the experts of chapter 4 and keep their weights in half precision.

python -m tools.studies.pretrain_glyphs [--seeds 0 1 …] [--kinds visual language]
    [--steps N] [--folder FOLDER] [--runs RUNS]

By default those that ship. One expert takes about five minutes of CPU time on one
thread; with --runs a run that was stopped goes on where it stood. On one machine the
files are the same, bit for bit.
"""

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import save

from tailwise.experts import pretraining
from tailwise.models import experts as pretrained
from tailwise.training.checkpoint import Checkpoint
from tools.book.layout import write_asset


def packed(seed: int, kind: str, steps: int, runs: Path | None = None) -> bytes:
    """Pretrain one expert: the content of its file."""
    about = dict(kind=kind, seed=seed)
    kept = runs and Checkpoint(runs / f"{kind}-{seed}", every=500, about=about)
    if kind == "visual":
        modules = {"vit": pretraining.pretrain_visual(seed, steps, checkpoint=kept)}
    else:
        both = pretraining.pretrain_language(seed, steps, checkpoint=kept)
        modules = dict(zip(("vit", "text"), both))
    tensors = {
        f"{part}.{name}": value.half()
        for part, module in modules.items()
        for name, value in module.state_dict().items()
    }
    if "text" in modules:
        words = "\n".join(modules["text"].vocabulary).encode()
        tensors["vocabulary"] = torch.frombuffer(bytearray(words), dtype=torch.uint8)
    return save(tensors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--kinds", nargs="+", default=pretrained.KINDS)
    parser.add_argument("--steps", type=int, default=pretraining.STEPS)
    parser.add_argument("--folder", type=Path, default=pretrained.EXPERTS)
    parser.add_argument("--runs", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for kind in given.kinds:
        for seed in given.seeds or pretrained.SEEDS[kind]:
            start = time.process_time()
            content = packed(seed, kind, given.steps, given.runs)
            write_asset(given.folder, pretrained.file_name(kind, seed), content)
            seconds = time.process_time() - start
            print(
                f"{kind} {seed}: {seconds:.0f} CPU s, {len(content)} bytes", flush=True
            )


if __name__ == "__main__":
    main()
