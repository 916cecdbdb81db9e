"""Endless batches of row numbers, as they come or balanced by class; generators."""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from tailwise.profiles import reseeded


def generator_for(seed: int, *purpose: str) -> torch.Generator:
    """Random numbers for one purpose; those of other purposes do not move them."""
    digest = hashlib.sha256(repr((reseeded(seed), *purpose)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:6], "big"))


def class_counts(labels: Tensor, n_classes: int) -> Tensor:
    """Samples of each class, ``[k]``; a ValueError if a class has none.

    Parameters
    ----------
    labels : Tensor [n]
        Integers 0 to n_classes - 1.
    n_classes : int
    """
    if not isinstance(labels, Tensor) or labels.is_floating_point():
        given = getattr(labels, "dtype", type(labels).__name__)
        raise ValueError(f"labels is {given}: expected a tensor of integers")
    if labels.ndim != 1 or not len(labels):
        shape = list(labels.shape)
        raise ValueError(f"labels is {shape}: expected [n], not empty")
    if (bad := (labels < 0) | (labels >= n_classes)).any():
        value = labels[bad][0].item()
        raise ValueError(f"labels holds {value}: expected 0 to {n_classes - 1}")
    counts = labels.bincount(minlength=n_classes)
    if (empty := counts == 0).any():
        missing = empty.nonzero()[0].item()
        raise ValueError(
            f"labels has no sample of class {missing}: expected at least one of each "
            f"of {n_classes} classes"
        )
    return counts


class _Shuffled:
    """Every item once, in a random order; then all again, in another."""

    def __init__(self, items: Tensor, generator: torch.Generator) -> None:
        self.items, self.generator = items, generator
        self.order, self.place = [], 0

    def __next__(self) -> int:
        if self.place == len(self.order):
            order = torch.randperm(len(self.items), generator=self.generator)
            self.order, self.place = self.items[order].tolist(), 0
        self.place += 1
        return self.order[self.place - 1]


class Stream(Iterator[Tensor]):
    """Endless batches of indices ``[batch]``, whose place can be kept and put back.

    Without `classes` they are the items of ``members[0]``; else those of ``members[c]``
    for each class c in turn, `per_class` at a time. The generator's state is not part
    of `get_state`.
    """

    def __init__(
        self,
        batch: int,
        members: list[_Shuffled],
        classes: _Shuffled | None = None,
        per_class: int = 1,
    ) -> None:
        self.batch, self.members, self.classes = batch, members, classes
        self.per_class, self.now, self.left = per_class, 0, 0

    def _draw(self) -> int:
        if self.classes is not None:
            if not self.left:
                self.now, self.left = next(self.classes), self.per_class
            self.left -= 1
        return next(self.members[self.now])

    def __next__(self) -> Tensor:
        return torch.tensor([self._draw() for _ in range(self.batch)])

    @property
    def _shuffles(self) -> list[_Shuffled]:
        return self.members + ([] if self.classes is None else [self.classes])

    def get_state(self) -> Tensor:
        """Where it stands, as integers."""
        state = [self.now, self.left]
        for each in self._shuffles:
            state += [each.place, len(each.order), *each.order]
        return torch.tensor(state)

    def set_state(self, state: Tensor) -> None:
        """Go on where a stream over the same labels stood."""
        self.now, self.left, *rest = state.tolist()
        for each in self._shuffles:
            each.place, size, *rest = rest
            each.order, rest = rest[:size], rest[size:]


class SideBySide(Iterator[Tensor]):
    """Batches of several streams side by side, ``[streams, batch]``."""

    def __init__(self, *streams: Stream) -> None:
        self.streams = streams

    def __next__(self) -> Tensor:
        return torch.stack([next(stream) for stream in self.streams])

    def get_state(self) -> Tensor:
        """Where each stands, as integers."""
        states = [stream.get_state() for stream in self.streams]
        return torch.cat([torch.tensor([len(s) for s in states]), *states])

    def set_state(self, state: Tensor) -> None:
        """Put back what `get_state` gave."""
        sizes, rest = state.split([k := len(self.streams), len(state) - k])
        for stream, part in zip(self.streams, rest.split(sizes.tolist())):
            stream.set_state(part)


def _check_size(name: str, size: int) -> None:
    if size < 1:
        raise ValueError(f"{name} is {size}: expected at least 1")


def instance_balanced(
    labels: Tensor, batch: int, *, generator: torch.Generator
) -> Stream:
    """Endless batches of indices ``[batch]``; every sample counts the same.

    Sampled without replacement: a batch that ends a pass over the ``n`` labels takes
    the rest from the next pass.
    """
    _check_size("batch", batch)
    return Stream(batch, [_Shuffled(torch.arange(len(labels)), generator)])


def class_balanced(
    labels: Tensor,
    batch: int,
    *,
    generator: torch.Generator,
    per_class: int = 4,
) -> Stream:
    """Endless batches of indices ``[batch]``; every class counts the same.

    Classes come in a random order, each with its next `per_class` samples; both orders
    are drawn anew after each pass. Source: class-aware sampler, released code of LPT.
    """
    _check_size("batch", batch)
    _check_size("per_class", per_class)
    labels = labels.cpu()
    n_classes = int(labels.max()) + 1 if labels.numel() else 1
    class_counts(labels, n_classes)
    rows = [(labels == c).nonzero()[:, 0] for c in range(n_classes)]
    members = [_Shuffled(each, generator) for each in rows]
    order = _Shuffled(torch.arange(n_classes), generator)
    return Stream(batch, members, order, per_class)
