"""What chapter 4 chose: validation pictures of splits of the development letters.

No reported split has one of these letters, and no test picture is read here.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from tailwise.data.glyphs import Task
from tailwise.experts.contest import Bench, Terms
from tailwise.experts.expert import Expert, scores
from tailwise.experts.study import Pair, placed

RATES = {  # that were tried for each way of training
    "probe": (1e-3, 2e-3, 5e-3, 1e-2),
    "parts": (5e-3, 1e-2, 2e-2, 4e-2),
    "full": (1e-3, 2e-3, 4e-3, 8e-3),
    "second": (2e-3, 5e-3, 1e-2),
}


def accuracy_val(expert: Expert, task: Task) -> float:
    """Accuracy on validation pictures."""
    val = placed(task.val, expert.backbone.like)
    right = scores(expert, val.images).argmax(-1) == val.labels
    return right.double().mean().item()


def ways(bench: Bench) -> dict[str, Callable[[], Expert]]:
    """The ways of training that do not build on another."""
    return {"probe": bench.probe, "parts": bench.parts, "full": bench.full}


def tried(
    pair: Pair,
    kind: str,
    task: Task,
    seed: int,
    way: str,
    *,
    terms: Terms,
    rates: Sequence[float],
) -> list[dict]:
    """A row for each rate of a way of training: accuracy on validation pictures."""
    rows, first = [], None
    for rate in rates:
        own = replace(terms, rates=dict(terms.rates) | {way: rate})
        bench = Bench(pair, kind, task, seed, own)
        if way == "second":
            first = first or bench.parts()
            expert = bench.second(first)
        else:
            expert = ways(bench)[way]()
        found = accuracy_val(expert, task)
        rows.append(dict(way=way, kind=kind, split=seed, rate=rate, accuracy=found))
    return rows


def by_way(bench: Bench) -> list[dict]:
    """A row for each way of training at the terms of a bench."""
    known = dict(kind=bench.kind, steps=bench.terms.steps)
    return [
        known | dict(way=way, accuracy=accuracy_val(make(), bench.task))
        for way, make in ways(bench).items()
    ]


def chosen(rows: Sequence[dict]) -> dict[str, float]:
    """The best rate of each way: by mean accuracy over kinds and splits."""
    table = pd.DataFrame(rows).groupby(["way", "rate"])["accuracy"].mean()
    return {way: float(table[way].idxmax()) for way in table.index.unique("way")}
