# %% [markdown]
# # A field trial
#
# **The question.**
# A weaving mill has photographs of good pieces and a few of bad ones, and no time to train a network.
# Is a frozen backbone with a new head enough, and how few defects are enough?
#
# **What this page is.**
# The whole way from photographs to what an inspector is told, once, on pictures that were made for it: 2,000 simulated textile photographs, 1,000 good, 500 with a defect all over (*global*) and 500 with a small *local* one (Megahed et al., 2025; see [References](references.md)).
# The backbone is the one of [chapter 1](chapters/1_loss_weighting.ipynb), EfficientNet-Lite0 with ImageNet weights.
# Everything was recorded; your computer shows the record.
# With `pip install 'tailwise[field]'` the last cell also runs.
#
# ![Two photographs of woven grey fabric. On the left the grain is fine and runs almost level everywhere. On the right it is slanted as usual, with a small speckled spot near the right edge.](_static/textiles.png)
#
# A global defect, and a local one.
# They come from the package `conformal-clip-data`.
#
# <details><summary>Licence of the two pictures</summary>
#
# MIT License. Copyright (c) 2025 Megahed.
# Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:
# The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.
# THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
#
# </details>

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

from tailwise import plots
from tailwise.own import trial

plots.use_style()
record = trial.recorded()


def say(sentences):
    """Print numbered sentences, one below the other."""
    for number, text in sentences.items():
        print(textwrap.fill(f"{number}: {text}", 72), end="\n\n")


# %% [markdown]
# ## What do the features hold?
#
# Before any question of weights: can the two kinds of pieces be told apart at all?
# A least-squares head was fitted on 250 good and 250 bad pieces and judged on new ones, for features from several places in the network, each pooled over the picture by its mean or its maximum.
# The area under the curve is the chance that a bad piece has a higher score than a good one; 0.5 is a coin.

# %% tags=["hide-input"]
trial.area_table(record["areas"])

# %% [markdown]
# Mean over three draws, smallest and largest in brackets.
# What the features do not hold no head can use, and no weight, threshold or loss of this book changes that.
# This table costs a minute and comes first in every trial of your own.
# The rest of the page uses block 16, pooled by its mean: 320 features.

# %% [markdown]
# ## How few defects are enough?
#
# 250 good pieces and a few defects to fit on, 20 draws, judged on 750 good and 250 bad pieces that were not drawn from.
# The ridge is chosen from leave-one-out scores, with nothing held back: there is too little to hold anything back.
# Three ways to decide: the plain head, the head weighted by the ratio of priors, and the plain head with the moved threshold of chapter 1.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two panels against the number of defects, from 5 to 200, for the global defect. Left: all three rules catch nearly all defects from 10 on, the moved threshold from 5 on. Right: almost no good piece is stopped; with 5 defects the moved threshold stops about one in a hundred."}}
fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.1))
trial.draw_few(axes, record["few"], "global")
axes[0].legend(fontsize=8.5)
plt.show()

# %% tags=["hide-input"] mystnb={"image": {"alt": "The same for the local defect. Left: the plain head catches almost none with few defects and about half with 200; the moved threshold catches between a half and two thirds. Right: the moved threshold stops about a third of the good pieces whatever the number; the plain head stops more the more it catches."}}
fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.1))
trial.draw_few(axes, record["few"], "local")
axes[0].legend(fontsize=8.5)
plt.show()

# %% [markdown]
# Bands are 95 % intervals over draws.
#
# ## What an inspector would be told
#
# The moved threshold, by number of defects, if one piece in a hundred is defective in operation.
# First the global defect.

# %% tags=["hide-input"]
say(trial.sentences(record["few"], "global", "moved threshold"))

# %% [markdown]
# Then the local one.

# %% tags=["hide-input"]
say(trial.sentences(record["few"], "local", "moved threshold"))

# %% [markdown]
# ## What the pilot says
#
# The same pieces through [Bring your own features](bring_your_own.ipynb): 1,000 good pieces, the first few defects, 12 splits.
# The pilot is for another question: whether a head is better than the plain one at a price that was accepted, two points of gain and five of the mean.
# It does not say that the plain head is good, and with few defects its intervals are as wide as they have to be.

# %% tags=["hide-input"]
for kind in ("global", "local"):
    print(f"{kind.upper()}\n")
    say(trial.pilot_sentences(record["pilots"], kind))
trial.caught_table(record["pilots"])

# %% [markdown]
# The table: defects that each head of the pilot caught, in per cent, mean over splits.
#
# ## Would fine-tuning help?
#
# The last block and the final convolution of the backbone were trained on the same pieces with a class-weighted loss, and the same kind of head was fitted afterwards.

# %% tags=["hide-input"]
trial.tuning_table(record["tuning"])

# %% [markdown]
# Area under the curve on new pieces, mean over draws: two of the local defect, one of the global.
# Fine-tuning the end of a network can only use what the maps before it still hold.

# %% [markdown]
# ## On your own pictures
#
# 1. Embed them with `tailwise.models.backbone`: `embed(load(), images, 256)` gives 1,280 features a picture; `taps` asks for other places in the network.
# 2. Look at the area under the curve first. Near 0.5, change the pictures (a closer crop, another light, tiles) or the backbone, not the head.
# 3. Then [bring the features](bring_your_own.ipynb), with the piece or the day as a unit.
# 4. Report caught and stopped together, at the share of defects that operation has.
#
# These pictures are simulated: a real loom has lint, folds and lighting, and every number here is too good for it.

# %%
print(textwrap.fill(trial.live(), 72))
