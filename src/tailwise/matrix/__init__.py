"""The transfer matrix: every method in every world, under one budget."""

from tailwise.matrix.chart import Branch, Chart
from tailwise.matrix.reports import world_table
from tailwise.matrix.run import Record, recorded, run

__all__ = ["Branch", "Chart", "Record", "recorded", "run", "world_table"]
