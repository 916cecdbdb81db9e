# %% [markdown]
# # Solutions to chapter 5
#
# Each solution ends with a cell that checks it.
# The exercises are at the end of [chapter 5](../chapters/5_ce_geometry.ipynb#exercises).
#
# The symbols are those of the chapter.
# In addition $D=\mathrm{diag}(\delta)$, $A^+$ is the pseudo-inverse, $\mathbf 1$ is the vector of ones, and $e_y$ is column $y$ of the unit matrix.
# Solution 1 is the paper's logits for classes of two sizes, and solution 2 its Theorem 1 (iii); any counts, and what follows, are ours.

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
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.optimize import minimize_scalar

from tailwise import geometry, plots
from tailwise.geometry import Config, ridge_grams, study, train_ufm
from tailwise.plots import COLORS, LINES, MARKERS

plots.use_style()
looks = list(zip(COLORS.values(), LINES, MARKERS))


def classifiers(counts, config):
    """Gram matrix of the classifiers in the limit."""
    delta = geometry.temperatures(counts, config.gamma)
    return geometry.predicted_grams(counts, delta, config.kind)[0]


# %% [markdown]
# ## 1 · The logits of CDT
#
# Let $z$ be the logits of an example of class $y$, and let all its margins be tight: $\delta_yz_y-\delta_cz_c=1$ for $c\ne y$.
# Put $\delta_yz_y=1-p$.
# Then $\delta_cz_c=-p$, so $z=D^{-1}(e_y-p\,\mathbf 1)$, and one number is free.
# The squared length is $(1-p)^2\delta_y^{-2}+p^2\sum_{c\ne y}\delta_c^{-2}$.
# Its derivative is zero at $p_y=\delta_y^{-2}/\sum_c\delta_c^{-2}$.
#
# With $v=D^{-1}\mathbf 1$ this says that $z$ is $D^{-1}e_y$ without its part along $v$.
# So the columns together are $Z=PD^{-1}$.
#
# Why is the shortest column the right one?
# The classifiers and embeddings are shortest when the nuclear norm of $Z\,\mathrm{diag}(n)^{1/2}$ is smallest.
# Other tight logits are $Z'=Z+v\,b^\top$, and $PZ'=Z$.
# A projection makes no singular value larger, so $Z'$ cannot have a smaller norm.
# That margins are tight at all is the second line of the chapter's proof; we test it with random margins above one.

# %%
rng = np.random.default_rng(0)
k = 6
delta, n = 10 ** rng.uniform(-1, 0, k), 10 ** rng.uniform(0, 3, k)
v, Z = 1 / delta, geometry.sel_matrix(delta, "cdt").numpy()
for y, unit in enumerate(np.eye(k)):
    found = minimize_scalar(lambda p, e=unit: ((e - p) ** 2) @ v**2).x
    p = v[y] ** 2 / (v @ v)
    # A minimum can be located to about the root of 1e-16.
    np.testing.assert_allclose(found, p, atol=1e-7)
    np.testing.assert_allclose(Z[:, y], v * (unit - p), atol=1e-12)
print(f"{k} columns: shortest by search = formula = package")


def nuclear(Z):
    return np.linalg.norm(Z * np.sqrt(n), "nuc", axis=(-2, -1))


size = 10 ** rng.uniform(-3, 0, (2000, 1, 1))
shift = v[:, None] * size * rng.normal(size=(2000, 1, k))
above = size * rng.exponential(size=(2000, k, k)) * (1 - np.eye(k))
tight = nuclear(Z + shift) / nuclear(Z)
loose = nuclear(Z + shift - v[:, None] * above) / nuclear(Z)
print(f"nuclear norm of 2,000 with tight margins: {tight.min():.7f}")
print(f"and with larger ones: {loose.min():.4f} at least; Z has 1")

# %% tags=["exercise-check"]
# May help: geometry.sel_matrix
# Checks read: loose, tight
# - loose [draws]: nuclear norms with larger margins, over that of Z
# - tight [draws]: the same with tight margins
assert min(tight.min(), loose.min()) > 1

