"""Accuracy in classes with many, a medium number of, and few training images."""

from torch import Tensor

from tailwise.data.glyphs import Task


def by_group(
    logits: Tensor, labels: Tensor, groups: dict[str, Tensor]
) -> dict[str, float]:
    """Accuracy in each group of classes; NaN where a group has no image.

    Parameters
    ----------
    logits : Tensor [n, K]
    labels : Tensor [n]
    groups : dict of str to bool Tensor [K]
        The classes of each group.
    """
    right = (logits.argmax(-1) == labels).double()
    return {name: right[mine[labels]].mean().item() for name, mine in groups.items()}


def on_task(task: Task, logits: Tensor) -> dict[str, float]:
    """By groups that have a class; rows are test pictures, then the unseen face's."""
    n, unseen = len(task.test.labels), task.test_unseen.labels
    groups = {name: getattr(task, name) for name in ("many", "medium", "few")}
    groups = {name: mine for name, mine in groups.items() if mine.any()}
    every = task.few | ~task.few
    found = by_group(logits[:n], task.test.labels, {"all": every} | groups)
    found |= by_group(logits[n:], unseen, {"unseen": every})
    return {name: round(value, 5) for name, value in found.items()}
