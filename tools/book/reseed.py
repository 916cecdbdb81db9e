"""Run the chapters with sets of fresh seeds and keep what their records say.

python -m tools.book.reseed [N] [--jobs J]      sets 1 to N, 5 by default

Each chapter with each set is a chunk (`tailwise.training.processes`): it is kept when
it is done, a run that was stopped goes on, and a Dask cluster may share the work.
Records lie in _build/reseed; what they measured goes to
book/results/laptop/reseeded.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from tools.book.execute import THRIFT
from tools.book.layout import Book, write

ALONE = (
    "TAILWISE_SCHEDULER",
    "TAILWISE_PROGRESS",
)  # a chapter's own chunks stay with it


def chapter(stem: str, profile: str, name: str, key: str) -> str:
    """The record of a chapter with one set of seeds, as text.

    Raises
    ------
    ValueError
        If its sources here do not have that key.
    RuntimeError
        If it fails.
    """
    book = Book(Book.here().root, profile)
    py = book.source / "chapters" / f"{stem}.py"
    if book.key(py) != key:
        raise ValueError(f"{stem} is another version here than where the run started")
    with tempfile.TemporaryDirectory() as folder:
        env = THRIFT | {"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"} | os.environ
        env |= {"TAILWISE_RESEED": name, "TAILWISE_RESULTS": folder}
        env |= {"TAILWISE_PROFILE": profile, "MPLBACKEND": "agg"}
        env = {variable: env[variable] for variable in env.keys() - set(ALONE)}
        done = subprocess.run(
            [sys.executable, py], env=env, cwd=py.parent, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{stem}, set {name}:\n{done.stderr[-2000:]}")
        return record(Path(folder), profile, stem).read_text("utf-8")


def record(folder: Path, profile: str, stem: str) -> Path:
    """Where a chapter leaves its record, below a folder of results."""
    return folder / profile / f"ch{stem.partition('_')[0]}.json"


def run(book: Book, sets: list[str], jobs: int | None) -> None:
    """Run every chapter with every set, and write the records."""
    # By its name: a function of __main__ would be another one on a worker.
    from tailwise.training.processes import in_processes
    from tools.book.reseed import chapter

    chapters = sorted((book.source / "chapters").glob("*.py"))
    keys = {py: book.key(py) for py in chapters}
    pairs = list(product(sets, chapters))
    work = [(py.stem, book.profile, name, keys[py]) for name, py in pairs]
    texts = in_processes(chapter, work, jobs=jobs)
    for (name, py), text in zip(pairs, texts):
        write(record(book.build / "reseed" / name, book.profile, py.stem), text)


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
    text = json.dumps(stability.summary(runs), indent=1, sort_keys=True) + "\n"
    write(path := claims.reseeded_path(), text)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("n", type=int, nargs="?", default=5, help="sets of seeds")
    parser.add_argument(
        "--jobs", type=int, help="chapters at once; one a core if unset"
    )
    options = parser.parse_args()
    book = Book.here()
    sets = [str(k) for k in range(1, options.n + 1)]
    try:
        run(book, sets, options.jobs)
    except (RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"the marks of {len(sets)} sets: {collect(book, sets)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
