"""What took long, kept on disk with a checksum: weights, features, other results."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from tailwise.data.assets import ASSETS
from tailwise.files import checkout, file_hash, write_whole
from tailwise.profiles import reseeded


def folder() -> Path:
    """Where trained networks, features and results of chunks are kept.

    ``$TAILWISE_CACHE``; in a checkout ``_build/cache``; elsewhere
    ``~/.cache/tailwise``.
    """
    if chosen := os.environ.get("TAILWISE_CACHE"):
        return Path(chosen)
    if root := checkout():
        return root / "_build" / "cache"
    return Path.home() / ".cache" / "tailwise"


def key(settings: dict, sources: Sequence[ModuleType]) -> str:
    """Hash of settings, of the modules that turn them into weights, of the data, and of
    torch's release, whichever build it is."""
    files = [Path(module.__file__) for module in sources]
    code = file_hash(*files, ASSETS / "SHA256SUMS")
    release = torch.__version__.partition("+")[0]
    if fresh := reseeded(0):
        settings = settings | {"reseeded": fresh}
    text = json.dumps([settings, code, release], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def read_file(kept: Path) -> bytes | None:
    """A kept file; None if there is none or the checksum fails."""
    checksum = kept.with_suffix(".sha256")
    if kept.is_file() and checksum.is_file():
        content = kept.read_bytes()
        if hashlib.sha256(content).hexdigest() == checksum.read_text().strip():
            return content
    return None


def keep_file(kept: Path, content: bytes) -> None:
    """Keep a file, the checksum after it."""
    write_whole(kept, content)
    digest = hashlib.sha256(content).hexdigest().encode()
    write_whole(kept.with_suffix(".sha256"), digest)


def read(name: str) -> dict[str, Tensor] | None:
    """Tensors kept under a name; None if there are none or the checksum fails."""
    content = read_file(folder() / f"{name}.safetensors")
    return None if content is None else load(content)


def keep(name: str, tensors: dict[str, Tensor]) -> None:
    """Keep tensors under a name, the checksum after them."""
    content = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
    keep_file(folder() / f"{name}.safetensors", content)


def compute_once(
    compute: Callable[[], dict[str, Tensor]],
    settings: dict,
    sources: Sequence[ModuleType],
) -> dict[str, Tensor]:
    """Tensors from the cache, or computed now and kept.

    Parameters
    ----------
    compute : callable
        Returns tensors by name.
    settings, sources
        What decides the outcome, as in `train_once`.
    """
    name = key(settings, sources)
    if (found := read(name)) is None:
        found = compute()
        keep(name, found)
    return found


def train_once(
    model: nn.Module,
    train: Callable[[nn.Module], object],
    settings: dict,
    sources: Sequence[ModuleType],
) -> bool:
    """Load a model's weights from the cache, or train it and keep them.

    Parameters
    ----------
    model : nn.Module
        Changed in place; in evaluation mode afterwards.
    train : callable
        Trains the model in place.
    settings : dict
        Plain values that decide the outcome: sizes, seeds, device.
    sources : sequence of modules
        Whose code decides the outcome. A change to one of them trains again.

    Returns
    -------
    bool
        Whether it was trained now. A file that fails its checksum is made again.
    """
    name = key(settings, sources)
    if (kept := read(name)) is not None:
        model.load_state_dict(kept)
        model.eval()
        return False
    train(model)
    model.eval()
    keep(name, model.state_dict())
    return True
