"""One loss matrix, any law: identities, not golden numbers."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from tailwise.data.corruption import LAWS, law
from tailwise.methods.calibration import fit_temperature
from tailwise.softad import views
from tailwise.softad.views import dashboard, drift, gave_up

M = 40


def same(a, b, **kwargs):
    """Dashboards agree to the rounding of sums in float64."""
    for name, value in vars(a).items():
        torch.testing.assert_close(
            value, getattr(b, name), rtol=1e-12, atol=1e-12, equal_nan=True, **kwargs
        )


@pytest.fixture(scope="module")
def matrix():
    g = torch.Generator().manual_seed(0)
    losses = torch.empty(3, 2, 6, M, dtype=torch.float64).exponential_(generator=g)
    losses = losses * torch.arange(1, 7)[:, None]
    return losses, torch.rand(3, 2, 6, M, generator=g) < 0.7


@pytest.mark.parametrize("quantile", [0, 0.5, 0.875, 0.9])
def test_a_law_is_a_repetition_of_severities(matrix, quantile):
    losses, correct = matrix
    times = torch.tensor([4, 3, 0, 2, 6, 1])
    view = dashboard(losses, correct, times / 16, quantile)
    repeated = losses.repeat_interleave(times, -2).flatten(-2)
    right = correct.repeat_interleave(times, -2).flatten(-2).double()
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(view.loss_mean, repeated.mean(-1), **close)
    torch.testing.assert_close(view.loss_sd, repeated.std(-1, correction=0), **close)
    torch.testing.assert_close(view.accuracy_average, right.mean(-1), **close)
    # By hand: whole losses from the worst, then the part of one that is missing.
    ordered, share = repeated.sort(-1, descending=True)[0], (1 - quantile) * 16 * M
    whole = math.floor(share + 1e-9)
    tail = ordered[..., :whole].sum(-1)
    if whole < 16 * M:
        tail = tail + (share - whole) * ordered[..., whole]
    torch.testing.assert_close(view.loss_cvar, tail / share, **close)


def test_the_boundary_loss_counts_in_part():
    losses = torch.arange(6.0)[:, None]
    # The worst quarter of six equal weights: one and a half of them.
    view = dashboard(losses, losses < 3, "uniform", 0.75)
    torch.testing.assert_close(view.loss_cvar, torch.tensor((5 + 4 / 2) / 1.5).double())


def test_cvar_is_the_minimum_over_thresholds(matrix):
    losses, correct = matrix
    p, quantile = law("rare"), 0.93
    view = dashboard(losses, correct, p, quantile)
    flat, weight = losses.flatten(-2), (p / M).repeat_interleave(M)
    # Convex and piecewise linear in the threshold: its minimum is at a loss.
    excess = (flat[..., None, :] - flat[..., None]).clamp(min=0)
    value = flat + (excess @ weight) / (1 - quantile)
    torch.testing.assert_close(view.loss_cvar, value.amin(-1))


@pytest.mark.parametrize("name", LAWS)
def test_order_of_mean_and_tail(matrix, name):
    view = dashboard(*matrix, name)
    torch.testing.assert_close(dashboard(*matrix, name, 0).loss_cvar, view.loss_mean)
    assert (view.loss_cvar > view.loss_mean).all()
    worst = dashboard(*matrix, name, 1 - 1e-9).loss_cvar
    torch.testing.assert_close(worst, matrix[0].flatten(-2).amax(-1))


def test_under_the_uniform_law_average_is_balanced(matrix):
    view = dashboard(*matrix, "uniform")
    torch.testing.assert_close(view.accuracy_average, view.accuracy_balanced)
    view = dashboard(*matrix, "rare")
    assert (view.accuracy_average != view.accuracy_balanced).all()


def test_accuracies_of_severities(matrix):
    view = dashboard(*matrix, "rare")
    expected = matrix[1].double().mean(-1)
    assert torch.equal(view.per_severity, expected)
    assert torch.equal(view.accuracy_worst_severity, expected.min(-1)[0])
    torch.testing.assert_close(view.accuracy_average, expected @ law("rare"))
    torch.testing.assert_close(view.accuracy_balanced, expected.mean(-1))


def test_the_order_of_images_does_not_matter(matrix):
    losses, correct = matrix
    order = torch.randperm(M, generator=torch.Generator().manual_seed(1))
    same(
        dashboard(losses[..., order], correct[..., order], "rare"),
        dashboard(losses, correct, "rare"),
    )


def test_members_are_read_one_by_one(matrix):
    losses, correct = matrix
    view = dashboard(losses, correct, "rare")
    one = dashboard(losses[1, 1], correct[1, 1], "rare")
    assert one.loss_mean.shape == ()
    same(views.Dashboard(**{k: v[1, 1] for k, v in vars(view).items()}), one)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_diverged_member_is_nan_and_alone(matrix, bad):
    losses, correct = matrix
    losses = losses.clone()
    losses[2, 0, 5, 7] = bad
    # Also where the law gives its severity no weight.
    for spec in ("rare", (0.5, 0.5, 0, 0, 0, 0)):
        view, before = dashboard(losses, correct, spec), dashboard(*matrix, spec)
        for name, value in vars(view).items():
            assert value[2, 0].isnan().all(), name
            kept = value.isfinite().view(3, 2, -1).all(-1)
            assert kept.sum() == 5, name
            assert torch.equal(value[kept], getattr(before, name)[kept]), name


def test_float32_losses_are_summed_in_float64(matrix):
    losses, correct = matrix[0].float(), matrix[1]
    same(
        dashboard(losses, correct, "rare"), dashboard(losses.double(), correct, "rare")
    )


@pytest.mark.parametrize(
    ("shape", "correct", "spec", "quantile", "message"),
    [
        ((5, 7), (5, 7), "rare", 0.9, r"losses has shape \[5, 7\].*\[..., 6, m\]"),
        ((6,), (6,), "rare", 0.9, r"losses has shape \[6\]"),
        ((6, 0), (6, 0), "rare", 0.9, "not empty"),
        ((0, 6, 4), (0, 6, 4), "rare", 0.9, "not empty"),
        ((2, 6, 4), (6, 4), "rare", 0.9, r"correct is torch.bool \[6, 4\]"),
        ((6, 4), (6, 4), "often", 0.9, "unknown law 'often'"),
        ((6, 4), (6, 4), [0.2] * 6, 0.9, "severity law sums to 1.2"),
        ((6, 4), (6, 4), "rare", 1.0, "quantile = 1.0"),
        ((6, 4), (6, 4), "rare", -0.1, "quantile = -0.1"),
    ],
)
def test_bad_input_is_named(shape, correct, spec, quantile, message):
    with pytest.raises(ValueError, match=message):
        dashboard(torch.ones(shape), torch.ones(correct).bool(), spec, quantile)


def test_correct_must_be_true_or_false():
    with pytest.raises(ValueError, match="correct is torch.float32"):
        dashboard(torch.ones(6, 2), torch.ones(6, 2), "rare")


def test_drift_is_a_dashboard_for_every_time(matrix):
    laws = torch.stack([law(name) for name in LAWS])
    view = drift(*matrix, laws, 0.8)
    assert view.loss_cvar.shape == (3, 3, 2)
    assert view.per_severity.shape == (3, 3, 2, 6)
    for t, name in enumerate(LAWS):
        at = views.Dashboard(**{k: v[t] for k, v in vars(view).items()})
        same(at, dashboard(*matrix, name, 0.8))


def test_drift_names_the_time_of_a_bad_law(matrix):
    laws = torch.stack([law("rare"), 2 * law("rare")])
    with pytest.raises(ValueError, match=r"laws\[1\]: a severity law sums to 2"):
        drift(*matrix, laws)
    with pytest.raises(ValueError, match="laws is empty"):
        drift(*matrix, torch.empty(0, 6))


@pytest.fixture(scope="module")
def predictions():
    g = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 200, 5, generator=g, dtype=torch.float64)
    noisy = torch.rand(2, 200, generator=g) < 0.4
    guess = torch.randint(0, 5, (2, 200), generator=g)
    y = torch.where(noisy, guess, logits.argmax(-1))
    # Members are the same logits over-confident, shy and as they are.
    scale = torch.tensor([6.0, 0.05, 1.0], dtype=torch.float64)[:, None, None]
    return logits[:, None] * scale, y[:, None], torch.rand(2, 1, 200, generator=g)


def cross_entropy(logits, y, weights, T):
    loss = torch.nn.functional.cross_entropy(logits / T, y, reduction="none")
    return ((weights * loss).sum() / weights.sum()).item()


@pytest.mark.parametrize("weighted", [False, True])
def test_temperatures_are_those_of_scipy(predictions, weighted):
    logits, y, weights = predictions
    T = fit_temperature(logits, y, weights if weighted else None)
    assert T.shape == (2, 3)
    weights = weights if weighted else torch.ones_like(weights)
    for s in range(2):
        for j in range(3):
            args = logits[s, j], y[s, 0], weights[s, 0]
            found = minimize_scalar(
                lambda u, args=args: cross_entropy(*args, math.exp(u)),
                bounds=(-6, 6),
                method="bounded",
                options={"xatol": 1e-9},
            )
            # A minimum is flat: scipy sees it to the root of machine precision.
            assert abs(math.log(T[s, j]) - found.x) < 1e-6


def test_temperature_undoes_a_scale(predictions):
    logits, y, _ = predictions
    T = fit_temperature(logits, y)
    ratio = torch.tensor([6.0, 0.05, 1.0], dtype=torch.float64)
    torch.testing.assert_close(T / T[:, 2:], ratio.expand(2, 3), rtol=1e-8, atol=0)
    assert (T[:, 0] > 1).all()
    assert (T[:, 1] < 1).all()


def test_weights_count_repetitions(predictions):
    logits, y, _ = predictions
    times = torch.arange(200) % 3
    rows = torch.arange(200).repeat_interleave(times)
    torch.testing.assert_close(
        fit_temperature(logits, y, times),
        fit_temperature(logits[..., rows, :], y[..., rows]),
    )


def test_temperature_stays_within_bounds():
    logits = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))
    right, wrong = logits.argmax(-1), logits.argmin(-1)
    T = fit_temperature(logits, right)
    torch.testing.assert_close(T, torch.full_like(T, 1e-3), rtol=1e-12, atol=0)
    T = fit_temperature(logits, wrong, bounds=(0.5, 20))
    torch.testing.assert_close(T, torch.full_like(T, 20), rtol=1e-12, atol=0)


def test_a_diverged_member_has_no_temperature(predictions):
    logits, y, _ = predictions
    broken = logits.clone()
    broken[0, 1, 3, 2] = math.inf
    T, before = fit_temperature(broken, y), fit_temperature(logits, y)
    assert T[0, 1].isnan()
    kept = T.isfinite()
    assert kept.sum() == 5
    torch.testing.assert_close(T[kept], before[kept])


@pytest.mark.parametrize(
    ("shape", "y", "weights", "message"),
    [
        ((5,), [0], None, "logits has shape"),
        ((0, 3), [], None, "not empty"),
        ((4, 3), [0, 1], None, r"y has shape \[2\].*\[4\]"),
        ((2, 3), [0, 3], None, "labels from 0 to 2"),
        ((2, 3), [0.0, 1.0], None, "int64"),
        ((2, 3), [0, 1], [1.0, 1.0, 1.0], r"weights has shape \[3\]"),
        ((2, 3), [0, 1], [2.0, -1.0], "not negative"),
        ((2, 3), [0, 1], [0.0, 0.0], "not all zero"),
    ],
)
def test_bad_predictions_are_named(shape, y, weights, message):
    weights = None if weights is None else torch.tensor(weights)
    with pytest.raises(ValueError, match=message):
        fit_temperature(torch.zeros(shape), torch.tensor(y), weights)


@pytest.mark.parametrize("bounds", [(0, 1), (2, 1), (1, math.inf)])
def test_bad_bounds_are_named(bounds):
    with pytest.raises(ValueError, match="bounds = .*expected 0 < low < high"):
        fit_temperature(torch.zeros(2, 3), torch.tensor([0, 1]), bounds=bounds)


def test_giving_up_is_a_loss_near_that_of_a_constant():
    for k in (2, 10):
        loss = torch.tensor([0.949, 0.951, 1.0, 3.0, math.nan]) * np.log(k)
        assert gave_up(loss, k).tolist() == [False, True, True, True, False]
        assert gave_up(loss, k, within=0.2)[0]
    with pytest.raises(ValueError, match="n_classes = 1"):
        gave_up(torch.ones(1), 1)
