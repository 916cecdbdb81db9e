# %% [markdown]
# # The transfer matrix
#
# **The question.**
# Five chapters, five ideas, each shown where it works.
# What does each one do on the problems of the other four?
#
# **How to read this page.**
# Every method of the book that ends in a linear head on frozen features is run on every small world of the book, and at full size on two worlds of pictures through a real backbone.
# All start from the same features, take the same number of steps, and are chosen by the same rule.
# Gains are paired differences from plain cross-entropy (CE), mean over seeds ± one standard error.
# A sign counts when its 95 % interval (Student's t over seeds) leaves zero out; with this many cells some will do so by chance, so trust the pattern of a row more than one cell.
# What to do with it is in the [decision guide](decision_guide.ipynb).

# %% tags=["remove-cell"]
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

# %% tags=["hide-input"]
import textwrap

import matplotlib.pyplot as plt

from tailwise import matrix, plots, profiles
from tailwise.ledger import claims
from tailwise.matrix import reports

plots.use_style()
P = profiles.current()

# %% [markdown]
# ## The methods
#
# Each method below is a loss, a set of weights, a way to draw subsets, or a move of the threshold.
# All end in the same thing: one linear head.

# %% tags=["hide-input"]
reports.methods_table()

# %% [markdown]
# Three are simpler here than in their chapters.
# *DFR* keeps the balancing and the averaging, but has the ridge penalty of all the others instead of the sparse one, and balances training rows instead of held-out ones; the frozen networks saw neither.
# *Weights by effective ratio* are those of `WeightedHead`, which are derived for the square loss, used in cross-entropy.
# *Mean of experts* averages the scores of two heads: one for each pretrained expert where there are two, elsewhere one for each half of the training rows.
# Without group labels, *DFR* is downsample averaging and *weights by groups* are weights by priors, so those cells are empty.
#
# ## The worlds and the run

# %%
measured = matrix.run(P)
measured.save()
record, beside = matrix.by_size(measured)
print(f"This run: {reports.cost(measured)}")
print(f"Shown: {reports.cost(record)}")
print(f"Beside it: {reports.cost(beside)}")
for sentence in (
    matrix.left_out(P),
    "" if P.decides else claims.SMOKE_RUN,
):
    if sentence:
        print(sentence)

# %% [markdown]
# Each profile has fresh seeds and its own sizes.
# The tables show the largest record there is; a smaller one stands beside it.

# %% tags=["hide-input"]
matrix.worlds_table(record)

# %% [markdown]
# - **rare classes**: six kinds of clothes, three of them rare in training; pixels as features. Groups are classes.
# - **rare groups**: tops and dresses on land or on water, 95 % in the usual place; features of the shipped network. Four groups, all present.
# - **a missing group**: lesions with and without a patch; no malignant one with a patch before the test. Same network.
# - **hard examples**: ten kinds of clothes under six severities of noise, the severe ones rare; pixels. Groups are severities, unknown before the test.
# - **a long tail**: sixty letters, each between two others; features of a shipped pair of experts side by side. Groups are thirds of the letters by frequency.
# - **rare shirts**: a pair of chapter 1, T-shirts with a few shirts, as the backbone of that chapter sees them. Groups are classes.
# - **rare defects**: the textile photographs of the [field trial](field_trial.ipynb), good pieces with a few defects of two kinds, through the same backbone. Groups are *good*, *global defect* and *local defect*, and known before the test.
#
# The last two need full data and the extra `field`; without it a run leaves them out.
# Of the shirts' 1,280 features the heads see 128 principal components, about as many as elsewhere: with all of them the steps that every method takes end far from the minimum of the plain loss, and an unfinished head is no baseline.
# Of the textiles they see block 16, 320 features, as in the trial.
#
# **Budget.**
# Full-batch Adam from zero, the same steps and rates for all; features in units of the training data.
# Each method has three ridges and at most two settings of its own; the shifted threshold has 17 shifts.
# All heads of one world and one seed are one tensor program, and a test shows that it equals a loop.
#
# **Choice.**
# For every seed, the candidate with the best validation result is taken: by the *worst group* where groups are known, by the *mean over classes* elsewhere.
# The missing group is missing from validation too, as it would be in life.
# The kinds of defects are known in validation, as an inspector would know them.
# The test set is read once.

# %% [markdown]
# ## The worst group
#
# The first row is the level of plain CE, the others are changes.

# %% tags=["hide-input"]
reports.HeatMap(record, "worst group")

# %% [markdown]
# The same at the smaller size:

# %% tags=["hide-input", "hide-output"]
reports.HeatMap(beside, "worst group")