# %% [markdown]
# ## 2 · LDT is plain cross-entropy at another imbalance
#
# For LDT $v=\mathbf 1$ whatever the temperatures, so $P$ is that of plain cross-entropy.
# Only $n_c/\delta_c^2=n_{\max}^{2\gamma}\,n_c^{1-2\gamma}$ is left in $A$.
# Up to a factor, this is the $A$ of plain cross-entropy with counts $n_c^{1-2\gamma}$, whose imbalance is $R^{1-2\gamma}$.
# So $WW^\top=A^{1/2}$ is the same up to a factor.
#
# The embeddings have $H^\top H=D^{-1}(A^+)^{1/2}D^{-1}$.
# So $h_y$ points where it does in plain cross-entropy, and is divided by $\delta_y$.
# The squared length of majority over minority embeddings gets the factor $(\delta_{\min}/\delta_{\max})^2=R^{-2\gamma}$.

# %%
n = torch.tensor(n)  # any counts
for gamma in np.linspace(-1, 1.5, 11):
    delta = geometry.temperatures(n, gamma)
    W, H = geometry.predicted_grams(n, delta, "ldt")
    like = n ** (1 - 2 * gamma)
    W0, H0 = geometry.predicted_grams(like, torch.ones(k), "ldt")
    divided = H0 / (delta[:, None] * delta)
    assert geometry.gram_error(W, W0) < 1e-9
    assert geometry.gram_error(H, divided) < 1e-9
print("11 exponents and random counts: same classifiers")

R, gamma = 10, -0.5
pair = {
    "LDT -1/2": (R, Config(gamma=gamma)),
    "CE": (R ** (1 - 2 * gamma), Config()),
}
steps = [geometry.step_counts(5, 5, r) for r, _ in pair.values()]
steps = torch.stack(steps)
model = train_ufm(steps, [config for _, config in pair.values()])
ratio_w, ratio_h = (
    geometry.blocks(gram, steps[0] < R).norm2_ratio
    for gram in model.grams
)
for i, (name, (r, _)) in enumerate(pair.items()):
    print(
        f"trained, {name} at R = {r:.0f}: squared length ratio", end=""
    )
    print(f" W {ratio_w[i]:.3f}, H {ratio_h[i]:.3f}")
factor = ratio_h[0] / ratio_h[1]
print(f"factor of the embeddings {factor:.2f}, R^(-2 gamma) = {R}")

# %% tags=["exercise-check"]
# May help: geometry.temperatures, geometry.predicted_grams, train_ufm
# May help: Config, geometry.step_counts, geometry.blocks
# Checks read: R, factor, gamma, ratio_w
# - R: the imbalance
# - factor: ratio of embeddings, LDT over CE
# - gamma: the exponent
# - ratio_w [2]: squared length ratio of classifiers, LDT and CE
# Training stops a little before the limit; the chapter asks for 0.01.
torch.testing.assert_close(ratio_w[0], ratio_w[1], rtol=0.01, atol=0)
assert abs(factor / R ** (-2 * gamma) - 1) < 0.01

# %% [markdown]
# ## 3 · Square-root temperatures on a long tail
#
# With $\delta_c=\sqrt{n_c/n_{\max}}$ all $n_c/\delta_c^2$ are equal, so $A$ is a multiple of $P=I-\tfrac1k\mathbf 1\mathbf 1^\top$, and so is its root.
# That is an ETF, for any counts.
# The embeddings are $H^\top H\propto D^{-1}PD^{-1}$: the angles of an ETF, and $\lVert h_y\rVert^2\propto1/n_y$.
#
# For three or more classes no other temperatures of LDT do it.
# With $m_c=n_c/\delta_c^2$ and mean $\bar m$, the entries of $A$ off the diagonal are $(\bar m-m_c-m_y)/k$.
# They are equal only if all $m_c$ are.

# %%
tail = (500 * torch.logspace(0, -2, 10, dtype=torch.float64)).round()
etf, off = geometry.etf_gram(10), ~torch.eye(10, dtype=torch.bool)
print("counts", tail.int().tolist())
for gamma in (0.0, 0.4, 0.5, 0.6):
    cells = Config(gamma=gamma), Config("cdt", gamma)
    ldt, cdt = (
        geometry.gram_error(classifiers(tail, cell), etf)
        for cell in cells
    )
    print(f"gamma {gamma}: to the ETF, LDT {ldt:.3f}, CDT {cdt:.3f}")
    assert (ldt < 1e-9) == (gamma == 0.5)
    assert cdt > 0.1

