"""Chapter 4's contest and its mechanisms, each by itself: rows of accuracy.

A repetition has its own split of the letters and its own pair of pretrained experts.
Its parts are independent of each other, so that a record can grow a part at a time.
"""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product

import torch
from torch import Tensor

from tailwise.data import glyphs
from tailwise.data.glyph_corruption import jitter
from tailwise.data.glyphs import Task
from tailwise.data.label_noise import mislabelled
from tailwise.experts import many_medium_few, phases
from tailwise.experts.contest import Bench, Terms
from tailwise.experts.expert import Expert, add_groups, scores
from tailwise.experts.scorer import Scorer, mix
from tailwise.experts.study import KINDS, Pair, placed
from tailwise.training.batches import generator_for

CONVERGED = 2000  # steps of a probe
SHOTS = (1, 2, 5)
NOISE = 0.1
SECOND = {  # phase 2 from the same phase 1, with what differs from that of LPT
    "phase 2": {},
    "phase 2, head alone": dict(pool=0),
    "phase 2, pool of 1": dict(pool=1),
    "phase 2, random keys": dict(keys="random"),
    "phase 2, LA": dict(loss="adjusted"),
    "phase 2, LA, head alone": dict(loss="adjusted", pool=0),
    "phase 2, LA, one sampler": dict(loss="adjusted", dual=False),
    "phase 2, LA, one sampler, head alone": dict(loss="adjusted", dual=False, pool=0),
    "phase 2, one sampler, head alone": dict(dual=False, pool=0),
}
CONTEST = {
    "start": Bench.start,
    "probe": Bench.probe,
    "phase 1": Bench.parts,
    "full": Bench.full,
}


