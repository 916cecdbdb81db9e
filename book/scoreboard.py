# %% [markdown]
# # Scoreboard
#
# Every claim of every chapter, beside every run that measured it.
# *This machine* stands where your own run gave other numbers than the record.
# A claim leads to the cell of its chapter that measured it.
# The interval holds 95 %, by Student's t over repetitions; a number without one is exact.
# *n* counts independent repetitions, and each claim says what one is; below the interval of an open part stands why it is open and how many would decide it, if the effect is as seen.
# Under a claim: where it stands, in what it was read, the paper's own number, and what differs here.
# The verdict is computed from the number and its limit, never typed; [the front page](index.md#what-a-verdict-means) says how.

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
from tailwise import profiles
from tailwise.ledger import board, claims, tables

P = profiles.current()
board.headline(P.name, claims.recorded)

# %% tags=["remove-input"]
board.by_chance(P.name, claims.recorded)

# %% tags=["remove-input"]
board.stays()

# %% tags=["remove-input"]
tables.full_table(P.name)

# %% [markdown]
# ## Where the numbers come from
#
# A run writes its versions, device, time and the hash of the source code beside its numbers.
# What each run cost is on [Run times](run_times.ipynb).
# All claims, records and provenance are one file for machines, <a href="../_static/claims.json">claims.json</a>, with a <a href="../_static/claims.schema.json">schema</a>; a link to a claim, such as <a href="#ch1.equal_error_ratio">#ch1.equal_error_ratio</a>, stays.
