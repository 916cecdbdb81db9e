# %% [markdown]
# # 4 · Keep the big model, recognise the rare?
#
# **The question.**
# Thirty products sell every day, three hundred sell twice a year.
# Can we keep the big model and still recognise the rare ones?
#
# **The answer, first.**
# **Yes, if there is something to adapt: measure the gap between your images and the model's before you buy small parts for it.**
# The small parts are *prompts*, trained inputs beside the image's own, and *adapters*, narrow trained layers beside frozen ones.
# Where they can reach the gap, they beat a *linear probe*, which trains the last layer alone, in rare classes too (with the language expert not yet surely), and keep much of what full fine-tuning gains.
# Without a gap even full fine-tuning gained nothing that we could see over the probe.
# The mean of two models adapted in this way, the *experts*, gains on top of that.
# From *group prompts*, kept from LPT, of which each image picks some from a pool, we could not see a gain: what its second phase wins in rare classes, its loss and samplers win on the head alone.
# A learned *scorer*, a small network that weighs the experts image by image, was not seen to beat their plain mean.
# With the same loss small parts did not beat full fine-tuning.
# The experts are tiny and the images are letters, so read this as a list of what to check first on your own data.
#
# The paper of this chapter is *LPT++: Efficient Training on Mixture of Long-tailed Experts* (Dong, Zhou and Zuo, 2024; see [References](../references.md)); LPT, *long-tailed prompt tuning*, is its predecessor, and LIFT, *lightweight fine-tuning* (Shi et al., 2024), a rival.

# %% [markdown]
# ## What you will do
#
# After this chapter you can
#
# - **measure** how much there is to adapt;
# - **adapt** a frozen transformer without touching its code;
# - **compare** ways of training on equal terms: one loss, one augmentation, a rate for each;
# - **take apart** a method into parts;
# - **mix** two experts, plain mean first.
#
# Before it you need:
#
# | you need | where to read up |
# |---|---|
# | a transformer block | any deep-learning course |
# | logit adjustment: log class shares, added to the logits in training | below; more in [chapter 5](5_ce_geometry.ipynb) |
# | paired differences, standard errors | [Glossary](../glossary.md) |

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
import torch
from torch.nn import functional as F

from tailwise import plots, profiles
from tailwise.data import glyphs
from tailwise.experts import CosineHead, as_backbone, in_chunks
from tailwise.experts import contest, make_expert, reports, study
from tailwise.experts import plots as figures
from tailwise.ledger import board, claims

plots.use_style()
P = profiles.current()
ledger = claims.Ledger("ch4", P)
print(f"profile {P.name}")

# %% [markdown]
# ## The claims
#
# Each [verdict](../index.md#what-a-verdict-means) is computed from what was measured, never typed.
# The long form, with definitions and numbers, is at the [end of the chapter](#what-reproduced).
#
# <details><summary>Names in the claims</summary>
#
# - **Visual, language**: the two kinds of experts; the second was pretrained to match pictures with names.
# - **Logit adjustment**: the log of each class's share is added to its logit in training, so that a rare class must win by more.
# - **Phase 1** trains prompts, adapters and the head; **phase 2** freezes those parts and trains group prompts and the head; a third phase fits the scorer.
# - **A-GCL**, asymmetric Gaussian clouded logit: the loss of phase 2. Noise lowers the cosines in training, most those of rare classes, and sure examples count less.
# - **Two samplers**: one draws images as often as they come, the other draws all classes equally often.
# - **Joint**: all parts and the scorer are trained at once.
# - **Unseen font**: a face that was neither in pretraining nor in the task's training images.
# - **Confidences, summary, scalar**: what a scorer reads. All confidences of both experts; the three largest and the entropy of each; or nothing of the image, with one number learned for each expert.
#
# </details>

# %% tags=["run-again-last"]
print(board.minutes("ch4", "laptop", "full"))
board.claim_box("ch4", "laptop", "full")

