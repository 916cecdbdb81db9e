"""Chapter 5: what cross-entropy and its relatives make of imbalanced classes."""

from tailwise.geometry.explorer import explorer
from tailwise.geometry.ridge import ridge_grams
from tailwise.geometry.seli import (
    KINDS,
    Blocks,
    blocks,
    etf_gram,
    etf_temperatures,
    gram_error,
    grams_at,
    multipliers,
    norms_and_cosines,
    null_direction,
    predicted_grams,
    sel_matrix,
    step_blocks,
    step_counts,
    temperatures,
)
from tailwise.geometry.ufm import UFM, Config, train_ufm

__all__ = [
    "Blocks",
    "Config",
    "KINDS",
    "UFM",
    "blocks",
    "etf_gram",
    "etf_temperatures",
    "explorer",
    "gram_error",
    "grams_at",
    "multipliers",
    "norms_and_cosines",
    "null_direction",
    "predicted_grams",
    "ridge_grams",
    "sel_matrix",
    "step_blocks",
    "step_counts",
    "temperatures",
    "train_ufm",
]
