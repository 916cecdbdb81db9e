"""Which two methods each claim of chapter 3 compares, and in what number.

Each entry holds the arguments of `study.difference` after the result: a method, a key
of `study.NAMES` and, unless it is ERM, the rival. Each group is of one cell.
"""

from tailwise.metrics import Estimate
from tailwise.softad.study import Result, contrast

LOGS = (  # numbers whose logarithms are compared
    "norm",
    "eigenvalue",
    "loss_rise",
    "loss_mean",
    "loss_severity_5",
    "loss_cvar",
    "loss_sd",
    "scaled_cvar",
)
WORST = "accuracy_worst_severity"
AVERAGE, BALANCED = "accuracy_average", "accuracy_balanced"
SOFT, FLOOD, SAM = (f"{name} by accuracy" for name in ("SoftAD", "flooding", "SAM"))

BREAKDOWN = {
    "ch3.sharpdro_breaks": ("SharpDRO", WORST),
    "ch3.double_step": ("ERM, double", WORST),
    "ch3.step_size": ("SharpDRO, half", WORST, "SharpDRO"),
}
COMMON = {
    "ch3.harm_when_common": ("SharpDRO", WORST),
    "ch3.common_half": ("SharpDRO, half", WORST),
}
SHARPNESS = {
    "ch3.sam_flatter": ("SAM", "eigenvalue"),
    "ch3.flooding_flatter": ("flooding", "eigenvalue"),
    "ch3.softad_flatter": ("SoftAD", "eigenvalue"),
    "ch3.coce_flatter": ("COCE", "eigenvalue"),
    "ch3.coce_a_flatter": ("COCE-A", "eigenvalue"),
    "ch3.softad_rise": ("SoftAD", "loss_rise"),
    "ch3.coce_rise": ("COCE", "loss_rise"),
}
CONCENTRATION = {
    "ch3.coce_loss": ("COCE", "loss_mean"),
    "ch3.coce_a_loss": ("COCE-A", "loss_mean"),
    "ch3.coce_loss_severe": ("COCE", "loss_severity_5"),
    "ch3.coce_a_loss_severe": ("COCE-A", "loss_severity_5"),
    "ch3.tail_loss": ("SoftAD", "loss_cvar"),
    "ch3.spread": ("SoftAD", "loss_sd"),
    "ch3.calibration": ("SoftAD", "scaled_cvar"),
    "ch3.calibrated_rest": ("COCE", "scaled_cvar"),
    "ch3.concentration_beats_erm": ("COCE", BALANCED),
    "ch3.concentration_beats_sharpdro": ("COCE", BALANCED, "SharpDRO"),
    "": ("COCE", BALANCED, "SharpDRO, half"),
    "ch3.softad_helps": ("SoftAD", WORST),
}
TUNED = {
    "ch3.soft_accuracy_flooding": (SOFT, AVERAGE, FLOOD),
    "ch3.soft_accuracy_sam": (SOFT, AVERAGE, SAM),
    "ch3.soft_gap_flooding": (SOFT, "loss_gap", FLOOD),
    "ch3.soft_norm_flooding": (SOFT, "norm", FLOOD),
    "ch3.soft_norm_sam": (SOFT, "norm", SAM),
    "ch3.soft_loss_flooding": ("SoftAD by loss", "loss_mean", "flooding by loss"),
}
COMPOSED = {
    "ch3.composes_cvar": ("SoftAD ∘ CVaR", WORST),
    "ch3.composes_dro": ("SoftAD ∘ DRO", WORST),
    "ch3.aggregate": ("COCE-A", WORST),
    "ch3.tail_not_needed": ("COCE", WORST, "COCE-A"),
}
AUTOMATIC = {"ch3.automatic_level": ("SoftAD, auto level", BALANCED)}
CLEAN = {
    "ch3.clean_coce": ("COCE", BALANCED),
    "ch3.clean_coce_a": ("COCE-A", BALANCED),
}
LENET = {
    "ch3.lenet_coce": ("COCE", BALANCED),
    "ch3.lenet_coce_a": ("COCE-A", BALANCED),
    "ch3.lenet_coce_loss": ("COCE", "loss_mean"),
    "ch3.lenet_coce_a_loss": ("COCE-A", "loss_mean"),
    "ch3.lenet_sharpdro": ("SharpDRO", WORST),
    "ch3.lenet_half": ("SharpDRO, half", WORST),
}


def narrow_less_wide(narrow: Result, wide: Result) -> dict[str, dict[str, Estimate]]:
    """What the difficulty gap, and SharpDRO's harm, are in a narrow and a wide network.

    Harm is ERM's accuracy less that of SharpDRO. Everything is narrow minus wide, over
    the same seeds, by claim and part as a ledger enters it.
    """
    pair = (narrow, "ERM"), (wide, "ERM")
    found = {
        "ch3.gap_simple": {"": contrast("difficulty_gap", *pair)},
        "ch3.gap_simple_train": {"": contrast("difficulty_gap_train", *pair)},
    }
    for claim, rival in (
        ("ch3.harm_simple", "SharpDRO"),
        ("ch3.harm_simple_half", "SharpDRO, half"),
    ):
        terms = (narrow, "ERM"), (narrow, rival), (wide, rival), (wide, "ERM")
        found[claim] = {
            "average": contrast(AVERAGE, *terms),
            "worst severity": contrast(WORST, *terms),
        }
    return found
