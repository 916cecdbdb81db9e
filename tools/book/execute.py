"""Execute the notebooks whose inputs have changed, several at once.

python -m tools.book.execute [--jobs N] [6_]    all, or what begins like 6_

Chapters and solutions run first, then the pages that read their results. A notebook
that fails leaves the last good executed notebook and record in place.
"""

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.book.layout import Book, dumps, read_source, write

PROGRESS = "progress"  # file in which a notebook says how far a long cell is
AGAIN = "run-again-last"  # tag of a cell that shows its own notebook's record
# To glibc: keep the memory of a freed tensor for the next step's instead of returning
# it to the system, which costs a tenth of the time where steps are short.
THRIFT = {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),  # the most that older versions take
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}


class Progress:
    """One line, rewritten, on a terminal; elsewhere a line every few cells."""

    def __init__(self, stream=None) -> None:
        self.stream = stream or sys.stdout
        self.running: dict[str, str] = {}

    def cell(self, name: str, done: int, total: int) -> None:
        self.running[name] = f"{name}  {done}/{total}"
        if self.stream.isatty():
            self._redraw()
        elif done % 5 == 0 and done < total:
            print(self.running[name], file=self.stream, flush=True)

    def note(self, name: str, line: str) -> None:
        """What a cell that takes long says of its chunks, until the next cell."""
        if self.stream.isatty():
            self.running[name] = f"{self.running.get(name, name)} · {line}"
            self._redraw()
            self.running[name] = self.running[name].partition(" · ")[0]
        else:
            print(f"{name}  {line}", file=self.stream, flush=True)

    def end(self, name: str, outcome: str) -> None:
        line = f"{self.running.pop(name, name)}  {outcome}"
        if self.stream.isatty():
            line = f"\r\033[K{line}"
        print(line, file=self.stream, flush=True)
        if self.stream.isatty():
            self._redraw()

    def _redraw(self) -> None:
        width = shutil.get_terminal_size().columns
        line = " · ".join(self.running.values())[: width - 1]
        print(f"\r\033[K{line}", end="", file=self.stream, flush=True)


class Run:
    """One execution of one notebook."""

    def __init__(self, book: Book, py: Path, progress: Progress) -> None:
        self.book, self.py, self.progress = book, py, progress
        self.name = py.relative_to(book.source).with_suffix("").as_posix()
        self.name = self.name.removeprefix("chapters/")
        self.count, self.cell = 0, None

    async def execute(self, limits: dict[str, str]) -> str | None:
        """Execute, keep the outcome, and return the story of a failure or None."""
        key, notebook = self.book.key(self.py), read_source(self.py)
        started = time.monotonic()
        self.book.build.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.book.build, prefix="run-") as folder:
            fault = await self._execute(notebook, Path(folder), limits)
            if fault is None:
                self._keep(Path(folder), dumps(notebook), key)
        seconds = time.monotonic() - started
        outcome = f"{seconds:.0f} s" if fault is None else "FAILED"
        self.progress.end(self.name, outcome)
        return fault

    async def _execute(self, notebook, results: Path, limits: dict) -> str | None:
        from nbclient import NotebookClient
        from nbclient.exceptions import CellControlSignal, DeadKernelError

        code = [cell for cell in notebook.cells if cell.cell_type == "code"]

        def starts(cell, cell_index) -> None:
            if cell.cell_type == "code" and self.count < len(code):
                self.count, self.cell = self.count + 1, cell
                self.progress.cell(self.name, self.count, len(code))

        async def ended(cell, cell_index, execute_reply) -> None:
            # A claim box stands first and shows what the last cell saved.
            if cell is code[-1]:
                for index, early in enumerate(notebook.cells):
                    if AGAIN in early.metadata.get("tags", ()):
                        place, early.outputs = early.execution_count, []
                        await client.async_execute_cell(early, index)
                        early.execution_count = place

        client = NotebookClient(
            notebook,
            timeout=None,  # a run at paper scale may take hours
            kernel_name="python3",
            extra_arguments=["--log-level=ERROR"],  # no advice at every start
            record_timing=False,
            coalesce_streams=True,
            shutdown_kernel="immediate",
            resources={"metadata": {"path": str(self.py.parent)}},
            on_cell_start=starts,
            on_cell_executed=ended,
            on_notebook_start=_leave_signals_alone,
        )
        watching = asyncio.create_task(self._watch(results / PROGRESS))
        try:
            await client.async_execute(env=self._environment(results, limits))
        except (CellControlSignal, DeadKernelError) as error:
            if asyncio.current_task().cancelling():  # Ctrl-C also looks like a death
                raise asyncio.CancelledError from None
            return self._story(error)
        finally:
            watching.cancel()

    async def _watch(self, file: Path) -> None:
        """Show how far the chunks are: see `tailwise.training.progress`."""
        seen, pause = "", 1 if self.progress.stream.isatty() else 60
        while True:
            await asyncio.sleep(pause)
            if file.exists() and (line := file.read_text("utf-8")) != seen:
                seen = line
                self.progress.note(self.name, line)

    def _environment(self, results: Path, limits: dict) -> dict[str, str]:
        env = os.environ | {"TAILWISE_PROFILE": self.book.profile}
        # A chapter's record counts only once its last cell has run, so it is written
        # aside first; a page reads the records that are in place.
        is_page = self.py in self.book.pages()
        env["TAILWISE_RESULTS"] = str(self.book.results.parent if is_page else results)
        env["TAILWISE_PROGRESS"] = str(results / PROGRESS)
        for name, value in (THRIFT | limits).items():
            env.setdefault(name, value)
        return env

    def _keep(self, results: Path, text: str, key: str) -> None:
        """Put records, notebook and key in place; the key last, so it never lies."""
        for record in sorted((results / self.book.profile).glob("*.json")):
            self.book.results.mkdir(parents=True, exist_ok=True)
            os.replace(record, self.book.results / record.name)
        executed = self.book.executed(self.py)
        write(executed, text)
        write(executed.with_suffix(".key"), key)

    def _story(self, error: Exception) -> str:
        traceback = getattr(error, "traceback", "") or f"{error}"
        traceback = re.sub(r"\x1b\[[0-9;]*m", "", traceback).rpartition("-" * 75)[2]
        source = self.cell.source.strip().splitlines()
        story = [f"{self.py.relative_to(self.book.root)}, code cell {self.count}:"]
        story += [f"    {line}" for line in source[:5]]
        story += ["    ..."] if len(source) > 5 else []
        story += [f"  {line}" for line in traceback.strip().splitlines()[-12:]]
        return "\n".join(story)


