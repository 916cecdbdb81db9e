"""Independent computations, several at a time on a CPU."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor

T = TypeVar("T")


def in_processes(
    function: Callable[..., T],
    arguments: Iterable[tuple],
    *,
    jobs: int = 2,
    device: str | torch.device = "cpu",
) -> list[T]:
    """``[function(*a) for a in arguments]``, on the CPU in up to `jobs` processes.

    On another device, or with one core (``LOKY_MAX_CPU_COUNT=1``: `make book` runs
    other notebooks on the others), one after the other, in this process. Processes
    share the cores, so that each computes on fewer threads.

    Examples
    --------
    >>> in_processes(max, [(1, 2), (4, 3)], jobs=1)
    [2, 4]
    """
    jobs = min(jobs, cpu_count()) if torch.device(device).type == "cpu" else 1
    found = Parallel(n_jobs=jobs)(delayed(function)(*each) for each in arguments)
    if jobs > 1:
        get_reusable_executor(reuse=True).shutdown(wait=True)
    return found
