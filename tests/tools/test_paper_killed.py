"""Runs at paper size that are killed: they go on to the record of one that was not."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import tiny_birds
import tiny_cifar
import tiny_kill
import tiny_longtails
import tiny_mnist
import tiny_paper

from tailwise.data import cifar
from tools.book.layout import ROOT
from tools.paper import __main__ as paper

SEEDS = ["--seeds", "0", "1"]
RESNET = ["--network", "resnet18", "--scratch", "--side", "32", "--epochs", "3"]
LENET = ["--n-train", "300", "--epochs", "3", "--methods", "ERM", "COCE"]
EXPERTS = ["--data", "places", "--parts", "experts", "controls", "--seeds", "0"]
MLP = ["--n-major", "24", "--epochs", "8", "--width", "16", "--depth", "2"]
MLP += ["--batch", "20", "--checks", "3", "--gammas", "0", "0.5", "--ratios", "2"]
CASES = {  # options, and the name of the record
    "1": ([*RESNET, *SEEDS, "--width", "8", "--held", "30"], "cifar10-deer-horse"),
    "2": ([*RESNET, *SEEDS, "--batch", "10"], "waterbirds"),
    "3": ([*LENET, *SEEDS], "cifar10-noise"),
    "4": (EXPERTS, "places"),
    "5": ([*MLP, *SEEDS], "mnist"),
}
MOMENTS = ["runs/*/state.json", "cache/chunks/*/*.sha256"]
OF_EXPERTS = ["*/phase 2/state.json", "*/full fine-tuning/state.json"]


@pytest.fixture
def data(apart, monkeypatch) -> Path:
    """What all chapters read."""
    folder = apart / "data"
    tiny_cifar.serve(monkeypatch, n_train=1000)
    cifar.prepare(folder, download=True, kind="cifar10")
    tiny_birds.write(folder)
    tiny_longtails.write("places", folder, monkeypatch)
    tiny_mnist.write(folder)
    return folder


def environ(folder: Path) -> dict[str, str]:
    """Of a run whose files all lie in a folder, but for data."""
    found = {f"TAILWISE_{n.upper()}": str(folder / n) for n in ("results", "cache")}
    found["STEPS"] = str(folder / "steps")
    return found | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}


def rows(folder: Path, name: str) -> list[dict]:
    record = folder / "results" / "paper" / f"{name}.json"
    return json.loads(record.read_text("utf-8"))["rows"]


def there(folder: Path, name: str) -> bool:
    """Whether any file is; folders may vanish meanwhile."""
    with suppress(FileNotFoundError):
        return any(folder.rglob(name))
    return False


def kill_and_go_on(command: list[str], folder: Path, moments: list[str]) -> None:
    """Kill a run once each of some files is there, then let it end."""
    for name in moments:
        tiny_kill.killed(command, partial(there, folder, name), **environ(folder))
        assert not (folder / "results").exists()
    chunks = folder / "cache" / "chunks" / "chapter.train"
    chunks.mkdir(parents=True, exist_ok=True)
    for left in (chunks, folder.parent / "data"):
        (left / ".abcdefgh.part").touch()
    for part in folder.parent.rglob(".*.part"):
        os.utime(part, (0, 0))
    subprocess.run(command, env=os.environ | environ(folder), check=True)
    assert not [*folder.parent.rglob(".*")]


@pytest.mark.parametrize("chapter", CASES)
def test_a_killed_run_gives_the_record_of_one_that_was_not(chapter, data, monkeypatch):
    (given, name), kept = CASES[chapter], chapter == "4"
    whole, killed = (data.parent / each for each in ("whole", "killed"))
    with monkeypatch.context() as here:
        for variable, value in environ(whole).items():
            here.setenv(variable, value)
        tiny_paper.use(here)
        tiny_paper.note_steps(whole / "steps", here)
        (whole / "runs").mkdir(parents=True)
        given = [chapter, *given, "--yes", "--folder"]
        assert paper.main([*given, str(whole / "runs")]) == 0
    command = [sys.executable, tiny_paper.__file__, *given, str(killed / "runs")]
    kill_and_go_on(command, killed, OF_EXPERTS if kept else MOMENTS)
    assert rows(killed, name) == rows(whole, name)
    # It went on: no step was kept twice.
    steps, all_steps = (
        (folder / "steps").read_text().replace(str(folder), "").splitlines()
        for folder in (killed, whole)
    )
    assert len(set(steps)) == len(steps) >= len(all_steps) - 2
    assert set(steps) <= set(all_steps)
    assert bool([*(killed / "runs").iterdir()]) == kept


def test_processes_end_with_a_run_that_is_killed(data, monkeypatch):
    whole, killed = (data.parent / each for each in ("whole", "killed"))
    given, name = CASES["5"]
    command = [sys.executable, "-m", "tools.paper", "5", *given, "--yes", "--folder"]
    subprocess.run(
        [*command, str(whole / "runs")], env=os.environ | environ(whole), check=True
    )
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    kill_and_go_on([*command, str(killed / "runs")], killed, MOMENTS)
    assert rows(killed, name) == rows(whole, name)


LATE = """
import os, time
from multiprocessing import get_context
from pathlib import Path
from tools.paper.harness import end_with_parent

def late(parent):
    Path("started").touch()
    while os.getppid() == parent:
        time.sleep(0.01)
    end_with_parent()
    time.sleep(1000)

if __name__ == "__main__":
    get_context("spawn").Process(target=late, args=(os.getpid(),)).start()
"""


def test_a_process_ends_whose_parent_was_killed_while_it_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("late.py").write_text(LATE, "utf-8")
    path = os.pathsep.join([str(ROOT), *sys.path])
    tiny_kill.killed(
        [sys.executable, "late.py"], Path("started").exists, PYTHONPATH=path
    )


def test_torchrun_that_is_killed_goes_on(data):
    whole, killed = (data.parent / each for each in ("whole", "killed"))
    given, name = CASES["5"]
    run = ["-m", "tools.paper", "5", *given, "--yes", "--folder"]
    subprocess.run(
        [sys.executable, *run, str(whole / "runs")],
        env=os.environ | environ(whole),
        check=True,
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node", "2"]
    kill_and_go_on([*torchrun, *run, str(killed / "runs")], killed, MOMENTS)
    for one, both in zip(rows(whole, name), rows(killed, name), strict=True):
        for part in ("W", "H", "tracked"):
            for key, value in one[part].items():
                assert both[part][key] == pytest.approx(value, rel=1e-3, abs=1e-4)
