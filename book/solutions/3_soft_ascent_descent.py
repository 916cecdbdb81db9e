# %% [markdown]
# # Solutions to chapter 3
#
# Each solution ends with a cell that checks it.
# The exercises are at the end of [chapter 3](../chapters/3_soft_ascent_descent.ipynb#exercises).

# %% tags=["hide-input"]
import importlib.util
import sys

if "google.colab" in sys.modules and not importlib.util.find_spec(
    "tailwise"
):
    url = "git+https://github.com/owner_not_set/tailwise"
    get_ipython().run_line_magic("pip", f"install -q --no-deps {url}")
    importlib.invalidate_caches()
    if not importlib.util.find_spec("tailwise"):
        raise ImportError(
            f"pip could not install {url}: its lines above say why. "
            "Correct the address in this cell and run it again."
        )

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional as F

from tailwise import plots
from tailwise.data import corruption
from tailwise.methods import risk
from tailwise.metrics import estimate
from tailwise.plots import COLORS, LINES
from tailwise.softad import ARCHITECTURES, Method, train

plots.use_style()

# %% [markdown]
# ## 1 · Six weight curves on one batch
#
# The losses of the batch have a long tail.
# A weight of one is the weight that every example has in ERM.

# %% mystnb={"image": {"alt": "Weight in units of ERM's against the loss, on a logarithmic axis. Left: SoftAD rises smoothly from below zero to nearly one and crosses zero at the level, iFlood jumps there from minus one to one, flooding is one everywhere. Right: CVaR jumps from zero to two at the median, chi-square DRO is zero for the smallest losses and then rises steeply, the tilt rises gently from just below one."}}
n, tau = 100, 0.4
g = torch.Generator().manual_seed(0)
normal = torch.randn(n, generator=g, dtype=torch.float64)
losses = torch.exp(0.8 * normal - 1).sort().values
rules = {
    "softad": ("SoftAD", {"tau": tau}),
    "flooding": ("flooding", {"tau": tau}),
    "iflood": ("iFlood", {"tau": tau}),
    "cvar": ("CVaR", {"quantile": 0.5}),
    "chi2_dro": ("chi-square DRO", {"radius": 1.0}),
    "tilted": ("tilt", {"gamma": 0.3}),
}
weights = {
    rule: risk.example_weights(losses, rule, **params)
    for rule, (_, params) in rules.items()
}
fig, axes = plt.subplots(1, 2, figsize=(8, 3.4))
looks = zip(rules.items(), COLORS.values())
for i, ((rule, (name, _)), color) in enumerate(looks):
    style = dict(color=color, ls=LINES[i % 3], label=name)
    axes[i // 3].plot(losses, n * weights[rule], **style)
axes[0].axvline(tau, color=plots.INK, lw=0.8)
axes[0].set(ylabel="weight, ERM = 1", title="rules with a level")
axes[1].set(title="rules for the tail")
for ax in axes:
    ax.set(xscale="log", xlabel="loss")
    ax.legend()
size = {
    rule: risk.effective_sample_size(weights[rule]) for rule in rules
}
print(f"batch of {n}, mean loss {losses.mean():.2f}, level {tau}")
for rule, (name, _) in rules.items():
    w = weights[rule]
    row = f"{name:<15} weights {n * w.min():5.2f} to {n * w.max():5.2f}"
    ess = f", effective size {size[rule]:5.1f}" if w.min() >= 0 else ""
    print(row + ess)
soft = weights["softad"]
below = losses * (0.5 * tau / losses.mean())  # mean at half the level
switched = risk.example_weights(below, "flooding", tau=tau)

x, step = torch.linspace(-9, 9, 181, dtype=torch.float64), 1e-5
slope = (risk.rho(x + step) - risk.rho(x - step)) / (2 * step)
error = (slope - risk.rho_slope(x)).abs().max()
print(f"rho': largest error of the differences {error:.0e}")
plt.show()

# %% tags=["exercise-check"]
# May help: risk.example_weights, risk.effective_sample_size, risk.rho
# May help: risk.rho_slope
# Checks read: error, losses, n, size, soft, switched, tau, weights
# - error: largest gap of rho_slope to differences of rho
# - losses [n]: of a batch
# - n: examples in it
# - size: by rule, effective sample size
# - soft [n]: weights of SoftAD
# - switched [n]: weights of flooding, mean loss below the level
# - tau: the level
# - weights: by rule, its weights [n]
assert ((soft < 0) == (losses < tau)).all()
assert (n * soft < 1).all()
assert (weights["flooding"] > 0).all()
assert (switched < 0).all()
# Known sizes: (1 - quantile) n, and n / (1 + 2 radius), see solution 3.
torch.testing.assert_close(size["cvar"].item(), 0.5 * n)
torch.testing.assert_close(size["chi2_dro"].item(), n / 3)
assert 1 < size["tilted"] < n
assert error < 1e-9  # rounding, 1e-15 over a step of 1e-5, is 1e-10

# %% [markdown]
# Flooding has one switch for the whole batch, iFlood one hard switch for each example.
# SoftAD turns smoothly at the level, and no example weighs more than in ERM.
# The rules for the tail move weight from small losses to large ones; the sum stays that of ERM.
# The effective size is printed for the rules whose weights are not negative here; weights of both signs would cancel in its sum.
# Flooding has equal weights, so its size is the whole batch.

# %% [markdown]
# ## 2 · A threshold that never moves
#
# Write $m$ for the mean loss and $q$ for the quantile.
# CVaR with a threshold $t$ is $t + \frac1n\sum_i (\ell_i-t)_+/(1-q)$.
# Cross-entropy is never negative, so for $t=0$ we have $(\ell_i-t)_+=\ell_i$, and this is $m/(1-q)$.
# COCE, as released, holds it to the level $\tau$: $\rho(m/(1-q)-\tau)+\tau$.
#
# The weight of every example is the derivative, $\rho'(m/(1-q)-\tau)\,/\,((1-q)\,n)$.
# It is the same for all examples, so there is no emphasis on a tail.
# It is up to $1/(1-q)$ times the weight in ERM.
# It changes sign at $m=(1-q)\,\tau$: this is the flood level of the mean.

# %%
q, tau = 0.5, 0.4
params = {"tau": tau, "quantile": q}
released = risk.objective(losses, "frozen_cvar_softad", **params)
weights = risk.example_weights(losses, "frozen_cvar_softad", **params)
mean = losses.mean()
torch.testing.assert_close(
    released, risk.rho(mean / (1 - q) - tau) + tau
)
torch.testing.assert_close(weights, weights[0].expand(n))


def at(mean):
    """The objective of the same batch, scaled to another mean."""
    scaled = losses * (mean / losses.mean())
    return risk.objective(scaled, "frozen_cvar_softad", **params).item()


found = minimize_scalar(at, bounds=(0, 2), method="bounded").x
print(f"level {tau}, lowest at a mean loss of {found:.4f}")
print(f"formula for the flood level: {(1 - q) * tau:.4f}")
print(f"weight of every example, ERM = 1: {n * weights[0]:.2f}")

# %% [markdown]
# The unit test trains for a few steps and looks whether the threshold has moved.
# We run it on three versions of one loss: with the threshold in the optimiser, without it, and with a threshold that went through `.to` when it was made.
# After `.to` it is a plain tensor if anything had to be converted, and the module does not list it.


# %%
class HeldCVaR(torch.nn.Module):
    """rho(CVaR - tau) + tau with a threshold that is to be learned."""

    def __init__(self, converted=False):
        super().__init__()
        threshold = torch.nn.Parameter(torch.zeros(()))
        # Another type stands in for another device.
        self.threshold = threshold.double() if converted else threshold

    def forward(self, losses):
        excess = (losses - self.threshold).relu()
        tail = self.threshold + excess.mean() / (1 - q)
        return risk.rho(tail - tau) + tau


def check_threshold_moves(loss, registered):
    """The unit test: train a linear head, look at the threshold."""
    g = torch.Generator().manual_seed(0)
    X, y, _ = corruption.rotated_gaussians(0.15, 200, generator=g)
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 2)
    learned = [*model.parameters()]
    learned += loss.parameters() if registered else []
    optimizer = torch.optim.SGD(learned, 0.05, momentum=0.9)
    for _ in range(20):
        optimizer.zero_grad()
        each = F.cross_entropy(model(X), y, reduction="none")
        loss(each).backward()
        optimizer.step()
    assert loss.threshold.item() != 0, "the threshold never moved"


