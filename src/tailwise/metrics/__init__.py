"""Named metrics: the definition is in the name."""

from tailwise.metrics.group_accuracy import GroupAccuracies, group_accuracies
from tailwise.metrics.intervals import (
    KINDS,
    MEAN_AND_ERROR,
    MEAN_AND_HALF,
    Estimate,
    bootstrap,
    chance_to_stay,
    decide,
    estimate,
    half_width,
    repetitions,
    student,
    wilson,
)

__all__ = [
    "KINDS",
    "Estimate",
    "GroupAccuracies",
    "MEAN_AND_ERROR",
    "MEAN_AND_HALF",
    "bootstrap",
    "chance_to_stay",
    "decide",
    "estimate",
    "group_accuracies",
    "half_width",
    "repetitions",
    "student",
    "wilson",
]
