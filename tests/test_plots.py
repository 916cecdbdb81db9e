"""Figures that can be read on both pages and that leave showing to the caller."""

import os
import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tailwise import plots

PAGES = {"light": "#ffffff", "dark": "#121212"}


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_definition():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    # A well-known pair at the limit of 4.5 that text needs.
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", [*plots.COLORS, "INK"])
def test_every_colour_stands_out_on_both_pages(name, page):
    # 3:1 is what WCAG 2.1 asks of graphical objects.
    assert contrast(plots.COLORS.get(name, plots.INK), PAGES[page]) >= 3


@pytest.fixture
def ax(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *args: pytest.fail("a plot function shows"))
    with mpl.rc_context():
        plots.use_style()
        fig, ax = plt.subplots()
        yield ax
        plt.close(fig)


def test_lines_differ_by_more_than_colour(ax):
    cycle = list(mpl.rcParams["axes.prop_cycle"])
    assert len({line["color"] for line in cycle}) == len(cycle) == len(plots.COLORS)
    assert len({str(line["linestyle"]) for line in cycle}) == len(cycle)
    assert len(set(plots.MARKERS)) == len(plots.MARKERS) >= len(cycle)
    # The page shines through, whatever its colour.
    assert mpl.rcParams["savefig.transparent"]
    assert ax.figure.get_facecolor()[3] == ax.get_facecolor()[3] == 0


def test_a_band_spans_its_interval(ax):
    x, mean, half = np.arange(4.0), np.array([1.0, 3, 2, 4]), np.full(4, 0.25)
    assert plots.band(ax, x, mean, half, label="gain", color="#d1495b") is ax
    (line,), (area,) = ax.lines, ax.collections
    np.testing.assert_array_equal(line.get_xydata(), np.stack([x, mean], 1))
    assert line.get_label() == "gain"
    edges = {tuple(point) for point in area.get_paths()[0].vertices}
    assert {(a, b + side) for a, b in zip(x, mean) for side in (-0.25, 0.25)} <= edges
    np.testing.assert_allclose(area.get_facecolor()[0, :3], to_rgb(line.get_color()))


def test_a_forest_has_one_row_a_label_with_the_first_on_top(ax):
    labels, mean, half = ["a", "b", "c"], [1.0, 2.0, 3.0], [0.25, 0.5, 1.0]
    assert plots.forest(ax, labels, mean, half, offset=0.2, label="gain") is ax
    (bars,) = ax.collections
    for (left, right), row, m, h in zip(bars.get_segments(), range(3), mean, half):
        np.testing.assert_allclose(left, (m - h, row + 0.2))
        np.testing.assert_allclose(right, (m + h, row + 0.2))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == labels
    bottom, top = ax.get_ylim()
    assert top < 0 < 2 < bottom


def test_a_legend_above_hides_nothing(ax):
    with mpl.rc_context({"figure.constrained_layout.use": True}):
        fig, ax = plt.subplots()
        plots.forest(ax, ["a", "b"], [1.0, 2.0], [0.5, 0.5], label="gain")
        assert plots.legend_above(ax) is ax
        fig.canvas.draw()
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.get_texts()] == ["gain"]
    assert not legend.get_window_extent().overlaps(ax.get_window_extent())
    plt.close(fig)


SCRIPT = """\
import matplotlib.pyplot as plt
from tailwise import plots
plots.use_style()
plt.plot([0, 1])
plt.show()
print("\u2265 \u03c1\u0303, and on")
"""


def test_a_script_goes_on_where_the_console_is_narrow(tmp_path):
    env = os.environ | {"PYTHONIOENCODING": "cp1252", "MPLBACKEND": "tkagg"}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=env, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"non-interactive" not in done.stderr
    assert done.stdout.decode("cp1252").strip() == "? ??, and on"