passed = {}
for name, converted, registered in (
    ("in the optimiser", False, True),
    ("not in the optimiser", False, False),
    ("converted when made", True, True),
):
    loss = HeldCVaR(converted)
    try:
        check_threshold_moves(loss, registered)
        passed[name] = "passes"
    except AssertionError as error:
        passed[name] = f"fails: {error}"
    place = f"threshold {loss.threshold.item():.3f}"
    print(f"{name:<21} {place}, test {passed[name]}")

# %% [markdown]
# The test says that the threshold moves, not that it moves to the right place.
# With $A$ for CVaR at the present threshold, its gradient is $\rho'(A-\tau)$ times that in plain CVaR.
# When $A$ is below $\tau$ this factor is negative, and the threshold is driven away from the quantile.
# Solving for the threshold in each batch avoids this.

# %%
for mean, sign in ((2 * tau, 1), (0.25 * tau, -1)):
    loss = HeldCVaR()
    scaled = losses * (mean / losses.mean())
    loss(scaled).backward()
    move = -loss.threshold.grad.item()
    print(
        f"mean loss {mean:.2f}, quantile {scaled.median():.3f}", end=""
    )
    print(f", threshold at 0 wants to move by {move:+.2f} lr")
    assert move * sign > 0

# %% tags=["exercise-check"]
# May help: risk.objective, risk.example_weights, risk.rho
# May help: corruption.rotated_gaussians
# Checks read: found, passed, q, tau
# - found: the mean loss with the lowest objective
# - passed: by way of making it, passes or how it fails
# - q: the quantile
# - tau: the level
# The minimiser's own tolerance.
assert abs(found - (1 - q) * tau) < 1e-4
assert [p == "passes" for p in passed.values()] == [True, False, False]

