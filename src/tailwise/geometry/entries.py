"""What chapter 5 enters into its ledger: by claim and part."""

from collections.abc import Sequence

import torch

from tailwise.geometry import printed, theory
from tailwise.geometry.study import (
    FIVE,
    RATIOS,
    etf_error,
    minority_cosines,
    train_limits,
)
from tailwise.geometry.ufm import Config
from tailwise.metrics import Estimate, estimate

Parts = dict[str, dict[str, Estimate]]
LIMITS = {
    "ch5.seli": Config(),
    "ch5.weights_keep_limit": Config(weight_power=1),
    "ch5.additive_keeps_limit": Config(tau=1),
    "ch5.ldt_symmetric": Config(gamma=0.5),
}


def exactly(value: float) -> Estimate:
    """A number without a spread."""
    return Estimate(float(value), 0.0, 1)


def statements() -> Parts:
    """Printed formulas beside ours, and what follows from them without training."""
    worst = printed.differences()["largest difference"].max()
    ce, ldt1, half, cdt = (
        theory.step_blocks(5, 5, 1e6, gamma, kind)[0]
        for kind, gamma in (("ldt", 0), ("ldt", 1), ("ldt", 0.5), ("cdt", 0.25))
    )
    return {
        "ch5.printed_formulas": {"": exactly(worst)},
        "ch5.binary_cdt": {"": exactly(printed.binary_difference("cdt"))},
        "ch5.cdt_never": {f"R = {R}": exactly(_never(R)) for R in RATIOS},
        "ch5.cdt_wide": {"": exactly(width("cdt") - width("ldt"))},
        "ch5.collapse_ratio": {
            "CE minority": exactly(ce.cos_minor),
            "LDT 1 majority": exactly(ldt1.cos_major),
        },
        "ch5.no_collapse": {
            "LDT 1/2": exactly(half.cos_minor),
            "CDT 1/4": exactly(cdt.cos_minor),
        },
    }


def _never(ratio: float) -> float:
    """Smallest distance of CDT's classifiers to the ETF over the exponents."""
    n = theory.step_counts(5, 5, ratio)
    delta = theory.temperatures(n, torch.linspace(-2, 2, 401))
    W, _ = theory.predicted_grams(n, delta, "cdt")
    return theory.gram_error(W, theory.etf_gram(10)).min().item()


def width(kind: str, most: float = 0.05, ratio: float = 100) -> float:
    """Length of the exponents in [-1, 2] that keep both groups apart, k = 10: cosines
    of two majority and of two minority classifiers at most `most`."""
    gammas = torch.linspace(-1, 2, 3001, dtype=torch.float64)
    W, _ = theory.step_blocks(5, 5, ratio, gammas, kind)
    apart = (W.cos_major <= most) & (W.cos_minor <= most)
    return 3 * apart.double().mean().item()


def trained_limits(starts: Sequence[int], steps: int = 12000) -> Parts:
    """Where models of free features end, from several random starts."""
    configs = LIMITS | {"ch5.cdt_aligned": Config("cdt", 0.5)}
    found = train_limits(configs, RATIOS, len(starts), d=20, steps=steps)
    parts = {claim: {} for claim in configs}
    for (claim, R), (error, _, aligned) in found.items():
        values = aligned if claim == "ch5.cdt_aligned" else error
        parts[claim][f"R = {R}"] = estimate(values)
    return parts


def collapse() -> Parts:
    """What a ridge does to the minority classifiers, R = 100."""
    n, config = theory.step_counts(5, 5, 100), {"CE": FIVE["CE"]}
    large, small = minority_cosines(n, config, [3e-3, 1e-6])["CE"]
    off = etf_error(FIVE["LDT 1/2 + 1/n"], [1e-3, 1e-4, 1e-5, 1e-6])
    return {
        "ch5.collapse": {"": exactly(large)},
        "ch5.collapse_goes": {"": exactly(small)},
        "ch5.half_and_weights": {"": exactly(off)},
    }
