"""A file for the pilot in the page, for readers who have none with them."""

import numpy as np
import pandas as pd

ROWS, RARE, SITES = 240, 40, 2


def pilot_example() -> str:
    """A drawn CSV: labels 0 and 1, probabilities, sites and two features.

    The model leans towards the common class, as one fitted on such shares does, and
    most so at site B.
    """
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(ROWS) < RARE).astype(int)
    site = rng.integers(SITES, size=ROWS)
    logit = 3 * y - 2.5 - 0.8 * site + rng.normal(size=ROWS)
    table = pd.DataFrame(
        {
            "label": y,
            "score": (1 / (1 + np.exp(-logit))).round(3),
            "group": np.array(["site A", "site B"])[site],
            "width": (y + rng.normal(size=ROWS)).round(2),
            "depth": rng.normal(size=ROWS).round(2),
        }
    )
    return table.to_csv(index=False, lineterminator="\n")
