"""What chapter 4 chose on validation images, never on test images."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from tailwise.data.glyphs import Task
from tailwise.experts import phases
from tailwise.experts.expert import Expert, scores
from tailwise.experts.study import KINDS, SETTINGS, Pair, placed, tuned
from tailwise.experts.training import Settings
from tailwise.training.processes import in_processes
from tailwise.training.streams import generator_for

RATES = (5e-4, 1e-3, 2e-3)  # of full fine-tuning


def choose_rates(
    pair: Pair,
    task: Task,
    seed: int,
    *,
    settings: Settings = SETTINGS,
    rates: Sequence[float] = RATES,
    jobs: int = 1,
) -> dict[str, float]:
    """Rate of full fine-tuning with the best validation accuracy, for each expert.

    On the CPU `jobs` processes share the work; the result is the same.
    """
    runs = (
        (pair, kind, task, seed, replace(settings, lr=rate))
        for kind in KINDS
        for rate in rates
    )
    device = _weight(pair).device
    found = in_processes(tuned_accuracy, runs, jobs=jobs, device=device)
    table = torch.tensor(found).view(len(KINDS), len(rates))
    return {kind: rates[int(row.argmax())] for kind, row in zip(KINDS, table)}


def adapted_accuracy(
    pair: Pair,
    kind: str,
    task: Task,
    seed: int,
    width: int,
    *,
    settings: Settings = SETTINGS,
) -> float:
    """Validation accuracy after phase 1 with adapters of a width."""
    expert = pair.fresh(kind, task, seed, adapter=width)
    train, generator = (
        placed(task.train, _weight(pair)),
        generator_for(seed, kind, "phase 1"),
    )
    options = dict(generator=generator, settings=settings, cached=True)
    phases.phase_one(expert, train.images, train.labels, **options)
    return _accuracy(expert, task)


def named_accuracy(pair: Pair, task: Task) -> float:
    """Validation accuracy of the language expert from names alone."""
    return _accuracy(pair.fresh("language", task, 0, tokens=0, adapter=0), task)


def tuned_accuracy(
    pair: Pair, kind: str, task: Task, seed: int, settings: Settings
) -> float:
    """Validation accuracy after full fine-tuning."""
    return _accuracy(tuned(pair, kind, task, seed, settings), task)


def _accuracy(expert: Expert, task: Task) -> float:
    val = placed(task.val, expert.backbone.like)
    right = scores(expert, val.images).argmax(-1) == val.labels
    return right.double().mean().item()


def _weight(pair: Pair) -> torch.Tensor:
    return next(pair.visual.parameters())
