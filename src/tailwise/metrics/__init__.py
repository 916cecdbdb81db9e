"""Named metrics: the definition is in the name."""

from tailwise.metrics.group_accuracy import GroupAccuracies, group_accuracies, wilson
from tailwise.metrics.intervals import (
    KINDS,
    Estimate,
    bootstrap,
    chance_to_stay,
    decide,
    estimate,
    half_width,
    repetitions,
    student,
)

__all__ = [
    "KINDS",
    "Estimate",
    "GroupAccuracies",
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
