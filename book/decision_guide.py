# %% [markdown]
# # Decision guide
#
# You have a frozen backbone, a linear head trained with plain cross-entropy (CE), and something rare that it gets wrong.
# What do you try first, what does it buy, what does it cost, and what should you leave alone?
#
# Every answer below was measured in the [transfer matrix](transfer_matrix.ipynb), where each method of this book meets each small world of this book.
# The worlds are called by what is rare in them: *rare classes*, *rare groups*, *a missing group*, *a long tail*, and *hard examples*; two are pictures through a large backbone, *rare shirts* and *rare defects*.
# *Worst group* is the smallest accuracy of a group (of a third of the classes by frequency in *a long tail*, of a severity in *hard examples*), *balanced* the mean over classes, *training mix* the mean in the mix of the training set, and *ECE* the calibration error, where lower is better.
#
# The methods, in a line each; the [glossary](glossary.md) has more:
#
# - *weights by priors* or *by groups*: a sample counts by one over the share of its class or group; the *effective ratio* weights the rare class more, the more features the head uses per sample;
# - *shifted threshold*: the trained head with other intercepts, moved along the log priors;
# - *downsample averaging*: the mean of heads on balanced subsets of the classes; *DFR*: on balanced groups;
# - *LA* adds log priors to the logits in training, *LDT* multiplies them by a number of the label, *VS* does both by class; *1/n* are weights by class counts, the priors again; *LDT 1/2* has the exponent one half;
# - *SoftAD* pushes each loss towards a level, *SoftAD of CVaR* the mean of the worst half;
# - *mean of experts*: two heads, on two feature sets or on halves of the rows, averaged.
#
# In each table below the first row has the levels of CE; the others are changes from it, paired by seed, ± one standard error.
# ▲ is better and ▼ worse beyond the 95 % interval, · is undecided.
# Nothing is corrected for the number of cells: of those without an effect one in twenty has a mark by chance.
#
# The worlds are small ([their sizes](#the-worlds)), so take the direction from here and the size from a pilot on your own data.

# %% [markdown] tags=["notebook-only"]
# The code after a sentence names the cells that it rests on: `tail · LA − CE · balanced > 0` says that in the world *tail* LA beats CE in the mean over classes beyond its 95 % interval.
# `>` and `<` mean that the 95 % interval lies beyond that number, `~` that it covers it; a test looks up each one in the record.
# In this code the worlds are *step* (rare classes), *birds* (rare groups), *skin* (a missing group), *noise* (hard examples), *tail* (a long tail), *backbone* (rare shirts) and *textiles* (rare defects).
# On the page the code is a numbered source.

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

# %% tags=["remove-input"]
from tailwise import matrix
from tailwise.matrix import Branch, Chart, world_table, worlds_table

record = matrix.recorded()
shown = ["worst group", "balanced", "training mix", "ECE"]


def buys(world, *methods):
    """Gains and costs of a few methods."""
    return world_table(record, world).loc[["CE", *methods], shown]


# %% [markdown]
# ## Start here
#
# Ask the questions from the top; the first yes decides.
# The number at each arrow is the cell behind it, ± its standard error.

# %% tags=["remove-input"]
Chart(
    (
        Branch(
            "Is a group that matters missing from your data?",
            "skin · CE · worst group < 0.4",
            "Balance the classes, not the groups you have: "
            "weights by priors. Then collect the group.",
            "skin · weights by priors − CE · worst group > 0.1",
        ),
        Branch(
            "Are all groups there and known, and one is worst?",
            "birds · CE · worst group < 0.75",
            "Weights by priors or by groups, and where the features "
            "hardly show that group a shifted threshold; choose on "
            "the worst validation group.",
            "birds · weights by priors − CE · worst group > 0.1",
        ),
        Branch(
            "Many classes with a long tail?",
            "tail · CE · worst group < 0.7",
            "Shift the threshold first; LDT 1/2 with 1/n weights "
            "and LA gain as much.",
            "tail · shifted threshold − CE · worst group > 0.1",
        ),
        Branch(
            "A few rare classes?",
            "step · CE · worst group < 0.7",
            "Shift the threshold; no training needed. If the "
            "common classes pay too much, weights by priors.",
            "step · shifted threshold − CE · worst group > 0.1",
        ),
        Branch(
            "Hard examples of ordinary classes?",
            "noise · CE · worst group < 0.6",
            "Collect hard ones, and try a larger ridge. No loss "
            "of this book helped a linear head.",
            "noise · CE, largest ridge − CE · worst group > 0.05",
        ),
    ),
    record,
)