seeds = [Config(gamma=0.5, seed=s) for s in range(5)]
model = train_ufm(tail, seeds, steps=5000)
W, H = model.grams
error = geometry.gram_error(W, etf).max()
lengths, cosines = geometry.norms_and_cosines(H)
product = lengths**2 * tail
product = product / product.mean(-1, keepdim=True)
bend = (cosines[:, off] + 1 / 9).abs().max()
along = (model.W * model.H).sum(-1) / (
    model.W.norm(dim=-1) * model.H.norm(dim=-1)
)
print(f"trained from {len(seeds)} starts: {error:.4f} from the ETF,")
print(f"n times the squared length of h: {product.min():.3f}", end="")
print(f" to {product.max():.3f} of its mean,")
print(f"cosines of embeddings off by at most {bend:.4f},")
print(f"cosines of w and h of a class at least {along.min():.5f}")

many = torch.tensor(10 ** rng.uniform(0, 4, (1000, 10)))
root = geometry.temperatures(many, 0.5)
W, _ = geometry.predicted_grams(many, root, "ldt")
worst = geometry.gram_error(W, etf).max()
print(f"1,000 random counts: at most {worst:.0e} from the ETF")
m = many[0]
A = etf @ torch.diag(m) @ etf
by_hand = (m.mean() - m[:, None] - m) / 10

# %% tags=["exercise-check"]
# May help: geometry.etf_gram, geometry.gram_error, train_ufm, Config
# May help: geometry.norms_and_cosines, geometry.temperatures
# Checks read: A, along, bend, by_hand, error, off, product, worst
# - A [10, 10]: the matrix whose root is W, for random counts
# - along [starts, 10]: cosine of w and h of a class
# - bend: largest distance of a cosine of embeddings to -1/9
# - by_hand [10, 10]: A off its diagonal, from the counts
# - error: distance of the classifiers to the ETF
# - off [10, 10]: where a matrix is off its diagonal
# - product [starts, 10]: n times squared length of h, over its mean
# - worst: largest distance to the ETF for random counts
assert max(error, bend, 1 - along.min()) < 0.01
assert (product - 1).abs().max() < 0.02
assert worst < 1e-9
torch.testing.assert_close(A[off], by_hand[off])

# %% [markdown]
# ## 4 · Where the minority classifiers merge
#
# The ridge $\lambda^\star$ at which this happens has a formula.
# Take the best solution in which the $k_m$ minority classes share one classifier and one embedding.
# Move them apart a little: their classifiers by $a\,Q$ and their vectors $g_c=\sqrt{n_c}\,h_c$ by $b\,Q$, with $Q=I-\tfrac1{k_m}\mathbf 1\mathbf 1^\top$, in directions that are orthogonal to the rest.
# The logits of minority examples, times their temperature, then change by $ab\,\delta_mQ/\sqrt{n_m}$.
#
# Before the move these classes all have one probability, and the entries of a column of $Q$ sum to zero.
# So to first order in $ab$ only the logit of the right class counts: the loss falls by $(k_m-1)\,ab\,\omega_m\delta_m\sqrt{n_m}\,/\sum_cn_c$, with weights of mean one.
# The ridge costs $\tfrac\lambda2(k_m-1)(a^2+b^2)$, which is $\lambda\,(k_m-1)\,ab$ at $a=b$.
# So a small move apart pays if and only if $\lambda<\lambda^\star=\omega_m\,\delta_m\sqrt{n_m}\,/\sum_cn_c$.
# The majority classes have the same formula with their own numbers.
# Additive terms are not in it.
# We search for the ridge without the formula, three times on a finer grid, and compare.

# %%
n = geometry.step_counts(5, 5, 100)


def thresholds(config):
    """The formula for each class, [k]."""
    weight = n**-config.weight_power
    weight = weight * n.sum() / (n * weight).sum()
    delta = geometry.temperatures(n, config.gamma)
    return weight * delta * n.sqrt() / n.sum()


