"""What a run at paper size takes, printed and checked before it starts."""

import io
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from tailwise import profiles
from tailwise.data.photos import Photos
from tailwise.training.epochs import half_of
from tailwise.training.photo_batches import Shown

Make = Callable[[], nn.Module]
Row = tuple[str, str, str]
# Operations a second that NVIDIA's data sheet of the A100 names, and the share of them
# that we expect of networks as small as these. Convolutions in full width use TF32.
A100 = {"bfloat16": 312e12, "TF32": 156e12, "float32": 19.5e12}
USED = 0.3
WEIGHTS = "ImageNet", "0.1 GB", "weights; torchvision checks them by SHA-256"  # a Row
LAUNCH = 1e-5  # seconds from one operation to the next, where they are small; assumed


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run fetches, keeps and takes; every number is an estimate.

    Attributes
    ----------
    title : str
    licences : tuple of str
        Of the data and the weights, to be read before they are fetched.
    rows : tuple of (what, how much, how that is known)
    data_gb, kept_gb, gpu_gb : float
        What must be free: for data, for checkpoints, on the GPU.
    """

    title: str
    licences: tuple[str, ...]
    rows: tuple[Row, ...]
    data_gb: float
    kept_gb: float
    gpu_gb: float

    def told(
        self, data: Path, checkpoints: Path, device: str, decides: Sequence[str]
    ) -> str:
        """All of it, where a run on a device puts what, and which claims it decides."""
        widths = [max(len(row[i]) for row in self.rows) for i in (0, 1)]
        parts = {
            "decides": decides or ("no claim: its table stands beside the paper's",),
            "estimates": [
                f"{a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in self.rows
            ],
            "needs, free": (
                f"{self.data_gb:.1f} GB in {data}, or where $TAILWISE_DATA points",
                f"{self.kept_gb:.1f} GB in {checkpoints}, or where --folder points",
                f"{self.gpu_gb:.1f} GB on a GPU"
                + ("" if device == "cuda" else "; torch sees none here, only a CPU"),
            ),
            "licences": self.licences,
        }
        lines = [self.title, ""]
        for name, each in parts.items():
            lines += [f"{name}:", *(f"  {line}" for line in each)]
        return "\n".join(lines)

    def check(self, data: Path, checkpoints: Path, device: str) -> None:
        """A ValueError if a disk or the GPU has too little room for it."""
        disks = {
            folder: next(p for p in (folder, *folder.absolute().parents) if p.exists())
            for folder in (data, checkpoints)
        }
        for folder, room in ((data, self.data_gb), (checkpoints, self.kept_gb)):
            if disks[data].stat().st_dev == disks[checkpoints].stat().st_dev:
                room = self.data_gb + self.kept_gb
            free = shutil.disk_usage(disks[folder]).free / 1e9
            if free < room:
                raise ValueError(
                    f"{folder} has {free:.1f} GB free: expected {room:.1f} GB"
                )
        if device == "cuda":
            torch.cuda.empty_cache()  # what measuring its speed has left there
            free = torch.cuda.mem_get_info()[0] / 1e9
            if free < self.gpu_gb:
                raise ValueError(
                    f"the GPU has {free:.1f} GB free: expected {self.gpu_gb:.1f} GB"
                )


@dataclass(frozen=True)
class Cost:
    """Of training a network: counted on tensors without values.

    Attributes
    ----------
    parameters : int
    operations : float
        Of an image, forward and backward.
    kept : float
        Bytes of an image that wait for the backward pass, in float32.
    launches : int
        Operations of torch's in a step of any size.
    """

    parameters: int
    operations: float
    kept: float
    launches: int

    def memory_gb(self, batch: int, *, half: bool = False) -> float:
        """Weights, gradients, momentum and activations, and 1 GB of torch's own."""
        width = 0.5 if half else 1.0
        return (12 * self.parameters + width * batch * self.kept) / 1e9 + 1


class _Launches(TorchDispatchMode):
    n = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.n += 1
        return function(*args, **(kwargs or {}))