# %% [markdown]
# > **What the paper proves.**
# > Nothing, as far as we could read: its claims are about experiments.
# >
# > **What it shows.**
# > By its abstract, about one per cent of extra parameters reaches a comparable accuracy, we read: with full fine-tuning; by a third-party digest, more than a point above earlier methods on two sets of photographs.
# >
# > **What we could read.**
# > The abstract and the first lines of the introduction, the abstract of LIFT, and the released code of LIFT and LPT; of the rest third-party summaries.
# > No table, no equation, no code of LPT++.
#
# The book ships no pretrained photograph model, so the chapter has a small world of its own.

# %% [markdown]
# ## A long tail, in one picture
#
# *GlyphNames*: pictures of letters, and their names in Unicode.
# The experts were pretrained on many letters, each alone in its picture.
# The task has 60 others, each a **new composition of known parts**: the base letter is known, the accents are known, together they are new.
# And in the task every letter stands between two others, as in a word.
# That is the **gap**: strokes are as they were, what is around them is new.
# A few classes have many training images, most have few: above, the count of each class; below, one image of every eighth class.

# %%
plain, task = (glyphs.draw(0, crowd=crowd) for crowd in (False, True))
pair = study.load_pair()
source = glyphs.characters("source")
print(f"{len(source)} letters for pretraining")
print(f"{len(task.train.labels)} training images of 60 classes")
print(f"rarest class: {int(task.counts.min())} images")

# %% tags=["hide-input"] mystnb={"image": {"alt": "Top: bars of training images per class on a logarithmic axis, falling from 200 to 2; 9 classes have many, 21 medium, 30 few. Bottom: eight noisy pictures, each with an accented letter in the middle between parts of two other letters, with their counts and Unicode names."}}
fig = plt.figure(figsize=(7.4, 4.4))
top, bottom = fig.subfigures(2, 1, height_ratios=(1.2, 1))
figures.long_tail(top.subplots(), task).legend(fontsize=8.5)
order = task.counts.argsort(descending=True)[::8].tolist()
figures.examples(bottom.subplots(1, len(order)), task, order)
plt.show()

# %% [markdown]
# The bars fall by a factor of a hundred.
# "Few" is fewer than 20 images, "many" more than 100; the first are half of the classes.
# Test sets are balanced: 20 pictures of each class, in the known fonts and in the unseen one.
#
# ## From names alone
#
# The *language* expert was pretrained to match pictures with names, as CLIP is: cosine of picture and name, over all names.
# It can recognise classes without one training image, better where letters stand alone.

# %%
named = F.normalize(pair.text.encode(task.names), dim=-1)
for name, drawn in (("alone", plain), ("crowded", task)):
    with torch.no_grad():
        seen = F.normalize(pair.language(drawn.test.images), dim=-1)
    hit = ((seen @ named.T).argmax(-1) == drawn.test.labels).float()
    print(f"{name}: from names alone {hit.mean():.1%}")
print(f"chance is {1 / 60:.1%}")

# %% [markdown]
# The *visual* expert was pretrained to tell letters apart and knows no names.
# Its head starts at the mean embedding of each class.
#
# ## Adapting without touching
#
# The backbone stays frozen.
# Prompts are extra tokens that are appended at every block and dropped after it; an adapter is a narrow layer beside the MLP of a block.
# Both together, in one block:


# %%
def adapted(block, x, prompt, down, up):
    """One block with prompts and an adapter, in six lines."""
    n = x.shape[1]
    x = torch.cat([x, prompt.expand(len(x), -1, -1)], 1)
    x = x + block.attn(block.norm1(x))
    h = block.norm2(x)
    x = x + block.mlp(h) + up(torch.relu(down(h)))
    return x[:, :n]


g = torch.Generator().manual_seed(profiles.reseeded(0))
backbone = as_backbone(pair.visual)
expert = make_expert(backbone, 60, generator=g)
for adapter in expert.adapters:  # up starts at zero; make it visible
    torch.nn.init.normal_(adapter.up.weight, std=0.1, generator=g)
with torch.no_grad():
    x = backbone.tokens(task.val.images[:8])
    for k, block in enumerate(pair.visual.blocks):
        prompt, beside = expert.shared.tokens[k], expert.adapters[k]
        x = adapted(block, x, prompt, beside.down, beside.up)
    by_hand = pair.visual.norm(x)[:, 0]
    packaged = expert.features(task.val.images[:8])
