"""Independent computations, in processes or on a cluster, each kept when it is done.

A *chunk* is one call of a pure function: one setting, one seed, or a few of both. It
computes on one thread, so that its result is the same wherever it runs. The result is
kept under the function, its arguments and its code, so that a run that was stopped
goes on and one that was finished is not repeated.

``TAILWISE_SCHEDULER=tcp://host:8786`` sends chunks to a Dask cluster, which schedules
and transports them, and tries one again whose worker died. Its own client is used, not
joblib's backend for it: that computes in the client where there is one worker.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from pickle import PicklingError
from typing import Any, TypeVar
from uuid import uuid4

import torch
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from joblib.hashing import NumpyHasher
from threadpoolctl import threadpool_limits
from torch import Tensor

from tailwise.ledger import provenance
from tailwise.profiles import reseeded, seed_set
from tailwise.training import cache, results
from tailwise.training.progress import Progress
from tailwise.training.sources import code_hash, file_of

T = TypeVar("T")
ANSWER = 10  # seconds that a scheduler has to answer
KEPT = "what was done is kept, and the same command goes on from there"
inside: ContextVar[bool] = ContextVar("inside", default=False)  # of a chunk


def in_processes(
    function: Callable[..., T],
    arguments: Iterable[tuple],
    *,
    jobs: int | None = None,
    device: str | torch.device = "cpu",
) -> list[T]:
    """``[function(*a) for a in arguments]``, on the CPU in up to `jobs` processes.

    Each result is kept in `cache.folder` as soon as it is there, and read from there
    the next time. A function of a notebook or of C is called every time.

    Parameters
    ----------
    function : callable
        Pure: its result follows from its arguments. It returns what
        `tailwise.training.results` takes.
    arguments : iterable of tuple
        One tuple a chunk.
    jobs : int, optional
        Processes at most; by default one a core. ``LOKY_MAX_CPU_COUNT`` limits them
        too: `make book` runs other notebooks on the other cores.
    device : str or torch.device
        On another device than the CPU chunks run one after the other, in this process.

    Raises
    ------
    ValueError
        For arguments or results that cannot be kept, a scheduler that does not answer,
        and a worker with other code.
    RuntimeError
        If a process or worker dies, after what is done was kept.

    Examples
    --------
    >>> in_processes(max, [(1, 2), (4, 3)], jobs=1)
    [2, 4]
    """
    kind = torch.device(device).type
    chunks = [_Chunk(i, function, each, kind) for i, each in enumerate(arguments)]
    paths = {c.index: c.path() for c in chunks} if file_of(function) else {}
    found = {}
    for index, path in paths.items():
        if (content := cache.read_file(path)) is not None:
            found[index], cost = results.loads(content)
            provenance.count(cost, kept=True)
    todo = [chunk for chunk in chunks if chunk.index not in found]
    stale = sum(bool(_outdated(paths[c.index])) for c in todo if paths)
    progress = Progress(_name(function), len(chunks), len(found), stale)
    address = None if inside.get() else os.environ.get("TAILWISE_SCHEDULER")
    for index, content in _computed(todo, jobs, address):
        if paths:
            _keep(paths[index], content)
        found[index], cost = results.loads(content)
        if address:
            provenance.count(cost)
        progress.step()
    progress.end()
    return [found[chunk.index] for chunk in chunks]


@dataclass(frozen=True)
class _Chunk:
    index: int
    function: Callable
    arguments: tuple
    device: str
    code: str = ""
    seeds: int = field(default_factory=seed_set)

    def __post_init__(self) -> None:
        if path := file_of(self.function):
            object.__setattr__(self, "code", code_hash(path))

    def path(self) -> Path:
        """Where its result is kept: a folder a function, named by what decides it."""
        given = _digest(self.arguments, self.device, reseeded(0))
        code = _digest(self.code, provenance.releases(), results.FORMAT)
        folder = cache.folder() / "chunks" / _name(self.function)
        return folder / f"{given}-{code}.safetensors"

    def __call__(self) -> tuple[int, bytes]:
        """Its place, and its result with what it cost, as bytes."""
        self._check_code()
        stopwatch, threads = provenance.Stopwatch(), torch.get_num_threads()
        before, seeds = inside.set(True), os.environ.get("TAILWISE_RESEED")
        os.environ["TAILWISE_RESEED"] = str(self.seeds)
        try:
            if self.device == "cpu":
                torch.set_num_threads(1)
            with threadpool_limits(1 if self.device == "cpu" else None):
                value = self.function(*self.arguments)
        finally:
            torch.set_num_threads(threads)
            inside.reset(before)
            del os.environ["TAILWISE_RESEED"]
            if seeds is not None:
                os.environ["TAILWISE_RESEED"] = seeds
        memory = provenance.peak_memory_gb()
        cost = stopwatch.read() | {"peak_memory_gb": memory}
        return self.index, results.dumps((value, cost))

    def _check_code(self) -> None:
        path = file_of(self.function)
        if self.code and path and code_hash(path) != self.code:
            raise ValueError(
                f"{_name(self.function)} is other code here than where it was called: "
                "a file changed while this ran, or a worker has another version of "
                "tailwise; start the workers again with the same"
            )


def _name(function: Callable) -> str:
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{module.rpartition('.')[2]}.{name}"


def _digest(*parts: Any) -> str:
    """Of values, arrays, tensors and modules, the same in every process."""
    try:
        return _Hasher("sha1").hash(parts)[:20]
    except (PicklingError, AttributeError, TypeError) as error:
        raise ValueError(f"arguments of a chunk cannot be named: {error}") from error


class _Hasher(NumpyHasher):
    """joblib's, which would name a tensor by where its memory lies."""

    def save(self, obj: Any) -> None:
        if isinstance(obj, Tensor):
            flat = obj.detach().cpu().contiguous().flatten().view(torch.uint8)
            about = obj.dtype, obj.device.type, obj.requires_grad
            obj = (*map(str, about), tuple(obj.shape), obj.stride(), flat.numpy())
        super().save(obj)


