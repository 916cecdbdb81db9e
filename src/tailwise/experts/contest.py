"""Ways of training one pretrained expert on one split, on equal terms.

All read the same training pictures with the same augmentation, batch and steps, and
start at the same head. Rates were chosen for each way on validation pictures of splits
of other letters, see `tailwise.experts.choices`.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tailwise.data.glyph_corruption import jitter
from tailwise.data.glyphs import Glyphs, Task
from tailwise.experts import phases
from tailwise.experts.backbones import EMBEDDED, as_backbone
from tailwise.experts.expert import Expert, add_groups, in_chunks
from tailwise.experts.study import Pair, placed
from tailwise.experts.training import Settings
from tailwise.training.batches import generator_for

HEAD_LR = 5e-3


@dataclass(frozen=True)
class Terms:
    """Steps of every way of training, and the rate of each; heads have `HEAD_LR`.

    A probe reads `views` augmented pictures of each picture.
    """

    steps: int = 150
    views: int = 8
    rates: Mapping[str, float] = field(
        default_factory=lambda: dict(probe=5e-3, parts=1e-2, full=2e-3, second=5e-3)
    )

    def settings(self, way: str, **changed) -> Settings:
        """Of a way of training; a probe has nothing but a head."""
        head = None if way == "probe" else HEAD_LR
        return Settings(steps=self.steps, lr=self.rates[way], head_lr=head, **changed)


def seen_anew(images: Tensor, views: int, generator: torch.Generator) -> Tensor:
    """Augmented pictures, ``[views n, 1, 32, 32]``: all pictures, then all again."""
    return torch.cat([jitter(images, generator) for _ in range(views)])


def saved_for_backward(make: Callable, *given) -> int:
    """Bytes that ``make(*given)`` keeps for gradients; shared memory counts once.

    That of one step if it takes one, without the optimizer and the gradients
    themselves.
    """
    sizes = {}

    def keep(x: Tensor) -> Tensor:
        memory = x.untyped_storage()
        sizes[memory.data_ptr()] = memory.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        make(*given)
    return sum(sizes.values())


class Bench:
    """One expert of a pair on one split; each method returns a newly trained expert.

    Parameters
    ----------
    pair : Pair
    kind : {"visual", "language"}
    task : Task
    seed : int
        Of batches, augmentation, prompts and adapters.
    terms : Terms
    """

    def __init__(
        self, pair: Pair, kind: str, task: Task, seed: int, terms: Terms
    ) -> None:
        self.pair, self.kind, self.task = pair, kind, task
        self.seed, self.terms = seed, terms
        self.train: Glyphs = placed(task.train, next(pair.visual.parameters()))
        self._views: tuple[Tensor, Tensor] | None = None

    def generator(self, *purpose: str) -> torch.Generator:
        """Random numbers of this bench for a purpose."""
        return generator_for(self.seed, self.kind, *purpose)

    def start(self, *, head: str | None = None, **parts) -> Expert:
        """Untrained: a head at class means or names, and by default nothing else."""
        sizes = dict(tokens=0, adapter=0) | parts
        return self.pair.fresh(self.kind, self.task, self.seed, head=head, **sizes)

    def views(self) -> tuple[Tensor, Tensor]:
        """Embeddings of augmented pictures of each, and labels; kept."""
        if self._views is None:
            n = self.terms.views
            images = seen_anew(self.train.images, n, self.generator("views"))
            seen = in_chunks(getattr(self.pair, self.kind), images)
            self._views = seen, self.train.labels.repeat(n)
        return self._views

    def probe(
        self, *, tau: float = 1.0, head: str | None = None, steps: int | None = None
    ) -> Expert:
        """A head alone, trained on embeddings of augmented pictures."""
        found = self.start(head=head)
        module = getattr(self.pair, self.kind)
        alone = Expert(as_backbone(module, EMBEDDED), found.head)
        settings = self.terms.settings("probe", tau=tau)
        settings = replace(settings, steps=steps or settings.steps)
        options = dict(generator=self.generator("train"), settings=settings)
        phases.linear_probe(alone, *self.views(), **options)
        return found

    def parts(self, *, tau: float = 1.0, tokens: int = 4, adapter: int = 8) -> Expert:
        """Phase 1: shared prompts, adapters and the head."""
        found = self.start(tokens=tokens, adapter=adapter)
        options = self._options("parts", tau=tau)
        phases.phase_one(found, self.train.images, self.train.labels, **options)
        return found

    def full(self, *, tau: float = 1.0, blocks_only: bool = False) -> Expert:
        """Full fine-tuning of a copy."""
        options = self._options("full", tau=tau) | dict(blocks_only=blocks_only)
        data = self.train.images, self.train.labels
        return phases.full_fine_tuning(self.start(), *data, **options)[0]

    def second(
        self,
        first: Expert,
        *,
        pool: int = 10,
        keys: str = "pictures",
        **changed,
    ) -> Expert:
        """Phase 2 of a copy of an expert after phase 1.

        Parameters
        ----------
        first : Expert
        pool : int
            Entries of the pool of group prompts; 0 trains the head alone.
        keys : {"pictures", "random"}
            Where keys start.
        **changed
            Of `Settings`, such as the loss.
        """
        found, options = copy.deepcopy(first), self._options("second", **changed)
        data = self.train.images, self.train.labels
        if not pool:
            phases.head_alone(found, *data, **options)
            return found
        sizes = dict(pool=pool, top=min(2, pool))
        add_groups(found, data[0], generator=self.generator("groups"), **sizes)
        if keys == "random":
            g = self.generator("keys")
            drawn = torch.randn(found.groups.keys.shape, generator=g)
            found.groups.init_keys(drawn.to(found.groups.keys))
        phases.phase_two(found, *data, **options)
        return found

    def _options(self, way: str, **changed) -> dict:
        settings = self.terms.settings(way, **changed)
        return dict(
            generator=self.generator("train"), settings=settings, augment=jitter
        )
