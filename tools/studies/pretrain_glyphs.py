"""Pretrain the experts of chapter 4 and keep their weights in half precision.

python -m tools.studies.pretrain_glyphs [--seeds 0 1 2] [--folder FOLDER]

The weights are shipped for seed 0. Others are for a folder outside the package. One
expert takes about two minutes of CPU time.
"""

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import save

from tailwise.experts import pretraining
from tailwise.models import experts as pretrained
from tools.book.layout import write_asset


def packed(seed: int, kind: str) -> bytes:
    """Pretrain one expert: the content of its file."""
    if kind == "visual":
        modules = {"vit": pretraining.pretrain_visual(seed)}
    else:
        modules = dict(zip(("vit", "text"), pretraining.pretrain_language(seed)))
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
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folder", type=Path, default=pretrained.EXPERTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed in arguments.seeds:
        for kind in pretrained.KINDS:
            start = time.process_time()
            content = packed(seed, kind)
            write_asset(arguments.folder, pretrained.file_name(kind, seed), content)
            seconds = time.process_time() - start
            print(f"{kind} {seed}: {seconds:.0f} CPU s, {len(content)} bytes")


if __name__ == "__main__":
    main()