@dataclass
class Repetition:
    """A split with its pair; a second pair is for controls.

    Attributes
    ----------
    number : int
        Of the split, and the seed of all training on it.
    pairs : tuple of int
        Pretraining seeds of the pair and of the other one.
    load : callable
        Gives the pair of a pretraining seed.
    terms : Terms
    n_test : int
        Test pictures of each class.
    """

    number: int
    pairs: tuple[int, ...]
    load: Callable[[int], Pair]
    terms: Terms
    n_test: int = 20
    _kept: dict = field(default_factory=dict)

    def once(self, key: tuple, make: Callable):
        """What was made before under this key, or a new one."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def task(self, **settings) -> Task:
        """The crowded split, unless settings of `glyphs.draw` say otherwise."""
        settings = dict(crowd=True, n_test=self.n_test) | settings
        key = ("task", *sorted(settings.items()))
        return self.once(key, lambda: glyphs.draw(self.number, **settings))

    def bench(
        self, kind: str, task: Task | None = None, *, which: int = 0, again: int = 0
    ) -> Bench:
        """An expert of the first or second pair; `again` trains with other numbers."""
        pair = self.once(("pair", which), lambda: self.load(self.pairs[which]))
        seed = self.number + 1000 * again

        def make() -> Bench:
            return Bench(pair, kind, task or self.task(), seed, self.terms)

        return make() if task else self.once(("bench", kind, which, again), make)

    def trained(self, way: str, kind: str, **which) -> Expert:
        """An expert after one of the ways of `CONTEST`, trained once."""
        key = (way, kind, *sorted(which.items()))
        return self.once(key, lambda: CONTEST[way](self.bench(kind, **which)))

    def row(self, kind: str, method: str, logits: Tensor, task: Task, **more) -> dict:
        """Accuracy on the test pictures of a task, see `many_medium_few.on_task`."""
        known = dict(split=self.number, pair=self.pairs[0], kind=kind, method=method)
        return known | many_medium_few.on_task(task, logits) | more


def of_tests(expert: Expert, task: Task) -> Tensor:
    """Logits on test pictures, then on those of the unseen face; on the CPU."""
    like = expert.backbone.like
    parts = [placed(part, like) for part in (task.test, task.test_unseen)]
    return torch.cat([scores(expert, part.images).cpu() for part in parts])


def trained_size(expert: Expert) -> int:
    """Parameters beside the backbone and the head."""
    return sum(p.numel() for part in expert.beside for p in part.parameters())


def contest(rep: Repetition) -> list[dict]:
    """Start, probe, phase 1 and full fine-tuning, and means of both experts."""
    rows, task, logits = [], rep.task(), {}
    for kind, way in product(KINDS, CONTEST):
        began = time.process_time()
        expert = rep.trained(way, kind)
        seconds = round(time.process_time() - began, 2)
        logits[kind, way] = of_tests(expert, task)
        module = getattr(rep.bench(kind).pair, kind)
        size = sum(p.numel() for p in module.parameters()) if way == "full" else 0
        cost = dict(seconds=seconds, trained=size or trained_size(expert))
        rows.append(rep.row(kind, way, logits[kind, way], task, **cost))
    for kind in KINDS:
        found = of_tests(rep.bench(kind).probe(tau=0.0), task)
        rows.append(rep.row(kind, "probe with CE", found, task))
    for one, other in product(CONTEST, CONTEST):
        both = torch.stack([logits[KINDS[0], one], logits[KINDS[1], other]])
        method = f"mean, {one}" if one == other else f"mean, {one} and {other}"
        rows.append(rep.row("mixture", method, both.mean(0), task))
    return rows


def mechanisms(rep: Repetition) -> list[dict]:
    """Modules, starts of the head, and phase 2 with one factor changed at a time."""
    return [row for kind in KINDS for row in _mechanisms(rep, kind)]


def _mechanisms(rep: Repetition, kind: str) -> Iterator[dict]:
    bench, task = rep.bench(kind), rep.task()

    def row(method: str, make: Callable[..., Expert], *given, **changed) -> dict:
        began = time.process_time()
        expert = make(*given, **changed)
        cost = dict(seconds=round(time.process_time() - began, 2))
        cost["trained"] = trained_size(expert)
        if method == "full, blocks only":
            parts = [p for b in expert.backbone.blocks for p in b.parameters()]
            cost["trained"] = sum(p.numel() for p in parts)
        return rep.row(kind, method, of_tests(expert, task), task, **cost)

    bench.views()
    yield row("probe, random head", bench.probe, head="random")
    for head in ("means", "random") + ("text",) * (kind == "language"):
        options = dict(head=head, steps=CONVERGED)
        yield row(f"probe, {head}, converged", bench.probe, **options)
    yield row("full, blocks only", bench.full, blocks_only=True)
    yield row("prompts only", bench.parts, adapter=0)
    yield row("adapters only", bench.parts, tokens=0)
    yield row("one per cent", bench.parts, tokens=1, adapter=2)
    first = rep.trained("phase 1", kind)
    for name, changed in SECOND.items():
        yield row(name, bench.second, first, **changed)
    plain = bench.parts(tau=0.0)
    yield rep.row(kind, "phase 1 with CE", of_tests(plain, task), task)
    for name in ("phase 2", "phase 2, head alone"):
        yield row(f"{name}, after CE", bench.second, plain, **SECOND[name])


def no_gap(rep: Repetition) -> list[dict]:
    """The same experts on letters that stand alone, as in pretraining."""
    return _contest_on(rep, rep.task(crowd=False), "no gap")


def few_labels(rep: Repetition) -> list[dict]:
    """One, two or five pictures of each class."""
    rows = []
    for shots in SHOTS:
        task = rep.task(n_max=shots, imbalance_ratio=1)
        rows += _contest_on(rep, task, f"{shots} a class")
    return rows


def noisy_tail(rep: Repetition) -> list[dict]:
    """One picture in ten of the rare classes has a wrong label."""
    g = generator_for(rep.number, "noise")
    return _contest_on(rep, mislabelled(rep.task(), NOISE, g), "mislabelled")


def _contest_on(rep: Repetition, task: Task, what: str) -> list[dict]:
    rows = []
    for kind in KINDS:
        bench = rep.bench(kind, task)
        for name, make in CONTEST.items():
            logits = of_tests(make(bench), task)
            rows.append(rep.row(kind, f"{name}, {what}", logits, task))
    return rows


def joint(rep: Repetition) -> list[dict]:
    """All modules of both experts and the scorer at once, in steps of two phases."""
    task, experts = rep.task(), []
    benches = [rep.bench(kind) for kind in KINDS]
    train = benches[0].train
    for bench in benches:
        expert = bench.start(tokens=4, adapter=8)
        add_groups(expert, train.images, generator=bench.generator("groups"))
        experts.append(expert)
    g = generator_for(rep.number, "joint")
    scorer = Scorer(2, len(task.counts), generator=g).to(train.images)
    settings = rep.terms.settings("second")
    phases.train_jointly(
        experts,
        scorer,
        train.images,
        train.labels,
        generator=g,
        settings=replace(settings, steps=2 * settings.steps),
        augment=jitter,
    )
    logits = torch.stack([of_tests(expert, task) for expert in experts])
    with torch.no_grad():
        mixed = mix(logits, copy.deepcopy(scorer).cpu()(logits))
    rows = [rep.row(kind, "joint", x, task) for kind, x in zip(KINDS, logits)]
    return [*rows, rep.row("mixture", "scorer, joint", mixed, task)]
