"""Chunks in processes are those of a loop, kept when done, and gone on with."""

import os
import random
import re
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import tiny_chunks
import torch
from threadpoolctl import threadpool_info
from torch import nn

from tailwise import profiles
from tailwise.ledger import provenance
from tailwise.ledger.provenance import Stopwatch
from tailwise.training import cache, processes, results
from tailwise.training.processes import in_processes
from tailwise.training.progress import Progress, duration

ARGUMENTS = [(3, 2.0), (5, 0.5), (1, 1.0)]


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TAILWISE_SCHEDULER", raising=False)
    return tmp_path / "cache" / "chunks"


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(processes, "cpu_count", lambda: 2)


def one_by_one(arguments):
    return [tiny_chunks.drawn(*each) for each in arguments]


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_are_those_of_a_loop_in_order(jobs, two_cores):
    found = in_processes(tiny_chunks.drawn, ARGUMENTS, jobs=jobs)
    again = in_processes(tiny_chunks.drawn, ARGUMENTS, jobs=jobs)
    assert len(found) == len(ARGUMENTS)
    for a, b, c in zip(found, again, one_by_one(ARGUMENTS)):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def threads() -> list[int]:
    """Of torch, of what multiplies for it, and of what multiplies for numpy."""
    told = re.findall(
        r"(?:at::|omp_|mkl_)get_(?:num|max)_threads\(\) : (\d+)",
        torch.__config__.parallel_info(),
    )
    return sorted({*map(int, told), *(x["num_threads"] for x in threadpool_info())})


def test_a_chunk_computes_on_one_thread_wherever_it_runs():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert in_processes(threads, [()], jobs=1) == [[1]]
        assert torch.get_num_threads() == 2
        assert 2 in in_processes(threads, [()], device="meta")[0]
    finally:
        torch.set_num_threads(before)


def test_another_device_stays_in_this_process():
    assert in_processes(os.getpid, [()] * 3, device="meta") == [os.getpid()] * 3


def nested(n: int) -> list[int]:
    return in_processes(os.getpid, [()] * n)


def test_chunks_inside_of_a_chunk_stay_in_its_process(two_cores):
    for pids in in_processes(nested, [(2,), (3,)]):
        assert len(set(pids)) == 1
        assert os.getpid() not in pids


