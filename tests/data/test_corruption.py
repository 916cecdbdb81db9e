"""Severity laws, paired draws, and noise of the size that is asked for."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tailwise.data import corruption, fashion
from tailwise.data.corruption import LAWS, boundary_angle, corrupt, law

SIZES = {"n_train": 300, "n_val": 200, "n_test": 50}


@cache
def drawn(name):
    """Two seeds under a law."""
    return corruption.draw(name, 2, **SIZES)


def pixels(x):
    """Undo the standardisation."""
    return x * corruption.PIXEL_SD + corruption.PIXEL_MEAN


def halved(images):
    """Mean of 2 x 2 pixels, in [0, 1]."""
    corners = [images[..., a::2, b::2].double() for a in (0, 1) for b in (0, 1)]
    return sum(corners) / (4 * 255)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", LAWS)
def test_laws_are_probabilities(name):
    assert abs(sum(LAWS[name]) - 1) < 1e-15
    assert law(name).dtype == torch.float64
    torch.testing.assert_close(law(name), torch.tensor(LAWS[name]).double())
    torch.testing.assert_close(law(law(name).float()), law(name), rtol=1e-6, atol=0)
    assert abs(law(law(name).float()).sum() - 1) < 1e-15


def test_laws_are_a_clipped_poisson_and_its_mirror():
    expected = [math.exp(-1) / math.factorial(s) for s in range(40)]
    clipped = torch.tensor([*expected[:5], sum(expected[5:])], dtype=torch.float64)
    torch.testing.assert_close(law("rare"), clipped)
    torch.testing.assert_close(law("reversed"), clipped.flip(0))
    assert law("uniform").unique().numel() == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("frequent", "unknown law 'frequent'.*rare, uniform, reversed"),
        ((0.5, 0.5), r"shape \[2\]: expected \[6\]"),
        ((0.5,) * 6, "sums to 3"),
        ((1.5, -0.5, 0, 0, 0, 0), r"negative.*-0\.5"),
        ((math.nan, 1, 0, 0, 0, 0), "nan"),
    ],
)
def test_a_bad_law_says_what_is_wrong(given, message):
    with pytest.raises(ValueError, match=message):
        law(given)
    with pytest.raises(ValueError, match=message):
        corruption.draw(given, 1, **SIZES)


def test_severity_zero_is_the_clean_image_at_half_size():
    images = torch.from_numpy(fashion.load("test").images[:20].copy())
    x = corrupt(images, torch.zeros(20, dtype=torch.int64), generator=gen())
    assert x.shape == (20, 14, 14)
    assert x.dtype == torch.float32
    # One rounding of standardising and undoing it, in float32.
    assert (pixels(x) - halved(images)).abs().max() < 1e-6


def test_noise_has_its_nominal_size():
    n, grey = 1500, 128 / 255
    images = torch.full((n, 28, 28), 128, dtype=torch.uint8)
    for s, sd in enumerate((0, 0.15, 0.3, 0.45, 0.65, 0.9)):
        x = corrupt(images, torch.full((n,), s), generator=gen(s))
        # Clipped normal: E[min(max(z, a), b)^2] by numerical integration.
        z = np.linspace(-8, 8, 200_001)
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
        clipped = np.clip(grey + sd * z, 0, 1)
        mean = (density * clipped).sum()
        pooled_sd = math.sqrt((density * (clipped - mean) ** 2).sum()) / 2
        found = pixels(x).double()
        count = found.numel()
        # Four standard errors; of an s.d. of nearly normal numbers sd / sqrt(2 n).
        assert abs(found.mean() - mean) <= 4 * pooled_sd / math.sqrt(count) + 1e-6, s
        error = 4 * pooled_sd / math.sqrt(2 * count) + 1e-6
        assert abs(found.std() - pooled_sd) <= error, s


def test_images_of_one_batch_get_their_own_severity():
    images = torch.full((120, 28, 28), 128, dtype=torch.uint8)
    level = torch.arange(6).repeat(20)
    spread = corrupt(images, level, generator=gen()).std((1, 2))
    means = torch.stack([spread[level == s].mean() for s in range(6)])
    assert (means.diff() > 0).all()
    assert means[0] == 0


def test_arrays_are_taken_and_left_unchanged():
    images = fashion.load("test").images[:5]
    level = torch.full((5,), 3)
    x = corrupt(images, level, generator=gen())
    same = corrupt(torch.from_numpy(images.copy()), level, generator=gen())
    assert torch.equal(x, same)


@pytest.mark.parametrize(
    ("shape", "severity", "message"),
    [
        ((3, 28, 28), [0, 1], r"images is torch.uint8 \[3, 28, 28\].*\[2, 28, 28\]"),
        ((2, 14, 14), [0, 1], r"images is .*\[2, 14, 14\]"),
        ((2, 28, 28), [0, 6], r"severity has \[0, 6\]"),
        ((2, 28, 28), [-1, 0], r"severity has \[-1, 0\]"),
        ((2, 28, 28), [0.0, 1.0], "severity is torch.float32"),
        ((2, 28, 28), 1, "severity is"),
    ],
)
def test_bad_images_or_severities_are_refused(shape, severity, message):
    images = torch.zeros(shape, dtype=torch.uint8)
    with pytest.raises(ValueError, match=message):
        corrupt(images, torch.tensor(severity), generator=gen())
    with pytest.raises(ValueError, match=r"torch.float32.*expected torch.uint8"):
        corrupt(torch.zeros(1, 28, 28), torch.tensor([0]), generator=gen())


def test_a_draw_has_the_shapes_it_states():
    out = drawn("rare")
    assert out.train.x.shape == (2, 300, 14, 14)
    assert out.val.severity.shape == out.val.y.shape == (2, 200)
    assert out.test.x.shape == (2, 6, 50, 14, 14)
    assert out.test.severity.shape == (2, 6, 50)
    assert out.test.y.shape == out.test.source.shape == (2, 50)
    for part in (out.train, out.val, out.test):
        assert part.x.dtype == torch.float32
        assert part.y.dtype == part.severity.dtype == torch.int64


@pytest.mark.parametrize("name", LAWS)
def test_no_garment_is_in_both_train_and_val(name):
    # With sizes that use up the pool, so that an overlap cannot hide.
    out = corruption.draw(name, 1, n_train=14_500, n_val=500, n_test=1)
    for one in (out, drawn(name)):
        for train, val in zip(one.train.source, one.val.source):
            together = torch.cat([train, val])
            assert together.unique().numel() == together.numel()


def test_sources_and_labels_belong_to_the_images():
    for split, part in (("test", drawn("rare").test), ("train", drawn("rare").train)):
        data = fashion.load(split)
        labels = torch.from_numpy(data.labels)
        assert torch.equal(part.y, labels[part.source])
        x = part.x if split == "train" else part.x[:, 0]
        clean = part.severity == 0 if split == "train" else part.severity[:, 0] == 0
        expected = halved(torch.from_numpy(data.images.copy())[part.source])
        assert clean.sum() > 50
        assert (pixels(x) - expected)[clean].abs().max() < 1e-6


@pytest.mark.parametrize("other", ["uniform", "reversed"])
def test_laws_share_all_but_the_severities(other):
    a, b = drawn("rare"), drawn(other)
    for split in ("train", "val"):
        p, q = getattr(a, split), getattr(b, split)
        assert torch.equal(p.source, q.source)
        assert torch.equal(p.y, q.y)
        # The same uniform: a law with more weight on high severities never lowers one.
        assert (p.severity <= q.severity).all()
        assert (p.severity < q.severity).any()
        alike = p.severity == q.severity
        assert alike.any()
        assert torch.equal(p.x[alike], q.x[alike])
    assert torch.equal(a.test.x, b.test.x)


def test_noise_patterns_are_scaled_not_redrawn():
    # Under two laws a garment that is unclipped in both has noise in the ratio of s.d.
    images = torch.full((50, 28, 28), 128, dtype=torch.uint8)
    low, high = (
        corrupt(images, torch.full((50,), s), generator=gen(1)) for s in (1, 2)
    )
    noise = [(pixels(x) - 128 / 255).flatten() for x in (low, high)]
    assert torch.corrcoef(torch.stack(noise))[0, 1] > 0.98


@pytest.mark.parametrize("name", LAWS)
def test_severities_follow_the_law(name):
    severity = drawn(name).train.severity
    found = severity.flatten().bincount(minlength=6) / severity.numel()
    p = law(name)
    # Four standard errors of a share, and one garment for the rarest.
    error = 4 * (p * (1 - p) / severity.numel()).sqrt() + 1 / severity.numel()
    assert ((found - p).abs() <= error).all()


def test_a_severity_without_weight_is_not_drawn():
    out = corruption.draw((0, 0, 0.5, 0.5, 0, 0), 1, **SIZES)
    assert out.train.severity.unique().tolist() == [2, 3]


def test_test_garments_are_seen_at_every_severity():
    test = drawn("rare").test
    for s in range(6):
        assert (test.severity[:, s] == s).all()
    # Farther from the clean image at every step, for every garment.
    gap = (test.x - test.x[:, :1]).flatten(-2).norm(dim=-1)
    assert (gap.diff(dim=1) > 0).all()


def test_seeds_differ_and_do_not_depend_on_how_many_there_are():
    one, two = corruption.draw("rare", 1, **SIZES), drawn("rare")
    for split in ("train", "val", "test"):
        a, b = getattr(one, split), getattr(two, split)
        for name in vars(a):
            assert torch.equal(getattr(a, name)[0], getattr(b, name)[0])
        assert not torch.equal(b.source[0], b.source[1])
    other = corruption.draw("rare", 1, **SIZES, seed=1)
    assert not torch.equal(other.train.source, one.train.source)


def test_train_and_val_do_not_share_their_noise():
    a, b = drawn("reversed").train, drawn("reversed").val
    assert not torch.equal(a.severity[:, :200], b.severity)
    assert not torch.equal(drawn("rare").train.x[0, :5], drawn("rare").train.x[1, :5])


def test_a_larger_training_set_contains_the_smaller_and_leaves_the_rest():
    large = corruption.draw("rare", 2, **(SIZES | {"n_train": 600}))
    small = drawn("rare")
    assert torch.equal(large.train.source[:, :300], small.train.source)
    assert torch.equal(large.val.x, small.val.x)
    assert torch.equal(large.test.x, small.test.x)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_train": 14_900}, "n_train \\+ n_val = 15100.*15000"),
        ({"n_test": 5_001}, "n_test = 5001.*5000"),
        ({"n_val": 0}, "300, 0, 50: expected ≥ 1"),
    ],
)
def test_sizes_that_cannot_be_drawn_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        corruption.draw("rare", 1, **(SIZES | sizes))


@pytest.mark.parametrize(
    ("hard", "expected"), [(0.03, 0.98), (0.15, 0.95), (0.40, 0.90)]
)
def test_the_toy_is_as_difficult_as_it_should_be(hard, expected):
    accuracy, angles = [], []
    for seed in range(10):
        X, y, _ = corruption.rotated_gaussians(hard, 500, generator=gen(seed))
        new_X, new_y, _ = corruption.rotated_gaussians(
            hard, 20_000, generator=gen(99 + seed)
        )
        erm = LogisticRegression(C=100).fit(X.numpy(), y.numpy())
        accuracy.append(erm.score(new_X.numpy(), new_y.numpy()))
        angles.append(boundary_angle(torch.from_numpy(erm.coef_)).item())
    # The accuracies are stated to a hundredth; the rest is 10 fits' noise.
    assert abs(np.mean(accuracy) - expected) < 0.0075
    assert 0 < np.mean(angles) < 50


def test_hard_points_lie_on_the_turned_axis():
    n = 20_000
    X, y, hard = corruption.rotated_gaussians(0.25, n, generator=gen())
    assert X.dtype == torch.float32
    assert hard.sum() == n // 4
    turn = math.radians(75)
    for mask, radius, angle in ((hard, 1.15, turn), (~hard, 2.2, 0.0)):
        signed = X[mask] * (2 * y[mask] - 1)[:, None]
        mean = torch.tensor([radius * math.cos(angle), radius * math.sin(angle)])
        error = 4 / math.sqrt(mask.sum())  # unit noise
        assert ((signed.mean(0) - mean).abs() < error).all()
        assert ((signed.std(0) - 1).abs() < error / math.sqrt(2)).all()
        assert abs(y[mask].double().mean() - 0.5) < error / 2


@pytest.mark.parametrize("hard", [0, 1])
def test_all_points_can_be_easy_or_hard(hard):
    mask = corruption.rotated_gaussians(hard, 10, generator=gen())[2]
    assert mask.tolist() == [bool(hard)] * 10


@pytest.mark.parametrize(("hard", "n"), [(-0.1, 5), (1.1, 5), (math.nan, 5), (0.5, 0)])
def test_a_share_that_is_none_is_refused(hard, n):
    with pytest.raises(ValueError, match="expected 0 ≤ hard ≤ 1 and n ≥ 1"):
        corruption.rotated_gaussians(hard, n, generator=gen())


def test_angles_of_known_directions():
    turn = math.radians(75)
    coef = torch.tensor(
        [[3, 0], [math.cos(turn), math.sin(turn)], [1, 1], [-1, 0], [0, -2], [0, 0]]
    )
    expected = torch.tensor([0, 75, 45, 180, -90, torch.nan])
    torch.testing.assert_close(boundary_angle(coef), expected, equal_nan=True)
    assert boundary_angle(coef.view(2, 3, 2)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"\[4, 3\]"):
        boundary_angle(torch.ones(4, 3))
