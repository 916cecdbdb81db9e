# %% [markdown]
# # Bring your own features
#
# **The question.**
# You have features of a frozen network, labels, and perhaps groups and units.
# Would one of this book's heads serve your rare class better, and who would pay?
#
# **What you get.**
# Tables of what every head does to every class and group, on the same splits, with intervals: accuracy, precision, alarms per hit, costs; one sentence that says what to do; and the head as a file.
# "Too few samples to say" is one of the possible answers.
#
# Without a file the notebook runs on a sample from [chapter 2](chapters/2_dfr_sufficiency.ipynb).
# Everything below depends on the next two cells only.
# From a shell, `tailwise pilot FILE --label … --unit … --out …` runs the same code and writes a report; `tailwise pilot --help` lists the settings.

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

# %% tags=["parameters"]
PATH = None  # "my_features.csv", …; None makes a sample
FEATURES = None  # names of columns, or of the array; None: all
LABEL = "label"  # the column, or the array where it is not y
GROUP = None  # column or array; None: "group" if there; False: none
UNIT = None  # patient, part or day; None: "unit" if there
SPLIT = None  # train, val, test, or dates; None: "split" if there
TAILS = "refuse"  # classes under 10 samples; "leave out", "merge"
OBJECTIVE = "balanced"  # or "worst", or "cost"
SMALLEST_EFFECT = 0.02  # gain in the objective that is worth a change
ACCEPT = 0.05  # largest loss of the mean accuracy that you accept
MAX_ALARMS = None  # most alarms per hit that you accept
POSITIVE = None  # the class to be found; None: the rarest
COST_MISS = None  # in CURRENCY; None: nothing is said about costs
COST_FALSE_ALARM = 1.0
CURRENCY = ""
N_SPLITS = 12  # at least 10; 30 or more for a decision
OUT = None  # "my_head", a folder for the head; None: a temporary one

# %% [markdown]
# ## Your own file
#
# Set `PATH` above and run the notebook from the top.
# In Colab, first upload the file with the folder symbol on the left.
# In a checkout this notebook is also a script, which prints the tables: edit the cell in a copy of `book/bring_your_own.py` and run the copy with `.venv/bin/python`.
#
# | | `.csv`, `.tsv` (also `.gz`), `.parquet` | `.npz`, or `.pt` with a dictionary | `.npy` |
# |---|---|---|---|
# | features | every column of numbers that has no other role; or one column of vectors | array `X` or `features`, one row a sample | the file itself |
# | labels | column `label` | array `y`, `label` or `labels` | `y.npy` or `labels.npy` beside it |
# | groups, units, split, if any | columns `group`, `unit`, `split` | arrays `groups`, `units`, `split` | `groups.npy`, … beside it |
# | written by | `table.to_csv("a.csv", index=False)`: a header, decimal points, UTF-8 | `numpy.savez("a.npz", X=X, y=y)` | `numpy.save("X.npy", X)` |
#
# What is in memory already goes through `own.from_arrays` or, a pandas table, `own.from_table`.
# Labels and groups are names or integers; an empty cell is a missing label, while *NA*, *None* or *null* is a name.
# A *group* is what may mislead the network or must be treated alike: the background, the machine, the site, the shift.
# Results are then given for each class in each group.
# Groups that are inside classes already (`2 y + a`, as in chapter 2) work too.
#
# A *unit* is what several rows come from: a patient, a part, a day.
# Two scans of one patient on both sides of a split make any head look good, on pure noise too.
# With `UNIT` no unit is on two sides of any split, and intervals count units instead of rows.
# A column that looks like an identifier is never a feature, and rows that nearly repeat are reported.
#
# `SPLIT` is your own split: words (train, val, test) or dates, of which the latest fifth is tested.
#
# ### What a message means
#
# A file or a setting that cannot be used is refused with one sentence, before anything is computed.
#
# | the sentence contains | why it stops | what to do |
# |---|---|---|
# | `no column`, `no array` | the name is not in the file; the names that are there follow | set `LABEL`, `GROUP` or `FEATURES` |
# | `must be a number` | a cell holds text, often a decimal comma or a unit | correct the cell that is named, or list the other columns in `FEATURES` |
# | `looks like an identifier`, `counts the rows` (a warning) | with the number of a row or a patient a head learns the list by heart | name the column in `UNIT` if several rows share a value |
# | `nearly repeat` (a warning) | a relative on the other side of a split is no test | set `UNIT`, or delete one of each |
# | `is in train and in test` | a unit of your own split is on two sides | move it to one side |
# | `holds nan`, `holds inf` | an average over a missing number has no meaning | fill in or delete the rows |
# | `it must be a class` | a label such as 0.5 is a measurement | cut it into classes |
# | `different values in` | an identifier was taken for the label | choose another column |
# | `holds one value` | with one class or one group there is nothing to compare | add the other, or set `GROUP = False` |
# | `lengths differ` | a label is missing, or one too many | one label for each row |
# | `has 1 sample`, `to be split` | fitting, choosing and testing need samples of their own | collect more, or set `TAILS` |
# | `needs float64` (a warning) | half of the digits of a column would be lost | subtract a constant from it, such as its mean |
# | `Python objects` | reading them may run code, so they are never read | save text with `dtype=str` |
#
# A warning does not stop: rows that occur twice, a column that is not used, a class that was left out.
# Read it before you believe the numbers: a copy in the test part makes every head look too good.

