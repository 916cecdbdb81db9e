"""Chapter 4 at paper size: a supervised and a CLIP ViT-B/16 on CIFAR-100-LT.

The phases are those of the chapter. Images stay at 32 pixels until a backbone resizes
them on its own device, so that a training set takes 0.25 GB at most and needs no
workers. Every phase keeps its run on disk and goes on from there. No step was chosen
on test images; rates and epochs are ours and were not tuned.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tailwise.data.cifar import N_MAX, LongTail
from tailwise.experts import accuracy, phases
from tailwise.experts.expert import Expert, add_groups, in_chunks, make_expert, scores
from tailwise.experts.large import Start
from tailwise.experts.scorer import (
    INPUTS,
    Scorer,
    fit_scorer,
    mean_logits,
    mean_probabilities,
    mix,
)
from tailwise.experts.training import Settings
from tailwise.training.batches import generator_for
from tailwise.training.checkpoint import Checkpoint

MIXTURE = "mean of logits"
STAGES = ("start", "phase 1", "phase 2")
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


def fresh(start: Start, task: LongTail, plan: Plan, g: torch.Generator) -> Expert:
    """An expert for phase 1, on the device of its backbone and of the task."""
    backbone = start.backbone
    sizes = dict(tokens=plan.tokens, adapter=plan.adapter)
    expert = make_expert(backbone, len(task.counts), generator=g, **sizes)
    if start.directions is not None:
        expert.head.init_text(start.directions)
    else:
        plain = Expert(backbone, expert.head)
        features = in_chunks(plain.features, task.images)
        expert.head.init_means(features, task.labels)
    return expert.to(backbone.like.device)


def train_expert(
    kind: str,
    start: Start,
    task: LongTail,
    seed: int,
    plan: Plan,
    folder: Path,
    tell: Tell | None = None,
) -> dict[str, Tensor]:
    """Phases 1 and 2 of one expert; logits on the CPU.

    Parameters
    ----------
    kind : str
        Names the expert's random numbers.
    start, task, seed, plan, tell
        As in `run`.
    folder : Path
        Of this expert alone.

    Returns
    -------
    dict of str to Tensor [n, k]
        By `STAGES` on the test images, and "train" after phase 2.
    """
    about = dict(kind=kind, seed=seed, weights=start.weights, n=len(task.labels))
    about |= (
        {"half": str(start.backbone.half)} | asdict(plan) | {"every": None}
    )  # how often does not change the outcome
    done = Checkpoint(folder / "logits", about=about)
    if kept := done.read():
        return kept[1]
    device = start.backbone.like.device
    images, labels = task.images.to(device), task.labels.to(device)
    test, settings, found = task.test_images.to(device), plan.settings(len(labels)), {}

    def options(phase: str) -> dict:
        return dict(
            generator=generator_for(seed, kind, phase),
            settings=settings,
            augment=crop_and_flip,
            progress=tell and (lambda step, loss: tell(f"{kind}, {phase}", step, loss)),
            checkpoint=Checkpoint(folder / phase, plan.every, about),
        )

    placed = LongTail(
        images=images,
        labels=labels,
        test_images=test,
        test_labels=task.test_labels,
        counts=task.counts,
        names=task.names,
    )
    expert = fresh(start, placed, plan, generator_for(seed, kind))
    found["start"] = scores(Expert(start.backbone, expert.head), test).cpu()
    phases.phase_one(expert, images, labels, **options("phase 1"))
    found["phase 1"] = scores(expert, test).cpu()
    sizes = dict(pool=plan.pool, tokens=plan.tokens, blocks=plan.blocks)
    add_groups(expert, images, generator=generator_for(seed, kind, "groups"), **sizes)
    expert.to(device)
    phases.phase_two(expert, images, labels, **options("phase 2"))
    found["phase 2"] = scores(expert, test).cpu()
    found["train"] = scores(expert, images).cpu()
    done.write(settings.steps, found)
    return found


def mixtures(logits: Sequence[dict[str, Tensor]], task: LongTail, seed: int) -> dict:
    """Test scores of both plain means and of the scorers; experts after phase 2."""
    test, train = (torch.stack([x[on] for x in logits]) for on in ("phase 2", "train"))
    found = {
        MIXTURE: mean_logits(test),
        "mean of probabilities": mean_probabilities(test),
    }
    for inputs in INPUTS:
        g = generator_for(seed, inputs)
        scorer = Scorer(len(logits), test.shape[-1], generator=g, inputs=inputs)
        fit_scorer(scorer, train, task.labels.cpu(), generator=g)
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
) -> list[dict]:
    """All phases of all experts on one split; one row a method.

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

    Returns
    -------
    list of dict
        seed, method, and accuracy in all, many, medium and few classes.
    """
    logits, found = {}, {}
    for kind, start in starts.items():
        place = folder / f"seed {seed}" / kind
        logits[kind] = train_expert(kind, start, task, seed, plan, place, tell)
        found |= {f"{kind}, {stage}": logits[kind][stage] for stage in STAGES}
    found |= mixtures(list(logits.values()), task, seed)
    labels = task.test_labels.cpu()
    return [
        {"seed": seed, "method": name} | accuracy.by_group(x, labels, task.groups)
        for name, x in found.items()
    ]


def mixture_gains(rows: Sequence[dict], kinds: Sequence[str]) -> np.ndarray:
    """Mean of logits less the better expert after phase 2, a value a seed."""
    by = {(row["seed"], row["method"]): row["all"] for row in rows}
    gains = [
        by[seed, MIXTURE] - max(by[seed, f"{kind}, phase 2"] for kind in kinds)
        for seed in sorted({seed for seed, _ in by})
    ]
    return np.array(gains)