def _outdated(path: Path) -> list[Path]:
    """Files of the same arguments and other code."""
    given = path.stem.split("-")[0]
    return [p for p in path.parent.glob(f"{given}-*") if p.stem != path.stem]


def _keep(path: Path, content: bytes) -> None:
    """Keep a result, and drop that of the same arguments and other code."""
    try:
        cache.keep_file(path, content)
    except OSError as error:
        warnings.warn(
            f"a result of {path.parent.name} is not kept, and would be computed again "
            f"after a stop: {error.strerror} ({path.parent})",
            stacklevel=3,
        )
        return
    for other in _outdated(path):
        other.unlink(missing_ok=True)


def _computed(
    chunks: list[_Chunk], jobs: int | None, address: str | None
) -> Iterator[tuple[int, bytes]]:
    """Places and results of chunks, in the order in which they are done."""
    jobs = min(jobs or cpu_count(), cpu_count(), len(chunks))
    if not chunks:
        return
    if address:
        yield from _on_cluster(chunks, address)
    elif jobs == 1 or chunks[0].device != "cpu" or inside.get():
        yield from (chunk() for chunk in chunks)
    else:
        yield from _on_cores(chunks, jobs)


def _on_cores(chunks: list[_Chunk], jobs: int) -> Iterator[tuple[int, bytes]]:
    try:
        yield from _parallel(chunks, jobs)
    except TerminatedWorkerError as error:
        raise RuntimeError(
            f"a process of {_name(chunks[0].function)} died, perhaps for lack of "
            f"memory (LOKY_MAX_CPU_COUNT=1 takes one process); {KEPT}"
        ) from error
    finally:
        get_reusable_executor(reuse=True).shutdown(wait=True)


def _parallel(chunks: list[_Chunk], jobs: int) -> Iterator[tuple[int, bytes]]:
    pool = Parallel(
        n_jobs=jobs,
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch="all",
        max_nbytes=None,  # arrays arrive as they are, not as files mapped to memory
    )
    return pool(delayed(chunk)() for chunk in chunks)


def _on_cluster(chunks: list[_Chunk], address: str) -> Iterator[tuple[int, bytes]]:
    try:
        from distributed import CancelledError, Client, KilledWorker, as_completed
    except ImportError as error:
        raise ValueError(
            f"TAILWISE_SCHEDULER is {address!r}, but Dask is not installed: "
            "pip install 'tailwise[cluster]'"
        ) from error
    try:
        client = Client(address, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"TAILWISE_SCHEDULER is {address!r}: no Dask scheduler answered there "
            f"within {ANSWER} s"
        ) from error
    name = _name(chunks[0].function)
    with client:
        if not client.ncores():
            warnings.warn(f"{address} has no worker yet: {name} waits", stacklevel=3)
        keys = [f"{name} {chunk.index} {uuid4().hex[:8]}" for chunk in chunks]
        work = client.map(_Chunk.__call__, chunks, key=keys)
        try:
            for future in as_completed(work, loop=client.loop):
                yield future.result()
        except KilledWorker as error:
            raise RuntimeError(
                f"workers died one after another in {name}, perhaps for lack of "
                f"memory; {KEPT}"
            ) from error
        except CancelledError as error:
            raise RuntimeError(f"{address} went away during {name}; {KEPT}") from error
