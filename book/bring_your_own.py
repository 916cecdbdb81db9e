# %% [markdown]
# # Bring your own features
#
# **The question.**
# You have features of a frozen network, labels, and perhaps groups.
# Would one of this book's heads serve your rare class better, and who would pay?
#
# **What you get.**
# One table of what every head does to every class and group, on the same splits, with intervals; one sentence that says what to do; and the head as a file.
# "Too few samples to say" is one of the possible answers.
#
# Without a file the notebook runs on a sample from [chapter 2](chapters/2_dfr_sufficiency.ipynb).
# Everything below depends on the next two cells only.

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
PATH = None  # "my_features.csv" or .npz; None makes a sample
FEATURES = None  # names of columns, or of the array; None: all
LABEL = "label"  # the column, or the array where it is not y
GROUP = None  # column or array; None: "group" if there; False: none
SMALLEST_EFFECT = 0.02  # gain in accuracy that is worth a change
OBJECTIVE = "balanced"  # or "worst": what settings are chosen for
N_SPLITS = 12  # at least 10; 30 or more for a decision
OUT = None  # "my_head", a folder for the head; None: a temporary one

# %% [markdown]
# ## Your own file
#
# Set `PATH` above and run the notebook from the top.
# In Colab, first upload the file with the folder symbol on the left.
# In a checkout this notebook is also a script, which prints the tables: edit the cell in a copy of `book/bring_your_own.py` and run the copy with `.venv/bin/python`.
#
# | | `.npz` | `.csv` |
# |---|---|---|
# | features | array `X` or `features`, one row a sample, numbers | every column of numbers that is not the label or the group |
# | labels | array `y`, `label` or `labels` | column `label` |
# | groups, if any | array `groups` or `group` | column `group` or `groups` |
# | written by | `numpy.savez("a.npz", X=X, y=y, groups=groups)` | `table.to_csv("a.csv", index=False)`: a header, commas, decimal points, UTF-8 |
#
# Labels and groups are names or integers.
# A *group* is what may mislead the network or must be treated alike: the background, the machine, the site, the shift.
# Results are then given for each class in each group.
# Groups that are inside classes already (`2 y + a`, as in chapter 2) work too.
#
# ### What a message means
#
# A file or a setting that cannot be used is refused with one sentence, before anything is computed.
#
# | the sentence contains | why it stops | what to do |
# |---|---|---|
# | `no column`, `no array` | the name is not in the file; the names that are there follow | set `LABEL`, `GROUP` or `FEATURES` |
# | `must be a number` | a cell holds text, often a decimal comma or a unit | correct the cell that is named, or list the other columns in `FEATURES` |
# | `holds nan`, `holds inf` | an average over a missing number has no meaning | fill in or delete the rows |
# | `it must be a class` | a label such as 0.5 is a measurement | cut it into classes |
# | `different values in` | an identifier was taken for the label | choose another column |
# | `holds one value` | with one class or one group there is nothing to compare | add the other, or set `GROUP = False` |
# | `lengths differ` | a label is missing, or one too many | one label for each row |
# | `has 1 sample`, `to be split` | fitting, choosing and testing need samples of their own | collect more, or merge |
# | `Python objects` | reading them may run code, so they are never read | save text with `dtype=str` |
#
# A warning does not stop: rows that occur twice, a column without a single number or one that counts the rows, which is not used.
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
names = dict(features=FEATURES, label=LABEL, group=GROUP)
try:
    data = own.load(path, **names)
    own.draw_splits(data, N_SPLITS)
    own.check_objective(OBJECTIVE)
    own.check_effect(SMALLEST_EFFECT)
    own.check_folder(OUT or scratch / "head")
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
# | DFR | averaged sparse heads on balanced groups; two classes with groups only | [chapter 2](chapters/2_dfr_sufficiency.ipynb) |
#
# To judge the effective weights compare the two rows of squares; to judge the loss compare the two rows with prior weights.

# %%
pilot = own.pilot(data, n_splits=N_SPLITS, objective=OBJECTIVE)
say(f"{len(pilot.splits)} splits, {len(pilot.heads)} heads")
say(*pilot.notes)
board = own.dashboard(pilot)
show(board[list(own.METRICS)])
show(board[list(pilot.cells)])

# %% [markdown]
# Accuracy in percent; "±" is half of a 95 % interval.
# *test mean* counts samples, *balanced* counts every class and group once, *worst* is the smallest of them in each split.
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