def test_one_core_is_one_process(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert in_processes(os.getpid, [()] * 3) == [os.getpid()] * 3


def test_no_chunks_are_no_results():
    assert in_processes(tiny_chunks.drawn, []) == []


# What runs cost


def burn(seconds: float, size: int) -> float:
    start, held = time.process_time(), np.ones(size)
    while time.process_time() - start < seconds:
        pass
    return float(held[0])


def test_what_processes_cost_is_counted_then_and_when_it_is_kept(two_cores):
    chunks = [(0.4, 10), (0.41, 10**8)]
    stopwatch, start = Stopwatch(), time.process_time()
    in_processes(burn, chunks)
    first = stopwatch.read()
    assert first["cpu_s"] >= time.process_time() - start + 0.7
    assert first["kept_cpu_s"] == 0
    assert provenance.peak_memory_gb() >= 0.8
    stopwatch, start = Stopwatch(), time.process_time()
    in_processes(burn, chunks)
    again, here = stopwatch.read(), time.process_time() - start
    assert here < 0.4
    assert again["kept_cpu_s"] >= 0.75
    assert again["cpu_s"] >= again["kept_cpu_s"]
    assert again["wall_s"] >= again["kept_cpu_s"]


# Kept and gone on with


def runs(folder) -> dict[str, int]:
    """How often each chunk of `noted` was computed."""
    return {p.name: len(p.read_text()) for p in folder.iterdir() if p.name.isdigit()}


def noted(folder, n=4, **options):
    return in_processes(
        tiny_chunks.noted, [(i, folder) for i in range(n)], jobs=1, **options
    )


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def test_what_is_done_is_not_done_again(notes):
    first = noted(notes, 3)
    assert noted(notes, 4)[:3] == first
    assert runs(notes) == dict.fromkeys("0123", 1)


def test_a_chunk_that_fails_leaves_the_others(notes):
    chunks = [(i, notes) for i in range(4)]
    with pytest.raises(ValueError, match="seed is 2"):
        in_processes(tiny_chunks.failing, chunks, jobs=1)
    with pytest.raises(ValueError, match="seed is 2"):
        in_processes(tiny_chunks.failing, chunks, jobs=1)
    assert runs(notes) == {"0": 1, "1": 1}


def harmed(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_damaged_result_is_computed_again(notes, kept):
    first = noted(notes)
    harmed(sorted(kept.rglob("*.safetensors"))[1])
    assert noted(notes) == first
    assert sorted(runs(notes).values()) == [1, 1, 1, 2]


@pytest.mark.parametrize("change", ["code", "release", "reseeded", "device"])
def test_other_code_release_seeds_or_device_compute_again(
    notes, kept, change, monkeypatch
):
    noted(notes)
    before = {path.name for path in kept.rglob("*-*")}
    options = {}
    if change == "code":
        monkeypatch.setattr(processes, "code_hash", lambda path: "other")
    if change == "release":
        other = provenance.releases() | {"torch": "0.1"}
        monkeypatch.setattr(provenance, "releases", lambda: other)
    if change == "reseeded":
        monkeypatch.setenv("TAILWISE_RESEED", "1")
    if change == "device":
        options["device"] = "meta"
    noted(notes, **options)
    assert runs(notes) == dict.fromkeys("0123", 2)
    after = {path.name for path in kept.rglob("*-*")}
    # Results of older code are of no use; those of other seeds are.
    replaced = change in ("code", "release")
    assert len(after) == len(before) * (1 if replaced else 2)
    assert bool(after & before) is not replaced


def test_a_chunk_takes_its_seeds_along_to_a_worker_without_them(monkeypatch):
    monkeypatch.setenv("TAILWISE_RESEED", "3")
    chunk = processes._Chunk(0, profiles.reseeded, (5,), "cpu")
    monkeypatch.delenv("TAILWISE_RESEED")
    (found, _) = results.loads(chunk()[1])
    assert found == 5 + 3 * 10_000_019
    assert profiles.reseeded(5) == 5


def test_a_function_of_a_notebook_is_called_every_time(kept):
    calls = []
    for _ in range(2):
        in_processes(lambda i: calls.append(i), [(1,), (2,)], jobs=1)
    assert calls == [1, 2] * 2
    assert not list(kept.rglob("*-*"))


def test_a_full_disk_loses_no_result(notes, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache, "write_whole", full)
        with pytest.warns(UserWarning, match=r"noted is not kept.*No space left"):
            found = noted(notes, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert noted(notes, 2) == found


# Names


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())


def named(*arguments) -> str:
    return processes._digest(arguments)


def test_arguments_have_the_same_name_when_they_are_the_same():
    x = torch.arange(6.0).view(2, 3)
    net, twin = network(), network()
    for a, b in ((x, x.clone()), (net, twin), ({"a": 1, "b": x}, {"b": x, "a": 1})):
        assert named(a) == named(b)
    others = [x, x.double(), x.T, x.view(3, 2), x + 1e-7, x.numpy(), x > 2]
    others += [nn.Parameter(x), nn.Parameter(x, requires_grad=False).bfloat16()]
    others += [1, 1.0, "1", (1,), [1], None, {1: 2}, {2: 1}, net, network().double()]
    assert len({named(x) for x in others}) == len(others)


def test_a_name_is_the_same_in_every_process():
    code = (
        "import torch; from torch import nn; from tailwise.training import processes;"
        "torch.manual_seed(0); x = [nn.Linear(3, 2), {'a': torch.ones(2)}, {'b', 'c'}];"
        "print(processes._digest(x))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(found) == 1


def test_an_argument_without_a_name_is_refused():
    with pytest.raises(ValueError, match="cannot be named"):
        in_processes(tiny_chunks.drawn, [(lambda: 0, 1.0)], jobs=1)


# Deaths


def test_a_process_that_dies_is_said_and_loses_nothing(notes, two_cores):
    chunks = [(i, notes) for i in range(4)]
    with pytest.raises(RuntimeError, match="a process of tiny_chunks.deadly died"):
        in_processes(tiny_chunks.deadly, chunks)
    found = in_processes(tiny_chunks.deadly, chunks)
    expected = [float(tiny_chunks.drawn(i, 1.0).sum()) for i in range(4)]
    assert found == expected


SCRIPT = """
import sys
from pathlib import Path
import tiny_chunks
from tailwise.training.processes import in_processes
chunks = [(i, Path(sys.argv[1]), 0.15) for i in range(16)]
print(in_processes(tiny_chunks.noted, chunks, jobs=2))
"""


def test_three_kills_at_random_moments_change_nothing(notes, kept):
    command = [sys.executable, "-c", SCRIPT, str(notes)]
    path = os.pathsep.join(sys.path)
    env = os.environ | {"PYTHONPATH": path, "LOKY_MAX_CPU_COUNT": "2"}
    luck, moments = random.Random(), []
    for _ in range(3):
        run = subprocess.Popen(command, env=env, start_new_session=True)
        start, before = time.monotonic(), len(runs(notes))
        # From the first new chunk on, which comes after all imports.
        while len(runs(notes)) == before and time.monotonic() < start + 120:
            time.sleep(0.01)
        moments.append(luck.uniform(0, 0.4))
        time.sleep(moments[-1])
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    calm = [float(tiny_chunks.drawn(i, 1.0).sum()) for i in range(16)]
    assert done.stdout == f"{calm}\n", moments
    # At most the two that were being computed, and one being written, are lost a time.
    assert 16 <= sum(runs(notes).values()) <= 16 + 3 * 3, moments
    assert len(list(kept.rglob("*.safetensors"))) == 16


# Progress


def test_a_line_says_how_far_and_how_long(monkeypatch, tmp_path):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setenv("TAILWISE_PROGRESS", str(tmp_path / "line"))
    progress = Progress("train", 40, 10, 2)
    assert progress.line() == "train: 10 of 40 chunks (10 kept, 2 of other code)"
    for _ in range(5):
        now[0] += 60
        progress.step()
    assert (tmp_path / "line").read_text() == (
        "train: 15 of 40 chunks (10 kept, 2 of other code), about 25 min left"
    )
    assert [duration(s) for s in (8, 89, 91, 7000)] == ["8 s", "89 s", "2 min", "1.9 h"]


def test_a_notebook_holds_no_times(capsys):
    progress = Progress("train", 2, 0)
    progress.step()
    progress.end()
    assert capsys.readouterr() == ("", "")
