"""Chapter 4's mixture, trained with cached frozen prefixes against the ordinary loop.

One run is phases 1 and 2 of both shipped experts on one split of GlyphNames, then the
scorer with a third of the chapter's steps for it. The package computes what comes
before anything trained once for all images, queries too, and fits the scorer on kept
scores. That is valid because images are not augmented. The loop is ordinary PyTorch,
as in the released code of LPT: each step starts at the images, with one pass for the
query and another with the prompts; a step of the scorer runs both experts. Both take
the same batches and random numbers, in this process, on one thread or on the GPU, in
turns. Times are those of the processor (of the wall with a GPU).

python benchmarks/experts.py
"""

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailwise import profiles
from tailwise.data import glyphs
from tailwise.experts import phases, study
from tailwise.experts.expert import Expert, add_groups, scores
from tailwise.experts.scorer import SCORER_SETTINGS, Scorer, fit_scorer, mix
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tailwise.training.batches import class_balanced, generator_for, instance_balanced

RESULT = Path(__file__).parents[1] / "_build" / "benchmarks" / "experts.json"
STEPS, EXACT_STEPS = study.SETTINGS.steps, 20  # of a phase
PARTS = ("phase 1", "phase 2", "scorer")
REPEATS = 3


class Clock:
    """Seconds of each part of a run."""

    def __init__(self, device: str) -> None:
        self.cuda, self.seconds = device != "cpu", dict.fromkeys(PARTS, 0.0)

    def _now(self) -> float:
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter() if self.cuda else time.process_time()

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        start = self._now()
        yield
        self.seconds[part] += self._now() - start


def optimise(modules: list[nn.Module], settings, batch_loss) -> None:
    """An ordinary loop: AdamW with one cycle."""
    own = [p.requires_grad_() for module in modules for p in module.parameters()]
    lr, decay, steps = settings.lr, settings.weight_decay, settings.steps
    optimizer = torch.optim.AdamW(own, lr, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps)
    for step in range(steps):
        optimizer.zero_grad()
        batch_loss(step).backward()
        optimizer.step()
        schedule.step()


