"""Bring your own features: heads of all classes at once, against scikit-learn's Ridge.

Least squares on 4,000 samples × 384 features with weights of classes by their shares,
for 2, 20 and 100 classes; `Ridge` gets the weights as weights of samples and all
targets at once, so both factor one matrix. Ours also counts the degrees of freedom.
Both ways run in this process on one thread, in turns; seconds are the processor's. With
--pilots two large pilots are timed too, which takes minutes.

python benchmarks/heads.py [--pilots]
"""

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from tailwise import own, profiles
from tailwise.files import write_whole
from tailwise.ledger import provenance
from tailwise.methods.weighted import WeightedHead

RESULT = Path(__file__).parents[1] / "_build" / "benchmarks" / "heads.json"
N, D, RIDGE, REPEATS = 4000, 384, 0.1, 7
CLASSES = (2, 20, 100)


def data(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, d] and labels [n] of k classes of falling size."""
    rng = np.random.default_rng(seed)
    share = 0.96 ** np.arange(k) if k > 2 else np.array([0.9, 0.1])
    many = np.repeat(np.arange(k), 12)  # so that no class is too small to be split
    y = np.r_[many, rng.choice(k, n - len(many), p=share / share.sum())]
    return rng.normal(size=(n, d)) + 0.3 * rng.normal(size=(k, d))[y], y


def ours(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients [K, d] of `WeightedHead`."""
    return WeightedHead("priors", ridge=RIDGE).fit(X, y).coef_


def ridge(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The same from scikit-learn."""
    counts = np.bincount(y)
    targets = np.eye(len(counts))[y] if len(counts) > 2 else 2.0 * y - 1
    weights = counts.max() / counts[y]
    model = Ridge(alpha=len(y) * RIDGE).fit(X, targets, sample_weight=weights)
    return np.atleast_2d(model.coef_)


def timed(solve: Callable, *args: np.ndarray) -> tuple[float, np.ndarray]:
    start = time.process_time()
    coef = solve(*args)
    return time.process_time() - start, coef


def compare(k: int) -> dict:
    """Both ways in turns on k classes."""
    problem = data(N, D, k)
    ours(*problem), ridge(*problem)  # the warm-up
    seconds, difference = {"batched": [], "looped": []}, 0.0
    for _ in range(REPEATS):
        fast, coef = timed(ours, *problem)
        slow, expected = timed(ridge, *problem)
        seconds["batched"].append(fast)
        seconds["looped"].append(slow)
        difference = max(difference, float(np.abs(coef - expected).max()))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "seconds": seconds,
        "median_s": median,
        "ratio": median["looped"] / median["batched"],
        "largest_difference": difference,
    }


def pilots() -> dict:
    """Processor seconds and memory of two large pilots, checks of the data included."""
    found = {}
    for name, n, d, k in (("many classes", 11_000, 768, 100), ("rows", 10**6, 64, 2)):
        X, y = data(n, d, k)
        X = X.astype(np.float32)
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            own.pilot(own.from_arrays(X, y), n_splits=12)
        found[name] = {
            "samples": n,
            "features": d,
            "classes": k,
            "cpu_s": time.process_time() - start,
            "peak_memory_gb": provenance.peak_memory_gb(),
        }
    return found


def run(with_pilots: bool) -> dict:
    profile, stopwatch = profiles.current("laptop"), provenance.Stopwatch()
    found = {f"{k} classes": compare(k) for k in CLASSES}
    if with_pilots:
        found["pilots"] = pilots()
    found["peak_memory_gb"] = provenance.peak_memory_gb()
    return found | {"provenance": provenance.describe(profile, stopwatch)}


def main() -> None:
    torch.set_num_threads(1)
    with threadpool_limits(1):
        found = run("--pilots" in sys.argv)
    write_whole(RESULT, json.dumps(found, indent=1) + "\n")
    for k in CLASSES:
        one = found[f"{k} classes"]
        fast, slow = (1000 * one["median_s"][name] for name in ("batched", "looped"))
        print(
            f"{k:4} classes: ours {fast:6.0f} ms, Ridge {slow:6.0f} ms, "
            f"ratio {one['ratio']:.2f}, difference {one['largest_difference']:.0e}"
        )
    for name, one in found.get("pilots", {}).items():
        print(
            f"pilot, {name}: {one['samples']:,} x {one['features']}, {one['classes']} "
            f"classes: {one['cpu_s']:.0f} s, up to {one['peak_memory_gb']:.1f} GB"
        )


if __name__ == "__main__":
    main()
