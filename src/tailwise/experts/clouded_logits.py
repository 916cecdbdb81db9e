"""Asymmetric Gaussian clouded logits (A-GCL): noise on rare classes, then a margin."""

import torch
from torch import Tensor

from tailwise.methods.losses import PerClass, asymmetric_loss


def _log_gaps(class_counts: PerClass, like: Tensor) -> Tensor:
    """``(log n_max - log n_c) / max_j (log n_max - log n_j)``: 0 to 1, [k]."""
    counts = torch.as_tensor(class_counts, dtype=like.dtype, device=like.device)
    if list(counts.shape) != (wanted := list(like.shape[-1:])):
        raise ValueError(f"class_counts is {list(counts.shape)}: expected {wanted}")
    if (bad := ~(counts.isfinite() & (counts > 0))).any():
        value = counts[bad][0].item()
        raise ValueError(f"class_counts holds {value:g}: expected finite numbers > 0")
    gaps = (counts.max() / counts).log()
    if not (gaps > 0).any():
        raise ValueError(
            f"class_counts are all {counts[0].item():g}: expected counts that differ, "
            "since the noise is scaled by the largest gap between their logs"
        )
    return gaps / gaps.max()


def clouded_logits(
    cosines: Tensor,
    target: Tensor,
    class_counts: PerClass,
    *,
    generator: torch.Generator,
    cloud: float = 0.5,
    margin: float = 0.1,
    scale: float = 20.0,
) -> Tensor:
    """Logits ``s (cos_c - cloud |eps_c| g_c - margin [c = y])``, as `cosines` [n, k].

    ``eps ~ N(0, 1/3^2)`` clipped to [-1, 1], one for each logit; ``g_c`` is 0 for the
    most frequent and 1 for the rarest class, in between linear in ``log n_c``. Noise
    is in units of cosines and only lowers them. Source: released code of LPT.
    """
    shape = list(cosines.shape)
    if len(shape) != 2 or list(target.shape) != shape[:1]:
        given = f"cosines is {shape}, target is {list(target.shape)}"
        raise ValueError(f"{given}: expected [n, k] and [n]")
    if (bad := (target < 0) | (target >= shape[1])).any():
        value = target[bad][0].item()
        raise ValueError(f"target holds {value}: expected labels 0 to {shape[1] - 1}")
    gaps = _log_gaps(class_counts, cosines)
    noise = torch.randn(shape, generator=generator, dtype=cosines.dtype) / 3
    lowered = cosines - cloud * noise.abs().clamp_max(1).to(gaps) * gaps
    true = torch.nn.functional.one_hot(target.long(), shape[1]).to(cosines)
    return scale * (lowered - margin * true)


def agcl(
    cosines: Tensor,
    target: Tensor,
    class_counts: PerClass,
    *,
    generator: torch.Generator,
    cloud: float = 0.5,
    margin: float = 0.1,
    scale: float = 20.0,
    gamma_pos: float = 0.0,
    gamma_neg: float = 4.0,
    smoothing: float = 0.1,
    reduction: str = "mean",
) -> Tensor:
    """`asymmetric_loss` of `clouded_logits`.

    Parameters
    ----------
    cosines : Tensor [n, k]
        Between embeddings and class weights, not yet multiplied by the scale.
    target : Tensor [n]
        Labels 0 to k - 1.
    class_counts : Tensor or sequence [k]
        Of the training set, > 0 and not all equal.
    generator : torch.Generator
        A CPU generator, for the noise.
    cloud, margin : float
        Largest size of the noise, and what the true class loses, in cosines.
    scale : float
        Multiplies the cosines.
    gamma_pos, gamma_neg, smoothing, reduction
        As in `asymmetric_loss`. The released code of LPT has gammas 0 and 4 for a
        class-balanced batch, 0.5 and 8 for an instance-balanced one.
    """
    logits = clouded_logits(
        cosines,
        target,
        class_counts,
        generator=generator,
        cloud=cloud,
        margin=margin,
        scale=scale,
    )
    return asymmetric_loss(
        logits,
        target,
        gamma_pos=gamma_pos,
        gamma_neg=gamma_neg,
        smoothing=smoothing,
        reduction=reduction,
    )
