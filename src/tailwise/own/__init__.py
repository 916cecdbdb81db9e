"""Bring your own features: from a file to a decision and a head."""

from tailwise.own.boards import (
    METRICS,
    columns_of,
    confusion_table,
    cost_table,
    dashboard,
    decision_table,
    gain_table,
    probability_table,
)
from tailwise.own.costs import Costs
from tailwise.own.export import check_folder, export, refit
from tailwise.own.features import Features, from_arrays, from_table, load, sample
from tailwise.own.origin import origin
from tailwise.own.page import page
from tailwise.own.pilot import Pilot, check_objective, pilot
from tailwise.own.plots import MAX_CELLS, gain_forest, reliability
from tailwise.own.report import Report, report
from tailwise.own.sample import write as write_sample
from tailwise.own.splits import Split, draw_splits
from tailwise.own.study import Settings, Study, prepare, study, write
from tailwise.own.trust import trust
from tailwise.own.verdict import Verdict, check_effect, check_price, verdict

__all__ = [
    "Costs",
    "Features",
    "MAX_CELLS",
    "METRICS",
    "Pilot",
    "Report",
    "Settings",
    "Split",
    "Study",
    "Verdict",
    "check_effect",
    "check_folder",
    "check_objective",
    "check_price",
    "columns_of",
    "confusion_table",
    "cost_table",
    "dashboard",
    "decision_table",
    "draw_splits",
    "export",
    "from_arrays",
    "from_table",
    "gain_forest",
    "gain_table",
    "load",
    "origin",
    "page",
    "pilot",
    "prepare",
    "probability_table",
    "refit",
    "reliability",
    "report",
    "sample",
    "study",
    "trust",
    "verdict",
    "write",
    "write_sample",
]