# %% [markdown]
# What to see:
#
# - **One family does most of the work.** Weights by priors, a shifted threshold, downsampling, LA and VS change the same thing, the balance of the classes, and their rows look alike. `step · weights by priors − CE · worst group > 0.1` `birds · weights by priors − CE · worst group > 0.1` `skin · weights by priors − CE · worst group > 0.3` `tail · weights by priors − CE · worst group > 0.1`
# - **Moving the threshold is nearly enough.** It needs no new training. `step · shifted threshold − weights by priors · worst group > -0.05` `birds · shifted threshold − weights by priors · worst group > -0.05` `skin · shifted threshold − weights by priors · worst group > -0.1`
# - **Balancing the groups you have can lose to balancing the classes** when one is missing: the balanced groups hold two benign ones for one malignant. `skin · DFR − downsample averaging · worst group < 0`
# - **A real backbone does not end the problem.** With its features the threshold and balanced subsets buy more than weights by priors do. `backbone · CE · worst group < 0.6` `backbone · shifted threshold − weights by priors · worst group > 0` `backbone · downsample averaging − weights by priors · worst group > 0` `textiles · shifted threshold − weights by priors · worst group > 0.2`
# - **No loss here gains a point with hard examples**, where classes and groups were not the problem; a larger ridge does. `noise · weights by priors − CE · worst group < 0.01` `noise · SoftAD − CE · worst group < 0` `noise · LDT 1/2 + 1/n − CE · worst group < 0.01` `noise · CE, largest ridge − CE · worst group > 0.05`

# %% [markdown]
# ## The mean over classes

# %% tags=["hide-input"]
reports.HeatMap(record, "balanced", full=0.15)

# %% [markdown]
# ## The price: accuracy in the training mix
#
# The test sets are balanced, or nearly.
# In operation the common classes are common, so this table weights test samples by the mix of the training set.

# %% tags=["hide-input"]
reports.HeatMap(record, "training mix", full=0.1)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Panels, one a world with a rare class or group. Each shows the gain of the worst group against the change of accuracy in the training mix for six methods. Weights by priors, the shifted threshold, downsampling, LA and VS lie high and to the left, but for VS in rare classes, which gains little and costs most. In rare shirts and rare defects weights by priors lie below the others and cost least; in rare defects the shifted threshold and downsampling lie far above the others and far to the left. SoftAD lies near the origin."}}
shown = {
    "weights by priors": "priors",
    "shifted threshold": "shift",
    "downsample averaging": "downsample",
    "SoftAD": "SoftAD",
    "LA": "LA",
    "VS": "VS",
}
rare = ("step", "birds", "skin", "tail", "backbone", "textiles")
rare = [world for world in rare if world in record.values]
rows = (len(rare) + 1) // 2
fig, axes = plt.subplots(rows, 2, figsize=(7.2, 2.8 * rows))
for ax, world in zip(axes.flat, rare):
    reports.price_plot(ax, record, world, shown)
for ax in axes.flat[len(rare) :]:
    ax.set_axis_off()
for ax in axes[-1]:
    ax.set_xlabel("change in the training mix")
for ax in axes[:, 0]:
    ax.set_ylabel("gain of the worst group")
handles = axes[0, 0].get_legend_handles_labels()
fig.legend(*handles, ncols=6, loc="outside upper center", fontsize=9)
plt.show()

# %% [markdown]
# Up is what you buy, left is what you pay; bars are 95 % intervals.
# Among methods of one height, take the one that lies farthest to the right.

# %% [markdown]
# ## Calibration
#
# The expected calibration error (ECE) compares confidence with accuracy on the test set as it is.
# Lower is better, so ▲ marks a fall.

# %% tags=["hide-input"]
reports.HeatMap(record, "ECE", full=0.15)

# %% [markdown]
# A model can be right more often and still be worse calibrated: see the weights in the long tail.
# One temperature, fitted on validation data, repairs most of that, and the last column of the tables below is the loss after it.
# `tail · weights by priors − CE · ECE > 0.1` `tail · weights by priors − CE · loss, calibrated < 0`

# %% [markdown]
# ## World by world
#
# All numbers of the record, mean ± standard error; the first row is the level of plain CE.

# %% tags=["hide-input"]
reports.WorldTables(record)

# %% [markdown]
# Chapter 1's effective ratio exists only while the head's effective degrees of freedom leave room for the rarest class.
# Where they do not, `WeightedHead` warns and takes the ratio of priors, and the two rows are the same.

# %%
for facts in record.worlds.values():
    share = f"{facts['fell back']} seeds"
    print(f"{facts['title']}: no effective ratio in {share}")

# %% [markdown]
# ## Where two sizes disagree
#
# All metrics and all worlds that both records have.
# A gain is decided when its 95 % interval leaves zero out; ± is a standard error.

# %% tags=["hide-input"]
print(textwrap.fill(reports.agreement(record, beside), 72))

# %% tags=["hide-input"]
reports.reversals(record, beside)

# %% [markdown]
# ## What the matrix does not show
#
# - The worlds are small, the features are frozen, and the standard errors are over training draws. The large backbone orders the methods otherwise than the small networks, and another may again.
# - A budget of full-batch steps from zero is itself a regulariser; a method that needs longer training is at a disadvantage.
# - Methods with more settings have more chances to be chosen well; test data had no part in it.
# - Validation sets of the first and the last world are balanced, which a real one may not be.