def _leave_signals_alone(notebook) -> None:
    # nbclient's handler of Ctrl-C would stop one kernel and let the others go on.
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)


async def _execute_all(book: Book, stale: list[Path], jobs: int) -> list[str]:
    """Execute notebooks, at most `jobs` at a time, and return the failures."""
    jobs = min(jobs, len(stale))
    # One thread a notebook on a CPU: small networks lose more than they gain by
    # sharing one, above all beside another run, and the numbers stay the same.
    threads = 1 if book.on_cpu else cores()
    # What a notebook gives to processes of its own is its share of the cores.
    share = max(1, cores() // jobs)
    limits = {"OMP_NUM_THREADS": str(threads), "LOKY_MAX_CPU_COUNT": str(share)}
    turn, progress = asyncio.Semaphore(jobs), Progress()

    async def one(py: Path) -> str | None:
        async with turn:
            return await Run(book, py, progress).execute(limits)

    return [story for story in await asyncio.gather(*map(one, stale)) if story]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def named(group: Sequence[Path], only: Sequence[str]) -> list[Path]:
    """Notebooks whose names begin as asked, or all."""
    return [py for py in group if not only or py.stem.startswith(tuple(only))]


def run(book: Book, jobs: int | None = None, only: Sequence[str] = ()) -> list[str]:
    """Execute what is stale, or of that only notebooks whose names begin like `only`.

    Returns the stories of the failures.
    """
    # One accelerator is one worker.
    jobs = jobs or (cores() if book.on_cpu else 1)
    for group in (book.chapters(), book.pages()):
        stale = [py for py in named(group, only) if not book.is_current(py)]
        if stale:
            print(f"executing {len(stale)} of {len(group)} notebooks", flush=True)
            if failures := asyncio.run(_execute_all(book, stale, jobs)):
                return failures
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, help="notebooks to run at a time")
    parser.add_argument("only", nargs="*", help="beginnings of names: 6_ is chapter 6")
    given = parser.parse_args()
    try:
        failures = run(Book.here(), given.jobs, given.only)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\ninterrupted; the last good results are in place", file=sys.stderr)
        return 130
    for story in failures:
        print(f"\n{story}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
