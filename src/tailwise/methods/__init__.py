"""What a practitioner imports: heads, losses, rules and what they are judged by."""

from tailwise.methods.afr import AutomaticFeatureReweighting
from tailwise.methods.balanced_rows import balanced_rows
from tailwise.methods.calibration import (
    calibration_error,
    fit_temperature,
    recalibrate,
)
from tailwise.methods.dfr import DeepFeatureReweighting
from tailwise.methods.effective_dimension import (
    marchenko_pastur_dimension,
    participation_ratio,
    pca_dimension,
)
from tailwise.methods.losses import (
    adjusted_cross_entropy,
    asymmetric_loss,
    family_loss,
    focal_loss,
    inverse_frequency,
    ldt_loss,
    log_priors,
    vs_loss,
)
from tailwise.methods.risk import example_weights, objective
from tailwise.methods.solvers import (
    solve_heads,
    solve_logistic_heads,
    solve_ratio_heads,
)
from tailwise.methods.weighted import WeightedHead, class_weights

__all__ = [
    "AutomaticFeatureReweighting",
    "DeepFeatureReweighting",
    "WeightedHead",
    "adjusted_cross_entropy",
    "asymmetric_loss",
    "balanced_rows",
    "calibration_error",
    "class_weights",
    "example_weights",
    "family_loss",
    "fit_temperature",
    "focal_loss",
    "inverse_frequency",
    "ldt_loss",
    "log_priors",
    "marchenko_pastur_dimension",
    "objective",
    "participation_ratio",
    "pca_dimension",
    "recalibrate",
    "solve_heads",
    "solve_logistic_heads",
    "solve_ratio_heads",
    "vs_loss",
]