# %% [markdown]
# ## 3 · The threshold of chi-square DRO
#
# With $c^2=1+2r$ the dual is $D(t)=t+c\,\sqrt{\frac1n\sum_i(\ell_i-t)_+^2}$.
# Let $k$ losses lie above $t$, with mean $\mu_k$ and variance $v_k$.
# Then $\sum_i(\ell_i-t)_+^2=k\,((\mu_k-t)^2+v_k)$ and $\sum_i(\ell_i-t)_+=k\,(\mu_k-t)$.
# Setting $D'(t)=0$ gives $c^2k\,(\mu_k-t)^2=n\,((\mu_k-t)^2+v_k)$, so
#
# $$t=\mu_k-\sqrt{\frac{n\,v_k}{(1+2r)\,k-n}}.$$
#
# $D$ is convex, so the right $k$ is the one for which just $k$ losses lie above this $t$.
#
# The weights $w_i\propto(\ell_i-t)_+$ have $\sum_iw_i^2/(\sum_iw_i)^2=((\mu_k-t)^2+v_k)\,/\,(k\,(\mu_k-t)^2)$, which is $(1+2r)/n$.
# So the effective sample size is $n/(1+2r)$, whatever the losses.
# It reaches one at $r=(n-1)/2$.
#
# CVaR with $1-q=1/(1+2r)$ has that effective size, too.
# Its weights lie in the same ball, so the chi-square risk cannot be below this CVaR.

# %% mystnb={"image": {"alt": "Left: the chi-square threshold against the radius on a logarithmic axis. It rises from far below all losses to the second largest loss; scipy's minimisers lie on the curve. Right: the chi-square risk rises from near the mean to the largest loss and stays above the CVaR of equal effective size, which ends at the same point."}}
n = 50
limit = (n - 1) / 2
g = torch.Generator().manual_seed(1)
normal = torch.randn(20, n, generator=g, dtype=torch.float64)
batches = torch.exp(1.2 * normal - 1)