# %% [markdown]
# ## What is in the file

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from tailwise import own, plots

plots.use_style()
scratch = Path(tempfile.mkdtemp(prefix="tailwise-"))
path = PATH or own.write_sample(scratch / "sample.npz")
settings = own.Settings(
    path=path,
    features=FEATURES,
    label=LABEL,
    group=GROUP,
    unit=UNIT,
    split=SPLIT,
    tails=TAILS,
    objective=OBJECTIVE,
    smallest_effect=SMALLEST_EFFECT,
    accept=ACCEPT,
    max_alarms=MAX_ALARMS,
    positive=POSITIVE,
    cost_miss=COST_MISS,
    cost_false_alarm=COST_FALSE_ALARM,
    currency=CURRENCY,
    n_splits=N_SPLITS,
    out=OUT or scratch / "head",
)
try:
    data = own.prepare(settings)
except (FileNotFoundError, ValueError) as fault:
    sys.exit(f"Not started: {fault}.")
report = own.report(data)
print(f"{report.n:,} samples of {report.d} features,", end=" ")
print(f"{data.columns[0]} to {data.columns[-1]}")


def show(table):
    """A table in a notebook, text in a plain script."""
    if "ipykernel" in sys.modules:
        display(table)
    else:
        print(table.to_string(), end="\n\n")


show(report.counts)

# %%
import textwrap


def say(*sentences):
    """Print sentences as a list that fits the page."""
    for one in sentences:
        one = one.replace(" %", "\xa0%").replace("± ", "±\xa0")
        print(textwrap.fill(f"- {one}", 72, subsequent_indent="  "))


say(*report.sentences)
for rule, size in report.dimensions.items():
    print(f"{size:8.1f}  features, {rule}")

# %% [markdown]
# The dimensions are explained in [chapter 1](chapters/1_loss_weighting.ipynb).
# They disagree, because they count different things; the last one is what the weights of chapter 1 use.

