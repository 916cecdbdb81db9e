"""Computations in processes are those of a loop."""

import os
import time

import pytest
import torch

from tailwise.ledger.provenance import Stopwatch
from tailwise.training import processes
from tailwise.training.processes import in_processes

ARGUMENTS = [(3, 2.0), (5, 0.5), (1, 1.0)]


def drawn(seed: int, scale: float) -> torch.Tensor:
    return scale * torch.randn(4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_are_those_of_a_loop_in_order(jobs, two_cores):
    for found, given in zip(
        in_processes(drawn, ARGUMENTS, jobs=jobs), ARGUMENTS, strict=True
    ):
        assert torch.equal(found, drawn(*given))


def test_another_device_stays_in_this_process():
    assert in_processes(os.getpid, [()] * 3, device="meta") == [os.getpid()] * 3


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(processes, "cpu_count", lambda: 2)


def test_a_core_is_given_to_each_process(two_cores):
    assert os.getpid() not in in_processes(os.getpid, [()] * 3)


def test_one_core_is_one_process(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert in_processes(os.getpid, [()] * 3) == [os.getpid()] * 3


def burn(seconds: float) -> None:
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass


def test_seconds_of_the_processes_are_counted(two_cores):
    stopwatch, start = Stopwatch(), time.process_time()
    in_processes(burn, [(0.4,), (0.4,)])
    assert stopwatch.read()["cpu_s"] >= time.process_time() - start + 0.7
