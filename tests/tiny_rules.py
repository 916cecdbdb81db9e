"""What rules for the weights achieved, made up: no network and no simulation."""

import torch

from tailwise.weighting.images import RuleComparison

RULES = ("unweighted", "priors", "ambient d", "effective dof", "threshold shift")
GRID = torch.tensor([1.0, 2.0, 4.0, 8.0, 20.0])


def compared(seed: int, equal: float = 5.0, n_resamples: int = 6) -> RuleComparison:
    """Random accuracies; both classes are equally accurate at a ratio near `equal`.

    "ambient d" is undefined on the first two resamples.
    """
    g = torch.Generator().manual_seed(seed)
    accuracy = {
        rule: 0.6 + 0.3 * torch.rand(2, n_resamples, generator=g, dtype=torch.float64)
        for rule in RULES
    }
    ratio = {
        rule: 2 + 6 * torch.rand(n_resamples, generator=g, dtype=torch.float64)
        for rule in RULES[:-1]
    }
    accuracy["ambient d"][:, :2] = ratio["ambient d"][:2] = torch.nan
    # Straight lines in the logarithm, one up and one down, shifted in each resample.
    tilt = 0.1 * (GRID.double() / equal).log()
    shift = 0.02 * torch.randn(n_resamples, 1, generator=g, dtype=torch.float64)
    sweep = torch.stack([0.7 + tilt + shift, 0.7 - tilt - shift])
    return RuleComparison(accuracy, ratio, GRID, sweep)
