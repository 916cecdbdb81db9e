"""The transfer matrix as tables and as a figure."""

import html
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tailwise.matrix.methods import METHODS, PLAIN
from tailwise.matrix.pictures import PICTURES
from tailwise.matrix.run import METRICS, Record
from tailwise.matrix.worlds import WORLDS
from tailwise.metrics import Estimate, decide
from tailwise.plots import COLORS, INK, MARKERS

BETTER, WORSE = "27, 138, 98", "196, 109, 12"  # green and orange of the book
LOW_IS_GOOD = ("ECE", "loss", "loss, calibrated")


def worlds_of(record: Record) -> dict[str, dict]:
    """What a record says of its worlds, in the order of the book."""
    order = [*WORLDS, *PICTURES]
    known = {name: record.worlds[name] for name in order if name in record.worlds}
    return known | record.worlds


def mark(gain: Estimate, metric: str) -> str:
    """Better beyond its 95 % interval is "▲", worse is "▼", anything else "·"."""
    sign = -1 if metric in LOW_IS_GOOD else 1
    if decide(gain.mean, gain.half, 0.0, "agreement") != "no":
        return "·"
    return "▲" if sign * gain.mean > 0 else "▼"


@dataclass(frozen=True)
class HeatMap:
    """Paired gains over plain cross-entropy, worlds by methods; shows itself.

    Attributes
    ----------
    record : Record
    metric : str
        A key of `tailwise.matrix.run.METRICS`.
    full : float
        The gain at which an entry has its full colour.
    """

    record: Record
    metric: str
    full: float = 0.3

    def _gain(self, world: str, method: str) -> Estimate | None:
        known = method in self.record.values[world]
        return self.record.gain(world, method, self.metric) if known else None

    def frame(self) -> pd.DataFrame:
        """One row a method, one column a world; plain cross-entropy has its level."""
        rows = {}
        for method in METHODS:
            row = rows[method] = {}
            for world, facts in worlds_of(self.record).items():
                gain = self._gain(world, method)
                if method == PLAIN:
                    e = self.record.level(world, method, self.metric)
                    text = f"{e.mean:.3f} ± {e.stderr:.3f}"
                elif gain is None:
                    text = "–"
                else:
                    text = f"{mark(gain, self.metric)} {gain.mean:+.3f}"
                    text += f" ± {gain.stderr:.3f}"
                row[facts["title"]] = text
        return pd.DataFrame.from_dict(rows, orient="index")

    def __repr__(self) -> str:
        return self.frame().to_string()

    def _repr_html_(self) -> str:
        frame = self.frame()
        head = "".join(f"<th scope='col'>{html.escape(c)}</th>" for c in frame)
        body = "".join(self._row(method, frame.loc[method]) for method in frame.index)
        says = html.escape(f"{size(self.record)}: {METRICS[self.metric]}")
        return (
            f"<table class='dataframe heat'><caption>{says}; first row: level, others: "
            "change from it ± standard error; ▲ better, ▼ worse, · undecided"
            f"</caption><thead><tr><th></th>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )

    def _row(self, method: str, texts: pd.Series) -> str:
        cells = ""
        for world, text in zip(worlds_of(self.record), texts):
            gain = self._gain(world, method)
            style = ""
            if gain is not None and mark(gain, self.metric) != "·":
                hue = BETTER if mark(gain, self.metric) == "▲" else WORSE
                depth = 0.1 + 0.4 * min(1, abs(gain.mean) / self.full)
                style = f" style='background: rgba({hue}, {depth:.2f})'"
            # The error below its number: the worlds fit beside the side bars.
            shown = html.escape(text).replace(" ±", "<br>±")
            cells += f"<td{style}>{shown}</td>"
        return f"<tr><th scope='row'>{html.escape(method)}</th>{cells}</tr>"


def size(record: Record) -> str:
    """The profile of a record and how many seeds it holds."""
    n = {len(record.of(world, PLAIN, "loss")) for world in record.values}
    return f"{record.profile}, {' to '.join(map(str, sorted(n)))} seeds"


def cost(record: Record) -> str:
    """What a record took, in a line."""
    facts = record.provenance
    minutes, memory = facts["cpu_s"] / 60, facts["peak_memory_gb"]
    return (
        f"{size(record)} a world: {minutes:.1f} min of CPU, {memory:.1f} GB, "
        f"{facts['device']}"
    )


Pair = tuple[str, str, str, list[Estimate], list[str]]


def _pairs(record: Record, other: Record) -> list[Pair]:
    """World, method, metric, two gains and two marks of all that both records hold."""
    found = []
    for world, facts in worlds_of(record).items():
        known = other.values.get(world, {}).keys() - {PLAIN}
        shared = [method for method in record.values[world] if method in known]
        for method, metric in product(shared, METRICS):
            gains = [r.gain(world, method, metric) for r in (record, other)]
            marks = [mark(gain, metric) for gain in gains]
            found.append((facts["title"], method, metric, gains, marks))
    return found


def agreement(record: Record, other: Record) -> str:
    """How many gains two records decide, and how many with opposite signs."""
    marks = [marks for *_, marks in _pairs(record, other)]
    first, second = (sum(m[i] != "·" for m in marks) for i in (0, 1))
    both = [m for m in marks if "·" not in m]
    opposite = sum(a != b for a, b in both)
    return (
        f"Of {len(marks)} gains over {PLAIN} in both, {record.profile} decides {first} "
        f"and {other.profile} {second}. Both decide {len(both)}, "
        f"{opposite} of them with opposite signs."
    )


def reversals(record: Record, other: Record) -> pd.DataFrame:
    """The gains that two records decide with opposite signs, ± standard error."""
    rows = [
        (world, method, metric, *(f"{e.mean:+.3f} ± {e.stderr:.3f}" for e in gains))
        for world, method, metric, gains, marks in _pairs(record, other)
        if "·" not in marks and marks[0] != marks[1]
    ]
    names = ("world", "method", "metric", record.profile, other.profile)
    return pd.DataFrame(rows, columns=names).set_index("world")


def world_table(record: Record, world: str) -> pd.DataFrame:
    """Every metric of a world: plain levels first, then paired changes."""
    rows = {}
    for method in record.values[world]:
        if method == PLAIN:
            found = {m: record.level(world, method, m) for m in METRICS}
            rows[method] = {
                m: f"{e.mean:.3f} ± {e.stderr:.3f}" for m, e in found.items()
            }
            continue
        found = {m: record.gain(world, method, m) for m in METRICS}
        rows[method] = {
            m: f"{mark(e, m)} {e.mean:+.3f} ± {e.stderr:.3f}" for m, e in found.items()
        }
    return pd.DataFrame.from_dict(rows, orient="index")


@dataclass(frozen=True)
class WorldTables:
    """`world_table` of every world of a record, each in a fold; shows itself."""

    record: Record

    def _tables(self) -> dict[str, pd.DataFrame]:
        worlds = worlds_of(self.record).items()
        return {facts["title"]: world_table(self.record, w) for w, facts in worlds}

    def __repr__(self) -> str:
        return "\n\n".join(f"{t}\n{f.to_string()}" for t, f in self._tables().items())

    def _repr_html_(self) -> str:
        return "".join(
            f"<details><summary>{html.escape(title)}</summary>"
            f"{frame.to_html(border=0)}</details>"
            for title, frame in self._tables().items()
        )


def methods_table() -> pd.DataFrame:
    """What each method does, and how many settings it chooses from."""
    rows = {
        name: {"chapter": m.chapter or "–", "what it does": m.says}
        for name, m in METHODS.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def worlds_table(record: Record) -> pd.DataFrame:
    """Sizes of the worlds and the rule by which validation chooses."""
    keep = ("classes", "features", "train", "val", "test", "chosen by")
    worlds = worlds_of(record).values()
    rows = {facts["title"]: {k: facts[k] for k in keep} for facts in worlds}
    return pd.DataFrame.from_dict(rows, orient="index")


def price_plot(ax: Axes, record: Record, world: str, shown: dict[str, str]) -> Axes:
    """Gain of the worst group against the change in the training mix.

    `shown` maps methods to their short labels; bars are 95 % intervals.
    """
    colors, places = list(COLORS.values()), []
    for i, (method, label) in enumerate(shown.items()):
        if method not in record.values[world]:
            continue
        x = record.gain(world, method, "training mix")
        y = record.gain(world, method, "worst group")
        ax.errorbar(
            x.mean,
            y.mean,
            xerr=x.half,
            yerr=y.half,
            fmt=MARKERS[i % len(MARKERS)],
            color=colors[i % len(colors)],
            label=label,
            elinewidth=1,
        )
        places.append((x.mean, y.mean))
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.axvline(0, color=INK, linewidth=0.8)
    span = np.abs(places).max(0) * 1.3 + 0.01
    ax.set(xlim=(-span[0], span[0] * 0.4), title=record.worlds[world]["title"])
    return ax