def dual(t, losses, radius):
    """t + sqrt(1 + 2 radius) sqrt(mean relu(losses - t)^2)."""
    excess = np.maximum(losses - t, 0)
    return t + math.sqrt(1 + 2 * radius) * np.sqrt(np.mean(excess**2))


def numerical(losses, radius):
    """Scipy's minimiser of the dual; its slope at low is negative."""
    deep = losses.mean() - losses.std() / math.sqrt(2 * radius)
    bounds = min(losses.min(), deep) - 1, losses.max()
    return minimize_scalar(
        dual,
        args=(losses, radius),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-10},
    )


few = np.array([0.05, 0.1, 0.3, 1, 3, 10, 20])
errors = []
for row in batches:
    for r in few:
        best = numerical(row.numpy(), r)
        t = risk.chi2_threshold(row, r).item()
        value = risk.objective(row, "chi2_dro", radius=r).item()
        np.testing.assert_allclose(value, best.fun, rtol=1e-10)
        errors.append(abs(t - best.x) / np.ptp(row.numpy()))
print(f"{len(errors)} thresholds, closed form against scipy:", end=" ")
print(f"largest gap {max(errors):.0e} of the range")

row = batches[0].sort(descending=True).values
s = row.numpy()
radii = torch.logspace(-1.5, math.log10(limit), 200, dtype=row.dtype)
radii = radii.clamp_max(limit * (1 - 1e-6))
many = row.expand(len(radii), n)
t = risk.chi2_threshold(many, radii)
chi2 = risk.objective(many, "chi2_dro", radius=radii)
weights = risk.example_weights(many, "chi2_dro", radius=radii)
quantile = 1 - 1 / (1 + 2 * radii)
cvar = risk.objective(many, "cvar", quantile=quantile)
size = risk.effective_sample_size(weights)
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4))
style = dict(color=COLORS["blue"], label="closed form")
left.plot(radii, t, **style)
points = [numerical(s, r).x for r in few]
style = dict(color=COLORS["orange"], ls="none", label="scipy")
left.plot(few, points, "o", **style)
for place in (0, 1):
    left.axhline(s[place], color=COLORS["grey"], ls=LINES[3 - place])
for place, name, gap in ((0, "largest loss", 5), (1, "second", -13)):
    where = dict(xytext=(0, gap), textcoords="offset points")
    left.annotate(name, (radii[0], s[place]), **where)
left.set(ylabel="threshold", ylim=(None, s[0] + 1))
left.legend(loc="lower right")
right.plot(radii, chi2, color=COLORS["blue"], label="chi-square")
style = dict(color=COLORS["orange"], ls="--", label="CVaR")
right.plot(radii, cvar, **style)
right.axhline(s[0], color=COLORS["grey"], ls=":", label="largest loss")
right.set(ylabel="risk")
right.legend()
for ax in (left, right):
    ax.set(xscale="log", xlabel="radius")
print("radius  above threshold  effective size  largest weight")
for r in (0.1, 1, 10, radii[-1].item()):
    w = risk.example_weights(row, "chi2_dro", radius=r)
    above = (row > risk.chi2_threshold(row, r)).sum()
    ess = risk.effective_sample_size(w)
    print(f"{r:6.2f} {above:16d} {ess:15.2f} {w.max():15.3f}")
at_limit = risk.chi2_threshold(row, limit).item()
print(f"second largest loss {s[1]:.4f}, largest {s[0]:.4f}")
print(f"threshold near the limit {t[-1]:.4f}, at it {at_limit:.4f}")
flat = [dual(place, s, limit) for place in np.linspace(s[1], s[0], 5)]
plt.show()

# %% tags=["exercise-check"]
# May help: risk.chi2_threshold, risk.objective, risk.example_weights
# May help: risk.effective_sample_size
# Checks read: at_limit, chi2, cvar, errors, flat, n, radii, s, size, t
# - at_limit: threshold at the largest radius
# - chi2 [radii]: risk of chi-square DRO
# - cvar [radii]: CVaR with the same effective size
# - errors: gaps of thresholds to scipy's, in parts of the range
# - flat [5]: the dual between the two largest losses, at the limit
# - n: losses in a batch
# - radii [radii]: below the limit
# - s [n]: losses, the largest first
# - size [radii]: effective sample size
# - t [radii]: the threshold
# A minimum can be located to about sqrt(1e-16), flat ones less well.
assert max(errors) < 1e-5
torch.testing.assert_close(size, n / (1 + 2 * radii))
assert (chi2 > cvar - 1e-12).all()  # rounding
assert (chi2 < s[0]).all()
np.testing.assert_allclose(t[-1], s[1], atol=1e-4)
assert at_limit == s[0]
np.testing.assert_allclose(flat, s[0])

