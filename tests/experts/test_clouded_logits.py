"""A-GCL: what the noise lowers, its limits, and gradients where p rounds to one."""

import math

import pytest
import torch
from torch.nn import functional as F

from tailwise.experts.clouded_logits import agcl, clouded_logits
from tailwise.methods.losses import asymmetric_loss

COUNTS = torch.tensor([200, 50, 9, 2])
# Logits are at most 20 and come from about ten operations in double precision.
EXACT = dict(rtol=0, atol=1e-13)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(n=64, seed=0):
    cosines = 2 * torch.rand(n, 4, generator=rng(seed), dtype=torch.float64) - 1
    return cosines, torch.randint(4, (n,), generator=rng(seed + 1))


def test_the_formula():
    cosines, y = batch()
    found = clouded_logits(
        cosines, y, COUNTS, generator=rng(3), cloud=0.4, margin=0.2, scale=15.0
    )
    noise = (torch.randn(64, 4, generator=rng(3), dtype=torch.float64) / 3).abs()
    gaps = [math.log(200 / n) / math.log(100) for n in COUNTS.tolist()]
    lowered = cosines - 0.4 * noise.clamp(max=1) * torch.tensor(
        gaps, dtype=torch.float64
    )
    lowered[range(64), y] -= 0.2
    torch.testing.assert_close(found, 15 * lowered, **EXACT)


def test_noise_only_lowers_and_most_where_classes_are_rare():
    n = 40_000
    cosines, y = torch.zeros(n, 4).double(), torch.zeros(n).long()
    given = dict(generator=rng(), margin=0.0, scale=1.0)
    drop = -clouded_logits(cosines, y, COUNTS, **given)
    assert (drop >= 0).all()
    assert (drop[:, 0] == 0).all()
    # At most cloud, for the rarest class; a share 2 (1 - Phi(3)) = 0.0027 is clipped.
    assert drop.max() == 0.5
    clipped = (drop[:, 3] == 0.5).double().mean()
    assert abs(clipped - 0.0027) < 5 * math.sqrt(0.0027 / n)
    # Mean of |N(0, 1/3^2)|, less than 1e-3 of it lost to clipping; 5 standard errors.
    gaps = (200 / COUNTS.double()).log() / math.log(100)
    expected = 0.5 * gaps * math.sqrt(2 / math.pi) / 3
    slack = 5 * 0.5 * 0.2 / math.sqrt(n) + 1e-4
    torch.testing.assert_close(drop.mean(0), expected, rtol=0, atol=slack)


def test_noise_is_drawn_for_every_logit_from_the_generator():
    cosines, y = batch()
    first, again, other = (
        clouded_logits(cosines, y, COUNTS, generator=rng(s)) for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert ((first - other)[:, 1:] != 0).all()


def test_limits():
    cosines, y = batch()
    plain = agcl(
        cosines,
        y,
        COUNTS,
        generator=rng(),
        cloud=0.0,
        margin=0.0,
        gamma_neg=0.0,
        smoothing=0.1,
        reduction="none",
    )
    expected = F.cross_entropy(20 * cosines, y, label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(plain, expected, rtol=1e-12, atol=1e-12)
    params = dict(gamma_pos=0.5, gamma_neg=8.0, smoothing=0.1)
    logits = clouded_logits(cosines, y, COUNTS, generator=rng(4))
    found = agcl(cosines, y, COUNTS, generator=rng(4), **params)
    assert torch.equal(found, asymmetric_loss(logits, y, **params))
    margins = [
        agcl(cosines, y, COUNTS, generator=rng(4), margin=m) for m in (0.0, 0.1, 0.3)
    ]
    assert margins[0] < margins[1] < margins[2]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gamma_neg_does_nothing_without_smoothing(smoothing):
    cosines, y = batch()
    found = []
    for gamma_neg in (0.0, 4.0, 8.0):
        x = cosines.clone().requires_grad_()
        given = dict(generator=rng(), gamma_neg=gamma_neg, smoothing=smoothing)
        agcl(x, y, COUNTS, **given).backward()
        found.append(x.grad)
    same = torch.equal(found[0], found[1]) and torch.equal(found[1], found[2])
    assert same == (smoothing == 0)


@pytest.mark.parametrize("gap", [0.5, 1.0, 1.2, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_stay_finite_where_p_rounds_to_one(gap, smoothing):
    k, scale = 60, 20.0
    cosines = torch.full((2, k), 1.0 - gap)
    cosines[:, 0] = 1.0
    cosines.requires_grad_()
    y = torch.tensor([0, 1])
    counts = torch.arange(k, 0, -1)
    given = dict(generator=rng(), margin=0.0, cloud=0.0, gamma_pos=0.5)
    agcl(cosines, y, counts, scale=scale, smoothing=smoothing, **given).backward()
    assert cosines.grad.isfinite().all()
    assert cosines.grad[1].abs().max() > 1  # a sample that is wrong still learns
    p = (scale * cosines.detach()).softmax(-1)[0, 0]
    assert (p == 1) == (gap > 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_is_that_of_the_cosines(dtype):
    cosines, y = batch()
    assert agcl(cosines.to(dtype), y, COUNTS, generator=rng()).dtype == dtype


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([7, 7, 7, 7], "class_counts are all 7: expected counts that differ"),
        ([7, 0, 1, 2], "class_counts holds 0: expected finite numbers > 0"),
        ([7, -2, 1, 2], "class_counts holds -2: expected"),
        ([7, math.nan, 1, 2], "class_counts holds nan: expected"),
        ([7, math.inf, 1, 2], "class_counts holds inf: expected"),
        ([7, 1, 2], r"class_counts is \[3\]: expected \[4\]"),
    ],
)
def test_bad_counts(counts, message):
    with pytest.raises(ValueError, match=message):
        agcl(*batch(), counts, generator=rng())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.tensor([0, 4]), "target holds 4: expected labels 0 to 3"),
        (torch.tensor([-1, 0]), "target holds -1: expected labels 0 to 3"),
        (torch.tensor([0]), r"target is \[1\]: expected \[n, k\] and \[n\]"),
    ],
)
def test_bad_labels(target, message):
    with pytest.raises(ValueError, match=message):
        agcl(torch.zeros(2, 4), target, COUNTS, generator=rng())
