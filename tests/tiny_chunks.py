"""Pure functions whose results show where and how they were computed."""

import os
import signal
import time
from pathlib import Path

import torch


def drawn(seed: int, scale: float, wait: float = 0.0) -> torch.Tensor:
    """Sums of a product, whose last bits depend on how many threads share it."""
    time.sleep(wait)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(300, 300, generator=g, requires_grad=True)
    (x @ x).tanh().square().sum().backward()
    return scale * x.grad.sum(0)


def noted(seed: int, folder: Path, wait: float = 0.0) -> float:
    """A number; a file in the folder says that it was computed once more."""
    time.sleep(wait)
    with (folder / str(seed)).open("a") as file:
        file.write("x")
    return float(drawn(seed, 1.0).sum())


def deadly(seed: int, folder: Path) -> float:
    """Kills the process that computes it, the first time."""
    first = not (folder / f"dead {seed}").exists()
    (folder / f"dead {seed}").touch()
    if seed == 1 and first:
        os.kill(os.getpid(), signal.SIGKILL)
    return noted(seed, folder)


def lethal(seed: int) -> float:
    """Kills the process that computes it, every time."""
    if seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return float(seed)


def failing(seed: int, folder: Path) -> float:
    if seed == 2:
        raise ValueError("seed is 2")
    return noted(seed, folder)


def where(seed: int, wait: float) -> int:
    """The process that computes it."""
    time.sleep(wait)
    return os.getpid()


def burnt(seconds: float) -> None:
    """Seconds of a processor."""
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass


def nothing(*_) -> None:
    """What starts a process, where there is nothing to start."""