# %% [markdown]
# A larger radius acts like a larger quantile of CVaR: fewer losses count, and the risk goes to the largest loss.
# Unlike CVaR, the weights grow with the loss above the threshold.
#
# At the limit the ball just reaches the weights that are one on the worst example.
# There the dual is flat between the two largest losses, as the last check shows, so its minimiser is not unique.
# The threshold tends to the second largest loss; at the limit itself our function returns the largest.
# The weights are the same.

# %% [markdown]
# ## 4 · When hard points are no longer rare
#
# The line of every member is scored exactly: for Gaussian points its accuracy has a closed form.
# Each change is paired with ERM on the same data.
#
# There are two ways to count.
# *By group* compares the accuracy lost on easy points with that won on hard ones.
# *By point* weights both by their shares, which is the change of the average accuracy.


# %% mystnb={"image": {"alt": "Accuracy won on hard points and lost on easy points against the share of hard points, for SharpDRO and group DRO. The win on hard points falls steeply as they become common. For SharpDRO the loss on easy points stays about level; for group DRO it is much larger. The curves cross at a smaller share for group DRO."}}
def lines(params):
    """Coefficients [..., 2] and intercepts of the score of class 1."""
    coef = params["weight1"][..., 1, :] - params["weight1"][..., 0, :]
    return coef, params["bias1"][..., 1] - params["bias1"][..., 0]


def accuracies(params):
    """Exact accuracy on easy and on hard points, [S, K, 2]."""
    coef, intercept = lines(params)
    found = []
    for distance, degrees in (
        (corruption.EASY_MEAN, 0.0),
        (corruption.HARD_MEAN, corruption.HARD_ANGLE),
    ):
        angle = math.radians(degrees)
        score = coef[..., 0] * math.cos(angle)
        score = distance * (score + coef[..., 1] * math.sin(angle))
        sides = torch.stack([score + intercept, score - intercept])
        sides /= torch.linalg.vector_norm(coef, dim=-1)
        found.append(torch.special.ndtr(sides).mean(0))
    return torch.stack(found, -1)


def draw(shares, n_seeds, n=500):
    """Data sets, one after the other for each share."""
    g = torch.Generator().manual_seed(0)
    sets = [
        corruption.rotated_gaussians(share, n, generator=g)
        for share in np.repeat(shares, n_seeds)
    ]
    X, y, hard = map(torch.stack, zip(*sets))
    return X.double(), y, hard.long()


settings = dict(epochs=40, batch_size=50, lr=0.05)
shares, n_seeds = np.array([0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), 16
methods = [
    Method("ERM"),
    Method("SharpDRO", ascent="sharpdro", reach=0.05),
    Method("group DRO", ascent="groupdro"),
    Method("half step", ascent="sharpdro", reach=0.05, scale=0.5),
]
X, y, hard = draw(shares, n_seeds)
trained = train("plane", X, y, methods, group=hard, **settings)
points = 100 * accuracies(trained.params)
points = points.view(len(shares), n_seeds, len(methods), 2)
change = (points[:, :, 1:] - points[:, :, :1]).numpy()
fig, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True)
by_group, by_point = {}, {}
print(f"points of accuracy against ERM, {n_seeds} data sets")
own = estimate(points[:, :, 0, 1].numpy(), axis=1).mean
print("ERM on hard points, by share:", own.round(1))
for k, ax in enumerate(axes):
    name = methods[k + 1].label
    easy, other = np.moveaxis(change[:, :, k], -1, 0)
    won, lost = estimate(other, axis=1), estimate(-easy, axis=1)
    style = dict(color=COLORS["blue"], marker="o", label="won on hard")
    plots.band(ax, shares, won.mean, won.stderr, **style)
    style = dict(color=COLORS["orange"], marker="s", ls="--")
    style["label"] = "lost on easy"
    plots.band(ax, shares, lost.mean, lost.stderr, **style)
    ax.set(xlabel="share of hard points", title=name)
    share = shares[:, None]
    mixed = share * other + (1 - share) * easy
    by_group[name] = estimate(easy + other, axis=1)
    by_point[name] = estimate(mixed, axis=1)
    print(f"\n{name}: share, won - lost by group, change by point")
    counts = by_group[name], by_point[name]
    for i, f in enumerate(shares):
        row = [f"{e.mean[i]:6.2f} ± {e.stderr[i]:.2f}" for e in counts]
        print(f"  {f:.2f} ", "  ".join(row))
