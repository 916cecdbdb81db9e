# %% [markdown]
# # Run times
#
# What the recorded runs cost, and how much the book gains by writing a sweep as one tensor program.
# Times depend on the machine, and on what else it was doing; processor seconds depend less on that than minutes.

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

# %% [markdown]
# ## A chapter from start to end
#
# Each row is a record that is committed with the book.
# A chapter runs as one process, and some with more for their [chunks](how_to_run.md#long-runs); the memory is the largest that any of them ever held.
# *A repetition* is the most that one more repetition of everything in the chapter would take on one core: the CPU seconds over the smallest number of repetitions behind a claim.
# Chunks that were kept from an earlier run count as if they had been computed now, one after the other.
# Chapter 2 trains its networks once and keeps them, so its first run takes longer.

# %% tags=["remove-input"]
from tailwise.ledger import run_times

run_times.cost_table()

# %% [markdown]
# ## One tensor program against a loop
#
# A benchmark computes a whole figure in two ways in the same process, in turns, on one thread: as the book does, and with the tools that people use today.
# The ratio says how many times longer the loop takes; the last column is the largest difference between the two results.
# In chapter 5's sweep it comes from a few models with exponents of −1 and less: temperatures of up to a thousand amplify rounding, and the median model differs by rounding only.

# %% tags=["remove-input"]
run_times.bench_table()

# %% [markdown]
# `make bench` runs them on your machine, and `make record` makes the outcome the recorded one.
