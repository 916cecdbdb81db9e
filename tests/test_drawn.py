"""The data behind a figure: its table against what its axes hold."""

import csv
import io

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from tailwise import drawn, plots


def table(figure) -> list[dict]:
    return list(csv.DictReader(io.StringIO(drawn.to_csv(figure))))


def column(rows, name) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


def assert_holds(rows, **columns) -> None:
    for name in drawn.NUMBERS:
        if name in columns:
            np.testing.assert_allclose(column(rows, name), columns[name], rtol=1e-6)
        else:
            assert {row[name] for row in rows} <= {""}, name


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(0).lognormal(0, 5, (4, 7))


def test_a_line_and_its_band_are_two_series(page, numbers):
    x, mean, half, _ = numbers
    ax = page()
    order = np.argsort(x)
    x, mean, half = x[order], mean[order], half[order]
    plots.band(ax, x, mean, half, label="with, a comma")
    rows = table(ax.figure)
    line, band = rows[:7], rows[7:]
    assert {row["series"] for row in line} == {"with, a comma"}
    assert_holds(line, x=x, y=mean)
    assert {row["kind"] for row in band} == {"band"}
    assert_holds(band, x=x, y_low=mean - half, y_high=mean + half)


def test_points_carry_their_intervals(page, numbers):
    mean, half = numbers[:2, :3]
    upright, lying = page(1, 2)
    upright.errorbar([0, 1, 2], mean, half, fmt="o", capsize=3)
    plots.forest(lying, ["a", "b", "c"], mean, half, label="ours")
    rows = table(upright.figure)
    assert len(rows) == 6
    ends = {"low": mean - half, "high": mean + half}
    y = {f"y_{end}": value for end, value in ends.items()}
    assert_holds(rows[:3], x=[0, 1, 2], y=mean, **y)
    x = {f"x_{end}": value for end, value in ends.items()}
    assert_holds(rows[3:], x=mean, y=[0, 1, 2], **x)
    assert [row["y_name"] for row in rows[3:]] == ["a", "b", "c"]


def test_bars_lie_where_they_are_drawn(page, numbers):
    tall = numbers[0, :3]
    upright, lying = page(1, 2)
    upright.bar([1, 2, 3], tall, width=0.5, bottom=1)
    lying.barh([1, 2, 3], tall, height=0.5)
    rows = table(upright.figure)
    low, high = np.arange(1, 4) - 0.25, np.arange(1, 4) + 0.25
    along = dict(y_low=np.ones(3), y=1 + tall, y_high=1 + tall)
    assert_holds(rows[:3], x=[1, 2, 3], x_low=low, x_high=high, **along)
    along = dict(x_low=np.zeros(3), x=tall, x_high=tall)
    assert_holds(rows[3:], y=[1, 2, 3], y_low=low, y_high=high, **along)


def test_dots_and_cells_carry_what_colour_tells(page, numbers):
    dots, cells = page(1, 2)
    dots.scatter(*numbers[:2], c=numbers[2], label="runs")
    cells.imshow(numbers, extent=(0, 14, 4, 0), aspect="auto")
    rows = table(dots.figure)
    assert_holds(rows[:7], x=numbers[0], y=numbers[1], value=numbers[2])
    x, y = np.meshgrid(np.arange(1, 15, 2), np.arange(4) + 0.5)
    assert_holds(rows[7:], x=x.ravel(), y=y.ravel(), value=numbers.ravel())


def test_places_on_the_page_are_no_data(page):
    ax = page()
    ax.axhline(3, label="chance")
    ax.axvspan(1, 2)
    level, span = table(ax.figure)[:2], table(ax.figure)[2:]
    assert_holds(level, y=[3, 3])
    assert_holds(span, x_low=[1], x_high=[2])


def test_ticks_may_be_labelled_with_numbers(page, numbers):
    ax = page()
    ax.plot(range(3), numbers[0, :3])
    ax.set_xticks(range(3), [10, 20, 50])
    assert_holds(table(ax.figure), x=range(3), y=numbers[0, :3])


def test_a_picture_is_named_and_not_listed(page, numbers):
    grey, colours = page(1, 2)
    grey.imshow(numbers)
    grey.set_axis_off()
    colours.imshow(np.zeros((5, 5, 3)))
    rows = table(grey.figure)
    assert [row["kind"] for row in rows] == ["picture", "picture"]
    assert_holds(rows)


def test_panels_are_named_by_title_and_number(page):
    first, second = page(1, 2)
    for ax in (first, second):
        ax.plot([1, np.nan, 3], [1, 2, 3])
    first.set(title="Accuracy\nof all", xlabel="epochs")
    first.sharex(second)
    one, *_, other = table(first.figure)
    assert (one["panel"], other["panel"]) == ("Accuracy of all", "panel 2")
    assert one["x_axis"] == other["x_axis"] == "epochs"
    assert one["series"] == "line 1"
    assert [row["x"] for row in table(first.figure)][:3] == ["1", "", "3"]


def test_a_colour_bar_is_no_panel(page, numbers):
    ax = page()
    image = ax.imshow(numbers)
    ax.figure.colorbar(image, label="accuracy")
    rows = table(ax.figure)
    assert len(rows) == numbers.size
    assert {row["series"] for row in rows} == {"accuracy"}


def test_a_short_table_has_lost_nothing(page, numbers):
    first, second = page(1, 2)
    for ax in (first, second):
        for row in numbers:
            ax.plot(row, label="one, the same")
    whole = drawn.to_csv(first.figure)
    short = drawn.shortened(whole)
    assert len(short) < 0.7 * len(whole)
    assert short.count("one, the same") == 2
    assert drawn.lengthened(short) == whole


SHOWN = """\
import matplotlib.pyplot as plt
from tailwise import drawn, plots
plots.use_style()
fig, ax = plt.subplots()
ax.plot([1, 2], [3, 4])
print(drawn.to_csv(fig))
plt.show()
"""


def test_a_figure_in_a_notebook_carries_its_data(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    cell = nbformat.v4.new_code_cell(SHOWN)
    NotebookClient(nbformat.v4.new_notebook(cells=[cell]), timeout=120).execute()
    printed, shown = cell.outputs
    assert drawn.lengthened(shown.data["text/csv"]) == printed.text[:-1]
    assert "image/png" in shown.data