axes[0].set_ylabel("points of accuracy")
axes[0].legend()


def surely(found, sign):
    """Shares at which the interval lies on one side of 0."""
    return shares[sign * found.mean > 2 * found.stderr].tolist()


for name, found in by_group.items():
    print(f"{name} by group, wins at {surely(found, 1)}")
    print(f"{name} by group, loses at {surely(found, -1)}")
    print(f"{name} by point, loses at {surely(by_point[name], -1)}")
halved = np.abs(change[:, :, 2] - change[:, :, 0]).mean()
print(f"SharpDRO, mean effect of a half step: {halved:.2f} points")
for name in by_group:
    assert 0.05 in surely(by_group[name], 1)
    assert 0.5 in surely(by_group[name], -1)
    assert set(shares[1:-1]) <= set(surely(by_point[name], -1))
    assert abs(by_point[name].mean[0]) < 0.1
gap = by_group["group DRO"].mean - by_group["SharpDRO"].mean
plt.show()

# %% tags=["exercise-check"]
# May help: corruption.rotated_gaussians, Method, train, plots.band
# Checks read: gap, halved, trained
# - gap [shares]: won less lost, group DRO less SharpDRO, in points
# - halved: mean effect of a half step, in points
# - trained: what train returns
assert not trained.diverged.any()
assert (gap[2:] < 0).all()
assert halved < 0.5

# %% [markdown]
# By group, both methods win more than they lose while hard points are rare, and lose more than they win when these are common.
# Group DRO gets there at smaller shares, because it loses more.
# ERM itself turns towards the hard points as their share grows, and leaves less to win.
# By point, both methods lose at every share that has hard points.
# Without hard points there is only one group, and both stay close to ERM.
#
# SharpDRO with half steps, about as long as ERM's, does almost the same.
# So in this toy the loss is not an effect of its longer steps.

# %% [markdown]
# ## 5 · A level above the loss of guessing
#
# Prediction.
# With zero parameters every loss is $\ln 2$ and every weight is $\rho'(\ln2-\tau)/n$.
# So the gradient of SoftAD is the gradient of ERM times $\rho'(\ln 2-\tau)$.
# For $\tau<\ln2$ the factor is positive, and descent leads away from guessing towards the right classes.
# For $\tau>\ln2$ it is negative, and descent leads to the same line with its classes swapped.
# The accuracy should jump from ERM's to one minus ERM's.

# %% mystnb={"image": {"alt": "Left: accuracy against the level. It stays at that of ERM until the level passes the logarithm of two, then jumps to one minus that and stays there. Right: the standard deviation of the training losses falls to nearly zero at the same level and rises again behind it."}}
levels = np.array(
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.69]
    + [0.7, 0.75, 0.8, 0.9, 1.0, 1.1, 1.2]
)
share, guess = 0.15, math.log(2)
methods = [Method("ERM")] + [
    Method(f"{level}", "softad", {"tau": float(level)})
    for level in levels
]
X, y, _ = draw([share], 8)
trained = train("plane", X, y, methods, **settings)
mix = torch.tensor([1 - share, share], dtype=torch.float64)
accuracy = (accuracies(trained.params) @ mix).numpy()
erm, accuracy = accuracy[:, :1], accuracy[:, 1:]
predicted = np.where(levels < guess, erm, 1 - erm)
angle = corruption.boundary_angle(lines(trained.params)[0])
target = y[:, None, :, None].expand(-1, len(methods), -1, -1)
log_p = trained.logits(X).log_softmax(-1)
losses = -log_p.gather(-1, target)[..., 0]
spread = losses[:, 1:].std(-1, correction=0).numpy()
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4))
for values, ax, name in (
    (accuracy, left, "accuracy"),
    (spread, right, "s.d. of the training losses"),
):
    found = estimate(values)
    style = dict(color=COLORS["blue"], marker="o")
    plots.band(ax, levels, found.mean, found.stderr, **style)
    ax.axvline(guess, color=COLORS["grey"], ls=":")
    ax.set(xlabel="level", ylabel=name)
