"""The transfer matrix: every method in every world, under one budget."""

from tailwise.matrix.chart import Branch, Chart
from tailwise.matrix.pictures import left_out
from tailwise.matrix.reports import world_table, worlds_table
from tailwise.matrix.run import Record, by_size, recorded, run

__all__ = [
    "Branch",
    "Chart",
    "Record",
    "by_size",
    "left_out",
    "recorded",
    "run",
    "world_table",
    "worlds_table",
]