torch.testing.assert_close(packaged, by_hand)
print("by hand = package; no line of the backbone was changed")

# %% [markdown]
# Group prompts come from a *pool*, each with a *key*, a trained vector; each picture takes the two whose keys are most similar to its own embedding.
# In LPT's text the two are concatenated (by a third-party summary), in its code they are averaged; we average.
#
# The abstract says about one per cent of extra parameters:

# %%
width, blocks, vit = 768, 12, 85_798_656
shared = blocks * 10 * width
pool = 20 * (6 * 10 * width + width)
beside = blocks * (2 * width * 8 + 8 + width)
print(f"ViT-B/16: {(shared + pool + beside) / vit:.2%}")
small = sum(p.numel() for p in pair.visual.parameters())
for tokens, adapter in ((4, 8), (1, 2)):
    e = make_expert(
        backbone, 60, generator=g, tokens=tokens, adapter=adapter
    )
    own = sum(p.numel() for part in e.beside for p in part.parameters())
    print(f"here, {tokens} prompts, width {adapter}: {own / small:.2%}")

# %% [markdown]
# ## Headroom first
#
# Before any method: is there anything to win?
# *Start* is the head before any training, the *probe* trains the head alone, *phase 1* trains prompts, adapters and head, and *full* fine-tuning trains everything.
#
# **Equal terms.**
# All see the same pictures with the same augmentation (small turns and shifts, light and dark exchanged), the same number of steps, and the same loss, logit adjustment.
# Each has a learning rate of its own.
# It was chosen on validation images of splits of 60 *other* letters, which no number below is about.
# The table has their validation accuracy in per cent by way of training and rate, mean over both experts and two splits.

# %%
chosen = reports.choices()
print("rates:", chosen["chosen"])
reports.rate_table()

# %% [markdown]
# "Second" is phase 2; where the best rate ends its range, a better one may lie beyond.
# These runs had the contest's 150 steps; are they enough?

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two panels, visual and language expert: validation accuracy against 50 to 400 steps. From 100 steps on full fine-tuning is highest, flat for the visual and still rising a little for the language expert; prompts and adapters, marked parts, rise until 200 steps, for the visual expert slowly until 400; the probe is lowest and nearly flat from 100 steps on."}}
fig, axes = plt.subplots(1, 2, figsize=(7.2, 3), sharey=True)
for ax, kind in zip(axes, study.KINDS):
    figures.steps(ax, reports.steps(), kind)
axes[0].set_ylabel("validation accuracy, %")
axes[0].legend(fontsize=8.5)
plt.show()

# %% [markdown]
# The curves flatten near 200 steps; "parts" are prompts and adapters.
# So 150 are a little early, least for the probe.
#
# Now the contest, on this machine.
# Each split draws its own pictures, decides anew which classes are rare, and takes the next pair of shipped experts.
# Accuracy is in per cent, in all classes, in those with many, medium and few images, and on an unseen font; "±" is half of the 95 % interval over splits.

# %%
seeds = range(P.pick(smoke=2, laptop=3, full=10))
terms = contest.Terms(
    rates=chosen["chosen"],
    steps=P.pick(smoke=2, laptop=150),
    views=P.pick(smoke=1, laptop=8),
)
size = dict(n_test=P.pick(smoke=5, laptop=20), device=P.device)
live = reports.run_contest(seeds, terms=terms, **size)
ways = ("start", "probe", "phase 1", "full")
reports.table(live, study.KINDS, ways)

# %% [markdown]
# As differences within a split, with one standard error, as in all tables of claims below.
# Claims are judged on the wider interval, over splits or pairs of experts:

# %% tags=["claim:ch4.headroom", "claim:ch4.peft_beats_probe", "claim:ch4.peft_beats_full"]
headroom = reports.by_kind(live, "full", "probe")
if P.decides:
    assert min(e.mean for e in headroom.values()) >= 0.05
