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
# What chunks cost in other runs of this one, and on other machines: see `count`.
_elsewhere = {"kept_cpu_s": 0.0, "cluster_cpu_s": 0.0, "peak_memory_gb": 0.0}


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


@cache
def releases() -> dict[str, str]:
    """Releases of the packages that compute, whichever builds they are."""
    return {name: version(name).partition("+")[0] for name in PACKAGES[:4]}


def count(cost: dict[str, float], *, kept: bool = False) -> None:
    """Add what a chunk cost that this process and its children did not compute.

    Parameters
    ----------
    cost : dict
        ``cpu_s`` and ``peak_memory_gb``.
    kept : bool
        Whether an earlier run computed it, else a worker of a cluster.
    """
    _elsewhere["kept_cpu_s" if kept else "cluster_cpu_s"] += cost["cpu_s"]
    memory = max(_elsewhere["peak_memory_gb"], cost["peak_memory_gb"])
    _elsewhere["peak_memory_gb"] = memory


def _cpu() -> tuple[float, float, float]:
    return sum(os.times()[:4]), _elsewhere["kept_cpu_s"], _elsewhere["cluster_cpu_s"]


class Stopwatch:
    """Wall and CPU seconds since it was made, with those of processes that ended.

    CPU seconds include those of a cluster's workers, ``cluster_cpu_s``, and what an
    earlier run spent on chunks that this one goes on from, ``kept_cpu_s``. Wall seconds
    count the latter as if computed one after the other, the most they would take here.
    """

    def __init__(self) -> None:
        self._wall, self._start = time.perf_counter(), _cpu()

    def read(self) -> dict[str, float]:
        here, kept, cluster = (now - then for now, then in zip(_cpu(), self._start))
        return {
            "wall_s": time.perf_counter() - self._wall + kept,
            "cpu_s": here + kept + cluster,
            "kept_cpu_s": kept,
            "cluster_cpu_s": cluster,
        }


def peak_memory_gb() -> float:
    """Largest resident size of a process of this run, in GB; NaN where unknown.

    Of this process, of its children that ended, and of other workers.
    """
    if resource is None:
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    here = max(resource.getrusage(each).ru_maxrss for each in who)
    return max(here * unit / 1e9, _elsewhere["peak_memory_gb"])


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
        ``versions``, ``date``, ``python``, ``platform``, ``device``, ``vectors`` (what
        of the CPU torch uses), ``commit``, ``source_hash``, seconds as `Stopwatch`
        reads them, ``peak_memory_gb``, and on a GPU ``peak_gpu_memory_gb``.
    """
    record = {
        "versions": {"tailwise": __version__}
        | {name: version(name) for name in PACKAGES},
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "platform": platform.machine(),
        "device": _device_name(profile),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "commit": _commit(),
        "source_hash": source_hash(),
        **{name: round(value, 1) for name, value in stopwatch.read().items()},
        "peak_memory_gb": round(peak_memory_gb(), 2),
    }
    if profile.device == "cuda":
        record["peak_gpu_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return record