# %% [markdown]
# ## What each step buys and costs
#
# ### A group is missing
#
# - Plain training nearly gives it up. `skin · CE · worst group < 0.4`
# - Try first weights by priors or a shifted threshold: they favour the rare class, and the unseen group with it. `skin · weights by priors − CE · worst group > 0.1` `skin · shifted threshold − CE · worst group > 0.1`
# - It costs accuracy in the training mix. `skin · weights by priors − CE · training mix < 0`
# - Do not balance the groups that you happen to have: DFR then gains less than balancing the classes. `skin · DFR − downsample averaging · worst group < 0` `skin · weights by groups − weights by priors · worst group < 0`
# - LDT alone harms. `skin · LDT − CE · worst group < 0`
# - None of it is a cure: the best here still fails many of the missing group, so collect it. `skin · downsample averaging · worst group < 0.85`

# %% tags=["remove-input"]
buys(
    "skin",
    "weights by priors",
    "shifted threshold",
    "downsample averaging",
    "DFR",
    "LDT",
)

# %% [markdown]
# ### All groups are there, one is worst
#
# - Weights by priors are enough here, where the worst group sits in the rare class and the features show it; [rare defects](#rare-defects-of-two-kinds) are otherwise. `birds · weights by priors − CE · worst group > 0.1`
# - Group labels in *training* buy nothing on top that we could see; in validation they choose the settings of every method. `birds · DFR − weights by priors · worst group ~ 0` `birds · weights by groups − weights by priors · worst group ~ 0`
# - DFR pays more in the training mix than weights do. `birds · DFR − weights by priors · training mix < 0`
# - VS does as well as weights. `birds · VS − weights by priors · worst group > -0.01`
# - SoftAD does not help the worst group, and LDT alone harms it. `birds · SoftAD − CE · worst group < 0.01` `birds · LDT − CE · worst group < 0`

# %% tags=["remove-input"]
buys(
    "birds",
    "weights by priors",
    "shifted threshold",
    "weights by groups",
    "DFR",
    "VS",
    "SoftAD",
    "LDT",
)

# %% [markdown]
# ### A long tail
#
# - A shifted threshold, which trains nothing, gains as much for the rare third as LDT 1/2 with 1/n weights or LA, within five points. `tail · shifted threshold − CE · worst group > 0.1` `tail · LDT 1/2 + 1/n − shifted threshold · worst group < 0.05` `tail · LA − shifted threshold · worst group < 0.05`
# - LA in training and weights by priors raise the mean over classes alike. `tail · LA − CE · balanced > 0` `tail · weights by priors − LA · balanced > -0.02` `tail · weights by priors − LA · balanced < 0.02`
# - LDT 1/2 with 1/n weights gains as much as the weights by priors, and its calibration stays about that of CE, which is poor. `tail · LDT 1/2 + 1/n − weights by priors · balanced > -0.02` `tail · LDT 1/2 + 1/n − CE · ECE < 0.02`
# - Both cost accuracy in the training mix, weights by priors much in calibration, too; after one fitted temperature each, the loss of the weights by priors is below that of CE. `tail · weights by priors − CE · training mix < 0` `tail · LDT 1/2 + 1/n − CE · training mix < 0` `tail · weights by priors − CE · ECE > 0.1` `tail · weights by priors − CE · loss, calibrated < 0`
# - Two heads on one expert each, averaged, do a little better than one head on both feature sets, and are better calibrated. `tail · mean of experts − CE · balanced > 0` `tail · mean of experts − CE · balanced < 0.05` `tail · mean of experts − CE · ECE < 0`
# - The single worst of sixty classes stays poor, with LA and VS too. `tail · LA · worst class < 0.4` `tail · VS · worst class < 0.4`