found = {
    "ch4.headroom": headroom,
    "ch4.peft_beats_probe": reports.by_kind(live, "phase 1", "probe"),
    "ch4.peft_beats_full": reports.by_kind(live, "phase 1", "full"),
}
ledger.enter(found)

# %% [markdown]
# There is something to adapt, and small parts get much of it, in a world that was chosen partly because they do.
# The rest reads a record of the same contest and of what takes longer, made by `tools/studies/study_mechanisms.py`; its splits or experts are others, so a contrast can have two numbers.
# "One per cent" is an expert whose small parts have about one per cent of its backbone's parameters.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Forest plot of accuracy in all and in rare classes for both experts. From lowest to highest: start, probe, one per cent, phase 1, full fine-tuning, with training of the blocks alone beside it. The visual expert runs from the mid fifties to about 68 per cent in all classes, the language expert from the mid forties to about 71."}}
rows = reports.recorded()
n = rows["split"].nunique()
print(f"{n} splits, {rows['pair'].nunique()} pairs of experts")
members = [
    (kind, method)
    for kind in study.KINDS
    for method in (*ways, "full, blocks only", "one per cent")
]
fig, ax = plt.subplots(figsize=(7, 4.4))
parts = ("all", "few")
plots.legend_above(figures.methods(ax, rows, members, parts))
plt.show()

# %% [markdown]
# Probe, small parts, full fine-tuning: the same order for both.
# The claims:

# %% tags=["claim:ch4.no_gap", "claim:ch4.parameters", "claim:ch4.peft_tail", "claim:ch4.peft_beats_full_tail"]
found = {
    "ch4.no_gap": ("full, no gap", "probe, no gap", "all"),
    "ch4.parameters": ("one per cent", "full", "all"),
    "ch4.peft_tail": ("phase 1", "probe", "few"),
    "ch4.peft_beats_full_tail": ("phase 1", "full", "few"),
}
found = {c: reports.by_kind(rows, *what) for c, what in found.items()}
ledger.enter(found)

# %% [markdown]
# All contrasts, in points, with half of the 95 % interval over splits and over pairs:

# %%
reports.gains(rows, reports.contrasts())

# %% [markdown]
# With the gap, prompts and adapters gain several points over a probe with the same loss, in rare classes too, with either expert.
# An expert with one per cent of extra parameters gets most of that.
# Full fine-tuning has a higher mean still, and so has training of the blocks alone, as in the released code of LIFT.
#
# Without the gap ("no gap": the same experts, letters that stand alone) we saw nothing beat the probe.
#
# <details><summary>The other gaps that we tried</summary>
#
# They were tried on a development split; the splits above had no part in the choice.
# Where the strokes themselves are new, the first layers must change, we suppose, and small parts stay far below full fine-tuning.
# Letters upside down were a gap, too; crowded letters were chosen partly because small parts gain more on them.
#
# </details>
#
# ## The loss, and where a head starts
#
# Published methods also differ in the loss, plain cross-entropy (CE) or logit adjustment (LA), and in the head's start.

# %% tags=["claim:ch4.loss_matters", "claim:ch4.text_head"]
heads = ("probe, text, converged", "probe, random, converged")
found = {
    "ch4.loss_matters": reports.by_kind(
        rows, "probe", "probe with CE", "few"
    ),
    "ch4.text_head": {
        "": reports.by_kind(rows, *heads, kinds=["language"])[
            "language"
        ]
    },
}
ledger.enter(found)

# %% [markdown]
# In points, after few steps and at convergence (2,000 steps):

# %%
reports.heads_table(rows)

# %% [markdown]
# A head that starts at names is far ahead after few steps, because a random one is unfinished.
# At convergence little of it is left.
# The loss, in the first rows, moves the rare classes far.
#
# <!-- flip: average_by_image_count -->
#
# ## Phase 2, taken apart
#
# Phase 2 adds group prompts, a second sampler that draws classes equally often, and the loss A-GCL, as in the released code of LPT.
# A-GCL lowers cosines by random noise in training, most those of rare classes, so that they must win by more; and sure examples count less.
# Which of them does what?
# Each row of the figure changes one thing, and all start from the same expert after phase 1.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two panels, visual and language expert: differences in points for all and for rare classes. Group prompts, keys and pool size lie near zero. Phase 2 less phase 1 and A-GCL less LA are about five points in rare classes. Two samplers, and both phases after CE, gain twenty to thirty-five points in rare classes, with the head alone as with group prompts."}}
fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.8), sharey=True)
for ax, kind in zip(axes, study.KINDS):
    one = reports.contrasts([kind], reports.SECOND)
    figures.differences(ax, rows, one).set_title(kind)
