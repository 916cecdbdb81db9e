"""Where numbers come from: versions, device, hashes, time and memory of a run."""

import os
import platform
import subprocess
import sys
import time
from datetime import date
from functools import cache
from importlib.metadata import version

import torch

from tailwise import __version__
from tailwise.files import PACKAGE, file_hash
from tailwise.profiles import Profile

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "matplotlib")


@cache
def source_hash() -> str:
    """Hash of the package with its shipped data: the code a number came from."""
    return file_hash(PACKAGE)


def _commit() -> str | None:
    """The commit checked out, with "-dirty" if a tracked file differs from it."""
    name = ("describe", "--always", "--dirty", "--exclude=*")
    git = ("git", "-C", PACKAGE, *name)
    try:
        done = subprocess.run(git, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _device_name(profile: Profile) -> str:
    if profile.device == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} of {os.cpu_count()} cores"


class Stopwatch:
    """Wall and CPU seconds since it was made, with those of processes that ended."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), sum(os.times()[:4])

    def read(self) -> dict[str, float]:
        return {
            "wall_s": round(time.perf_counter() - self._wall, 1),
            "cpu_s": round(sum(os.times()[:4]) - self._cpu, 1),
        }


def peak_memory_gb() -> float:
    """Largest resident size of this process so far, in GB; NaN where unknown."""
    if resource is None:
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def describe(profile: Profile, stopwatch: Stopwatch) -> dict:
    """Provenance of a run, as plain values for a JSON record.

    Parameters
    ----------
    profile : Profile
        The profile of the run.
    stopwatch : Stopwatch
        Started when the run started.

    Returns
    -------
    dict
        ``versions``, ``date``, ``python``, ``platform``, ``device``, ``commit``,
        ``source_hash``, ``wall_s`` and ``cpu_s`` (seconds), ``peak_memory_gb``,
        and on a GPU ``peak_gpu_memory_gb``.
    """
    record = {
        "versions": {"tailwise": __version__}
        | {name: version(name) for name in PACKAGES},
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "platform": platform.machine(),
        "device": _device_name(profile),
        "commit": _commit(),
        "source_hash": source_hash(),
        **stopwatch.read(),
        "peak_memory_gb": round(peak_memory_gb(), 2),
    }
    if profile.device == "cuda":
        record["peak_gpu_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return record