def cost(make: Make, shape: Sequence[int]) -> Cost:
    """Count a step on two images of a shape ``(channels, height, width)``."""
    with torch.device("meta"):
        model, x = make().train(), torch.empty(2, *shape)
    own, kept = {p.untyped_storage()._cdata for p in model.parameters()}, {}

    def keep(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with _Launches() as launches, FlopCounterMode(display=False) as counter:
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            z = model(x)
        z.sum().backward()
    waiting = sum(size for name, size in kept.items() if name not in own)
    parameters = sum(p.numel() for p in model.parameters())
    return Cost(parameters, counter.get_total_flops() / 2, waiting / 2, launches.n)


def speed(
    make: Make, shape: Sequence[int], batch: int, *, half: bool, steps: int = 2
) -> float:
    """Images a second in training: steps on random images, after one that allocates.

    NaN where the device has no room for them.
    """
    try:
        return _speed(make, shape, batch, half, steps)
    except torch.OutOfMemoryError:
        return math.nan


def _speed(
    make: Make, shape: Sequence[int], batch: int, half: bool, steps: int
) -> float:
    device = profiles.current().device
    model, width = make().to(device), half_of(device) if half else None
    x, y = torch.randn(batch, *shape, device=device), torch.arange(batch) % 2
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, 0.9)
    model.train()
    for step in range(steps + 1):
        if step == 1:
            start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device, width or torch.bfloat16, enabled=bool(width)):
            z = model(x)
        nn.functional.cross_entropy(z.float(), y.to(device)).backward()
        optimizer.step()
        float(z.detach()[0, 0])  # waits for the device
    return steps * batch / (time.perf_counter() - start)


def training_rows(
    found: Cost,
    *,
    passes: float,
    runs: int,
    batch: int,
    rate: float,
    width: str,
    more_gb: float = 0.0,
) -> tuple[Row, ...]:
    """What training takes, each with how it is known.

    Parameters
    ----------
    found : Cost
    passes : float
        Images of all epochs and networks.
    runs, batch : int
        Networks, and images of a step.
    rate : float
        Of `speed`, on this machine.
    width : str
        A key of `A100`: what a GPU takes products in.
    more_gb : float
        Of images that lie on the GPU.
    """
    device = profiles.current().device
    name = torch.cuda.get_device_name() if device == "cuda" else "this CPU"
    work = passes * found.operations
    computed = work / (USED * A100[width])
    launched = passes / batch * found.launches * LAUNCH
    why = f"at {USED:.0%} of its {A100[width] / 1e12:g} TFLOP/s in {width}; assumed"
    if launched > computed:
        why = f"{found.launches} operations a step, {1e6 * LAUNCH:.0f} µs each; assumed"
    memory = found.memory_gb(batch, half=width == "bfloat16") + more_gb
    return (
        ("parameters", f"{found.parameters / 1e6:.1f} million", "counted"),
        (
            "GPU memory",
            f"{memory:.1f} GB",
            f"weights, gradients, momentum, {batch} images and what they keep, counted",
        ),
        (
            "operations",
            f"{work / 1e15:.1f} PFLOP",
            f"{found.operations / 1e9:.3g} GFLOP an image and step, counted",
        ),
        (
            "speed",
            f"{rate:,.0f} images/s" if rate > 100 else f"{rate:.3g} images/s",
            f"real steps on {name}, measured now",
        ),
        (
            "time here",
            hours(passes / rate),
            f"{hours(passes / runs / rate)} a network",
        ),
        (
            "time, A100",
            hours(max(computed, launched)),
            why,
        ),
    )


def hours(seconds: float) -> str:
    """Such as 12 min, 3.5 h or 9 days."""
    if not seconds >= 5400:
        return f"{seconds / 60:.0f} min"
    whole = seconds / 3600
    return f"{whole:.1f} h" if whole < 100 else f"{whole / 24:,.0f} days"


def reading(passes: float, side: int, n: int = 20) -> Row:
    """What one core reads, crops and scales: drawn photographs, 500 by 375."""
    small = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(small).resize((500, 375)).save(held := io.BytesIO(), "JPEG")
    photos = Photos((held,), *torch.zeros(2, 1, dtype=torch.int64))
    shown, start = Shown(photos, side, 0), time.perf_counter()
    for i in range(n):
        shown[i + 1, 0]
    rate = n / (time.perf_counter() - start)
    told = f"{rate:.0f} images/s a core, measured now on drawn photographs"
    return "reading", f"{hours(passes / rate)} of a core", told
