"""Chapter 1: how much weight a rare class needs where only a head is refitted."""

from tailwise.methods.optimal_weight import (
    class_errors,
    downsampled_error,
    equal_error_ratio,
    optimal_ratio,
    shifted_error,
)
from tailwise.methods.weighted import (
    WeightedHead,
    balancing_threshold,
    class_weights,
    downsampled_rows,
    effective_dof,
    effective_ratio,
    leave_one_out_scores,
    solve_heads,
)
from tailwise.weighting.descent import solver_run
from tailwise.weighting.images import resample
from tailwise.weighting.spread import shape_claims, shape_tests

__all__ = [
    "WeightedHead",
    "balancing_threshold",
    "class_errors",
    "class_weights",
    "downsampled_error",
    "downsampled_rows",
    "effective_dof",
    "effective_ratio",
    "equal_error_ratio",
    "leave_one_out_scores",
    "optimal_ratio",
    "resample",
    "shape_claims",
    "shape_tests",
    "shifted_error",
    "solve_heads",
    "solver_run",
]
