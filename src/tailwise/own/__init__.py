"""Bring your own features: from a file to a decision and a head."""

from tailwise.own.export import check_folder, export, refit
from tailwise.own.features import Features, from_arrays, load, sample
from tailwise.own.pilot import Pilot, check_objective, draw_splits, pilot
from tailwise.own.plots import MAX_CELLS, gain_forest, reliability
from tailwise.own.report import Report, report
from tailwise.own.sample import write as write_sample
from tailwise.own.verdict import (
    METRICS,
    Verdict,
    check_effect,
    dashboard,
    gain_table,
    verdict,
)

__all__ = [
    "Features",
    "MAX_CELLS",
    "METRICS",
    "Pilot",
    "Report",
    "Verdict",
    "check_effect",
    "check_folder",
    "check_objective",
    "dashboard",
    "draw_splits",
    "export",
    "from_arrays",
    "gain_forest",
    "gain_table",
    "load",
    "pilot",
    "refit",
    "reliability",
    "report",
    "sample",
    "verdict",
    "write_sample",
]