# %% [markdown]
# Differences from the plain head on the same test samples, in points of accuracy.
# A star marks an interval without zero.
# With many rows and heads some stars come by chance; the verdict below allows for it.
# Look first at what lies left of zero: it pays.

# %% [markdown]
# ## Can its confidence be believed?

# %% mystnb={"image": {"alt": "Accuracy against confidence, a panel for each head, with the diagonal. In the sample the logistic heads lie near the diagonal; both least-squares heads lie above it, so they are less sure than they should be."}}
fig, axes = plt.subplots(2, 3, figsize=(7.4, 4.6))
for ax in axes.flat[len(pilot.heads) :]:
    ax.axis("off")
own.reliability(axes.flat, pilot)
plt.show()

# %% [markdown]
# Above the diagonal a head is right more often than it says, below it less often.
# The error is the expected calibration error in ten bins.
# Scores of the least-squares heads are not probabilities: use them to rank or to decide, not as a risk.
# A head that favours the rare class is *meant* to differ from the shares in your data.

# %% [markdown]
# ## The verdict

# %%
answer = own.verdict(pilot, smallest_effect=SMALLEST_EFFECT)
say(answer.sentence)
if data.groups is not None:
    by_class = own.verdict(
        pilot, smallest_effect=SMALLEST_EFFECT, by="class"
    )
    say(f"Judged by class alone: {by_class.sentence}")

# %% [markdown]
# The best head is the one with the largest mean gain in the objective; its intervals are widened because it is the best of several.
# The rarest group, or class, decides: *use* if its gain is above your smallest effect with the interval, *keep* if it is below, *undecided* if the interval covers it.
# The verdict does not weigh the price: whether the common class may pay it is yours to decide.
# Where the two sentences differ, the class hides what happens to a group.

# %% [markdown]
# ## Take it with you
#
# The head is fitted once more, on every sample, and written in three forms, or four.
# Unless the verdict says *use*, that is the plain head; name another one in `own.refit` if you have reasons.

# %%
head = own.refit(data, answer.chosen, objective=OBJECTIVE)
done = own.export(
    head, OUT or scratch / "head", sentence=answer.sentence
)
where = f"in {done.folder}" if OUT else "in a temporary folder: set OUT"
say(f"the head: {head.name}, {head.setting}", where, *done.files)
if done.note:
    say(done.note)

# %%
import torch

weights = done.folder / "head.pt"
state = torch.load(weights, weights_only=True)
layer = torch.nn.Linear(*reversed(state["weight"].shape))
layer.load_state_dict(state)
with torch.no_grad():
    p = layer(torch.from_numpy(data.X[:100])).softmax(-1)
expected = torch.from_numpy(head.estimator.predict_proba(data.X[:100]))
difference = (p - expected).abs().max().item()
assert difference < 1e-3
print("the loaded layer gives the same probabilities")

# %% [markdown]
# | file | what it is | how to load it |
# |---|---|---|
# | `head.pt` | weights of a `torch.nn.Linear` on raw features, the scaling folded in | as above; it goes behind your backbone as it is |
# | `head.onnx` | the same map with labels and probabilities, if `skl2onnx` is installed (`pip install skl2onnx`) | any ONNX runtime |
# | `head.joblib` | the whole scikit-learn estimator | `joblib.load`, which can run code: load only files that you wrote; this package never loads one |
# | `head.json` | classes in the order of the outputs, columns, settings, the verdict | any reader |

# %% [markdown]
# ## What to ask before you believe it
#
# 1. **Do several rows come from one object, patient, part or day?** Splits by row then put relatives on both sides, and every number is too good. Keep one row of each, or test on objects that were never fitted.
# 2. **Did the backbone see these samples when it was trained?** Then its features know the labels. Use held-out samples.
# 3. **Are the shares in the file those of operation?** If not, read the columns per class and group, never the mean.
# 4. **How many rare samples were tested in all?** The report says how well so many can be known. Below about twenty, collect first (a rule of thumb, not tested).
# 5. **Is the rare class one thing?** A class of "all other defects" has no single accuracy.
# 6. **Who pays?** Read what lies left of zero aloud to the people who carry that error, and write down who decided.
# 7. **Was the smallest effect named before the pilot?** If it was changed afterwards, say so.
# 8. **How often did you run this?** Each new objective or file is another chance to be lucky. Keep some samples for one last test.
# 9. **Is a group missing?** Nothing here can measure it. [Chapter 2](chapters/2_dfr_sufficiency.ipynb) shows what a head learns then.
# 10. **What will be watched in operation?** Both error rates, and the shares.