# %% tags=["remove-input"]
buys(
    "tail",
    "shifted threshold",
    "LA",
    "weights by priors",
    "LDT 1/2 + 1/n",
    "LDT",
    "mean of experts",
)

# %% [markdown]
# ### A few rare classes
#
# - Moving the threshold of the head that you have buys about as much as any training. `step · shifted threshold − CE · worst class > 0.1` `step · LA − shifted threshold · worst class < 0.02` `step · downsample averaging − shifted threshold · worst class < 0.02`
# - Weights by priors pay less in the training mix for nearly the same. `step · weights by priors − shifted threshold · training mix > 0`
# - VS and downsampling pay more than these weights, and VS gains nothing that we could see. `step · VS − weights by priors · training mix < 0` `step · VS − CE · worst class ~ 0` `step · downsample averaging − weights by priors · training mix < 0`
# - The effective ratio gains a little on the priors; where a rare class has too few rows it has no solution and falls back to them. `step · weights by effective ratio − weights by priors · worst class > 0` `step · weights by effective ratio − weights by priors · worst class < 0.05`
# - Do not split the rows between two heads: the average is worse than one head. `step · mean of experts − CE · worst class < 0`
# - SoftAD of CVaR and LDT alone do not help the rare classes. `step · SoftAD of CVaR − CE · worst class < 0.01` `step · LDT − CE · worst class < 0`

# %% tags=["remove-input"]
buys(
    "step",
    "shifted threshold",
    "weights by priors",
    "downsample averaging",
    "VS",
    "SoftAD of CVaR",
    "mean of experts",
)

# %% [markdown]
# ### A rare class, seen by a large backbone
#
# - A large backbone alone does not remove the problem: plain training finds about half of the rare class. `backbone · CE · worst class < 0.6`
# - Moving the threshold, LA and downsample averaging buy most, and weights by priors less. `backbone · shifted threshold − weights by priors · worst class > 0` `backbone · LA − weights by priors · worst class > 0` `backbone · downsample averaging − weights by priors · worst class > 0`
# - They also cost more in the training mix. `backbone · shifted threshold − weights by priors · training mix < 0` `backbone · LA − weights by priors · training mix < 0` `backbone · downsample averaging − weights by priors · training mix < 0`
# - Losses for hard examples do not help. `backbone · SoftAD − CE · worst class < 0` `backbone · SoftAD of CVaR − CE · worst class < 0`

# %% tags=["remove-input"]
buys(
    "backbone",
    "shifted threshold",
    "LA",
    "downsample averaging",
    "weights by priors",
    "SoftAD",
)

# %% [markdown]
# ### Rare defects of two kinds
#
# - Plain training finds nearly none of the kind that the features hardly show. `textiles · CE · worst group < 0.2`
# - Weights by priors help a little, a moved threshold or balanced subsets much. `textiles · weights by priors − CE · worst group > 0` `textiles · shifted threshold − weights by priors · worst group > 0.2` `textiles · downsample averaging − weights by priors · worst group > 0.2`
# - What they buy is paid with good pieces that are stopped: the accuracy in the training mix falls by more than 20 points. `textiles · shifted threshold − CE · training mix < -0.2` `textiles · downsample averaging − CE · training mix < -0.2`
# - Knowing the kinds in training helps the weights; the balanced subsets by less than five points, if at all. `textiles · weights by groups − weights by priors · worst group > 0` `textiles · DFR − downsample averaging · worst group < 0.05`
# - A loss for hard examples, SoftAD of CVaR, gains about as much as weights by priors. `textiles · SoftAD of CVaR − CE · worst group > 0` `textiles · SoftAD of CVaR − weights by priors · worst group > -0.05`
# - No head is a cure here: ask first what the features hold. `textiles · shifted threshold · worst group < 0.7` `textiles · DFR · worst group < 0.7`

# %% tags=["remove-input"]
buys(
    "textiles",
    "weights by priors",
    "shifted threshold",
    "downsample averaging",
    "DFR",
    "SoftAD of CVaR",
)