axes[0].set_yticklabels(reports.SECOND)
axes[1].legend(fontsize=8.5)
plt.show()

# %% [markdown]
# What changes group prompts lies near zero, on either side; what changes loss or samplers moves the rare classes.
# The claims:

# %% tags=["claim:ch4.group_prompts", "claim:ch4.agcl", "claim:ch4.dual_sampling"]
names = {
    "ch4.group_prompts": "group prompts",
    "ch4.agcl": "A-GCL − LA",
    "ch4.dual_sampling": "two samplers",
}
found = {
    claim: reports.by_kind(rows, *reports.SECOND[name], "few")
    for claim, name in names.items()
}
ledger.enter(found)

# %% [markdown]
# Bars are 95 % intervals; "after CE" starts from a phase 1 with plain cross-entropy, as LPT is said to do.
# There the rare classes gain a lot, and *so they do with the head alone, without any group prompt*.
# After a phase 1 with logit adjustment they gain a few points, again by the head alone.
# So the gain needs no group prompts, but the loss and its two samplers together: with one sampler A-GCL neglects the rare classes.
# The price is paid in the frequent classes.
#
# <details><summary>A-GCL as a formula</summary>
#
# With cosines $\cos_c$ between an embedding and the classifier of class $c$, which has $n_c$ training images, and the label $y$, the logits are
#
# $$
# \begin{aligned}
# z_c &= s\left(\cos_c - a\,\lvert\epsilon_c\rvert\,g_c - m\,[c=y]\right),\\
# g_c &= \frac{\log n_{\max}-\log n_c}{\log n_{\max}-\log n_{\min}},
# \end{aligned}
# $$
#
# with normal noise $\epsilon_c$ of standard deviation $\tfrac13$, cut at $\pm1$, and $s=20$, $a=\tfrac12$, $m=0.1$.
# With $p=\operatorname{softmax}(z)$ and labels $t_c$ smoothed by 0.1, the loss is
#
# $$
# -\,t_y\,(1-p_y)^{\gamma_+}\log p_y \;-\; \sum_{c\ne y} t_c\,p_c^{\gamma_-}\log p_c .
# $$
#
# The exponents $(\gamma_+,\gamma_-)$ are $(0, 4)$ in class-balanced batches and $(\tfrac12, 8)$ in the others, as in LPT's code.
#
# </details>
#
# <details><summary>Do group prompts collapse?</summary>
#
# If keys start at random, pictures may all pick the same entries; so ours start at embeddings of training pictures.
# The rows "keys" and "pool of 10 − of 1" ask whether that matters.
# With the loss held fixed we saw no gain from a pool of ten over one of one, where nothing can be chosen: no cost of a collapse, then.
#
# </details>
#
# ## The mixture
#
# Evaluate the plain mean first: it needs no training, and a scorer has to beat it.

# %% tags=["claim:ch4.mixture", "claim:ch4.every_split", "claim:ch4.domain_shift", "claim:ch4.probes_mixed", "claim:ch4.two_kinds"]
every = reports.over_the_better(rows).min()
ledger.record("ch4.every_split", float(every))
probes = ("mixture", "mean, probe")
found = {
    "ch4.mixture": reports.mixture_gains(rows),
    "ch4.domain_shift": reports.mixture_gains(rows, part="unseen"),
    "ch4.probes_mixed": {"": reports.gain(rows, probes, reports.MEAN)},
    "ch4.two_kinds": {"": reports.two_kinds(rows)},
}
print(f"mean less the better expert, worst split: {every:+.3f}")
ledger.enter(found)