left.axhline(erm.mean(), color=COLORS["orange"], ls="--", label="ERM")
style = dict(color=COLORS["purple"], ls="-.", label="1 - ERM")
left.axhline(1 - erm.mean(), **style)
left.legend(loc="center left")
print(f"ERM: accuracy {estimate(erm[:, 0])}, ln 2 = {guess:.3f}")
print("          weights, ERM = 1      negative weights     boundary")
print("level  predicted at guessing  at ERM     at the end     angle")
for level in (0.4, 0.65, 0.69, 0.7, 0.75, 1.0):
    k = levels.tolist().index(level) + 1
    constant = torch.full((len(X[0]),), guess, dtype=X.dtype)
    w = risk.example_weights(constant, "softad", tau=level)[0]
    at_erm, at_end = (
        (losses[:, j] < level).double().mean() for j in (0, k)
    )
    print(
        f"{level:5.2f} {len(constant) * w:22.3f} {at_erm:7.0%}", end=""
    )
    print(f" {at_end:14.0%} {angle[:, k].mean():9.0f}")
    assert (w < 0) == (level > guess)
    assert at_erm > 0.5
gap = np.abs(accuracy - predicted).max()
print(f"largest gap from the predicted accuracy: {gap:.3f}")
turned = angle[:, 1:].abs().numpy() > 90
smallest = levels[spread.mean(0).argmin()]
print(f"smallest spread at level {smallest}")
plt.show()

# %% tags=["exercise-check"]
# May help: Method, train, risk.example_weights
# May help: corruption.boundary_angle
# Checks read: gap, guess, levels, smallest, turned
# - gap: largest distance to the predicted accuracy
# - guess: the loss of a guess
# - levels [levels]: what was tried
# - smallest: the level with the smallest spread of losses
# - turned [sets, levels]: whether the boundary has turned round
assert gap < 0.05
assert (turned == (levels > guess)).all()
assert abs(smallest - guess) < 0.05

# %% [markdown]
# The jump is where it was predicted, on every data set.
# It is not that negative weights appear at $\ln2$: at ERM's solution most weights are negative on both sides of it.
# They raise small losses, which shrinks the scores.
# Below $\ln2$ the losses meet the level before the scores are zero, and the line keeps its direction.
# Above $\ln2$ they have not met it at zero scores; all weights are still negative there, and the scores go on through zero to the other side.
#
# The spread is smallest next to the jump, because there the model hardly says anything.
# A small spread alone is no success: look at the accuracy, too.

# %% [markdown]
# ## 6 · What a step costs
#
# An ordinary module counts its own forward passes, and a hook on its output counts the backward passes.
# The loop is written by hand; `train` starts from the same parameters and takes the same steps.
# One batch is the whole data set, so its order does not matter.


# %%
class Counted(torch.nn.Module):
    """A module that counts its forward and backward passes."""

    def __init__(self, module):
        super().__init__()
        self.module, self.forwards, self.backwards = module, 0, 0

    def forward(self, x):
        self.forwards += 1
        out = self.module(x)
        out.register_hook(self.count)
        return out

    def count(self, slope):
        self.backwards += 1


def gradients(model, weigh):
    """Of sum_i w_i loss_i, the weights held fixed."""
    each = F.cross_entropy(model(X), y, reduction="none")
    loss = (weigh(each.detach()) * each).sum()
    return torch.autograd.grad(loss, [*model.parameters()])


