"""Chapter 4's experiment: two pretrained experts on one split of GlyphNames.

Everything that is trained starts from the same pair of frozen experts, sees the same
images and takes the same number of steps. `Split` holds logits, so that any number of
the chapter is a function of them.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tailwise.data.glyphs import Glyphs, Task
from tailwise.experts import phases
from tailwise.experts.backbones import EMBEDDED, as_backbone
from tailwise.experts.expert import Expert, add_groups, in_chunks, make_expert, scores
from tailwise.experts.scorer import (
    INPUTS,
    Scorer,
    fit_scorer,
    mean_logits,
    mean_probabilities,
    mix,
)
from tailwise.experts.training import Settings
from tailwise.models import experts as pretrained
from tailwise.training.streams import generator_for

KINDS = pretrained.KINDS
TESTS = ("test", "test_unseen")
SETS = ("train", *TESTS)
SETTINGS = Settings(steps=100)


@dataclass(frozen=True)
class Pair:
    """A visual and a language expert of one pretraining seed."""

    visual: torch.nn.Module
    language: torch.nn.Module
    text: torch.nn.Module

    def to(self, place: str | torch.dtype) -> "Pair":
        """A copy on a device or of a type; this pair stays as it is."""
        parts = (self.visual, self.language, self.text)
        return Pair(*(copy.deepcopy(part).to(place) for part in parts))

    def fresh(
        self,
        kind: str,
        task: Task,
        seed: int,
        *,
        head: str | None = None,
        embedded: Tensor | None = None,
        **parts,
    ) -> Expert:
        """An untrained expert whose head starts at class means or at names.

        `head` may be "means", "text" or "random"; by default "means" for the visual
        and "text" for the language expert. `embedded` are embeddings of the training
        images, if they are at hand. Other parameters as in `make_expert`.
        """
        heads = ("means", "text", "random")
        head = head or ("means" if kind == "visual" else "text")
        if head not in heads or (kind, head) == ("visual", "text"):
            raise ValueError(f"head is {head!r} for {kind}: expected one of {heads}")
        backbone = as_backbone(getattr(self, kind))
        train = placed(task.train, backbone.like)
        made = make_expert(
            backbone, len(task.counts), generator=generator_for(seed, kind), **parts
        )
        if head == "text":
            made.head.init_text(self.text.encode(task.names).detach())
        elif head == "means":
            if embedded is None:
                embedded = in_chunks(backbone.module, train.images)
            made.head.init_means(embedded, train.labels)
        return made


def placed(part: Glyphs, like: Tensor) -> Glyphs:
    """Images of the type of a weight and on its device, and labels there too."""
    labels = part.labels.to(like.device)
    return replace(part, images=part.images.to(like), labels=labels)


def load_pair(seed: int = 0, **options) -> Pair:
    """Load both experts; options as in `pretrained.load`."""
    visual = pretrained.load("visual", seed, **options)
    return Pair(visual, *pretrained.load("language", seed, **options))


@dataclass
class Split:
    """What one split gave.

    Attributes
    ----------
    task : Task
    logits : dict of str to dict of str to Tensor [n, 60]
        By method, then by set: "test" and "test_unseen", and "train" for what a
        scorer reads; on the CPU.
    weights : dict of str to Tensor [n, 2]
        The scorers' weights of visual and language expert on the test images.
    usage : dict of str to Tensor [pool]
        By expert, how often each group prompt was chosen in phase 2.
    rates : dict of str to float
        Rates of full fine-tuning, chosen on validation images.
    recorded : dict of str to dict of str to float
        Accuracies of methods that were not run, from a record.
    """

    task: Task
    logits: dict = field(default_factory=dict)
    weights: dict = field(default_factory=dict)
    usage: dict = field(default_factory=dict)
    rates: dict = field(default_factory=dict)
    recorded: dict = field(default_factory=dict)

    def accuracy(self, method: str, on: str = "test") -> dict[str, float]:
        """Accuracy in all, many, medium and few classes; the sets are balanced."""
        part = getattr(self.task, on)
        right = (self.logits[method][on].argmax(-1) == part.labels).double()
        of = {"all": torch.ones_like(self.task.few)}
        of |= {name: getattr(self.task, name) for name in ("many", "medium", "few")}
        return {
            name: right[classes[part.labels]].mean().item()
            for name, classes in of.items()
        }


def _keep(
    split: Split, method: str, expert: Expert, sets: tuple[str, ...] = TESTS
) -> None:
    like = expert.backbone.like
    split.logits[method] = {
        name: scores(expert, getattr(split.task, name).images.to(like)).cpu()
        for name in sets
    }


def _embedded(pair: Pair, kind: str, task: Task) -> dict[str, Tensor]:
    """Embeddings of all sets, which experts with a head alone share."""
    module = getattr(pair, kind)
    like = next(module.parameters())
    return {
        name: in_chunks(module, getattr(task, name).images.to(like)) for name in SETS
    }


@torch.no_grad()
def _keep_head(
    split: Split, method: str, expert: Expert, embedded: dict[str, Tensor]
) -> None:
    split.logits[method] = {name: expert.head(embedded[name]).cpu() for name in TESTS}


def _mixtures(split: Split, of: str, seed: int) -> None:
    """Plain means of both experts, and the scorers after all phases."""
    pair = [split.logits[f"{kind}, {of}"] for kind in KINDS]
    both = {name: torch.stack([logits[name] for logits in pair]) for name in pair[0]}
    for name, combine in (
        ("mean of logits", mean_logits),
        ("mean of probabilities", mean_probabilities),
    ):
        split.logits[f"{name}, {of}"] = {k: combine(x) for k, x in both.items()}
    if of != "phase 2":
        return
    for inputs in INPUTS:
        generator = generator_for(seed, inputs)
        scorer = Scorer(2, both["train"].shape[-1], generator=generator, inputs=inputs)
        labels = split.task.train.labels
        fit_scorer(scorer, both["train"], labels, generator=generator)
        with torch.no_grad():
            weights = {name: scorer(x) for name, x in both.items()}
        split.weights[inputs] = weights["test"]
        split.logits[f"scorer, {inputs}"] = {
            name: mix(x, weights[name]) for name, x in both.items()
        }


def joint_logits(
    pair: Pair, task: Task, seed: int, *, settings: Settings = SETTINGS
) -> dict[str, dict[str, Tensor]]:
    """Logits, as in `Split`, after all modules were trained at once.

    In as many steps as the first two phases have. Other parameters as in `run`.
    """
    split = Split(task)
    experts = [pair.fresh(kind, task, seed) for kind in KINDS]
    like = experts[0].backbone.like
    train = placed(task.train, like)
    for expert in experts:
        add_groups(expert, train.images, generator=generator_for(seed, "groups"))
    generator = generator_for(seed, "joint")
    scorer = Scorer(2, len(task.counts), generator=generator).to(like)
    phases.train_jointly(
        experts,
        scorer,
        train.images,
        train.labels,
        generator=generator,
        settings=replace(settings, steps=2 * settings.steps),
    )
    for kind, expert in zip(KINDS, experts):
        _keep(split, f"{kind}, joint", expert)
    scorer.cpu()  # as the logits are
    both = [split.logits[f"{kind}, joint"] for kind in KINDS]
    split.logits["scorer, joint"] = {}
    for name in TESTS:
        stacked = torch.stack([logits[name] for logits in both])
        with torch.no_grad():
            mixed = mix(stacked, scorer(stacked))
        split.logits["scorer, joint"][name] = mixed
    return split.logits


def tuned(pair: Pair, kind: str, task: Task, seed: int, settings: Settings) -> Expert:
    """The expert after full fine-tuning on the training images."""
    start = pair.fresh(kind, task, seed, tokens=0, adapter=0)
    train = placed(task.train, start.backbone.like)
    found, _ = phases.full_fine_tuning(
        start,
        train.images,
        train.labels,
        generator=generator_for(seed, kind, "full"),
        settings=settings,
    )
    return found


def run(
    pair: Pair,
    task: Task,
    seed: int,
    rates: dict[str, float],
    *,
    settings: Settings = SETTINGS,
    joint: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Split:
    """Train and mix everything on one split.

    Parameters
    ----------
    pair : Pair
        Training is on its device, see `Pair.to`.
    task : Task
        On the CPU.
    seed : int
        Of prompts, heads and batches.
    rates : dict of str to float
        Full fine-tuning's rate for each expert, from `choose_rates` on another task.
    settings : Settings
    joint : bool
        Also train all modules at once, see `joint_logits`.
    progress : callable, optional
        Called with the name of each method when it is done.
    """
    train = placed(task.train, next(pair.visual.parameters()))
    split, data = Split(task, rates=rates), (train.images, train.labels)
    tell = progress or (lambda name: None)
    for kind in KINDS:
        embedded = _embedded(pair, kind, task)
        plain = dict(tokens=0, adapter=0, embedded=embedded["train"])
        start = pair.fresh(kind, task, seed, **plain)
        known = "names" if kind == "language" else "class means"
        _keep_head(split, f"{kind}, {known}", start, embedded)
        for name, tau, head in (
            ("probe", 1.0, None),
            ("probe with CE", 0.0, None),
            ("probe, random head", 1.0, "random"),
        ):
            untrained = pair.fresh(kind, task, seed, head=head, **plain)
            probe = Expert(as_backbone(getattr(pair, kind), EMBEDDED), untrained.head)
            phases.linear_probe(
                probe,
                embedded["train"],
                train.labels,
                generator=generator_for(seed, kind, "probe"),
                settings=replace(settings, tau=tau),
            )
            _keep_head(split, f"{kind}, {name}", probe, embedded)
        full = tuned(pair, kind, task, seed, replace(settings, lr=rates[kind]))
        _keep(split, f"{kind}, full", full)
        tell(f"{kind}, full")
        expert = pair.fresh(kind, task, seed, embedded=embedded["train"])
        options = dict(settings=settings, cached=True)
        generator = generator_for(seed, kind, "phase 1")
        phases.phase_one(expert, *data, generator=generator, **options)
        _keep(split, f"{kind}, phase 1", expert)
        add_groups(expert, data[0], generator=generator_for(seed, kind, "groups"))
        generator = generator_for(seed, kind, "phase 2")
        history = phases.phase_two(expert, *data, generator=generator, **options)
        split.usage[kind] = history.usage.cpu()
        _keep(split, f"{kind}, phase 2", expert, SETS)
        tell(f"{kind}, phase 2")
    for of in ("probe", "full", "phase 1", "phase 2"):
        _mixtures(split, of, seed)
    if joint:
        split.logits |= joint_logits(pair, task, seed, settings=settings)
        tell("joint")
    return split