# %% [markdown]
# Does the difference in kind gain, or any second model?
# Other mixtures, in per cent and in points:

# %%
reports.member_table(rows)

# %% [markdown]
# "Over its members" is the gain over the mean accuracy of the two.
# One expert that is adapted twice and averaged gains a little; two visual experts that were pretrained from different starts gain more.
# So a part of the gain is that of two pretrainings; whether the kind adds to it, the table above decides.
#
# <details><summary>The other rows</summary>
#
# A poor third (a probe of a network that was never pretrained) changes little.
# "Forward selection" adds an expert while the mean gets more validation images right.
# "Language times" is a wrong scale of the logits: the sharper expert weighs more ([solution 7](../solutions/4_lpt_experts.ipynb) repairs it).
#
# </details>
#
# How good must the second expert be?

# %% tags=["hide-input"] mystnb={"image": {"alt": "Scatter of what the mean gains over the better expert against the difference between the two: from nine points where both are alike, down to zero where one is twenty points worse, and below."}}
fig, ax = plt.subplots(figsize=(6.4, 3.2))
figures.gap_and_gain(ax, rows, ways).legend(fontsize=8.5)
plt.show()

# %% [markdown]
# Each point is a split and a way of training for each expert.
# The closer two experts are in accuracy, the more their mean gains; a much poorer one adds little or harms.
#
# ### A scorer?
#
# The paper's scorer reads the confidences of the experts, not the image, and returns a weight for each; its layout is ours.
# *Confidences* reads all of both experts, *summary* the three largest and the entropy of each, *scalar* nothing: it learns one number for each expert.
# Each is fitted on scores of training images, of augmented *views* of them, of images held out from the experts in turn (*cross-fitted*), or of validation images (*held out*).

# %% tags=["claim:ch4.scorer", "claim:ch4.phases", "claim:ch4.joint_alone", "claim:ch4.weight_explains", "claim:ch4.leak"]
joint = ("mixture", "scorer, joint")
found = {
    "ch4.scorer": reports.scorer_gains(rows),
    "ch4.phases": {"": reports.gain(rows, reports.MEAN, joint)},
    "ch4.joint_alone": reports.by_kind(rows, "joint", "phase 1"),
    "ch4.weight_explains": {"": reports.weight_area(rows)},
    "ch4.leak": {"": reports.leak_gap(rows)},
}
ledger.enter(found)

# %% [markdown]
# In points against the plain mean ("area": see below):

# %%
reports.scorer_table(rows)

# %% [markdown]
# A scorer that sees all confidences loses, most in the rare classes, perhaps less where it was fitted on images new to the experts.
# For the others we could not tell.
# **Does the weight explain?**
# Over images on which exactly one expert is right, the *area* is the chance that the visual one weighs more where it is right than where the other is.
# With summaries it is above one half: the weight leans to the right expert.
# But for a single image it is often wrong, and a part of it is not new: in the mean of logits a confident expert counts more already.
# So do not show an image's weight as the reason for its answer.
#
# **Joint training**, of all parts and the scorer at once, leaves poorer experts; of their mixture see the claims.
# A likely cause, untested: only the mixture has a loss.
#
# ## What it costs
#
# What each way costs, and its accuracy in per cent:

# %% tags=["hide-input"] mystnb={"image": {"alt": "Accuracy in rare classes against trained parameters on a logarithmic axis, a colour for each expert and for their mean, a marker for each way of training. Markers rise from the probe over prompts and adapters; full fine-tuning lies far to the right, above phase 1 and below phase 2. The mean of two adapted experts is above each single expert, the mean of two fully tuned ones highest."}}
table = reports.cost_table(rows, pair)
fig, ax = plt.subplots(figsize=(7.2, 3.4))
figures.costs(ax, table).set_xlabel("trained parameters")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
table

