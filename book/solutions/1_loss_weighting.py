# %% [markdown]
# # Solutions to chapter 1
#
# Each solution ends with a cell that checks it.
# The exercises are at the end of [chapter 1](../chapters/1_loss_weighting.ipynb#exercises).

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
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.optimize import brentq

from tailwise import plots, weighting
from tailwise.methods import solve_ratio_heads
from tailwise.metrics import estimate
from tailwise.plots import COLORS
from tailwise.weighting import simulation

plots.use_style()

# %% [markdown]
# ## 1 · Two forms of the equal-error ratio
#
# The derivation is in the chapter.
# The offset form follows from $2\pi_- - \delta = \tfrac{\pi_-}{\pi_+}(2\pi_+-\delta) + \delta\,\tfrac{\pi_- - \pi_+}{\pi_+}$.
# Divide by $2\pi_+-\delta$.

# %%
rng = np.random.default_rng(0)
prior = rng.uniform(0.01, 0.5, 1000)
delta = rng.uniform(0, 2 * prior)
offset = delta * (1 - 2 * prior) / (prior * (2 * prior - delta))
print("the two forms agree at 1,000 random points")

# %% tags=["exercise-check"]
# May help: weighting.equal_error_ratio
# Checks read: delta, offset, prior
# - delta [n]: features over samples
# - offset [n]: what the rule adds to the ratio of priors
# - prior [n]: share of the rare class
np.testing.assert_allclose(
    weighting.equal_error_ratio(prior, delta),
    (1 - prior) / prior + offset,
)

# %% [markdown]
# ## 2 · The same limit, and a factor in samples
#
# After downsampling, $2\pi_+ n$ samples are left, so the features per sample are $\delta/(2\pi_+)$; least squares needs this below 1, that is $\delta<2\pi_+$.
# The equal-error ratio has a positive denominator for the same $\delta$.
#
# At the equal-error ratio the error depends on $\delta$ only through $\delta/(4\pi_+\pi_-)$; after downsampling, through $\delta/(2\pi_+)$.
# So weighting acts like a balanced problem with $4\pi_+\pi_-n$ samples, downsampling like one with $2\pi_+n$.
# The quotient is $2\pi_-<2$.

# %%
n_by_weighting, n_by_downsampling = 4 * 0.2 * 0.8, 2 * 0.2
print(f"factor in samples: {n_by_weighting / n_by_downsampling:.1f}")
rho = weighting.equal_error_ratio(0.2, 0.2)
weighted = weighting.class_errors(rho, 0.2, 0.2, 1.0)[0]
balanced = weighting.class_errors(1.0, 0.5, 0.2 / n_by_weighting, 1.0)[
    0
]
downsampled = weighting.downsampled_error(0.2, 0.2, 1.0)
print(f"weighted {weighted:.4f}, downsampled {downsampled:.4f}")

# %% tags=["exercise-check"]
# May help: weighting.class_errors, weighting.downsampled_error
# Checks read: balanced, weighted
# - balanced: error with n_weighting samples of equal priors
# - weighted: error of weighting, of the rare class
np.testing.assert_allclose(weighted, balanced)

# %% [markdown]
# ## 3 · Where the equal-error ratio stops being the best
#
# The minority error must still be falling at $\tilde\rho$.
# Differentiating the closed form at equal errors gives $s^2 \le (4\pi_+\pi_--\delta)\,/\,(\delta(1-2\pi_+))$.

# %%
bound = np.sqrt((4 * 0.2 * 0.8 - 0.2) / (0.2 * (1 - 0.4)))


def slope(s, step=1e-4):
    """Change of the rare error as the ratio passes 7."""
    ratios = 7 * np.exp([-step, step])
    return np.diff(weighting.class_errors(ratios, 0.2, 0.2, s)[0])[0]


found = brentq(slope, 1.0, 3.0)
print(f"formula s = {bound:.4f}, from the curve s = {found:.4f}")

# %% tags=["exercise-check"]
# May help: weighting.class_errors
# Checks read: bound, found
# - bound: the s of the formula
# - found: the s at which the curve of the rare error turns
assert abs(bound - found) < 1e-3

