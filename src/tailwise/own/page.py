"""A study as one self-contained page: figures, verdict, settings."""

import io
from dataclasses import asdict

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from tailwise import __version__, templates
from tailwise.own import boards, plots
from tailwise.own.study import Study
from tailwise.plots import INK

MANY = 12  # classes, above which counts are not shown as a square


def page(done: Study) -> str:
    """The report in HTML: nothing is loaded from elsewhere, nothing runs."""
    found, data = done.pilot, done.data
    name = str(data.classes[found.positive])
    return templates.render(
        "report.html",
        "tailwise.own",
        done=done,
        found=found,
        rare=name,
        version=__version__,
        counts=_html(done.report.counts),
        averages=_html(boards.dashboard(found)[list(boards.METRICS)]),
        cells=_html(boards.dashboard(found)[list(boards.columns_of(found))]),
        decision=_html(boards.decision_table(found)),
        gains=_html(boards.gain_table(found)),
        probability=_html(boards.probability_table(found)),
        costs=None if found.costs is None else _html(boards.cost_table(found)),
        confusion=_html(boards.confusion_table(found, done.head.name))
        if len(data.classes) <= MANY
        else None,
        forest=_forest(done),
        reliability=_reliability(done),
        settings={
            key: "none" if value is None else value
            for key, value in asdict(done.settings).items()
        },
    )


def _html(table: pd.DataFrame) -> dict:
    """Head and rows of a table, for the template."""
    many = len(table.columns) > 2 * MANY
    shown = table.iloc[:, : 2 * MANY]
    return {
        "columns": [str(c) for c in shown.columns],
        "rows": [
            (str(i), [str(v) for v in row])
            for i, row in zip(shown.index, shown.to_numpy())
        ],
        "left_out": len(table.columns) - 2 * MANY if many else 0,
    }


def _forest(done: Study) -> str:
    rows = min(len(done.pilot.cells), plots.MAX_CELLS)

    def draw(figure: Figure) -> None:
        plots.gain_forest(figure.subplots(), done.pilot)

    return _svg(draw, (7.4, 1.2 + 0.75 * rows))


def _reliability(done: Study) -> str:
    def draw(figure: Figure) -> None:
        axes = figure.subplots(2, 3)
        for ax in axes.flat[len(done.pilot.heads) :]:
            ax.axis("off")
        plots.reliability(axes.flat, done.pilot)

    return _svg(draw, (7.4, 4.8))


def _svg(draw, size: tuple[float, float]) -> str:
    style: dict = {
        "svg.fonttype": "none",
        "svg.hashsalt": "tailwise",
        "font.family": "sans-serif",
        "font.size": 10,
        "legend.frameon": False,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "axes.titlelocation": "left",
        "axes.grid": True,
        "grid.alpha": 0.25,
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(
            (
                "text.color",
                "axes.labelcolor",
                "axes.edgecolor",
                "xtick.color",
                "ytick.color",
            ),
            INK,
        ),
    }
    with rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    text = content.getvalue()
    return text[text.index("<svg") :]
