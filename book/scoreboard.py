# %% [markdown]
# # Scoreboard
#
# Every claim of every chapter, beside every run that measured it.
# *This machine* stands where your own run gave other numbers than the record.
# A claim leads to the cell of its chapter that measured it.
# The interval is two standard errors on each side; a number without one was computed exactly or once.
# *n* counts independent repetitions: seeds, sets or networks.
# The verdict is computed from the number and its limit, never typed; [the front page](index.md#what-a-verdict-means) says how.

# %% tags=["remove-cell"]
import importlib.util
import sys

if "google.colab" in sys.modules and not importlib.util.find_spec(
    "tailwise"
):
    url = "git+https://github.com/owner_not_set/tailwise"
    get_ipython().run_line_magic("pip", f"install -q --no-deps {url}")

# %% tags=["remove-input"]
from tailwise import profiles
from tailwise.ledger import board, claims, tables

P = profiles.current()
board.headline(P.name, claims.recorded)

# %% tags=["remove-input"]
tables.full_table(P.name)

# %% [markdown]
# ## Where the numbers come from
#
# A run writes its versions, device, time and the hash of the source code beside its numbers.
# What each run cost is on [Performance](performance.ipynb).
