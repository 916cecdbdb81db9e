"""What the field trial's page shows of its record: tables, sentences and a figure."""

import json

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tailwise.ledger.claims import book_dir
from tailwise.metrics import estimate
from tailwise.own import field
from tailwise.plots import COLORS, band

RULES = ("plain", "prior weights", "moved threshold")
LOOKS = dict(zip(RULES, (("grey", ":"), ("blue", "--"), ("orange", "-"))))


def recorded() -> dict:
    """The record of ``tools/studies/study_field.py``."""
    path = book_dir() / "results" / "backbone" / "field.json"
    return json.loads(path.read_text("utf-8"))


def area_table(rows: list[dict]) -> pd.DataFrame:
    """Area under the curve by place in the network and kind of defect, over draws."""
    found = {
        (row["tap"], row["kind"]): f"{np.mean(row['area']):.2f}"
        f" ({np.min(row['area']):.2f} to {np.max(row['area']):.2f})"
        for row in rows
    }
    return pd.Series(found).unstack()[list(field.KINDS[1:])].reindex(field.TAPS)


def averaged(rows: list[dict], kind: str) -> dict[int, field.Found]:
    """The mean over draws by number of defects."""
    found = {}
    for n in dict.fromkeys(row["defects"] for row in rows):
        drawn = [r for r in rows if r["kind"] == kind and r["defects"] == n]
        shares = [
            {rule: float(np.mean([r[key][rule] for r in drawn])) for rule in RULES}
            for key in ("caught", "stopped")
        ]
        found[n] = field.Found(float(np.mean([r["area"] for r in drawn])), *shares)
    return found


def sentences(rows: list[dict], kind: str, rule: str) -> dict[int, str]:
    """What an inspector would be told, by number of defects."""
    return {n: field.told(one, rule) for n, one in averaged(rows, kind).items()}


def draw_few(axes: list[Axes], rows: list[dict], kind: str) -> list[Axes]:
    """Defects caught and good pieces stopped, against the number of defects."""
    numbers = list(dict.fromkeys(row["defects"] for row in rows))
    for ax, key in zip(axes, ("caught", "stopped")):
        for rule, (color, line) in LOOKS.items():
            e = [
                estimate(
                    [
                        100 * row[key][rule]
                        for row in rows
                        if row["kind"] == kind and row["defects"] == n
                    ]
                )
                for n in numbers
            ]
            mean, half = np.array([(one.mean, one.half) for one in e]).T
            style = dict(color=COLORS[color], ls=line, label=rule)
            band(ax, np.array(numbers), mean, half, **style)
        ax.set_xscale("log")
        ax.set_xticks(numbers, map(str, numbers))
        ax.set_xticks([], minor=True)
        ax.set(xlabel="defects to fit on", ylim=(-3, 103))
    axes[0].set_ylabel(f"{kind} defects caught, per cent")
    axes[1].set_ylabel("good pieces stopped, per cent")
    return axes


def pilot_sentences(rows: list[dict], kind: str) -> dict[int, str]:
    """What the pilot said, by number of defects."""
    return {
        row["defects"]: ("Refused: " if row["decision"] == "refused" else "")
        + row["sentence"]
        for row in rows
        if row["kind"] == kind
    }


def caught_table(rows: list[dict]) -> pd.DataFrame:
    """Share of defects that each head of the pilot caught, in per cent."""
    found = {
        (row["kind"], row["defects"]): row["caught"] for row in rows if "caught" in row
    }
    table = pd.DataFrame.from_dict(found, orient="index")
    return (100 * table).round(0).astype(int).rename_axis(["kind", "defects"])


def tuning_table(rows: list[dict]) -> pd.DataFrame:
    """Area under the curve before and after fine-tuning, mean over seeds, by kind."""
    table = pd.DataFrame(rows)
    table["change"] = table["after"] - table["before"]
    by_kind = table.groupby(["kind", "defects"])
    found = by_kind[["before", "after", "change"]].mean()
    found["largest change"] = by_kind["change"].max()
    return found.round(3)


def live(kind: str = "global", n_defects: int = 10, n_draws: int = 5) -> str:
    """One line of the record, computed here where the extra is installed."""
    if not field.installed():
        return (
            "The pictures are not installed: pip install 'tailwise[field]' (60 MB) "
            "runs this cell on them, in about a minute."
        )
    good, bad = (field.features(k)[field.USUAL] for k in ("nominal", kind))
    rows = []
    for seed in range(n_draws):
        one = field.inspect(field.draw(good, bad, n_defects, seed))
        row = {"kind": kind, "defects": n_defects, "area": one.area}
        rows.append(row | {"caught": one.caught, "stopped": one.stopped})
    return sentences(rows, kind, "moved threshold")[n_defects]