def merge(config, part, low=1e-4, high=1.5e-2):
    """The ridge at which the cosine of two classes reaches 1."""
    for _ in range(3):
        ridges = np.geomspace(low, high, 13)
        W, _ = ridge_grams(n, config, ridges)
        cosine = getattr(geometry.blocks(W, n < n.max()), part)
        first = int((cosine > 1 - 1e-6).double().argmax())
        assert first > 0
        low, high = ridges[first - 1 : first + 1]
    return low, high


print("counts 100 and 1; the ridge at which classifiers merge")
for name, part in (
    ("CE", "cos_minor"),
    ("LDT 1/2", "cos_minor"),
    ("LA", "cos_minor"),
    ("weighted CE", "cos_major"),
):
    config = study.FIVE[name]
    low, high = merge(config, part)
    formula = thresholds(config)[-1 if part == "cos_minor" else 0]
    print(f"{name:<12} {part} found {low:.3e} to {high:.3e},", end=" ")
    print(f"formula {formula:.3e}")
    # The cosine passes 1 - 1e-6 just before the threshold.
    assert low < formula < high * (1 + 1e-5)
print("formula, majority and minority:")
for name, config in study.FIVE.items():
    major, minor = thresholds(config)[[0, -1]].tolist()
    print(f"{name:<14} {major:.1e} {minor:.1e}")
ce, ldt = (thresholds(study.FIVE[x])[-1] for x in ("CE", "LDT 1/2"))
both = thresholds(study.FIVE["LDT 1/2 + 1/n"])

# %% tags=["exercise-check"]
# May help: geometry.step_counts, geometry.temperatures, ridge_grams
# May help: geometry.blocks
# Checks read: both, ce, ldt, n
# - both [10]: threshold of each class, LDT 1/2 with weights 1/n
# - ce: threshold of a minority class, plain
# - ldt: the same of LDT 1/2
# - n [10]: counts
torch.testing.assert_close(ce / ldt, n[0].sqrt())
torch.testing.assert_close(both, both[:1].expand(10))

# %% [markdown]
# The minority classifiers of LDT ½ merge at a ridge $\sqrt R$ times smaller than those of plain cross-entropy: the factor is $\delta_m$.
# The additive adjustment merges them where plain cross-entropy does.
# Weights $1/n$ alone turn the order around: now the majority classifiers merge first.
# With LDT ½ and weights all classes have the same threshold.

# %% [markdown]
# ## 5 · Which cosine comes last
#
# The multiplier of a margin says how hard training pushes on it.
# For CDT at $\gamma=1/2$ and $R=10$ the smallest is that of two majority classes, so we predict that *their* cosine comes last.
# For plain cross-entropy at $R=100$ the smallest is again that of two majority classes.
# We train both from five starts and stop after more and more steps.

# %% mystnb={"image": {"alt": "Two panels: distance of three cosines to their limits against training steps, both axes logarithmic. Left, CDT one half: from 100 steps on the cosine of two majority classifiers is furthest off and falls slowly; the other two are several times closer. Right, plain cross-entropy at R of 100: all three fall fast, and the cosine of two minority classifiers is furthest off."}}
tasks = {
    "CDT 1/2, R = 10": (10, Config("cdt", 0.5)),
    "CE, R = 100": (100, Config()),
}
pairs = "two majority", "one of each", "two minority"
n_starts, stops = 5, (30, 100, 300, 1000, 3000, 10000)


def by_pair(matrix):
    """Means of [..., 10, 10] over majority, mixed, minority pairs."""
    off = matrix * (1 - torch.eye(10))
    major, minor = slice(5), slice(5, 10)
    within = [
        off[..., part, part].sum((-2, -1)) / 20
        for part in (major, minor)
    ]
    between = off[..., major, minor].mean((-2, -1))
    return torch.stack([within[0], between, within[1]], -1)


def cosines_and_products(gram):
    """By pair: cosines, and inner products at norm one, [..., 3]."""
    unit = gram / torch.linalg.matrix_norm(gram, keepdim=True)
    return by_pair(geometry.norms_and_cosines(gram)[1]), by_pair(unit)


fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.4))
errors = {}
for ax, (name, (R, config)) in zip(axes, tasks.items()):
    n = geometry.step_counts(5, 5, R)
    delta = geometry.temperatures(n, config.gamma)
    push = by_pair(geometry.multipliers(n, delta, config.kind))
    starts = [replace(config, seed=seed) for seed in range(n_starts)]
    grams = [
        train_ufm(n, starts, steps=t, checks=1).grams[0] for t in stops
    ]
    there = cosines_and_products(classifiers(n, config))
    now = cosines_and_products(torch.stack(grams))
    errors[name] = [(a - b).abs() for a, b in zip(now, there)]
    off = [error.median(1).values for error in errors[name]]
    for j, (color, line, marker) in zip(range(3), looks):
        style = dict(color=color, ls=line, marker=marker)
        ax.plot(stops, off[0][:, j], label=pairs[j], **style)
    ax.set(xscale="log", yscale="log", xlabel="steps", title=name)
    print(f"{name}; medians of {n_starts} starts")
    print("  pair           multiplier  error of the cosine", end="")
    print("       of the product\n" + " " * 28, end="")
    print("100 steps  10000 steps     100 steps")
    for j, pair in enumerate(pairs):
        print(f"  {pair:<13} {push[j]:11.4f}", end="")
        print(f" {off[0][1, j]:10.1e} {off[0][-1, j]:12.1e}", end="")
        print(f" {off[1][1, j]:13.1e}")
    assert push.argmin() == 0
axes[0].set_ylabel("distance of the cosine to its limit")
axes[0].legend(fontsize=8.5)
plt.show()

# %% tags=["exercise-check"]
# May help: geometry.multipliers, geometry.norms_and_cosines, train_ufm
# May help: Config, geometry.step_counts, geometry.temperatures
# Checks read: errors
# - errors: by task, cosines and products [stops, starts, 3 pairs]
# In every start: which of the three pairs is furthest off.
cosine, product = errors["CDT 1/2, R = 10"]
assert (cosine[1:].argmax(-1) == 0).all()
assert (product[1:].argmax(-1) == 0).all()
cosine, product = errors["CE, R = 100"]
assert (cosine[1:3].argmax(-1) == 2).all()
assert (product[1:3].argmax(-1) == 0).all()

# %% [markdown]
# For CDT the prediction holds in every start, from 100 steps on.
# After 10,000 steps that cosine is still visibly off.
#
# For plain cross-entropy it fails for the cosine, but not for what the multipliers are about.
# They speak of logits, that is of inner products, and the inner product of two majority classifiers is indeed the furthest off at 100 and at 300 steps.
# A cosine divides it by two lengths, and minority classifiers are short, so a smaller error turns them more.
# Use the multipliers to predict margins; for cosines, take the lengths into account.

# %% [markdown]
# ## 6 · Offsets that remove the bias
#
# Write $\mu_{c|y}$ for the multipliers of the limit.
# In the margin problem they are the forces that hold the solution in place.
# In training with a ridge the forces are $\omega_y\,p_{c|y}$, with the probability $p_{c|y}$ of the wrong class $c$.
# At a multiple of the limit all margins are equal, to $s$ say, and $p_{c|y}\approx e^{-s+\iota_{c|y}}$ while this is small.
# So the multiple is a solution, nearly, if $\omega_y\,e^{\iota_{c|y}}\propto\mu_{c|y}$.
#
# Without offsets the margins have to differ by logarithms of $\mu$ instead.
# Since $s$ grows only like $\log(1/\lambda)$, the shape is off by about $1/\log(1/\lambda)$.
# With $\iota_{c|y}=\log(\mu_{c|y}/\omega_y)$ only terms of relative size $p$ are left, and these shrink about as fast as $\lambda$.
#
# For LDT ½ we have $A=n_{\max}P$ and $Z=PD^{-1}$, so all $\mu_{c|y}$ of a class $y$ are equal, and proportional to $\delta_y^{-2}\propto1/n_y$.
# Then $\iota$ is one number for each label, and the loss is $\log(1+e^{\iota_y}S_y)$ with $S_y=\sum_{c\ne y}e^{\tilde z_c-\tilde z_y}$.
# For small $S_y$ this is $e^{\iota_y}\log(1+S_y)$: a weight $1/n_y$, up to a constant.
# If the loss has these weights already, the offset is the same for all pairs and has nothing left to correct.