# %% [markdown]
# <details><summary>The columns</summary>
#
# Trained parameters include the head; a step keeps its megabytes for the gradients of 128 images; a pass is one forward pass of a backbone for an image.
# Phase 2 has two: the embedding that is compared with keys is that of the backbone alone.
# Its seconds are without those of phase 1, and it keeps less, as nothing below its group prompts is trained.
#
# </details>
#
# Small parts save parameters, time only against training all, and memory of a step against full fine-tuning, hardly any against the blocks alone: gradients still pass through the frozen blocks.
# They buy one backbone for many tasks.
# A second expert doubles the cost at inference; the highest means of rare classes are those of two.
#
# What pretraining bought the visual expert, in per cent of validation images, by row: half the width, half the steps, all:

# %%
reports.pretraining_table()

# %% [markdown]
# ## Few labels, and wrong ones
#
# Is one image of each class enough to adapt?
# And do small parts learn wrong labels by heart, if a tenth of those in rare classes is wrong?

# %% tags=["claim:ch4.handful", "claim:ch4.wrong_labels"]
found = {
    "ch4.handful": ("phase 1, 1 a class", "probe, 1 a class", "all"),
    "ch4.wrong_labels": (
        "phase 1, mislabelled",
        "probe, mislabelled",
        "few",
    ),
}
found = {c: reports.by_kind(rows, *what) for c, what in found.items()}
ledger.enter(found)

# %% [markdown]
# Accuracy in per cent; the last two columns are of rare classes:

# %%
reports.labels_table(rows, ("probe", "phase 1", "full"))

# %% [markdown]
# ## At scale
#
# The `full` profile runs the contest with more splits.
# The `paper` profile has a command of its own that trains on CIFAR-100-LT with a supervised and a CLIP ViT-B/16, see [How to run](../how_to_run.md).

# %%
board.at_scale(ledger)

# %% [markdown]
# ## What reproduced
#
# The verdicts, those of the contest from this run, others from the record, with half of the 95 % interval over repetitions, by Student's t.
# The sentences below them are about the committed record of this size; yours may differ where an interval touches its limit.

# %% tags=["outcome"]
record = ledger.save()
board.outcome(ledger)

# %% tags=["remove-input", "story"]
board.story(
    ledger,
    r"""
**Is there anything to adapt?**
Full fine-tuning is at least five points better than a probe (ours): {ch4.headroom}. Without the gap it is not (ours): {ch4.no_gap}.

**The experts.**
Prompts and adapters beat a linear probe with the same loss: {ch4.peft_beats_probe}, and in the rare classes: {ch4.peft_tail}.
With about one per cent of extra parameters they are comparable with full fine-tuning: {ch4.parameters}.
That they beat full fine-tuning under the same loss: {ch4.peft_beats_full}; in the rare classes: {ch4.peft_beats_full_tail}.
In the rare classes logit adjustment gains a lot over plain cross-entropy (ours): {ch4.loss_matters}.
A head that starts at names ends better than a random one: {ch4.text_head}.
With one image of each class, small parts beat the probe, too (ours): {ch4.handful}; and in rare classes with a tenth of the labels wrong (ours): {ch4.wrong_labels}.

**Phase 2.**
Group prompts help the rare classes, all else fixed: {ch4.group_prompts}. A-GCL helps them more than logit adjustment: {ch4.agcl}. Two samplers help them more than one: {ch4.dual_sampling}.

**The mixture.**
It beats each of its experts: {ch4.mixture}, on every split (ours): {ch4.every_split}, and on an unseen font: {ch4.domain_shift}.
Two kinds of experts gain more than two visual ones (ours): {ch4.two_kinds}.
Two probes, averaged, are as good as two adapted experts (ours): {ch4.probes_mixed}.
A learned scorer, fitted on training scores, beats the plain mean: {ch4.scorer}.
Where one expert alone is right, its weight leans to that one (ours): {ch4.weight_explains}.
It learns from images on which the experts are better than on new ones, most in the rare classes (ours): {ch4.leak}.
The mean after phase 1 beats joint training: {ch4.phases}; joint training leaves poor experts (ours): {ch4.joint_alone}.

**What we could not test.**
CIFAR-100 with a long tail and pretrained backbones: {ch4.cifar}; the command is there.
Places with a long tail: {ch4.places}.
""",
)

