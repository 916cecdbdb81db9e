"""Training that was stopped: the unconstrained-features model after a given time.

Gradient descent with rate r is at t = r x steps close to the gradient flow
``d theta / dt = - grad L`` of the mean loss L, and so is stochastic descent on small
batches, in expectation. The loss falls like 1 / t, so plain steps take ever longer to
change anything; steps of equal length in theta, with the time that each takes, need a
few thousand for any t.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tailwise.geometry import seli
from tailwise.geometry.ufm import Config, Descent, Loss, check, start


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The model at times ``[B, T]``, one row of them per configuration.

    Attributes
    ----------
    configs : tuple of Config
    class_counts : Tensor [B, k]
    times : Tensor [B, T]
    W, H : Tensor [B, T, k, d]
    error_w, error_h : Tensor [B, T]
        `seli.gram_error` to the limit.
    """

    configs: tuple[Config, ...]
    class_counts: Tensor
    times: Tensor
    W: Tensor
    H: Tensor
    error_w: Tensor
    error_h: Tensor


@torch.no_grad()
def gradient_flow(
    class_counts: seli.Array,
    configs: Sequence[Config],
    times: seli.Array,
    *,
    d: int | None = None,
    length: float = 0.03,
    max_steps: int = 50_000,
) -> Flow:
    """Follow the gradient flow of every configuration to each of its times.

    Parameters
    ----------
    class_counts : array_like [k] or [B, k]
    configs : sequence of Config, length B
        Without a ridge. Rate and kind of step do not enter.
    times : array_like [T] or [B, T]
        Rising and > 0.
    d : int, optional
        Dimension of the embeddings; 2 k by default.
    length : float
        Of a step in the space of the parameters.
    max_steps : int

    Raises
    ------
    ValueError
        For a ridge, times that do not rise from above zero, and as `train_ufm`.
    RuntimeError
        If `max_steps` do not reach the last time.
    """
    n, d = check(class_counts, tuple(configs), d)
    if any(c.ridge for c in configs):
        raise ValueError("a config has a ridge: expected none, the flow has no limit")
    times = torch.as_tensor(times, dtype=n.dtype, device=n.device)
    times = times.expand(len(n), -1)
    steps = times.diff(dim=-1, prepend=torch.zeros_like(times[:, :1]))
    if not (steps > 0).all() or not times.isfinite().all():
        raise ValueError(f"times is {times[0].tolist()}: expected > 0, rising")
    configs = tuple(replace(c, normalised=True) for c in configs)
    loss = Loss(n, configs)
    descent = Descent(loss, start(configs, n.shape[-1], d, n), configs)
    now, at = torch.zeros_like(times[:, 0]), torch.zeros(len(n), dtype=torch.long)
    at, last = at.to(n.device), times.shape[-1] - 1
    kept = descent.theta.new_empty(len(n), last + 1, *descent.theta.shape[1:])
    done = torch.zeros_like(at, dtype=torch.bool)
    for _ in range(max_steps):
        scale = descent.slope().exp()
        norm = torch.linalg.vector_norm(descent.grad.flatten(1), dim=-1)
        left = times.gather(-1, at.unsqueeze(-1)).squeeze(-1) - now
        pace = norm * scale  # true length of the gradient
        move = torch.minimum(torch.full_like(norm, length), left * pace)
        arrives = move < length
        move = move.masked_fill(done, 0.0)
        descent.theta.addcmul_(descent.grad, -(move / norm).view(-1, 1, 1, 1))
        now = torch.where(arrives, now + left, now + move / pace)
        for b in (arrives & ~done).nonzero().flatten().tolist():
            kept[b, at[b]] = descent.theta[b]
        done = done | (arrives & (at == last))
        at = torch.where(arrives, (at + 1).clamp_max(last), at)
        if done.all():
            break
    else:
        raise RuntimeError(f"{max_steps} steps of {length} do not reach the last time")
    W, H = kept[:, :, 0], kept[:, :, 1] / n.sqrt()[:, None, :, None]
    errors = [
        seli.gram_error(v @ v.mT, target.unsqueeze(1))
        for v, target in zip((W, H), loss.targets())
    ]
    return Flow(
        configs=configs,
        class_counts=n,
        times=times,
        W=W,
        H=H,
        error_w=errors[0],
        error_h=errors[1],
    )