# %% [markdown]
# ## The pilot
#
# Each split sets a fifth of every class and group aside to test, a fifth to choose settings, and fits on the rest.
# Every head sees the same splits.
#
# | head | what it is | where |
# |---|---|---|
# | plain | logistic regression | what you have now |
# | logistic, prior weights | the same, each class weighted by one over its share | the usual remedy |
# | logit adjustment | the plain head minus $\tau\log$ of the shares, $\tau$ chosen on validation rows | [chapter 5](chapters/5_ce_geometry.ipynb) |
# | squares, prior weights | weighted least squares, the same weights | [chapter 1](chapters/1_loss_weighting.ipynb) |
# | squares, effective weights | weights that allow for the memory of the head | [chapter 1](chapters/1_loss_weighting.ipynb) |
# | DFR | averaged sparse heads on balanced groups; with groups only | [chapter 2](chapters/2_dfr_sufficiency.ipynb) |
#
# To judge the effective weights compare the two rows of squares; to judge the loss compare the two rows with prior weights.

# %%
study = own.study(data, settings)
pilot, answer = study.pilot, study.verdict
say(f"{len(pilot.splits)} splits, {len(pilot.heads)} heads")
say(*pilot.notes)
board = own.dashboard(pilot)
show(board[list(own.METRICS)])
show(board[list(own.columns_of(pilot))])

# %% [markdown]
# Accuracy in percent; "±" is half of a 95 % interval.
# *test mean* counts samples, *balanced* counts every class and group once, *worst* is the smallest of them in each split; *alarms per hit* are samples that are said to be of the rarest class for each one that is.
# The interval is the corrected one of Nadeau and Bengio (2003), because splits share samples: more splits alone cannot make it arbitrarily narrow, more samples can.

# %% [markdown]
# ## Who gains, who loses

# %%
show(own.gain_table(pilot))

# %% mystnb={"image": {"alt": "Gain in accuracy over the plain head with 95 percent intervals, a row for each class and group, rarest on top, and a marker for each head. In the sample, dresses gain and tops lose with every head, and the intervals are widest for the rarest group."}}
n_rows = min(len(pilot.cells), own.MAX_CELLS)
fig, ax = plt.subplots(figsize=(7.4, 1.2 + 0.75 * n_rows))
own.gain_forest(ax, pilot)
plt.show()
own.origin(pilot)

# %% [markdown]
# Differences from the plain head on the same test samples, in points of accuracy.
# A star marks an interval without zero.
# With many rows and heads some stars come by chance; the verdict below allows for it.
# Look first at what lies left of zero: it pays.

# %% [markdown]
# ## What a decision needs
#
# How many of its alarms are right, and what that costs.

# %%
show(own.decision_table(pilot))
show(own.confusion_table(pilot, study.head.name))
if pilot.costs:
    show(own.cost_table(pilot))
else:
    say("without COST_MISS nothing is said about costs")

# %% [markdown]
# For the rarest class, or the one in `POSITIVE`: recall is the share that is found, precision the share of alarms that are right, *average precision* the mean precision over all thresholds.
# The counts are of the head that is exported, over all splits: true classes in rows.
# With `COST_MISS` and `COST_FALSE_ALARM` the costs per thousand samples follow, for the likeliest class and at the threshold that cost least on the validation rows, and beside them what no alarm at all would cost, and nothing but alarms.

# %% [markdown]
# ## Can its confidence be believed?

# %% mystnb={"image": {"alt": "Accuracy against confidence, a panel for each head, with the diagonal, before and after a correction. In the sample the least-squares heads lie above the diagonal before it, so they are less sure than they should be, and near it afterwards."}}
fig, axes = plt.subplots(2, 3, figsize=(7.4, 4.8))
for ax in axes.flat[len(pilot.heads) :]:
    ax.axis("off")
own.reliability(axes.flat, pilot)
plt.show()
own.origin(pilot)

# %% [markdown]
# Above the diagonal a head is right more often than it says, below it less often.
# The error is the expected calibration error in fifteen bins, as in every chapter.
# A head that favours the rare class overrates it: its mean probability is above the share.
# The dotted line is after a correction, found on validation rows: one constant for each class, so that the mean probability is the share, and one temperature.

# %%
show(own.probability_table(pilot))

# %% [markdown]
# In percent, for the same class.
# The corrected probabilities are exported beside the head; its decisions stay as they are.

