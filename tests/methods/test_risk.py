"""Risk rules against autograd, numeric minimisers, their limits and one another."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from tailwise.methods import risk

SEEDS = range(5)
# One setting per rule that is neither a limit nor symmetric.
SETTINGS = {
    "erm": {},
    "flooding": {"tau": 0.7},
    "iflood": {"tau": 0.7},
    "softad": {"tau": 0.7},
    "cvar": {"quantile": 0.63},
    "chi2_dro": {"radius": 0.8},
    "tilted": {"gamma": 0.6},
    "softad_cvar": {"tau": 0.7, "quantile": 0.63},
    "softad_dro": {"tau": 0.7, "radius": 0.8},
    "cvar_softad": {"tau": 0.7, "quantile": 0.63},
    "frozen_cvar_softad": {"tau": 0.7, "quantile": 0.63},
    "auto_softad": {"share": 0.2},
}
SUM_TO_ONE = ("erm", "cvar", "chi2_dro", "tilted")
# Their thresholds are held fixed by definition, so that weights are no differences.
BY_DEFINITION = ("softad_cvar", "softad_dro", "auto_softad")
LEVELLED = [rule for rule in SETTINGS if rule not in SUM_TO_ONE]
# Weights are at most 1 and come from some ten operations on sums of at most 60 terms.
EXACT = dict(rtol=0, atol=1e-14)
# Thresholds and values of the size of the losses, < 50.
CLOSE = dict(rtol=1e-12, atol=1e-12)


def batch(seed, *members):
    """Heavy-tailed losses [*members, n] of a random n between 5 and 60."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 60))
    return torch.from_numpy(rng.lognormal(-0.5, 1.0, (*members, n)))


def gradient(losses, rule, **params):
    losses = losses.clone().requires_grad_()
    risk.objective(losses, rule, **params).sum().backward()
    return losses.grad


def same(found, expected, **tolerance):
    expected = torch.as_tensor(expected, dtype=found.dtype)
    torch.testing.assert_close(
        found, expected, check_stride=False, **tolerance or CLOSE
    )


def own_params(rule, members):
    """A different level for each of the members [S, B]."""
    spread = torch.linspace(0.9, 1.1, math.prod(members)).double().reshape(members)
    return {name: value * spread for name, value in SETTINGS[rule].items()}


# Weights and objectives


def test_every_rule_is_tried():
    assert list(SETTINGS) == list(risk.RULES)
    assert all(set(risk.RULES[r].params) == set(p) for r, p in SETTINGS.items())


@pytest.mark.parametrize("rule", SETTINGS)
@pytest.mark.parametrize("seed", SEEDS)
def test_weights_are_the_gradient(rule, seed):
    losses = batch(seed, 3)
    weights = risk.example_weights(losses, rule, **SETTINGS[rule])
    assert weights.shape == losses.shape
    same(weights, gradient(losses, rule, **SETTINGS[rule]), **EXACT)


@pytest.mark.parametrize("rule", [r for r in SETTINGS if r not in BY_DEFINITION])
@pytest.mark.parametrize("seed", SEEDS)
def test_weights_are_differences_of_the_objective(rule, seed):
    losses, params, step = batch(seed), SETTINGS[rule], 1e-6
    moved = step * torch.eye(len(losses)).double()
    rise = risk.objective(losses + moved, rule, **params)
    fall = risk.objective(losses - moved, rule, **params)
    expected = risk.example_weights(losses, rule, **params)
    # Both values are rounded a few times, at the size of the largest loss.
    rounding = 8 * torch.finfo(losses.dtype).eps * (1 + losses.max().item()) / step
    same((rise - fall) / (2 * step), expected, rtol=0, atol=rounding)


