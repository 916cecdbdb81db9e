"""Chapter 4 at paper size: a supervised and a CLIP ViT-B/16 on long-tailed images.

The phases are those of the chapter. Images keep their size until a backbone resizes
them on its own device: those of CIFAR-100 take 0.25 GB at most, photographs are read
when asked for. Every way of training keeps its run on disk and goes on from there. No
step was chosen on test images; rates and epochs are ours and were not tuned.

What the experts are compared with has their loss of phase 1, their epochs and batches:
a probe and full fine-tuning of each backbone, and a second visual expert, whose mean
with the first tells what two of a kind are worth. `ABLATIONS` leave one part out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tailwise.data.cifar import N_MAX, LongTail
from tailwise.experts import many_medium_few, phases
from tailwise.experts.backbones import Backbone
from tailwise.experts.expert import (
    CHUNK,
    Expert,
    add_groups,
    in_chunks,
    make_expert,
    scores,
)
from tailwise.experts.large import Start
from tailwise.experts.modules import seeded
from tailwise.experts.scorer import (
    INPUTS,
    Scorer,
    fit_scorer,
    mean_logits,
    mean_probabilities,
    mix,
)
from tailwise.experts.training import Settings, fit
from tailwise.training.batches import generator_for, instance_balanced
from tailwise.training.checkpoint import Checkpoint

MIXTURE = "mean of logits"
TWIN, TWINS = "visual, twin", "mean of two visual experts"
STAGES = ("start", "phase 1", "phase 2")
PROBE, TUNED = "probe", "full fine-tuning"
# Of phase 1, sizes of a plan; of phase 2, settings.
ABLATIONS = {
    "phase 1 without prompts": {"tokens": 0},
    "phase 1 without adapters": {"adapter": 0},
    "phase 2 without dual sampling": {"dual": False},
    "phase 2 with the loss of phase 1": {"loss": "adjusted"},
}
PARTS = ("experts", "controls", "ablations")
SCORED = 20_000  # training images that a scorer learns from, at most
Tell = Callable[[str, int, float], None]  # what, steps done, loss


@dataclass(frozen=True)
class Plan:
    """Of a whole run. Prompt lengths, pool and blocks are those of LPT's released code.

    Attributes
    ----------
    ratio, n_max
        Of the long tail, as in `tailwise.data.cifar.draw`.
    epochs, batch, lr
        Of each phase; with dual sampling, half of a batch from each sampler.
    tuned_lr
        Of full fine-tuning.
    tokens, adapter, pool, blocks
        As in `make_expert` and `add_groups`.
    every : int
        Steps between two checkpoints.
    """

    ratio: float = 100
    n_max: int = N_MAX
    epochs: int = 10
    batch: int = 128
    lr: float = 1e-3
    tuned_lr: float = 3e-5
    tokens: int = 10
    adapter: int = 8
    pool: int = 20
    blocks: int = 6
    every: int = 100

    def settings(self, n: int) -> Settings:
        """Of a phase over n training images."""
        steps = math.ceil(self.epochs * n / self.batch)
        return Settings(steps=steps, batch=self.batch, lr=self.lr)


def crop_and_flip(images: Tensor, generator: torch.Generator, pad: int = 4) -> Tensor:
    """Images ``[n, c, h, w]`` moved by up to `pad` pixels, half of them mirrored."""
    n, c, h, w = images.shape
    shift = torch.randint(2 * pad + 1, (n, 2, 1), generator=generator)
    mirror = torch.rand(n, 1, generator=generator) < 0.5
    rows, columns = shift[:, 0] + torch.arange(h), shift[:, 1] + torch.arange(w)
    columns = torch.where(mirror, columns.flip(1), columns)
    padded = F.pad(images, (pad,) * 4, mode="reflect")
    return padded[
        torch.arange(n).view(n, 1, 1, 1),
        torch.arange(c).view(1, c, 1, 1),
        rows.view(n, 1, h, 1),
        columns.view(n, 1, 1, w),
    ]


def fresh(
    start: Start,
    task: LongTail,
    plan: Plan,
    g: torch.Generator,
    features: Tensor | None = None,
) -> Expert:
    """An expert for phase 1, on the device of its backbone and of the task.

    Its head starts at the names of the classes, or at the means of `features`.
    """
    backbone = start.backbone
    sizes = dict(tokens=plan.tokens, adapter=plan.adapter)
    expert = make_expert(backbone, len(task.counts), generator=g, **sizes)
    if start.directions is not None:
        expert.head.init_text(start.directions)
    else:
        expert.head.init_means(features, task.labels)
    return expert.to(backbone.like.device)


def plain(backbone: Backbone, images: Tensor) -> Tensor:
    """Embeddings of a backbone with nothing beside it."""
    x = backbone.tokens(images)
    for index in range(len(backbone.blocks)):
        x = backbone.run(index, x)
    return backbone.embed(x)


@dataclass(frozen=True)
class Work:
    """One backbone on one split, and where its runs are kept.

    Attributes
    ----------
    kind : str
        Names the expert's random numbers.
    start : Start
    task : LongTail
        On the device of the backbone.
    seed, plan, tell
        As in `run`.
    folder : Path
        Of this expert alone.
    """

    kind: str
    start: Start
    task: LongTail
    seed: int
    plan: Plan
    folder: Path
    tell: Tell | None = None

    @property
    def about(self) -> dict:
        """What decides the outcome; how often a run is kept does not."""
        known = dict(kind=self.kind, seed=self.seed, weights=self.start.weights)
        known |= {"n": len(self.task.labels), "half": str(self.start.backbone.half)}
        return known | asdict(self.plan) | {"every": None}

    def kept(self, name: str, train: Callable[[], dict[str, Tensor]]) -> dict:
        """Logits on the CPU: those on disk, or else what `train` returns."""
        done = Checkpoint(self.folder / name, about=self.about)
        if found := done.read():
            return found[1]
        found = {key: x.cpu() for key, x in train().items()}
        done.write(1, found)
        return found

    def options(self, phase: str, **changed) -> dict:
        """What every way of training is given."""
        images, plan = self.task.images, self.plan
        side = getattr(images, "side", None) or images.shape[-1]
        settings = replace(plan.settings(len(self.task.labels)), **changed)
        return dict(
            generator=generator_for(self.seed, self.kind, phase),
            settings=settings,
            augment=partial(crop_and_flip, pad=side // 8),
            progress=self.tell
            and (lambda step, loss: self.tell(f"{self.kind}, {phase}", step, loss)),
            checkpoint=Checkpoint(self.folder / phase, plan.every, self.about),
        )

    def fresh(self, **sizes) -> Expert:
        """An expert before phase 1, always the same."""
        g, plan = generator_for(self.seed, self.kind), replace(self.plan, **sizes)
        return fresh(self.start, self.task, plan, g, self.features)

    @cached_property
    def features(self) -> Tensor | None:
        """Of the training images, where no names of classes say how a head starts."""
        if self.start.directions is not None:
            return None
        backbone = self.start.backbone
        return in_chunks(lambda x: plain(backbone, x), self.task.images)

    def test(self, expert: Expert) -> Tensor:
        """Logits of the test images."""
        return scores(expert, self.task.test_images)

    def phase_one(self, name: str = "phase 1", **sizes) -> Expert:
        """An expert after phase 1."""
        expert, task = self.fresh(**sizes), self.task
        phases.phase_one(expert, task.images, task.labels, **self.options(name))
        return expert

    def phase_two(self, name: str = "phase 2", **changed) -> Expert:
        """An expert after both phases."""
        expert, task, plan = self.phase_one(), self.task, self.plan
        g = generator_for(self.seed, self.kind, "groups")
        sizes = dict(pool=plan.pool, tokens=plan.tokens, blocks=plan.blocks)
        add_groups(expert, task.images, generator=g, **sizes)
        expert.to(self.start.backbone.like.device)
        options = self.options(name, **changed)
        phases.phase_two(expert, task.images, task.labels, **options)
        return expert

    def stages(self) -> dict[str, Tensor]:
        """Logits by `STAGES`, and "train" after phase 2 of the rows `scored`."""
        head = Expert(self.start.backbone, self.fresh().head)
        found = {"start": self.test(head), "phase 1": self.test(self.phase_one())}
        expert = self.phase_two()
        rows = scored(self.task, self.seed)
        seen = [scores(expert, self.task.images[some]) for some in rows.split(CHUNK)]
        return found | {"phase 2": self.test(expert), "train": torch.cat(seen)}

    def probe(self) -> dict[str, Tensor]:
        """Logits of a head alone, trained as in phase 1."""
        expert, task = Expert(self.start.backbone, self.fresh().head), self.task
        phases.linear_probe(expert, task.images, task.labels, **self.options(PROBE))
        return {PROBE: self.test(expert)}

    def tuned(self) -> dict[str, Tensor]:
        """Logits after a copy of the backbone was trained whole, as in phase 1."""
        backbone, task = self.start.backbone.thawed_copy(), self.task
        expert = Expert(backbone, self.fresh().head)
        given = self.options(TUNED, lr=self.plan.tuned_lr, head_lr=self.plan.lr)
        g, augment, settings = (
            given.pop(key) for key in ("generator", "augment", "settings")
        )
        rows = instance_balanced(task.labels, settings.batch, generator=g)
        loss = phases._adjusted(task.counts, settings.tau)

        def batch_loss(step: int) -> Tensor:
            chosen = next(rows)
            return loss(expert(augment(task.images[chosen], g)), task.labels[chosen])

        moving = {"generator": g, "rows": rows}
        with seeded(g):
            fit(
                [backbone.module],
                batch_loss,
                settings,
                head=expert.head,
                moving=moving,
                **given,
            )
        backbone.freeze()
        return {TUNED: self.test(expert)}

    def ablated(self, name: str) -> dict[str, Tensor]:
        """Logits of one of `ABLATIONS`."""
        phase = self.phase_one if name.startswith("phase 1") else self.phase_two
        return {name: self.test(phase(name, **ABLATIONS[name]))}


def scored(task: LongTail, seed: int) -> Tensor:
    """Training images that the scorers see: all, or `SCORED` of them."""
    n = len(task.labels)
    g = generator_for(seed, "scored")
    return torch.arange(n) if n <= SCORED else torch.randperm(n, generator=g)[:SCORED]


def mixtures(logits: Sequence[dict[str, Tensor]], task: LongTail, seed: int) -> dict:
    """Test scores of both plain means and of the scorers; experts after phase 2."""
    test, train = (torch.stack([x[on] for x in logits]) for on in ("phase 2", "train"))
    labels = task.labels.cpu()[scored(task, seed)]
    found = {
        MIXTURE: mean_logits(test),
        "mean of probabilities": mean_probabilities(test),
    }
    for inputs in INPUTS:
        g = generator_for(seed, inputs)
        scorer = Scorer(len(logits), test.shape[-1], generator=g, inputs=inputs)
        fit_scorer(scorer, train, labels, generator=g)
        with torch.no_grad():
            found[f"scorer, {inputs}"] = mix(test, scorer(test))
    return found


def run(
    starts: dict[str, Start],
    task: LongTail,
    seed: int,
    *,
    plan: Plan,
    folder: Path,
    tell: Tell | None = None,
    parts: Sequence[str] = PARTS[:1],
) -> list[dict]:
    """All phases of all experts on one split, and `parts`; one row a method.

    Parameters
    ----------
    starts : dict of str to Start
        The experts, by name.
    task : LongTail
    seed : int
        Of prompts, heads and batches.
    plan : Plan
    folder : Path
        Where phases are kept, below a folder for the seed. A run that was stopped goes
        on; one of another plan is refused with a ValueError.
    tell : callable, optional
        ``tell(what, steps_done, loss)``, called after each step.
    parts : sequence of str
        Of `PARTS`.

    Returns
    -------
    list of dict
        seed, method, and accuracy in all, many, medium and few classes.
    """
    device = next(iter(starts.values())).backbone.like.device
    placed = replace(
        task,
        images=task.images.to(device),
        labels=task.labels.to(device),
        test_images=task.test_images.to(device),
    )
    here = folder / f"seed {seed}"
    works = {
        kind: Work(kind, start, placed, seed, plan, here / kind, tell)
        for kind, start in starts.items()
    }
    logits = {kind: work.kept("logits", work.stages) for kind, work in works.items()}
    found = {
        f"{kind}, {stage}": logits[kind][stage] for kind in works for stage in STAGES
    }
    found |= mixtures(list(logits.values()), task, seed)
    if "controls" in parts:
        for name, method in ((PROBE, Work.probe), (TUNED, Work.tuned)):
            each = {
                kind: work.kept(f"{name}, logits", partial(method, work))[name]
                for kind, work in works.items()
            }
            found |= {f"{kind}, {name}": x for kind, x in each.items()}
            if name == PROBE:
                found["mean of two probes"] = mean_logits(torch.stack([*each.values()]))
        visual = next(iter(works.values()))
        twin = replace(visual, kind=TWIN, folder=here / "twin")
        second = twin.kept("logits", twin.stages)["phase 2"]
        pair = torch.stack([logits[visual.kind]["phase 2"], second])
        found |= {f"{TWIN}, phase 2": second, TWINS: mean_logits(pair)}
    if "ablations" in parts:
        for kind, work in works.items():
            for name in ABLATIONS:
                kept = work.kept(f"{name}, logits", partial(work.ablated, name))
                found[f"{kind}, {name}"] = kept[name]
    labels = task.test_labels.cpu()
    return [
        {"seed": seed, "method": name}
        | many_medium_few.by_group(x, labels, task.groups)
        for name, x in found.items()
    ]


def mixture_gains(rows: Sequence[dict], rivals: Sequence[str]) -> np.ndarray:
    """Mean of logits less the best of `rivals`, methods of rows; a value a seed."""
    by = {(row["seed"], row["method"]): row["all"] for row in rows}
    gains = [
        by[seed, MIXTURE] - max(by[seed, name] for name in rivals)
        for seed in sorted({seed for seed, _ in by})
    ]
    return np.array(gains)
