"""How every run at paper size starts, shares the machine, and ends."""

import ctypes
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import redirect_stdout
from multiprocessing import get_context, parent_process
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Thread
from typing import TypeVar

import torch
from joblib import parallel_config

from tailwise import profiles
from tailwise.data.assets import cache_dir
from tailwise.ledger import claims
from tailwise.training import cache, ranks
from tailwise.training.processes import in_processes
from tools.paper import record
from tools.paper.estimates import Plan

T = TypeVar("T")
# What `tailwise.files.write_whole` calls a file until it is whole, and seconds after
# which nobody writes to it any more.
PART, OLD = ".????????.part", 60
PR_SET_PDEATHSIG = 1  # of Linux: a signal to this process when its parent dies
HINT = """
nothing was fetched or trained; to accept the licences and start, give the same command
with YES=1 (make) or --yes; given again after a stop, it goes on"""


def carry_out(
    plan: Callable[[], Plan],
    *,
    checkpoints: Path,
    decides: Sequence[str],
    yes: bool,
    prepare: Callable[[], object],
    train: Callable[..., T],
    work: Iterable[tuple],
    tell: Callable[[list[T]], None],
    together: bool = False,
) -> int:
    """Print the plan; with `yes` prepare, train what is not kept, and tell.

    Of several processes that torchrun started, only the first fetches, writes and
    tells. What is wrong is one sentence, and status 1.

    Parameters
    ----------
    plan, prepare : callable
        `prepare` fetches data.
    checkpoints : Path
    decides : sequence of str
        Claims.
    yes : bool
    train, work
        As in `tailwise.training.processes.in_processes`; `tell` gets the results.
    together : bool
        Whether several processes may train one network.
    """
    profile, data = profiles.current(), cache_dir()
    device = profile.device
    try:
        if "TORCHELASTIC_RUN_ID" in os.environ:  # of torchrun
            end_with_torchrun()
        if not together and int(os.environ.get("WORLD_SIZE", 1)) > 1:
            raise ValueError(
                "torchrun started several processes, but these networks are trained in "
                "one each: start it without torchrun, and GPUs share the networks"
            )
        with ranks.joined(device), open(os.devnull, "w") as nowhere:
            with redirect_stdout(sys.stdout if ranks.first() else nowhere):
                if ranks.first():
                    print("measuring this machine …", flush=True)
                    found = plan()
                    claimed = record.stated(decides)
                    print(f"\n{found.told(data, checkpoints, device, claimed)}")
                    found.check(data, checkpoints, device)
                    if not yes:
                        print(HINT)
                    else:
                        results = claims.results_dir(profile.name)
                        sweep(data, results, *cache.folder().glob("chunks/*"))
                        prepare()
                ranks.wait()
                if yes:
                    rows = spread(train, list(work), device)
                    if ranks.first():
                        tell(rows)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(str(error).strip().partition("\n")[0], file=sys.stderr)
        return 1
    return 0


def spread(train: Callable[..., T], work: Sequence[tuple], device: str) -> list[T]:
    """``[train(*each) for each in work]``: on GPUs a process each, all kept when done.

    Several processes that torchrun started train every network together.
    """
    n = torch.cuda.device_count() if device == "cuda" else 1
    if n > 1 and len(work) > 1 and not ranks.together():
        start = get_context("spawn")
        gpus = start.SimpleQueue()
        for i in range(n):
            gpus.put(i)
        with ProcessPoolExecutor(n, start, take_gpu, (gpus,)) as pool:
            _in_each(pool, train, work, device)
    jobs = 1 if ranks.together() else None
    with parallel_config("loky", initializer=end_with_parent):
        return in_processes(train, work, jobs=jobs, device=device)


def _in_each(pool: Executor, train: Callable, work: Sequence[tuple], device: str):
    calls = [pool.submit(in_processes, train, [each], device=device) for each in work]
    try:
        for call in calls:
            call.result()
    finally:
        pool.shutdown(cancel_futures=True)


def take_gpu(gpus: SimpleQueue) -> None:
    """Make a GPU this process's, one that no other has."""
    end_with_parent()
    torch.cuda.set_device(gpus.get())


def end_with_parent() -> None:
    """End this process with the one that started it, which may be killed.

    It would train on, into the folder of the network that the next run trains. The one
    that started it may be gone before this is called.
    """
    started_by = parent_process()  # none in a process that torchrun started
    parent = started_by.pid if started_by else os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def end_with_torchrun() -> None:
    """End this process with torchrun; a RuntimeError if that is gone already.

    It would wait for the others, who meet where torchrun listens, for half an hour.
    """
    if sys.platform == "linux":
        # By the kernel: torch, which lost a connection, may let no thread run.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    end_with_parent()
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        socket.create_connection(where, timeout=60).close()
    except OSError as error:
        raise RuntimeError(f"torchrun is gone from {where[0]}:{where[1]}") from error


def sweep(*folders: Path) -> None:
    """Remove files that were being written when a run was killed."""
    for folder in folders:
        for part in folder.glob(PART):
            if time.time() - part.stat().st_mtime > OLD:
                part.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Remove a network's checkpoint, its JSON first: what is left of it is none."""
    (folder / "state.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
