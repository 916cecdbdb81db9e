"""A result of chapter 3 without a training: random numbers of every kind."""

import torch

from tailwise.softad import study, views
from tailwise.softad.levels import METHODS

S, N_TEST, N_VAL = 4, 10, 30


def made(seed=0, methods=METHODS, law="rare"):
    """Of `S` seeds, `N_TEST` test and `N_VAL` validation images."""
    g = torch.Generator().manual_seed(seed)
    shape = (S, len(methods))
    losses = 3 * torch.rand(*shape, 6, N_TEST, generator=g)
    correct = torch.rand(*shape, 6, N_TEST, generator=g) < 0.6
    none = torch.zeros(shape, dtype=torch.bool)
    number = {
        name: torch.rand(shape, generator=g)
        for name in ("temperature", "norm", "eigenvalue", "loss_rise")
    }
    return study.Result(
        architecture="mlp",
        law=law,
        labels=tuple(method.label for method in methods),
        view=views.dashboard(losses, correct, law),
        scaled=views.dashboard(losses / 2, correct, law),
        diverged=none,
        gave_up=none.clone(),
        losses=losses,
        correct=correct,
        train_losses=torch.rand(*shape, 20, generator=g),
        train_severity=torch.randint(6, (S, 20), generator=g),
        held_losses=torch.rand(*shape, N_VAL, generator=g),
        held_correct=torch.rand(*shape, N_VAL, generator=g) < 0.5,
        **number,
    )