# %% [markdown]
# ## 4 · Thresholds from in-sample scores
#
# The same unweighted head, its threshold moved once by scores of the samples it was fitted to and once by leave-one-out scores.

# %%
g = torch.Generator().manual_seed(0)
data = simulation.draw(20, 1000, 200, prior=0.2, snr=1.0, generator=g)
one = torch.tensor([1.0])
coef, b = (h[:, 0] for h in solve_ratio_heads(data.X, data.y, one))
flat = torch.ones_like(data.y)
scores = {
    "in-sample": (data.X @ coef.unsqueeze(-1))[..., 0] + b[:, None],
    "leave-one-out": weighting.leave_one_out_scores(
        data.X, data.y, flat
    ),
}
gaps = {}
for name, score in scores.items():
    moved = b - weighting.balancing_threshold(score, data.y)
    rare, common = simulation.exact_errors(coef, moved, 1.0)
    gaps[name] = estimate(rare - common)
    print(f"{name}: rare {rare.mean():.3f}, common {common.mean():.3f}")

# %% tags=["exercise-check"]
# May help: weighting.leave_one_out_scores, simulation.draw
# May help: weighting.balancing_threshold, simulation.exact_errors
# Checks read: gaps
# - gaps: by kind of score, an estimate of rare less common error
assert gaps["in-sample"].mean > 5 * abs(gaps["leave-one-out"].mean)

# %% [markdown]
# In-sample scores are too good, and more so for the rare class, so the threshold moves too little.

# %% [markdown]
# ## 5 · Classes that do not spread alike
#
# We multiply the noise of the rare class by a factor, fit without ridge, and find the ratio that equalises the errors on fresh samples.
# The rule does not see the difference, because the head's degrees of freedom are $d$ in every case.

# %% mystnb={"image": {"alt": "The equalising ratio rises with the spread of the rare class, from below the rule's ratio of five to above it. The rule's ratio is a flat line; the two meet where both classes spread alike."}}
ratios = torch.logspace(-0.5, 2, 26, dtype=torch.float64)


def equalising(spread, n=1000, d=100, n_sets=8):
    """Equalising ratio when the rare class has another spread."""
    g = torch.Generator().manual_seed(1)
    sets = simulation.draw(
        2 * n_sets, n, d, prior=0.2, snr=1.0, generator=g
    )
    X, y = sets.X.clone(), sets.y
    centre = (1.0 / d**0.5) * y.unsqueeze(-1)
    noise = torch.where(y > 0, spread, 1.0).unsqueeze(-1)
    X = centre + noise * (X - centre)
    coef, b = solve_ratio_heads(X[:n_sets], y[:n_sets], ratios)
    score = coef @ X[n_sets:].mT + b.unsqueeze(-1)
    wrong = (score * y[n_sets:].unsqueeze(1) < 0).double()
    rare = (y[n_sets:] > 0).double().unsqueeze(1)
    gap = (wrong * rare).sum(-1) / rare.sum(-1)
    gap -= (wrong * (1 - rare)).sum(-1) / (1 - rare).sum(-1)
    return simulation.bootstrap_crossing(ratios, gap)


spreads = np.array([0.7, 0.85, 1.0, 1.15, 1.3])
found = np.array([equalising(spread) for spread in spreads])
rule = weighting.equal_error_ratio(0.2, 0.1)
fig, ax = plt.subplots(figsize=(6, 3.2))
style = dict(color=COLORS["blue"], label="equalises")
plots.band(ax, spreads, found[:, 0], found[:, 1], **style)
ax.axhline(rule, ls="--", color=COLORS["orange"], label="rule")
ax.set(xlabel="spread of the rare class", ylabel="ratio")
ax.legend()
print(f"rule {rule:.1f}; equalising", found[:, 0].round(1))
plt.show()

# %% tags=["exercise-check"]
# May help: solve_ratio_heads, simulation.bootstrap_crossing
# Checks read: found, rule
# - found [spreads, 2]: equalising ratio and its standard error
# - rule: the ratio of the rule
assert (np.diff(found[:, 0]) > 0).all()
assert found[0, 0] < rule < found[-1, 0]

# %% [markdown]
# Equal spread is the assumption that the rule cannot do without.
# On real features, compare the leave-one-out errors of both classes before you trust it.