# %% mystnb={"image": {"alt": "Distance of the exact classifiers to the limit against the ridge, for cross-entropy, LDT one half and CDT one half. Left, without offsets: from between 0.1 and 0.3 at a ridge of 0.001 down to between 0.04 and 0.1 at 1e-10, ever more slowly. Right, with offsets, on a logarithmic axis: nearly straight lines from about 0.01 down to about 1e-10; those of LDT and CDT lie on one another."}}
n = geometry.step_counts(5, 5, 10)
ridges = np.logspace(-10, -3, 22)


def with_offsets(config):
    """The loss with offsets log(mu / omega); omega up to a factor."""
    delta = geometry.temperatures(n, config.gamma)
    ratio = geometry.multipliers(n, delta, config.kind)
    ratio = ratio * n**config.weight_power
    offset = ratio.fill_diagonal_(1).log()
    return replace(config, offset=offset.tolist())


def bias(config):
    """Distance of the exact classifiers to the limit, by ridge."""
    W, _ = ridge_grams(n, config, ridges)
    return geometry.gram_error(W, classifiers(n, config)).numpy()


fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.4))
titles = "without offsets", "with offsets"
at = [21, 12, 0]  # ridges 1e-3, 1e-6, 1e-10
print("distance to the limit at the ridges", ridges[at])
for name, (color, line, _) in zip(("CE", "LDT 1/2", "CDT 1/2"), looks):
    config = (study.FIVE | study.MORE)[name]
    cells = config, with_offsets(config)
    found = [bias(cell) for cell in cells]
    for ax, title, values in zip(axes, titles, found):
        ax.plot(ridges, values, color=color, ls=line, label=name)
        ax.set(xscale="log", xlabel="ridge", title=title)
        print(
            f"{name:<8} {title:<16}", *(f"{x:.1e}" for x in values[at])
        )
    inverse = found[0] * np.log(1 / ridges)
    logs = np.log(ridges), np.log(found[1])
    power = np.polyfit(logs[0][:13], logs[1][:13], 1)[0]
    print("  without, times log(1 / ridge):", inverse[at].round(2))
    print(f"  with: like the ridge to the power {power:.2f}")
    assert inverse.max() / inverse.min() < 1.5
    assert found[0].max() / found[0].min() > 2.5
    assert 0.95 < power < 1.1
axes[0].set(ylabel="distance to the limit", ylim=(0, None))
axes[0].legend(fontsize=8.5)
axes[1].set_yscale("log")

half, both = study.FIVE["LDT 1/2"], study.FIVE["LDT 1/2 + 1/n"]
off = ~torch.eye(10, dtype=torch.bool)
weight = torch.tensor(with_offsets(half).offset).exp() * n
rest = torch.tensor(with_offsets(both).offset)
exact = bias(both)
print(f"LDT 1/2, n times exp(offset): {weight[0, 1]:.3f} for all pairs")
print(f"LDT 1/2 with weights 1/n: at most {exact.max():.0e}, any ridge")
plt.show()

# %% tags=["exercise-check"]
# May help: geometry.multipliers, ridge_grams, geometry.gram_error
# May help: geometry.step_counts, geometry.temperatures
# Checks read: exact, off, rest, weight
# - exact [ridges]: distance to the limit, LDT 1/2 with 1/n
# - off [10, 10]: where a matrix is off its diagonal
# - rest [10, 10]: offsets of LDT 1/2 with 1/n
# - weight [10, 10]: n times exp(offset), LDT 1/2
torch.testing.assert_close(weight[off], weight[0, 1].expand(90))
torch.testing.assert_close(rest[off], rest[0, 1].expand(90))
assert exact.max() < 1e-8  # Newton's method stops at 1e-9

# %% [markdown]
# The offsets are computed from the limit, so a model with them shows that it can take this shape, not that it finds it.
# For LDT ½ nothing has to be computed: the weights $1/n$ do it, and do it exactly.
# The offsets are the same as these weights only for small losses; that is why they leave a bias at a large ridge.
