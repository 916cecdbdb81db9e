"""Endless streams of indices, as pure functions of a generator."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor


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


def _shuffled(items: Tensor, generator: torch.Generator) -> Iterator[int]:
    """Every item once, in a random order; then all again, in another."""
    while True:
        yield from items[torch.randperm(len(items), generator=generator)].tolist()


def _batches(stream: Iterator[int], size: int) -> Iterator[Tensor]:
    while True:
        yield torch.tensor(list(islice(stream, size)))


def _check_size(name: str, size: int) -> None:
    if size < 1:
        raise ValueError(f"{name} is {size}: expected at least 1")


def instance_balanced(
    labels: Tensor, batch: int, *, generator: torch.Generator
) -> Iterator[Tensor]:
    """Endless batches of indices ``[batch]``; every sample counts the same.

    Sampled without replacement: a batch that ends a pass over the ``n`` labels takes
    the rest from the next pass.
    """
    _check_size("batch", batch)
    return _batches(_shuffled(torch.arange(len(labels)), generator), batch)


def class_balanced(
    labels: Tensor,
    batch: int,
    *,
    generator: torch.Generator,
    per_class: int = 4,
) -> Iterator[Tensor]:
    """Endless batches of indices ``[batch]``; every class counts the same.

    Classes come in a random order, each with its next `per_class` samples; both orders
    are drawn anew after each pass. Source: class-aware sampler, released code of LPT.
    """
    _check_size("batch", batch)
    _check_size("per_class", per_class)
    labels = labels.cpu()
    n_classes = int(labels.max()) + 1 if labels.numel() else 1
    class_counts(labels, n_classes)
    members = [
        _shuffled((labels == c).nonzero()[:, 0], generator) for c in range(n_classes)
    ]
    order = _shuffled(torch.arange(n_classes), generator)
    stream = (next(members[c]) for c in order for _ in range(per_class))
    return _batches(stream, batch)