# %% [markdown]
# ### Hard examples
#
# - Class weights, LA and DFR's relatives have nothing to balance here, and do next to nothing. `noise · weights by priors − CE · worst group < 0.01` `noise · LA − CE · worst group < 0.01` `noise · downsample averaging − CE · worst group < 0.01`
# - SoftAD, alone or on CVaR, does not help the hardest images either. `noise · SoftAD − CE · worst group < 0` `noise · SoftAD of CVaR − CE · worst group < 0`
# - A larger ridge helps them. Ordinary validation data do not ask for it, since it costs accuracy in their mix, and calibration: label the severity of some validation images. `noise · CE, largest ridge − CE · worst group > 0.05` `noise · CE, largest ridge − CE · training mix < 0` `noise · CE, largest ridge − CE · ECE > 0.1`

# %% tags=["remove-input"]
buys(
    "noise",
    "CE, largest ridge",
    "weights by priors",
    "LA",
    "SoftAD",
    "SoftAD of CVaR",
)

# %% [markdown]
# ### The probabilities are what you sell
#
# - SoftAD lowers the calibration error in some worlds and raises it in others. `skin · SoftAD − CE · ECE < 0` `birds · SoftAD − CE · ECE > 0`
# - Fit one softmax temperature first: with a missing group most of what SoftAD gains in the loss was gone after it. `skin · SoftAD − CE · loss < -0.05` `skin · SoftAD − CE · loss, calibrated > -0.05`
# - What balancing the classes gains in the loss remains after it. `skin · weights by priors − CE · loss, calibrated < -0.1` `step · weights by priors − CE · loss, calibrated < -0.1`

# %% [markdown]
# ## The calls
#
# | try | call | chapter |
# |---|---|---|
# | weights by priors, by effective ratio | `weighting.WeightedHead(ratio="priors")`, `ratio="effective"` | [1](chapters/1_loss_weighting.ipynb#on-monday) |
# | a shifted threshold, two classes | `linear_head.threshold_shift(scores, y, groups)` | [2](chapters/2_dfr_sufficiency.ipynb#on-monday) |
# | a shifted threshold, more classes | subtract `losses.log_priors(counts, tau)` from the scores | [5](chapters/5_ce_geometry.ipynb#on-monday) |
# | downsample averaging; mean of experts | fit `WeightedHead(ratio=1)` on balanced subsets, or on each feature set, and average the scores | [1](chapters/1_loss_weighting.ipynb#on-monday) |
# | DFR | `dfr.DeepFeatureReweighting().fit(X, y, groups=g)` | [2](chapters/2_dfr_sufficiency.ipynb#on-monday) |
# | SoftAD, CVaR | `risk.example_weights(losses, rule, ...)` | [3](chapters/3_soft_ascent_descent.ipynb#on-monday) |
# | LA, VS | `losses.vs_loss(logits, y, counts, tau=1, gamma=0)` | [5](chapters/5_ce_geometry.ipynb#on-monday) |
# | LDT 1/2 + 1/n | `losses.ldt_loss(..., gamma=0.5, weight=losses.inverse_frequency(counts))` | [5](chapters/5_ce_geometry.ipynb#on-monday) |

# %% [markdown]
# ## The worlds
#
# Rows of training, validation and test for each seed, and what validation chooses by:

# %% tags=["remove-input"]
worlds_table(record)

# %% [markdown]
# In *rare groups* and *a missing group* the features come from a small network, in *rare shirts* and *rare defects* from a large backbone; the [matrix](transfer_matrix.ipynb) says more of each.
#
# ## What this book cannot answer
#
# - Which method is best on raw images with end-to-end training and a large budget: here backbones are frozen, or small.
# - What works on tables alone, without features from a network.
# - Video, audio, text, and anything whose rows depend on each other.
# - Groups that nobody can name: where validation groups are unknown, nothing here was chosen by them.
# - Whether your labels are right: label noise in the rare class looks like a hard example.
# - Drift: each test set here was drawn like its training set, or differs in a known way.
