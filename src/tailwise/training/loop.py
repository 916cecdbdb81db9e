"""One training run, readable in one sitting."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def train(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    epochs: int,
    generator: torch.Generator,
    batch_size: int = 128,
    lr: float = 1e-3,
    weight_decay: float = 1e-4,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> list[float]:
    """Train a model in place with AdamW and return the mean loss of each epoch.

    Parameters
    ----------
    model : nn.Module
        On the same device as the data.
    inputs, targets : Tensor [n, ...], [n]
    epochs : int
    generator : torch.Generator
        A CPU generator; it orders the batches. Dropout draws from torch's own state.
    batch_size : int
    lr, weight_decay : float
        Of AdamW; the learning rate falls to zero along a cosine.
    loss : callable
        Maps logits and targets to a scalar.

    Raises
    ------
    ValueError
        If inputs and targets differ in length, or the loss stops being finite.
    """
    if len(inputs) != len(targets):
        raise ValueError(f"{len(inputs)} inputs but {len(targets)} targets")
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    steps = -(-len(inputs) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    history = []
    model.train()
    for epoch in range(epochs):
        order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
        total = 0.0
        for rows in order.split(batch_size):
            optimizer.zero_grad()
            batch_loss = loss(model(inputs[rows]), targets[rows])
            batch_loss.backward()
            optimizer.step()
            schedule.step()
            total += batch_loss.item() * len(rows)
        history.append(total / len(inputs))
        if not math.isfinite(history[-1]):
            raise ValueError(f"the loss is not finite in epoch {epoch + 1}")
    model.eval()
    return history


@torch.no_grad()
def extract(features: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Apply a frozen feature map in batches of 500; the result is float64 on CPU."""
    return torch.cat([features(rows) for rows in inputs.split(500)]).double().cpu()
