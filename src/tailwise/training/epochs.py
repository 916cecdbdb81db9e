"""One network trained for epochs: on any device, in mixed precision, resumable.

Several processes may train it together, see `tailwise.training.ranks`.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from tailwise.training import ranks
from tailwise.training.checkpoint import Checkpoint, Moving, Run


def half_of(device: str) -> torch.dtype | None:
    """The half-width type for products on a device: None for full width.

    On a GPU bfloat16 where its hardware has it, else float16; full width elsewhere.
    """
    if torch.device(device).type != "cuda":
        return None
    has = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if has else torch.float16


class _Scaler(torch.amp.GradScaler):
    """torch's, whose state is one tensor as `Run` keeps it."""

    def get_state(self) -> Tensor:
        state = self.state_dict()
        kept = [state.get(name, 0.0) for name in ("scale", "_growth_tracker")]
        return torch.tensor(kept, dtype=torch.float64)

    def set_state(self, state: Tensor) -> None:
        if self.is_enabled():
            scale, tracker = state.tolist()
            named = {"scale": scale, "_growth_tracker": int(tracker)}
            self.load_state_dict(self.state_dict() | named)


def fit(
    model: nn.Module,
    batches: Callable[[int], Iterable[tuple[Tensor, Tensor]]],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    checkpoint: Checkpoint,
    schedule: LRScheduler | None = None,
    moving: Moving | None = None,
    after: Callable[[int, list[float]], None] | None = None,
    half: torch.dtype | None = None,
) -> list[float]:
    """Train a module in place, from its checkpoint if there is one.

    Parameters
    ----------
    model : nn.Module
        On its device; its buffers are kept beside its parameters.
    batches : callable
        ``batches(epoch)``, from 1 on, yields inputs and targets on that device. They
        follow from the epoch, or from generators in `moving`, so that a run that goes
        on sees what it would have seen. Where several processes train, inputs are those
        of `ranks.share`, and targets are of the whole batch.
    loss : callable
        Of outputs in full width and targets; a mean over the batch.
    optimizer : torch.optim.Optimizer
    epochs : int
    checkpoint : Checkpoint
        Its steps are epochs, and its `about` names all that decides the outcome.
    schedule : LRScheduler, optional
        Moves once an epoch; by default the rate stays.
    moving : dict, optional
        What changes besides, as in `Run`.
    after : callable, optional
        ``after(epoch, losses)``, before the epoch is kept.
    half : torch.dtype, optional
        As `half_of` names it: products are taken in it, weights stay as they are, and
        the loss is scaled for float16.

    Returns
    -------
    list of float
        Mean loss of each epoch.

    Raises
    ------
    ValueError
        If the loss stops being finite, or the checkpoint is of another run.
    """
    device = next(model.parameters()).device
    scaler = _Scaler(device.type, enabled=half == torch.float16)
    width = torch.autocast(device.type, half) if half else nullcontext()
    moving = (moving or {}) | dict(model.named_buffers())
    moving["scale of the loss"] = scaler
    schedule = schedule or LambdaLR(optimizer, lambda epoch: 1.0)
    run = Run(checkpoint, {"half": str(half)}, optimizer, schedule, moving)
    losses = run.resume()
    ranks.wait()  # until all have read what the first will replace
    parallel = ranks.shared(model)
    for epoch in range(len(losses) + 1, epochs + 1):
        model.train()
        total, n = torch.zeros((), device=device), 0
        for x, y in batches(epoch):
            optimizer.zero_grad()
            with width:
                z = parallel(x)
            value = loss(ranks.whole(z.float() if half else z, len(y)), y)
            scaler.scale(value).backward()
            scaler.step(optimizer)
            scaler.update()
            total += value.detach() * len(y)
            n += len(y)
        schedule.step()
        losses.append(float(total) / n)
        if not math.isfinite(losses[-1]):
            name = checkpoint.folder.name
            raise ValueError(f"{name}: the loss is not finite in epoch {epoch}")
        if after:
            after(epoch, losses)
        if ranks.first():
            run.keep(losses, last=epoch == epochs)
    ranks.wait()  # until what the first has kept may be removed
    return losses


def evaluated(
    network: Callable[[Tensor], Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    half: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """Outputs in full width and targets of all batches, on the CPU; in evaluation."""
    outputs, targets = [], []
    with torch.no_grad():
        for x, y in batches:
            width = torch.autocast(x.device.type, half) if half else nullcontext()
            with width:
                z = network(x)
            outputs.append((z.float() if half else z).cpu())
            targets.append(y.cpu())
    return torch.cat(outputs), torch.cat(targets)