# %% [markdown]
# ## The verdict

# %%
say(answer.sentence)
if study.by_class:
    say(f"Judged by class alone: {study.by_class.sentence}")

# %% [markdown]
# *Use* needs two things: the objective that you named gains at least your smallest effect, with the interval, and the price is one that you accepted.
# The gain is over the plain head or over a coin, whichever is better: a head that knows nothing can move errors from one class to another, and that is no gain.
# The price is what the mean over all samples loses, and with `MAX_ALARMS` the alarms per hit; for the objective *cost* it is in the costs.
# The best head is the one with the largest mean gain among those within the price; its intervals are widened because it is the best of several.
# *Keep* is the answer if the gain is below or the price above, *undecided* if an interval covers the limit.
# Where the two sentences differ, the class hides what happens to a group.
#
# How far can the answer be trusted?
# It was tried on files that were made up, most of them without anything to find.

# %%
say(*own.trust())

# %% [markdown]
# ## Take it with you
#
# The head is fitted once more, on every sample, and written in three forms, or four, with a report.
# Unless the verdict says *use*, that is the plain head; name another one in `own.refit` if you have reasons.

# %%
head = study.head
done = own.write(study, settings.out, own.page(study))
where = f"in {done.folder}" if OUT else "in a temporary folder: set OUT"
say(f"the head: {head.name}, {head.setting}", where, *done.files)
if done.note:
    say(done.note)

# %%
import torch

weights = done.folder / "head.pt"
state = torch.load(weights, weights_only=True)
kind = state["weight"].dtype  # float64 where a note above says so
layer = torch.nn.Linear(*reversed(state["weight"].shape), dtype=kind)
layer.load_state_dict(state)
with torch.no_grad():
    p = layer(torch.from_numpy(data.X[:100]).to(kind)).softmax(-1)
expected = torch.from_numpy(head.estimator.predict_proba(data.X[:100]))
difference = (p - expected).abs().max().item()
assert difference < 1e-5
print("the loaded layer gives the same probabilities")

# %% [markdown]
# | file | what it is | how to load it |
# |---|---|---|
# | `head.pt` | weights of a `torch.nn.Linear` on raw features, the scaling folded in | as above; it goes behind your backbone as it is |
# | `risk.pt` | the same layer for corrected probabilities | as above |
# | `head.onnx` | both, with labels, if `onnx` is installed (`pip install onnx`) | any ONNX runtime |
# | `head.joblib` | the whole scikit-learn estimator | `joblib.load`, which can run code: load only files that you wrote; this package never loads one |
# | `head.json` | classes in the order of the outputs, columns, settings, threshold, the verdict | any reader |
# | `report.html` | this page's tables and figures, the verdict and the settings, in one file | any browser |

# %% [markdown]
# ## What to ask before you believe it
#
# 1. **Do several rows come from one object, patient, part or day?** Splits by row then put relatives on both sides, and every number is too good. Name the column in `UNIT`.
# 2. **Did the backbone see these samples when it was trained?** Then its features know the labels. Use held-out samples.
# 3. **Are the shares in the file those of operation?** If not, read the columns per class and group, never the mean.
# 4. **How many rare samples were tested in all?** The report says how well so many can be known. Below about twenty, collect first (a rule of thumb, not tested).
# 5. **Is the rare class one thing?** A class of "all other defects" has no single accuracy.
# 6. **Who pays?** Read what lies left of zero aloud to the people who carry that error, and write down who decided.
# 7. **Was the smallest effect named before the pilot?** If it was changed afterwards, say so.
# 8. **How often did you run this?** Each new objective or file is another chance to be lucky. Keep some samples for one last test.
# 9. **Is a group missing?** Nothing here can measure it. [Chapter 2](chapters/2_dfr_sufficiency.ipynb) shows what a head learns then.
# 10. **What will be watched in operation?** Both error rates, and the shares.
