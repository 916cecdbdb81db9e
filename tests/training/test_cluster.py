"""Chunks on a Dask cluster: one scheduler and two workers, each a process."""

import os
import signal
import socket
import subprocess
import sys

import pytest
import tiny_chunks
import torch

from tailwise.ledger import provenance
from tailwise.training import processes
from tailwise.training.processes import in_processes

distributed = pytest.importorskip(
    "distributed", reason="needs Dask: pip install 'tailwise[cluster]'"
)
ARGUMENTS = [(seed, 2.0) for seed in range(6)]


class Cluster:
    """A scheduler and two workers with one thread each, whose nannies replace them."""

    def __init__(self, folder) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address, self.folder = f"tcp://127.0.0.1:{port}", folder
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", str(port)
        )
        self.workers = self._start(
            *("worker", self.address, "--nworkers", "2", "--nthreads", "1"),
            *("--local-directory", str(folder)),
        )

    def _start(self, what: str, *options: str) -> subprocess.Popen:
        module = f"distributed.cli.dask_{what}"
        path = os.pathsep.join(sys.path)
        return subprocess.Popen(
            [sys.executable, "-m", module, "--no-dashboard", *options],
            env=os.environ | {"PYTHONPATH": path},
            stderr=subprocess.DEVNULL,
        )

    def pids(self) -> list[int]:
        """Of the workers that compute."""
        with distributed.Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            return list(client.run(os.getpid).values())

    def stop(self) -> None:
        for process in (self.workers, self.scheduler):
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    found = Cluster(tmp_path_factory.mktemp("workers"))
    found.pids()
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "cpu_count", lambda: 2)
    monkeypatch.setenv("TAILWISE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


def use(cluster, monkeypatch) -> None:
    monkeypatch.setenv("TAILWISE_SCHEDULER", cluster.address)


def test_the_same_bits_in_one_process_in_two_and_on_a_cluster(
    cluster, monkeypatch, tmp_path
):
    found = []
    for jobs in (1, 2, None):
        monkeypatch.setenv("TAILWISE_CACHE", str(tmp_path / f"{jobs}"))
        if jobs is None:
            use(cluster, monkeypatch)
        found.append(in_processes(tiny_chunks.drawn, ARGUMENTS, jobs=jobs))
    for alone, in_two, on_cluster in zip(*found):
        assert torch.equal(alone, in_two)
        assert torch.equal(alone, on_cluster)
    # Wherever they were computed, they are kept under the same names.
    kept = [
        sorted(p.name for p in (tmp_path / f"{jobs}").rglob("*-*"))
        for jobs in (1, 2, None)
    ]
    assert kept[0] == kept[1] == kept[2]
    assert len(kept[0]) == 2 * len(ARGUMENTS)


def test_both_workers_compute_and_this_process_does_not(cluster, monkeypatch):
    use(cluster, monkeypatch)
    found = in_processes(tiny_chunks.where, [(i, 0.3) for i in range(6)])
    assert set(found) == set(cluster.pids())


def test_what_workers_cost_is_counted_and_kept(cluster, monkeypatch):
    use(cluster, monkeypatch)
    stopwatch = provenance.Stopwatch()
    in_processes(tiny_chunks.burnt, [(0.5,), (0.51,)])
    first = stopwatch.read()
    assert first["cpu_s"] >= first["cluster_cpu_s"] >= 1
    assert first["kept_cpu_s"] == 0
    monkeypatch.delenv("TAILWISE_SCHEDULER")
    in_processes(tiny_chunks.burnt, [(0.5,), (0.51,)])
    assert stopwatch.read()["kept_cpu_s"] >= 1


def test_a_worker_killed_half_way_changes_nothing_but_the_time(
    cluster, monkeypatch, fresh
):
    use(cluster, monkeypatch)
    chunks = [(i, fresh) for i in range(6)]
    found = in_processes(tiny_chunks.deadly, chunks)
    assert found == [float(tiny_chunks.drawn(i, 1.0).sum()) for i in range(6)]
    notes = {p.name: p.read_text() for p in fresh.iterdir() if p.name.isdigit()}
    assert notes == dict.fromkeys("012345", "x")


def test_a_worker_killed_from_outside_changes_nothing_either(
    cluster, monkeypatch, fresh
):
    use(cluster, monkeypatch)
    pids, killed = cluster.pids(), []
    count = provenance.count

    def kill_once(cost, **options):
        if not killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)
        count(cost, **options)

    monkeypatch.setattr(provenance, "count", kill_once)
    found = in_processes(tiny_chunks.noted, [(i, fresh, 0.2) for i in range(8)])
    assert killed
    assert found == [float(tiny_chunks.drawn(i, 1.0).sum()) for i in range(8)]


def test_a_worker_with_other_code_is_refused(cluster, monkeypatch):
    use(cluster, monkeypatch)
    monkeypatch.setattr(processes, "code_hash", lambda path: "other")
    with pytest.raises(ValueError, match="is other code here than"):
        in_processes(tiny_chunks.drawn, ARGUMENTS)


def test_a_fault_in_a_chunk_is_that_of_a_loop(cluster, monkeypatch, fresh):
    use(cluster, monkeypatch)
    with pytest.raises(ValueError, match="seed is 2"):
        in_processes(tiny_chunks.failing, [(i, fresh) for i in range(4)])


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(processes, "ANSWER", 1)
    monkeypatch.setenv("TAILWISE_SCHEDULER", "tcp://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"'tcp://127\.0\.0\.1:9': no Dask scheduler"):
        in_processes(tiny_chunks.drawn, ARGUMENTS)


def test_without_chunks_to_do_no_scheduler_is_asked(monkeypatch):
    first = in_processes(tiny_chunks.drawn, ARGUMENTS, jobs=1)
    monkeypatch.setenv("TAILWISE_SCHEDULER", "tcp://127.0.0.1:9")
    for a, b in zip(in_processes(tiny_chunks.drawn, ARGUMENTS), first):
        assert torch.equal(a, b)


def test_a_scheduler_that_goes_away_is_said_and_loses_nothing(
    tmp_path, monkeypatch, fresh
):
    own = Cluster(tmp_path / "own")
    own.pids()
    use(own, monkeypatch)
    count, arrived = provenance.count, []

    def leave(cost, **options):
        arrived.append(cost)
        if len(arrived) == 2:
            own.stop()
        count(cost, **options)

    monkeypatch.setattr(provenance, "count", leave)
    chunks = [(i, fresh, 0.2) for i in range(8)]
    with pytest.raises(RuntimeError, match="went away during tiny_chunks.noted"):
        in_processes(tiny_chunks.noted, chunks)
    monkeypatch.setattr(provenance, "count", count)
    monkeypatch.delenv("TAILWISE_SCHEDULER")
    before = computed(fresh)
    in_processes(tiny_chunks.noted, chunks, jobs=1)
    # How many workers computed meanwhile is theirs; what arrived is not done again.
    assert len(arrived) >= 2
    assert computed(fresh) - before == len(chunks) - len(arrived)


def computed(folder) -> int:
    """How often a chunk was computed, by the notes in the folder."""
    return sum(len(path.read_text()) for path in folder.iterdir())
