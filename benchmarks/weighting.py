"""Chapter 1's sweep on real data: one batched program against a loop over Ridge.

60 resamples of 400 samples × 47 ratios of weights = 2,820 heads on 64 features. The
features are random and standardised: the time does not depend on their values. Both
ways run in this process on one thread, in turns.

python benchmarks/weighting.py
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from tailwise import profiles
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tailwise.methods.solvers import solve_ratio_heads

RESULT = Path(__file__).parents[1] / "_build" / "benchmarks" / "weighting.json"
SETS, N, D, RATIOS, RIDGE, PRIOR = 60, 400, 64, 47, 1e-2, 0.2
REPEATS = 5


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features [S, n, d], labels [n] and ratios [R]."""
    y = np.where(np.arange(N) < round(PRIOR * N), 1.0, -1.0)
    X = np.random.default_rng(0).standard_normal((SETS, N, D)) + 0.1 * y[:, None]
    X = (X - X.mean(1, keepdims=True)) / X.std(1, keepdims=True)
    return X, y, np.geomspace(1, 60, RATIOS)


def batched(X: np.ndarray, y: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """All heads as one tensor program, ``[S, R, d + 1]``."""
    X, ratios = torch.from_numpy(X), torch.from_numpy(ratios)
    labels = torch.from_numpy(y).expand(SETS, N)
    coef, intercept = solve_ratio_heads(X, labels, ratios, RIDGE)
    return torch.cat([coef, intercept.unsqueeze(-1)], -1).numpy()


def looped(X: np.ndarray, y: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """The same heads, one call of scikit-learn's Ridge each."""
    heads = np.empty((SETS, RATIOS, D + 1))
    model = Ridge(alpha=N * RIDGE)
    for s, r in np.ndindex(SETS, RATIOS):
        model.fit(X[s], y, sample_weight=np.where(y > 0, ratios[r], 1.0))
        heads[s, r, :-1], heads[s, r, -1] = model.coef_, model.intercept_
    return heads


def timed(solve: Callable, *args: np.ndarray) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    heads = solve(*args)
    return time.perf_counter() - start, heads


def run() -> dict:
    """Time both ways in turns and compare their heads."""
    profile, stopwatch = profiles.current("laptop"), provenance.Stopwatch()
    problem = data()
    before = provenance.peak_memory_gb()
    batched(*problem)  # also the warm-up
    after = provenance.peak_memory_gb()
    seconds, difference = {"batched": [], "looped": []}, 0.0
    for _ in range(REPEATS):
        fast, heads = timed(batched, *problem)
        slow, expected = timed(looped, *problem)
        seconds["batched"].append(fast)
        seconds["looped"].append(slow)
        difference = max(difference, float(np.abs(heads - expected).max()))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "heads": SETS * RATIOS,
        "seconds": seconds,
        "median_s": median,
        "ratio": median["looped"] / median["batched"],
        "largest_difference": difference,
        "batched_memory_gb": after - before,
        "peak_memory_gb": provenance.peak_memory_gb(),
        "provenance": provenance.describe(profile, stopwatch),
    }


def main() -> None:
    torch.set_num_threads(1)
    with threadpool_limits(1):
        result = run()
    write_whole(RESULT, json.dumps(result, indent=1) + "\n")
    print(f"{result['heads']} heads, {N} samples × {D} features, one thread")
    print(f"{'':26}{'median':>9}{'fastest':>10}{'slowest':>10}")
    for name, label in (
        ("batched", "one batched program"),
        ("looped", "loop over Ridge"),
    ):
        times = result["seconds"][name]
        print(
            f"{label:26}{result['median_s'][name]:7.3f} s{min(times):8.3f} s"
            f"{max(times):8.3f} s"
        )
    print(f"ratio                     {result['ratio']:6.1f} ×")
    print(f"largest difference        {result['largest_difference']:9.1e}")
    print(
        f"peak memory               {result['peak_memory_gb']:7.2f} GB, "
        f"{result['batched_memory_gb']:.2f} of them for the batch"
    )


if __name__ == "__main__":
    main()