# %% [markdown]
# ## On Monday
#
# You have a frozen model, embeddings of your images, and counts per class.
# Three candidates that need no training; all heads start at class means:

# %%
feats = {  # your embeddings, [n, d] each; here the frozen experts'
    kind: {
        part: in_chunks(getattr(pair, kind), getattr(task, part).images)
        for part in ("train", "val")
    }
    for kind in study.KINDS
}
y, val_y = task.train.labels, task.val.labels
g = torch.Generator().manual_seed(0)
found = {}
for kind, x in feats.items():
    head = CosineHead(64, 60, generator=g, like=x["train"])
    head.init_means(x["train"], y)  # or head.init_text(...)
    found[kind] = head(x["val"]).detach()
found["mean of both"] = sum(found.values()) / 2
rare = task.few[val_y]
for name, z in found.items():
    right = z.argmax(-1) == val_y
    print(f"{name}: all {right.float().mean():.3f},", end=" ")
    print(f"rare classes {right[rare].float().mean():.3f}")

# %% [markdown]
# A checklist for the pilot:
#
# 1. **Count** training images of each class, and classes with fewer than 20. Check the labels of those by hand; a wrong one among three is a third of the class.
# 2. **Start the head well**, at class means or, if the model knows language, at class names; keep the better on validation images. That alone needs no training.
# 3. **Train a linear probe with logit adjustment** (`losses.adjusted_cross_entropy` with `losses.log_priors`), not with plain cross-entropy.
# 4. **Take the mean of two different models** before you tune one, and price it: one more forward pass an image.
# 5. **Then, and only then, prompts and adapters**, with the same loss as the probe, against full fine-tuning with a learning rate of its own.
# 6. **A scorer last**, on held-out images if you can spare any; keep it only if it beats the mean.
# 7. **Log what each expert said**, and report rare classes in money.
#
# **Do not use it** when one more forward pass does not fit the machine, when both models make the same mistakes, or when the licences of the base models do not allow it.
#
# ## Recap
#
# - Measure the gap first; it takes minutes on small data.
# - Where what surrounds the object is new, small parts get most of the gap back.
# - The loss decides about the rare classes; give all rivals the same one.
# - A scorer has to beat the plain mean.
# - Change one factor at a time: a second phase may be its loss.
#
# ### Quiz
#
# 1. Why must a comparison of ways of training use one loss?
# 2. Full fine-tuning is as good as a linear probe on your data. What do prompts buy?
# 3. Why does a scorer on all confidences lose rare classes?
# 4. Two experts are right on 75 % each; at least one is right on 76 %. Is a mixture worth it?
# 5. The head's scale is 20 for one expert and 80 for the other. What happens to the mean of logits?
#
# <details><summary>Answers</summary>
#
# 1. Because the loss alone moves the rare classes, and would be taken for the way of training.
# 2. Hardly any accuracy: there is little to adapt.
# 3. It sees which class has which confidence. For a rare class it learns whom to believe from a few images, on which the experts were trained.
# 4. Hardly: choosing the right expert for each image wins one point at most. A mean of logits can also be right where both are wrong; measure it before anything learned.
# 5. The second expert weighs four times as much; bring both to one scale first.
#
# </details>
#
# ### Exercises
#
# 1. Show that `gamma_neg` of the asymmetric loss does nothing without label smoothing, and what it does with it. Replace A-GCL in phase 2.
# 2. Which letters does each entry of the pool collect: by script, base letter or accent?
# 3. Plot rare-class accuracy against the number of inputs of the scorer.
# 4. Fit a scorer to the label "which expert is right". What would be a useful label?
# 5. Take a word away from the names; how many images repair its letters?
# 6. Draw the trade-off between frequent and rare classes over $\tau$ for four imbalance ratios.
# 7. Break the scale of one expert and repair it with a temperature.
#
# [Solutions](../solutions/4_lpt_experts.ipynb) are executed with the book.
#
# **Before this** came [chapter 3](3_soft_ascent_descent.ipynb), where hard examples got a weight of their own.
# **Next**, [chapter 5](5_ce_geometry.ipynb) asks what a loss changes inside the network.
