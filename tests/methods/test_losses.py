"""Each loss against its formula written out, against PyTorch and its limits."""

import math

import mpmath
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tailwise.methods import losses
from tailwise.methods.losses import (
    LOSSES,
    adjusted_cross_entropy,
    asymmetric_loss,
    family_loss,
    focal_loss,
    inverse_frequency,
    knobs,
    ldt_loss,
    log_priors,
    temperatures,
    vs_loss,
)

COUNTS = [500, 60, 7, 41]
PARAMS = {
    "ce": {},
    "wce": {},
    "la": {"tau": 1.3},
    "ldt": {"gamma": 0.6},
    "cdt": {"gamma": 0.4},
    "vs": {"gamma": 0.4, "tau": 1.3},
    "ldam": {"max_margin": 0.5},
}
NAMES = list(LOSSES)
# A loss is a sum of k = 4 terms of order one: tens of roundings.
EXACT = {"rtol": 1e-13, "atol": 1e-14}


def batch(n: int = 40, dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(5)
    logits = 3 * torch.randn(n, 4, generator=source, dtype=torch.float64)
    return logits.to(dtype), torch.arange(n) % 4


def by_hand(name: str, z: torch.Tensor, y: int) -> float:
    """The loss of one example, as a book would print it."""
    n = np.array(COUNTS, dtype=float)
    z, p = z.numpy().copy(), PARAMS[name]
    if name in ("cdt", "vs"):
        z = (n / 500) ** p["gamma"] * z
    if name == "ldt":
        z = (n[y] / 500) ** p["gamma"] * z
    if name in ("la", "vs"):
        z = z + p["tau"] * np.log(n / 608)
    if name == "ldam":
        z[y] -= p["max_margin"] * (7 / n[y]) ** 0.25
    weight = 608 / (4 * n[y]) if name == "wce" else 1
    return -weight * math.log(math.exp(z[y]) / sum(math.exp(value) for value in z))


@pytest.mark.parametrize("name", NAMES)
def test_formula(name):
    logits, target = batch()
    found = family_loss(logits, target, COUNTS, name, **PARAMS[name], reduction="none")
    expected = [by_hand(name, z, int(y)) for z, y in zip(logits, target)]
    # The naive formula rounds p to one: 1e-15 in losses as small as 1e-4.
    assert found.numpy() == pytest.approx(np.array(expected), rel=1e-11, abs=1e-14)


NEUTRAL = {
    "label_temperature": [1] * 4,
    "class_temperature": [1] * 4,
    "offset": [0] * 4,
    "weight": [1] * 4,
}


@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
@pytest.mark.parametrize("given", [*NEUTRAL, "all", "none"])
def test_neutral_knobs_are_cross_entropy(given, reduction):
    names = {"all": list(NEUTRAL), "none": []}.get(given, [given])
    turned = {name: NEUTRAL[name] for name in names}
    found = adjusted_cross_entropy(*batch(), reduction=reduction, **turned)
    expected = F.cross_entropy(*batch(), reduction=reduction)
    torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
def test_weights_are_those_of_pytorch(reduction):
    logits, target = batch(10)  # so that the labels are not balanced
    weight = torch.tensor([0.2, 1.0, 3.0, 7.0], dtype=torch.float64)
    found = adjusted_cross_entropy(logits, target, weight=weight, reduction=reduction)
    expected = F.cross_entropy(logits, target, weight=weight, reduction=reduction)
    torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_reductions_agree(name):
    logits, target = batch(10)
    given = (logits, target, COUNTS, name)
    each, mean, total = (
        family_loss(*given, **PARAMS[name], reduction=reduction)
        for reduction in ("none", "mean", "sum")
    )
    torch.testing.assert_close(each.sum(), total, **EXACT)
    by = inverse_frequency(COUNTS)[target].sum() if name == "wce" else len(target)
    torch.testing.assert_close(mean, total / by, **EXACT)


def test_mean_ignores_the_scale_of_weights():
    weight = torch.tensor([0.2, 1.0, 3.0, 7.0], dtype=torch.float64)
    a, b = (adjusted_cross_entropy(*batch(), weight=w) for w in (weight, 9 * weight))
    torch.testing.assert_close(a, b, **EXACT)
    logits = batch()[0]
    one_label = logits, torch.full((40,), 2)
    weighted = adjusted_cross_entropy(*one_label, weight=weight)
    torch.testing.assert_close(weighted, F.cross_entropy(*one_label), **EXACT)


def test_members_meet_at_neutral_parameters():
    given = (*batch(), COUNTS)
    plain = F.cross_entropy(*batch())
    neutral = [("la", {"tau": 0}), ("ldt", {"gamma": 0}), ("cdt", {"gamma": 0})]
    neutral += [("ldam", {"max_margin": 0}), ("vs", {"gamma": 0, "tau": 0})]
    for name, params in neutral:
        torch.testing.assert_close(family_loss(*given, name, **params), plain, **EXACT)
    for a, b in (
        (vs_loss(*given, gamma=0.4), family_loss(*given, "cdt", gamma=0.4)),
        (vs_loss(*given, tau=1.3), family_loss(*given, "la", tau=1.3)),
        (ldt_loss(*given, gamma=0.6), family_loss(*given, "ldt", gamma=0.6)),
    ):
        assert torch.equal(a, b)
    adjusted = batch()[0] + 1.3 * torch.tensor(COUNTS).double().div(608).log()
    expected = F.cross_entropy(adjusted, batch()[1])
    torch.testing.assert_close(vs_loss(*given, tau=1.3), expected, **EXACT)


def test_balanced_classes_leave_only_the_margin():
    plain = F.cross_entropy(*batch())
    for name in set(NAMES) - {"ldam"}:
        found = family_loss(*batch(), [30] * 4, name, **PARAMS[name])
        torch.testing.assert_close(found, plain, **EXACT)


def test_a_row_of_offsets_per_label():
    logits, target = batch()
    iota = torch.arange(16, dtype=torch.float64).view(4, 4) / 7
    found = adjusted_cross_entropy(logits, target, offset=iota, reduction="none")
    expected = F.cross_entropy(logits + iota[target], target, reduction="none")
    torch.testing.assert_close(found, expected, **EXACT)


def test_a_weight_replaces_the_own_one():
    given, weight = (*batch(), COUNTS), [1.0, 2.0, 3.0, 4.0]
    plain = adjusted_cross_entropy(*batch(), weight=weight)
    assert torch.equal(family_loss(*given, "wce", weight=weight), plain)
    found = ldt_loss(*given, gamma=0.6, weight=weight, reduction="none")
    unweighted = ldt_loss(*given, gamma=0.6, reduction="none")
    scale = torch.tensor(weight, dtype=torch.float64)[batch()[1]]
    torch.testing.assert_close(found, scale * unweighted, **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name):
    logits, target = batch(6)
    turned = knobs(name, COUNTS, **PARAMS[name])

    def loss(z, *values):
        given = dict(zip(turned, values))
        return adjusted_cross_entropy(z, target, reduction="none", **given)

    inputs = [x.clone().requires_grad_() for x in (logits, *turned.values())]
    assert torch.autograd.gradcheck(loss, inputs)


@pytest.mark.parametrize("margin", [1.0, 30, 40, 700, -30, -700])
def test_digits_of_large_margins(margin):
    """Of the loss and of its slope, also below machine epsilon."""
    logits = torch.tensor([[margin, 0, -1, 0.5]], dtype=torch.float64)
    logits.requires_grad_()
    loss = adjusted_cross_entropy(logits, torch.tensor([0]))
    (slope,) = torch.autograd.grad(loss, logits)
    with mpmath.workdps(400):
        odds = sum(mpmath.exp(z) for z in (0, -1, 0.5)) * mpmath.exp(-margin)
        expected = float(mpmath.log(1 + odds)), float(-odds / (1 + odds))
    # An exponent near 700 is rounded to 1e-13, and so is its exponential.
    assert loss.item() == pytest.approx(expected[0], rel=5e-13, abs=0)
    assert slope[0, 0].item() == pytest.approx(expected[1], rel=5e-13, abs=0)


def test_single_precision_keeps_losses_below_its_epsilon():
    """Where PyTorch's own cross-entropy rounds to zero."""
    given = torch.tensor([[40.0, 0.0]]), torch.tensor([0])
    assert adjusted_cross_entropy(*given).item() == pytest.approx(math.exp(-40), 1e-5)
    assert F.cross_entropy(*given) == 0


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_inverse_frequency(power):
    weights = inverse_frequency(COUNTS, power)
    expected = 608 / np.power(COUNTS, 1.0 - power).sum()
    expected = expected * np.power(COUNTS, -power)
    assert weights.numpy() == pytest.approx(expected, rel=1e-13)
    assert np.dot(COUNTS, weights.numpy()) == pytest.approx(608, rel=1e-13)


def test_knobs_of_counts():
    ratio = torch.tensor(COUNTS).double() / 500
    torch.testing.assert_close(temperatures(COUNTS, 0.5), ratio.sqrt(), **EXACT)
    assert (temperatures(COUNTS, 0) == 1).all()
    torch.testing.assert_close(log_priors(COUNTS, 2).exp().sqrt().sum().item(), 1.0)


def asymmetric_by_hand(z, y, pos, neg, smoothing) -> float:
    p = np.exp(z.numpy()) / np.exp(z.numpy()).sum()
    total = 0.0
    for c, p_c in enumerate(p):
        t = smoothing / 4 + (1 - smoothing if c == y else 0)
        total -= t * ((1 - p_c) ** pos if c == y else p_c**neg) * math.log(p_c)
    return total


@pytest.mark.parametrize("pos", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("neg", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_asymmetric_loss(pos, neg, smoothing):
    given = {"gamma_pos": pos, "gamma_neg": neg, "smoothing": smoothing}
    found = asymmetric_loss(*batch(), **given, reduction="none")
    pairs = zip(*batch())
    expected = [asymmetric_by_hand(z, y, pos, neg, smoothing) for z, y in pairs]
    assert found.numpy() == pytest.approx(np.array(expected), rel=1e-10, abs=1e-14)
    for reduction in ("mean", "sum"):
        again = asymmetric_loss(*batch(), **given, reduction=reduction)
        torch.testing.assert_close(again, getattr(found, reduction)(), **EXACT)
    if pos == neg == 0:
        plain = F.cross_entropy(*batch(), label_smoothing=smoothing, reduction="none")
        torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-14)
    if smoothing == 0:
        other = asymmetric_loss(*batch(), gamma_pos=pos, gamma_neg=9, reduction="none")
        assert torch.equal(found, other)


def test_asymmetric_loss_has_gradients():
    logits, target = batch(6)
    for pos, neg, smoothing in ((0.5, 1.0, 0.1), (2.0, 4.0, 0.0)):
        given = {"gamma_pos": pos, "gamma_neg": neg, "smoothing": smoothing}

        def loss(z, given=given):
            return asymmetric_loss(z, target, **given, reduction="none")

        assert torch.autograd.gradcheck(loss, logits.clone().requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [40.0, 200.0, 1e4, -1e4])
def test_asymmetric_loss_where_p_rounds_to_one(margin, dtype):
    for pos in (0.0, 0.5, 1.0, 3.0):
        logits = torch.tensor([[margin, 0, 0]], dtype=dtype, requires_grad=True)
        given = {"gamma_pos": pos, "gamma_neg": 0.5, "smoothing": 0.1}
        loss = asymmetric_loss(logits, torch.tensor([0]), **given)
        (slope,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite()
        assert slope.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_permuted_classes(name):
    logits, target = batch()
    order = torch.tensor([2, 0, 3, 1])
    counts = torch.tensor(COUNTS)[order]
    given = {**PARAMS[name], "reduction": "none"}
    found = family_loss(
        logits[:, order], order.argsort()[target], counts, name, **given
    )
    expected = family_loss(logits, target, COUNTS, name, **given)
    torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize("name", [*NAMES, "asymmetric"])
def test_types_and_leading_dimensions(name):
    def loss(z, y, **given):
        if name == "asymmetric":
            return asymmetric_loss(z, y, gamma_pos=1, smoothing=0.1, **given)
        return family_loss(z, y, COUNTS, name, **PARAMS[name], **given)

    logits, target = batch()
    flat = loss(logits, target, reduction="none")
    boxed = loss(logits.view(2, 5, 4, 4), target.view(2, 5, 4), reduction="none")
    assert torch.equal(boxed, flat.view(2, 5, 4))
    assert torch.equal(loss(logits[3], target[3], reduction="none"), flat[3])
    single = loss(logits.float(), target, reduction="none")
    assert single.dtype == torch.float32
    # Logits of order 10 are rounded to 1e-6.
    torch.testing.assert_close(single.double(), flat, rtol=2e-5, atol=1e-6)
    for dtype in (torch.uint8, torch.int8, torch.int32):
        assert torch.equal(loss(logits, target.to(dtype), reduction="none"), flat)


def test_short_label_types_with_many_classes():
    """More classes than the type of the labels can count."""
    logits, target = torch.randn(5, 300), torch.tensor([0, 1, 50, 100, 127])
    plain = F.cross_entropy(logits, target)
    for dtype in (torch.uint8, torch.int8):
        found = adjusted_cross_entropy(logits, target.to(dtype))
        torch.testing.assert_close(found, plain)


def test_counts_of_any_kind():
    expected = family_loss(*batch(), COUNTS, "vs", **PARAMS["vs"])
    for counts in (tuple(COUNTS), np.array(COUNTS), torch.tensor(COUNTS)):
        assert torch.equal(
            family_loss(*batch(), counts, "vs", **PARAMS["vs"]), expected
        )


Z, Y = batch(4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adjusted_cross_entropy(Z, Y, reduction="max"), "reduction is 'max'"),
        (lambda: adjusted_cross_entropy(Z.long(), Y), "logits is torch.int64"),
        (lambda: adjusted_cross_entropy(Z.tolist(), Y), "logits is list"),
        (lambda: adjusted_cross_entropy(Z, Y.double()), "target is torch.float64"),
        (lambda: adjusted_cross_entropy(Z, Y[:2]), r"target is \[2\]: expected \[4\]"),
        (lambda: adjusted_cross_entropy(Z[:, :1], 0 * Y), r"logits is \[4, 1\]"),
        (lambda: adjusted_cross_entropy(Z[:0], Y[:0]), r"logits is \[0, 4\]"),
        (lambda: adjusted_cross_entropy(Z / 0, Y), "logits holds"),
        (lambda: adjusted_cross_entropy(Z, Y + 1), "target holds 4: expected labels"),
        (lambda: adjusted_cross_entropy(Z, Y - 1), "target holds -1: expected labels"),
        (lambda: adjusted_cross_entropy(Z, Y, weight=[1, 2]), r"weight is \[2\]"),
        (lambda: adjusted_cross_entropy(Z, Y, weight=[1, 2, 0, 1]), "weight holds 0"),
        (lambda: adjusted_cross_entropy(Z, Y, weight="abcd"), "weight is 'abcd'"),
        (
            lambda: adjusted_cross_entropy(Z, Y, offset=torch.ones(3, 3)),
            r"offset is \[3, 3\]: expected \[4\] or \[4, 4\]",
        ),
        (
            lambda: adjusted_cross_entropy(Z, Y, offset=[0, 0, 0, math.inf]),
            "offset holds inf",
        ),
        (
            lambda: adjusted_cross_entropy(Z, Y, label_temperature=[1, 1, 1, -2]),
            "label_temperature holds -2",
        ),
        (
            lambda: adjusted_cross_entropy(Z, Y, class_temperature=[1, 1, 1, math.nan]),
            "class_temperature holds nan",
        ),
        (lambda: family_loss(Z, Y, COUNTS, "focal"), "loss is 'focal': expected one"),
        (lambda: family_loss(Z, Y, COUNTS, "vs", gamma=1), "it takes gamma, tau"),
        (lambda: family_loss(Z, Y, COUNTS, "ce", tau=1), "it takes none"),
        (lambda: family_loss(Z, Y, [1, 2], "ce"), r"class_counts is \[2\]"),
        (lambda: family_loss(Z, Y, [1, 2, 0, 3], "ce"), "class_counts holds 0"),
        (lambda: ldt_loss(Z, Y, COUNTS, gamma=math.nan), "gamma is nan"),
        (lambda: ldt_loss(Z, Y, COUNTS, gamma="1"), "gamma is '1'"),
        (lambda: vs_loss(Z, Y, COUNTS, tau=math.inf), "tau is inf"),
        (lambda: knobs("ldam", COUNTS, max_margin=-1), "max_margin is -1: expected 0"),
        (lambda: inverse_frequency([]), r"class_counts is \[0\]"),
        (lambda: inverse_frequency(COUNTS, math.nan), "power is nan"),
        (lambda: asymmetric_loss(Z, Y, smoothing=1.2), "smoothing is 1.2"),
        (lambda: asymmetric_loss(Z, Y, gamma_pos=-1), "gamma_pos is -1"),
        (lambda: asymmetric_loss(Z, Y, gamma_neg=-1), "gamma_neg is -1"),
        (lambda: asymmetric_loss(Z, Y + 1), "target holds 4"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_is_its_formula(gamma):
    z, y = batch()
    p = z.softmax(-1).gather(1, y[:, None])[:, 0]
    expected = -((1 - p) ** gamma) * p.log()
    found = focal_loss(z, y, gamma=gamma, reduction="none")
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(focal_loss(z, y, gamma=gamma), expected.mean())
