"""Wrong labels for a share of the rare classes."""

from dataclasses import replace

import torch

from tailwise.data.glyphs import Task


def mislabelled(task: Task, share: float, generator: torch.Generator) -> Task:
    """A share of the rare classes' training pictures gets the label of another class.

    A picture that is the last of its class keeps its label.
    """
    labels, k = task.train.labels.clone(), len(task.counts)
    rare = task.few[labels].nonzero()[:, 0]
    left = round(share * len(rare))
    for row in rare[torch.randperm(len(rare), generator=generator)].tolist():
        if left and (labels == labels[row]).sum() > 1:
            shift = torch.randint(1, k, (), generator=generator)
            labels[row] = (labels[row] + shift) % k
            left -= 1
    return replace(task, train=replace(task.train, labels=labels))
