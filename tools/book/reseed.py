"""Run the chapters with sets of fresh seeds and keep what their records say.

python -m tools.book.reseed [N] [--jobs J]      sets 1 to N, 5 by default

A run that was stopped goes on: a chapter whose sources have not changed since its
record was written is not run again. Records lie in _build/reseed; the marks of all
parts go to book/results/<profile>/reseeded.json once every set is there.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.book.execute import THRIFT, cores
from tools.book.layout import Book, write


def run(book: Book, py: Path, name: str) -> str | None:
    """Run one chapter with one set of seeds; the end of its errors, or None."""
    folder = book.build / "reseed" / name
    stamp = folder / f"{py.stem}.key"
    if stamp.exists() and stamp.read_text() == book.key(py):
        return None
    env = THRIFT | {"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"} | os.environ
    env |= {"TAILWISE_RESEED": name, "TAILWISE_RESULTS": str(folder)}
    env |= {"TAILWISE_PROFILE": book.profile, "MPLBACKEND": "agg"}
    key, started = book.key(py), time.monotonic()
    done = subprocess.run(
        [sys.executable, py], env=env, cwd=py.parent, capture_output=True, text=True
    )
    if done.returncode:
        return f"{py.stem}, set {name}:\n{done.stderr[-2000:]}"
    write(stamp, key)
    print(f"{py.stem}, set {name}: {time.monotonic() - started:.0f} s", flush=True)
    return None


def collect(book: Book, sets: list[str]) -> Path:
    """Write the summary of all sets and return where it lies."""
    from tailwise.ledger import claims, stability

    runs = {
        name: {
            key: claims.read_record(
                book.build / "reseed" / name / book.profile / f"{key}.json"
            )
            for key in claims.chapters()
        }
        for name in sets
    }
    path = stability.path(book.profile)
    text = json.dumps(stability.summary(runs), indent=1, sort_keys=True) + "\n"
    write(path, text)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("n", type=int, nargs="?", default=5, help="sets of seeds")
    parser.add_argument("--jobs", type=int, default=cores(), help="chapters at once")
    options = parser.parse_args()
    book = Book.here()
    sets = [str(k) for k in range(1, options.n + 1)]
    chapters = sorted((book.source / "chapters").glob("*.py"))
    with ThreadPoolExecutor(options.jobs) as pool:
        work = [pool.submit(run, book, py, name) for name in sets for py in chapters]
        faults = [fault for one in work if (fault := one.result())]
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"the marks of {len(sets)} sets: {collect(book, sets)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