@pytest.mark.parametrize("rule", BY_DEFINITION)
@pytest.mark.parametrize("seed", SEEDS)
def test_pointwise_rules_follow_their_definition(rule, seed):
    losses, params, n = batch(seed), SETTINGS[rule], batch(seed).shape[-1]
    if rule == "softad_cvar":
        # A count that is whole, so that the hinge has no kink at a loss.
        params = {"tau": 0.7, "quantile": (n // 2) / n}
        th, slope = losses.sort().values[n // 2 - 1], n / (n - n // 2)
        T = th + slope * (losses - th).relu()
    elif rule == "softad_dro":
        th, slope = risk.chi2_threshold(losses, 0.8), math.sqrt(2.6)
        T = th + slope * (losses - th).relu()
    else:
        params, slope, T = {"share": 0.2}, 1, losses
    tau = params.get("tau", losses.quantile(0.2))
    value = ((1 + (T - tau) ** 2).sqrt() - 1).mean() + tau
    same(risk.objective(losses, rule, **params), value)
    above = torch.ones(n) if rule == "auto_softad" else losses > th
    expected = slope * (T - tau) / (1 + (T - tau) ** 2).sqrt() * above / n
    same(risk.example_weights(losses, rule, **params), expected, **EXACT)


@pytest.mark.parametrize("rule", SETTINGS)
def test_members_are_a_loop(rule):
    losses, params = batch(1, 2, 3), own_params(rule, (2, 3))
    weights = risk.example_weights(losses, rule, **params)
    values = risk.objective(losses, rule, **params)
    assert values.shape == (2, 3)
    same(risk.weights_of(rule, losses, params), weights, **EXACT)
    for s, b in np.ndindex(2, 3):
        own = {name: value[s, b].item() for name, value in params.items()}
        same(weights[s, b], risk.example_weights(losses[s, b], rule, **own), **EXACT)
        same(values[s, b], risk.objective(losses[s, b], rule, **own))


@pytest.mark.parametrize("rule", LEVELLED)
def test_a_parameter_broadcasts_over_members(rule):
    losses = batch(2, 2, 3)
    params = {name: value * torch.ones(3) for name, value in SETTINGS[rule].items()}
    expected = risk.example_weights(losses, rule, **SETTINGS[rule])
    # The parameters come in single precision.
    found = risk.example_weights(losses, rule, **params)
    same(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", SETTINGS)
def test_weights_carry_no_graph(rule):
    losses = batch(0, 2).requires_grad_()
    params = {name: torch.tensor(v) for name, v in SETTINGS[rule].items()}
    params = {name: value.requires_grad_() for name, value in params.items()}
    assert not risk.example_weights(losses, rule, **params).requires_grad
    assert risk.objective(losses, rule, **params).requires_grad


@pytest.mark.parametrize("rule", SETTINGS)
@pytest.mark.parametrize("seed", SEEDS)
def test_sums_and_signs(rule, seed):
    weights = risk.example_weights(batch(seed, 4), rule, **SETTINGS[rule])
    total = weights.sum(-1)
    if rule in SUM_TO_ONE:
        assert (weights >= 0).all()
        same(total, torch.ones(4), **EXACT)
    elif rule == "flooding":
        same(total.abs(), torch.ones(4), **EXACT)
    else:
        most = {"frozen_cvar_softad": 1 / 0.37, "softad_dro": math.sqrt(2.6)}
        assert (weights.abs().sum(-1) <= most.get(rule, 1) + 1e-14).all()


@pytest.mark.parametrize("rule", SETTINGS)
@pytest.mark.parametrize("seed", SEEDS)
def test_order_does_not_matter(rule, seed):
    losses, params = batch(seed).round(decimals=1), SETTINGS[rule]  # with ties
    order = torch.randperm(len(losses), generator=torch.Generator().manual_seed(seed))
    weights = risk.example_weights(losses, rule, **params)
    same(risk.example_weights(losses[order], rule, **params), weights[order], **EXACT)
    _, member = losses.unique(return_inverse=True)
    first = torch.stack([weights[member == m][0] for m in range(member.max() + 1)])
    same(weights, first[member], **EXACT)


@pytest.mark.parametrize("rule", SUM_TO_ONE)
def test_a_constant_adds_to_the_value_only(rule):
    losses, params = batch(3, 4), SETTINGS[rule]
    weights = risk.example_weights(losses, rule, **params)
    # Losses of 100 keep 1e-14 of their differences, weights 1e2 times that.
    same(
        risk.example_weights(losses + 100, rule, **params), weights, rtol=0, atol=1e-12
    )
    value = risk.objective(losses, rule, **params)
    same(risk.objective(losses + 100, rule, **params), value + 100)


# All but the frozen one, whose threshold stays at 0.
@pytest.mark.parametrize("rule", [r for r in LEVELLED if "frozen" not in r])
def test_a_constant_on_losses_and_level_changes_no_weight(rule):
    losses, params = batch(3, 4), SETTINGS[rule]
    moved = params | ({"tau": params["tau"] + 100} if "tau" in params else {})
    weights = risk.example_weights(losses, rule, **params)
    found = risk.example_weights(losses + 100, rule, **moved)
    same(found, weights, rtol=0, atol=1e-12)


# CVaR


def cvar_dual(th, losses, quantile):
    return th + (losses - th).clip(0).mean() / (1 - quantile)


def dro_dual(th, losses, radius):
    return th + math.sqrt(1 + 2 * radius) * math.sqrt(
        ((losses - th).clip(0) ** 2).mean()
    )


def minimum(dual, losses, level):
    losses = losses.numpy()
    # The chi2 threshold lies within sd / sqrt(2 radius) of the mean.
    low = losses.min() - 20 * np.ptp(losses)
    found = minimize_scalar(
        dual,
        args=(losses, level),
        bounds=(low, losses.max()),
        method="bounded",
        options=dict(xatol=1e-12, maxiter=2000),
    )
    return found.x, found.fun


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("quantile", [0.05, 0.37, 0.5, 0.81, 0.993])
def test_cvar_is_the_minimum_of_its_dual(seed, quantile):
    losses = batch(seed)
    _, value = minimum(cvar_dual, losses, quantile)
    # The search stops at a step of 1e-8 times its range; the dual's slopes are < 150.
    same(risk.objective(losses, "cvar", quantile=quantile), value, rtol=0, atol=1e-4)


@pytest.mark.parametrize("quantile", np.arange(0, 1, 0.1).tolist())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cvar_of_a_whole_count_is_the_mean_of_the_worst(quantile, dtype):
    losses = torch.randperm(10, generator=torch.Generator().manual_seed(0)).to(dtype)
    count = 10 - round(10 * quantile)
    found = risk.example_weights(losses, "cvar", quantile=quantile)
    same(found, (losses >= 10 - count) / count, rtol=0, atol=1e-7)


def test_a_fractional_count_is_shared():
    losses = torch.tensor([4.0, 1.0, 3.0, 2.0, 0.0]).double()
    # The worst 2.5 points: two whole ones and half of the third.
    found = risk.example_weights(losses, "cvar", quantile=0.5)
    same(found, [0.4, 0.0, 0.4, 0.2, 0.0], **EXACT)


@pytest.mark.parametrize("quantile", [0.0, 0.3, 0.5, 0.7, 0.95])
def test_ties_at_the_threshold_share_what_is_left(quantile):
    losses = torch.tensor([2.0, 1.0, 2.0, 1.0, 1.0, 5.0, 0.0]).double()
    weights = risk.example_weights(losses, "cvar", quantile=quantile)
    same(weights.sum(), 1.0, **EXACT)
    # The dual has its kinks, so its minimum too, at the losses.
    value = min(cvar_dual(th, losses.numpy(), quantile) for th in losses.tolist())
    same(risk.objective(losses, "cvar", quantile=quantile), value)


@pytest.mark.parametrize("quantile", [0.9, 0.95, 1 - 1e-12, 1 - 2**-53])
def test_cvar_of_less_than_one_point_is_the_maximum(quantile):
    losses = torch.arange(10.0).double()
    same(risk.objective(losses, "cvar", quantile=quantile), 9.0)


# Chi-square


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("radius", [0.01, 0.3, 1.0, 1.9])
def test_chi2_is_the_minimum_of_its_dual(seed, radius):
    losses = batch(seed)
    th, value = minimum(dro_dual, losses, radius)
    same(risk.objective(losses, "chi2_dro", radius=radius), value, rtol=1e-10, atol=0)
    # A minimum is flat: its place is known to the root of the value's precision.
    same(risk.chi2_threshold(losses, radius), th, rtol=0, atol=1e-4)
    found = risk.chi2_threshold(losses, radius).item()
    exact = dro_dual(found, losses.numpy(), radius)
    same(risk.objective(losses, "chi2_dro", radius=radius), exact)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("radius", [0.01, 0.3, 1.0, 1.9])
def test_chi2_weights_lie_on_the_ball_and_beat_the_rest_of_it(seed, radius):
    losses = batch(seed)
    n = len(losses)
    weights = risk.example_weights(losses, "chi2_dro", radius=radius)
    same(((n * weights - 1) ** 2).mean() / 2, radius, rtol=1e-12, atol=0)
    ess = risk.effective_sample_size(weights)
    same(ess, n / (1 + 2 * radius), rtol=1e-12, atol=0)
    # Other weights of the ball: towards random ones, up to its border.
    rng = np.random.default_rng(seed)
    other = torch.from_numpy(rng.dirichlet(np.full(n, 0.1), 500))
    other = torch.cat([other, weights + 0.05 * (other - weights)])
    reach = ((n * other - 1) ** 2).mean(-1, keepdim=True) / 2
    other = 1 / n + (other - 1 / n) * (radius / reach).sqrt().clamp_max(1)
    assert (other @ losses).max() <= weights @ losses + 1e-12


def test_the_largest_radius_puts_all_on_the_worst():
    losses = batch(0, 3)
    n = losses.shape[-1]
    weights = risk.example_weights(losses, "chi2_dro", radius=(n - 1) / 2)
    same(weights, (losses == losses.amax(-1, keepdim=True)).double(), **EXACT)
    same(risk.chi2_threshold(losses, (n - 1) / 2), losses.amax(-1))


def test_a_ball_that_holds_all_mass_on_ties():
    losses = torch.tensor([3.0, 3.0, 1.0, 0.0, 2.0, 1.0]).double()
    # All mass on two of six points: mean (n p - 1)^2 / 2 = (6 / 2 - 1) / 2 = 1.
    for radius in (1.0, 1.4, 2.5):
        weights = risk.example_weights(losses, "chi2_dro", radius=radius)
        same(weights, (losses == 3) / 2, rtol=0, atol=1e-7)
        same(risk.objective(losses, "chi2_dro", radius=radius), 3.0)
    weights = risk.example_weights(losses, "chi2_dro", radius=0.9)
    same(((6 * weights - 1) ** 2).mean() / 2, 0.9)


@pytest.mark.parametrize("rule", SUM_TO_ONE)
@pytest.mark.parametrize("level", [-7.1, 0.0, math.log(10)])
def test_equal_losses_have_equal_weights(rule, level):
    losses = torch.full((2, 9), level).double()
    found = risk.example_weights(losses, rule, **SETTINGS[rule])
    same(found, torch.full((2, 9), 1 / 9), rtol=0, atol=1e-8)
    same(gradient(losses, rule, **SETTINGS[rule]), found, **EXACT)
    same(
        risk.objective(losses, rule, **SETTINGS[rule]),
        torch.full((2,), level),
        rtol=1e-7,
        atol=1e-7,
    )


@pytest.mark.parametrize("rule", ["softad_cvar", "softad_dro", "cvar_softad"])
def test_equal_losses_still_train(rule):
    found = risk.example_weights(torch.full((9,), 2.3), rule, **SETTINGS[rule])
    assert (found > 0).all()


def test_thresholds_of_members_have_their_shape():
    losses, levels = batch(0, 2, 3), torch.rand(2, 3).double()
    assert risk.chi2_threshold(losses, levels).shape == (2, 3)


# Limits


@pytest.mark.parametrize(
    ("rule", "params"),
    [
        ("softad", {"tau": -1e9}),
        ("flooding", {"tau": -1e9}),
        ("iflood", {"tau": -1e9}),
        ("cvar", {"quantile": 0.0}),
        ("tilted", {"gamma": 1e-12}),
        ("chi2_dro", {"radius": 1e-22}),
    ],
)
def test_limits_that_are_the_mean(rule, params):
    losses = batch(4, 3)
    expected = risk.example_weights(losses, "erm")
    same(risk.example_weights(losses, rule, **params), expected, rtol=0, atol=1e-10)
    if "tau" not in params:
        same(risk.objective(losses, rule, **params), losses.mean(-1), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("rule", "params", "limit"),
    [
        ("softad_cvar", {"tau": -1e9, "quantile": 0.63}, "cvar"),
        ("cvar_softad", {"tau": -1e9, "quantile": 0.63}, "cvar"),
        ("softad_cvar", {"tau": 0.7, "quantile": 0.0}, "softad"),
        ("softad_dro", {"tau": 0.7, "radius": 1e-18}, "softad"),
    ],
)
def test_compositions_end_in_their_parts(rule, params, limit):
    losses = batch(5, 3)
    expected = risk.example_weights(losses, limit, **SETTINGS[limit])
    same(risk.example_weights(losses, rule, **params), expected, rtol=0, atol=1e-7)


def test_scaled_losses_make_the_switch_hard():
    losses = batch(6, 3)
    hard = risk.example_weights(losses, "iflood", tau=0.7)
    soft = risk.example_weights(losses * 1e9, "softad", tau=0.7e9)
    same(soft, hard, rtol=0, atol=1e-10)
    mean = risk.example_weights(losses * 1e9, "cvar_softad", tau=0.7e9, quantile=0.0)
    same(mean, risk.example_weights(losses, "flooding", tau=0.7), rtol=0, atol=1e-10)


def test_a_strong_tilt_is_the_maximum():
    losses = batch(6, 3)
    same(
        risk.objective(losses, "tilted", gamma=1e6), losses.amax(-1), rtol=1e-5, atol=0
    )


# Readings of one composition


@pytest.mark.parametrize("seed", SEEDS)
def test_the_frozen_threshold_is_soft_flooding_of_the_mean(seed):
    losses, tau, quantile = batch(seed, 3), 0.7, 0.63
    mean = losses.mean(-1) / (1 - quantile)
    value = risk.objective(losses, "frozen_cvar_softad", tau=tau, quantile=quantile)
    same(value, risk.rho(mean - tau) + tau)
    found = risk.example_weights(
        losses, "frozen_cvar_softad", tau=tau, quantile=quantile
    )
    # All equal: no loss of the tail counts for more.
    same(found, found[:, :1].expand_as(found), **EXACT)
    n = losses.shape[-1]
    same(found.sum(-1), risk.rho_slope(mean - tau) / (1 - quantile), **EXACT)
    same(risk.effective_sample_size(found), torch.full((3,), n))


def test_the_frozen_threshold_drops_losses_below_it():
    losses, params = (
        torch.tensor([-2.0, 0.5, -0.1, 3.0]).double(),
        SETTINGS["softad_cvar"],
    )
    found = risk.example_weights(losses, "frozen_cvar_softad", **params)
    same(found, found[1] * (losses > 0), **EXACT)
    same(found, gradient(losses, "frozen_cvar_softad", **params), **EXACT)
    expected = risk.rho((losses.relu().mean() / 0.37) - 0.7) + 0.7
    same(risk.objective(losses, "frozen_cvar_softad", **params), expected)


def test_the_three_readings_differ():
    losses = batch(7)
    rules = ("softad_cvar", "cvar_softad", "frozen_cvar_softad")
    found = [risk.example_weights(losses, r, tau=0.7, quantile=0.5) for r in rules]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert (found[a] - found[b]).abs().max() > 0.1 / len(losses)
    tail = losses > losses.median()
    assert found[1][tail].std() < 1e-15 < 1e-4 < found[0][tail].std()
    assert (found[2][~tail] == found[2][tail][0]).all()


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.49])
def test_the_automatic_level_is_a_quantile(share):
    losses = batch(8, 4)
    tau = losses.quantile(share, -1)
    expected = risk.example_weights(losses, "softad", tau=tau)
    same(risk.example_weights(losses, "auto_softad", share=share), expected, **EXACT)
    value = risk.objective(losses, "softad", tau=tau)
    same(risk.objective(losses, "auto_softad", share=share), value)


# Single precision


@pytest.mark.parametrize("rule", SETTINGS)
@pytest.mark.parametrize("seed", SEEDS)
def test_single_precision_is_double_to_its_digits(rule, seed):
    losses = batch(seed, 3).float()
    found = risk.example_weights(losses, rule, **SETTINGS[rule])
    assert found.dtype == torch.float32
    expected = risk.example_weights(losses.double(), rule, **SETTINGS[rule])
    same(found.double(), expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e6, 1e25])
@pytest.mark.parametrize("offset", [0, 1])
def test_chi2_of_large_and_small_losses_in_single_precision(scale, offset):
    losses = (batch(3, 4) + offset).float() * scale
    found = risk.example_weights(losses, "chi2_dro", radius=1.0)
    expected = risk.example_weights(losses.double(), "chi2_dro", radius=1.0)
    same(found.double(), expected, rtol=0, atol=3e-6)


def test_a_small_tilt_keeps_its_digits_in_single_precision():
    losses = batch(3, 4).float()
    same(
        risk.objective(losses, "tilted", gamma=1e-6), losses.mean(-1), rtol=1e-5, atol=0
    )
    assert risk.objective(losses * 1e6, "tilted", gamma=9.0).isfinite().all()


# Effective sample size


def test_effective_sample_size():
    losses = torch.arange(100.0).double()
    for quantile, expected in ((0.0, 100), (0.5, 50), (0.9, 10)):
        weights = risk.example_weights(losses, "cvar", quantile=quantile)
        same(risk.effective_sample_size(weights), float(expected))
    assert risk.effective_sample_size(torch.zeros(3)).isnan()


# Bad input


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rule", SETTINGS)
def test_losses_that_are_not_finite(rule, bad):
    losses = torch.tensor([0.0, bad, 1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=f"losses holds {bad}: expected finite"):
        risk.example_weights(losses, rule, **SETTINGS[rule])
    with pytest.raises(ValueError, match="losses holds"):
        risk.objective(losses, rule, **SETTINGS[rule])


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (torch.zeros(3, 0), r"losses is \[3, 0\]: expected \[..., n\]"),
        (torch.zeros(()), r"losses is \[\]: expected \[..., n\]"),
        (torch.zeros(3, dtype=torch.long), "losses is torch.int64: expected a tensor"),
        ([0.0, 1.0], "losses is list: expected a tensor of floats"),
    ],
)
def test_losses_that_are_no_batch(losses, message):
    with pytest.raises(ValueError, match=message):
        risk.example_weights(losses, "erm")