def prompted(expert: Expert, images: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings and cosines with keys; one pass for the query, one with prompts."""
    query = expert.query(expert.backbone.tokens(images), 0)
    match, chosen = expert.groups.match(query)
    x, group = expert.backbone.tokens(images), expert.groups.prompts(chosen)
    return expert.backbone.embed(expert.run(x, 0, expert.depth, group)), match


class Way:
    """How the phases are run."""

    def __init__(self, steps: int) -> None:
        self.settings = replace(study.SETTINGS, steps=steps)
        self.of_scorer = replace(SCORER_SETTINGS, steps=steps)


class Loop(Way):
    """The phases as an ordinary script has them."""

    def phase_one(
        self, expert: Expert, x: Tensor, y: Tensor, g: torch.Generator
    ) -> None:
        prior = (y.bincount().double() / len(y)).log().to(x)
        rows = instance_balanced(y, self.settings.batch, generator=g)

        def batch_loss(step: int) -> Tensor:
            chosen = next(rows)
            return F.cross_entropy(expert(x[chosen]) + prior, y[chosen])

        optimise([*expert.beside, expert.head], self.settings, batch_loss)

    def phase_two(
        self, expert: Expert, x: Tensor, y: Tensor, g: torch.Generator
    ) -> None:
        expert.requires_grad_(False)
        counts, rows = y.bincount(), phases.dual_rows(y, self.settings, g)
        given = dict(settings=self.settings, scale=expert.head.scale, generator=g)

        def batch_loss(step: int) -> Tensor:
            chosen = next(rows).flatten()
            features, match = prompted(expert, x[chosen])
            cosines = expert.head.cosines(features)
            return phases.dual_loss(cosines, y[chosen], match, counts, step, **given)

        optimise([expert.groups, expert.head], self.settings, batch_loss)

    def scorer(
        self,
        scorer: Scorer,
        experts: list[Expert],
        x: Tensor,
        y: Tensor,
        g: torch.Generator,
    ) -> None:
        rows = class_balanced(
            y, self.of_scorer.batch, generator=g, per_class=self.of_scorer.per_class
        )

        def batch_loss(step: int) -> Tensor:
            chosen = next(rows)
            with torch.no_grad():
                found = [e.head(prompted(e, x[chosen])[0]) for e in experts]
            both = torch.stack(found)
            return F.cross_entropy(mix(both, scorer(both)), y[chosen])

        optimise([scorer], self.of_scorer, batch_loss)


class Package(Way):
    """The phases of the package, with what is frozen computed once."""

    def phase_one(
        self, expert: Expert, x: Tensor, y: Tensor, g: torch.Generator
    ) -> None:
        phases.phase_one(expert, x, y, generator=g, settings=self.settings, cached=True)

    def phase_two(
        self, expert: Expert, x: Tensor, y: Tensor, g: torch.Generator
    ) -> None:
        phases.phase_two(expert, x, y, generator=g, settings=self.settings, cached=True)

    def scorer(
        self,
        scorer: Scorer,
        experts: list[Expert],
        x: Tensor,
        y: Tensor,
        g: torch.Generator,
    ) -> None:
        both = torch.stack([scores(expert, x) for expert in experts])
        fit_scorer(scorer, both, y, generator=g, settings=self.of_scorer)


def run(way: Way, pair: study.Pair, task: glyphs.Task) -> tuple[dict, Tensor]:
    """Seconds of each part, and mixed logits of the test images.

    On the device and in the precision of the pair.
    """
    like = next(pair.visual.parameters())
    x, y = task.train.images.to(like), task.train.labels.to(like.device)
    clock, experts = Clock(like.device.type), []
    for kind in study.KINDS:
        expert = pair.fresh(kind, task, 0)
        with clock.of("phase 1"):
            way.phase_one(expert, x, y, generator_for(0, kind, "phase 1"))
        add_groups(expert, x, generator=generator_for(0, kind, "groups"))
        with clock.of("phase 2"):
            way.phase_two(expert, x, y, generator_for(0, kind, "phase 2"))
        experts.append(expert)
    g = generator_for(0, "scorer")
    scorer = Scorer(2, len(task.counts), generator=g).to(like)
    with clock.of("scorer"):
        way.scorer(scorer, experts, x, y, g)
    test = task.test.images.to(like)
    with torch.no_grad():
        both = torch.stack([scores(expert, test) for expert in experts])
        return clock.seconds, mix(both, scorer(both)).cpu()


def agreement(device: str) -> dict:
    """Both ways in double precision, where rounding changes no choice of a key."""
    pair, task = study.load_pair().to(device).to(torch.float64), glyphs.draw(0)
    ours, theirs = (run(w(EXACT_STEPS), pair, task)[1] for w in (Package, Loop))
    return {
        "exact_steps": EXACT_STEPS,
        "largest_difference": (ours - theirs).abs().max().item(),
        "largest_logit": theirs.abs().max().item(),
    }


def compare(device: str) -> dict:
    """Both ways in turns."""
    pair, task, seen = study.load_pair().to(device), glyphs.draw(0), {}
    seconds = {way.__name__: [] for way in (Package, Loop)}
    run(Package(STEPS), pair, task)  # the warm-up
    for _ in range(REPEATS):
        for way in (Package, Loop):
            taken, seen[way] = run(way(STEPS), pair, task)
            seconds[way.__name__].append(taken | {"all": sum(taken.values())})
    exact, images = agreement(device), 2 * STEPS * study.SETTINGS.batch
    same = seen[Package].argmax(-1) == seen[Loop].argmax(-1)
    found = {"same_predictions": same.double().mean().item(), **exact}
    for part in (*PARTS, "all"):
        median = {
            key: statistics.median(taken[part] for taken in seconds[way.__name__])
            for key, way in (("batched", Package), ("looped", Loop))
        }
        found[part] = {
            "median_s": median,
            "ratio": median["looped"] / median["batched"],
            "largest_difference": exact["largest_difference"],
        }
        if part.startswith("phase"):
            found[part]["images_per_s"] = {k: images / s for k, s in median.items()}
    return found


def main() -> None:
    torch.set_num_threads(1)
    profile, stopwatch = profiles.current(), provenance.Stopwatch()
    found = compare(profile.device)
    result = {
        "steps": STEPS,
        "batch": study.SETTINGS.batch,
        **found,
        "provenance": provenance.describe(profile, stopwatch),
    }
    write_whole(RESULT, json.dumps(result, indent=1) + "\n")
    print(
        f"{STEPS} steps a phase, batches of {study.SETTINGS.batch}, "
        f"{profile.device}; seconds, median of {REPEATS}"
    )
    print(f"{'':10}{'cached':>10}{'loop':>10}{'ratio':>10}{'images/s':>18}")
    for part in (*PARTS, "all"):
        of, (ours, loop) = found[part], found[part]["median_s"].values()
        speed = of.get("images_per_s", {}).values()
        shown = " against ".join(f"{images:.0f}" for images in speed)
        print(f"{part:10}{ours:10.2f}{loop:10.2f}{of['ratio']:8.2f} ×{shown:>22}")
    print(
        f"same prediction on {found['same_predictions']:.1%} of the test images; in "
        f"double precision, {found['exact_steps']} steps: logits up to "
        f"{found['largest_logit']:.0f} differ by "
        f"{found['largest_difference']:.1e} at most"
    )


if __name__ == "__main__":
    main()