def climbed(model, slope, reach, weigh):
    """Gradients at the point reach up the slope; then back."""
    here = [p.detach().clone() for p in model.parameters()]
    size = torch.cat([g.flatten() for g in slope]).norm()
    with torch.no_grad():
        for p, g in zip(model.parameters(), slope):
            p += reach * g / size
    found = gradients(model, weigh)
    with torch.no_grad():
        for p, old in zip(model.parameters(), here):
            p.copy_(old)
    return found


def equal(each):
    """Weights of ERM."""
    return torch.full_like(each, 1 / len(each))


def softad(each):
    """Weights of SoftAD."""
    return risk.rho_slope(each - tau) / len(each)


def of_groups(each, q, q_step=0.3):
    """Weights q_s / n_s, once q has moved."""
    member = F.one_hot(hard).to(each)
    count = member.sum(0)
    q *= torch.exp(q_step * (each @ member) / count)
    q /= q.sum()
    return (member * (q / count)).sum(1)


def by_hand(method, model, steps=3):
    """The same steps as train, one ordinary model."""
    optimizer = torch.optim.SGD(
        model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4
    )
    q = torch.full((2,), 0.5, dtype=X.dtype)
    for _ in range(steps):
        g = gradients(model, softad if method.rule != "erm" else equal)
        if method.ascent == "sam":
            g = climbed(model, g, method.reach, equal)
        elif method.ascent == "sharpdro":
            late = climbed(
                model, g, method.reach, lambda each: of_groups(each, q)
            )
            g = [a + b for a, b in zip(g, late)]
        for p, slope in zip(model.parameters(), g):
            p.grad = slope
        optimizer.step()


tau = 0.4
methods = [
    Method("ERM"),
    Method("SoftAD", "softad", {"tau": tau}),
    Method("SAM", ascent="sam", reach=0.2),
    Method("SharpDRO", ascent="sharpdro", reach=0.05),
]
X, y, hard = (part[0] for part in draw([0.15], 1, n=200))
start = ARCHITECTURES["plane"].init(torch.Generator().manual_seed(0))
passes, ends = {}, {}
for method in methods:
    for steps in (1, 3):
        linear = torch.nn.Linear(2, 2, dtype=X.dtype)
        linear.weight.data.copy_(start["weight1"])
        linear.bias.data.copy_(start["bias1"])
        model = Counted(linear)
        by_hand(method, model, steps)
        member = train(
            "plane",
            X[None],
            y[None],
            [method],
            group=hard[None],
            epochs=steps,
            batch_size=len(X),
            lr=0.05,
            milestones=(),
        ).params
        for name in ("weight", "bias"):
            ours = getattr(linear, name).detach()
            theirs = member[f"{name}1"][0, 0]
            torch.testing.assert_close(
                ours, theirs, rtol=1e-9, atol=1e-12
            )
        counts = model.forwards / steps, model.backwards / steps
        assert passes.setdefault(method.label, counts) == counts
        ends[method.label, steps] = linear.weight.detach()
print("passes of a step: forward, backward, change from ERM's step")
for name, (forward, backward) in passes.items():
    moved = (ends[name, 1] - ends["ERM", 1]).norm()
    moved /= (ends["ERM", 1] - start["weight1"]).norm()
    print(f"{name:<9} {forward:8.0f} {backward:9.0f} {moved:12.2f}")
    assert name == "ERM" or moved > 0.01
print("by hand and by train: equal after one and after three steps")

# %% tags=["exercise-check"]
# May help: Method, train, ARCHITECTURES, risk.rho_slope
# Checks read: passes
# - passes: by method, passes (forward, backward) in a step
assert passes["SoftAD"] == passes["ERM"] == (1, 1)
assert passes["SAM"] == passes["SharpDRO"] == (2, 2)

# %% [markdown]
# SoftAD has no inner loop: where a weight is negative the loss is raised, in the one step that is taken anyway.
# SAM and SharpDRO need the gradient at a second point, and so a second pass of each kind.
# The last column is the length of the difference from ERM's first step, divided by the length of that step; SharpDRO adds a whole second gradient.