@pytest.mark.parametrize(
    ("rule", "name", "values"),
    [
        ("softad", "tau", [math.nan, math.inf]),
        ("cvar", "quantile", [-0.1, 1.0, 1.5, math.nan]),
        ("chi2_dro", "radius", [0.0, -1.0, 2.51, math.inf, math.nan]),
        ("tilted", "gamma", [0.0, -2.0, math.inf, math.nan]),
        ("auto_softad", "share", [0.0, 0.5, 0.7, math.nan]),
    ],
)
def test_parameters_out_of_range(rule, name, values):
    losses = torch.arange(12.0).reshape(2, 6)
    for value in values:
        message = rf"^{name} is (-?[0-9.]+|nan|inf): expected"
        with pytest.raises(ValueError, match=message):
            risk.example_weights(losses, rule, **{name: value})
        # One bad member among good ones is found too.
        both = torch.tensor([0.3, value])
        with pytest.raises(ValueError, match=message):
            risk.objective(losses, rule, **{name: both})


def test_the_radius_that_a_batch_can_reach_is_named():
    losses = torch.arange(6.0)
    risk.example_weights(losses, "chi2_dro", radius=2.5)
    with pytest.raises(ValueError, match=r"radius is 3\.0.*\(n - 1\) / 2 = 2\.5\]"):
        risk.chi2_threshold(losses, 3.0)


@pytest.mark.parametrize(
    "tau", [torch.zeros(3), torch.zeros(2, 2, 1), torch.zeros(6), "low", [0.1, 0.2]]
)
def test_parameters_of_another_shape(tau):
    losses = torch.arange(12.0).reshape(2, 6)
    with pytest.raises(ValueError, match=r"^tau is .*broadcasts to \[2\]"):
        risk.example_weights(losses, "softad", tau=tau)


def test_unknown_rules_and_parameters():
    losses = torch.arange(6.0)
    with pytest.raises(ValueError, match="rule is 'mean': expected one of erm, floodi"):
        risk.example_weights(losses, "mean")
    with pytest.raises(ValueError, match="'softad' got parameters none: it takes tau"):
        risk.example_weights(losses, "softad")
    with pytest.raises(ValueError, match="'erm' got parameters tau: it takes none"):
        risk.objective(losses, "erm", tau=0.1)
    with pytest.raises(ValueError, match="got parameters tau: it takes tau, quantile"):
        risk.objective(losses, "cvar_softad", tau=0.1)
    with pytest.raises(ValueError, match="n_classes is 1: expected at least 2"):
        risk.check_level(0.1, 1)
