"""The package and the whole book on a second device: what would fail on a GPU fails.

The device needs a C++ compiler. Without one the tests are skipped, on CI they fail.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import second

from tailwise.ledger import claims
from tools.book.layout import INDEPENDENT, ROOT, Book

HERE = Path(__file__).parent
BOOK = Book(ROOT, "smoke")
# Plots, tables and heads of scikit-learn; nothing of these is on a device.
ON_CPU = {"solutions/1_loss_weighting.py", "solutions/3_soft_ascent_descent.py"}
ON_CPU |= {"solutions/5_ce_geometry.py", *INDEPENDENT[1:]}


@pytest.fixture(scope="module", autouse=True)
def kernels() -> Path:
    if second.compiler() is None:
        missing = "no C++ compiler for the second device: install g++ or clang"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return second.library()


def run(command: list, folder: Path) -> str:
    """Output of a process whose records and networks go to a folder of its own."""
    env = os.environ | {"TAILWISE_PROFILE": "smoke", "LOKY_MAX_CPU_COUNT": "1"}
    env |= {"TAILWISE_RESULTS": str(folder), "TAILWISE_CACHE": str(folder)}
    done = subprocess.run(
        [sys.executable, *command], env=env, cwd=ROOT, text=True, capture_output=True
    )
    if done.returncode:
        pytest.fail(f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}", pytrace=False)
    return done.stdout


def test_functions(tmp_path):
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short")
    run(["-m", "pytest", *options, HERE / "on_device.py"], tmp_path)


@pytest.mark.parametrize(
    "name", [py.relative_to(BOOK.source).as_posix() for py in BOOK.chapters()]
)
def test_notebook(name, tmp_path):
    said = run([HERE / "second.py", BOOK.source / name], tmp_path)
    made = re.search(r"tensors made on the second device: (\d+)\n$", said)
    assert (int(made[1]) > 1000) == (name not in ON_CPU)
    for record in map(claims.read_record, (tmp_path / "smoke").glob("ch*.json")):
        stated = claims.load(record.chapter).claims.values()
        measured = {c.id for c in stated if c.profile == "laptop"}
        assert measured <= record.measurements.keys()
