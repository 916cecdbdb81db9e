"""Figures of a pilot show every head."""

from tailwise import own
from tailwise.own import plots


def test_figures_show_every_head(found, page):
    ax = page()
    plots.gain_forest(ax, found)
    assert len(ax.get_legend().get_texts()) == len(found.heads) - 1
    assert len(ax.get_yticklabels()) == len(found.cells)
    axes = page(2, 3)
    plots.reliability(axes.flat, found)
    titles = [one.get_title("left").splitlines()[0] for one in axes.flat]
    assert titles == list(found.heads)
    assert len({mark for _, mark in plots.looks(found).values()}) == 6


def test_a_figure_says_what_it_was_drawn_from(found):
    said = own.origin(found)
    many = f"{len(found.splits)} × split of {len(found.data):,} samples · 2"
    assert said.startswith(many)
    assert said._repr_html_() == f"<p class='provenance'>{said}</p>"
