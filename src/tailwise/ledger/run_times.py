"""What the recorded runs cost, as tables for the page of run times."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tailwise.ledger.claims import Record, book_dir, chapters, load, recorded
from tailwise.profiles import DECIDING
from tailwise.templates import render

SECONDS = {"s": 1.0, "us": 1e-6}


@dataclass(frozen=True)
class Costs:
    """A table of costs; shows itself in a notebook, on a phone too.

    Attributes
    ----------
    rows : tuple of dict of str to str
        The first entry of each row is its heading.
    missing : str
        What to say of rows that are not there yet; empty when all are.
    """

    rows: tuple[dict[str, str], ...]
    missing: str = ""

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows)

    def __repr__(self) -> str:
        table = self.frame().to_string(index=False) if self.rows else ""
        return "\n".join(filter(None, (table, self.missing)))

    def _repr_html_(self) -> str:
        return render("costs.html", __package__, rows=self.rows, missing=self.missing)


def cost_table() -> Costs:
    """Minutes, processor seconds and memory of each committed record.

    Returns
    -------
    Costs
        A row per chapter and profile, and a total of each profile with several.
    """
    rows, missing = [], []
    for profile in DECIDING:
        runs = {c.title: recorded(c.key, profile) for c in map(load, chapters())}
        facts = {title: _facts(run) for title, run in runs.items() if run}
        absent = [title for title in runs if title not in facts]
        rows += [_cost(title, profile, of_run) for title, of_run in facts.items()]
        if len(facts) > 1:
            rows.append(_cost(f"all {len(facts)}", profile, _total([*facts.values()])))
        if absent:
            names = ", ".join(absent) if facts else "any chapter"
            missing.append(f"{profile} for {names}")
    note = f"Not recorded yet: {'; '.join(missing)}." if missing else ""
    return Costs(tuple(rows), note)


def _facts(run: Record) -> dict:
    """Provenance, and the most that one more repetition of everything would take."""
    counts = [m.n for parts in run.measurements.values() for m in parts if m.n > 1]
    each = run.provenance["cpu_s"] / min(counts) if counts else 0.0
    return run.provenance | {"each_s": each}


def _cost(title: str, profile: str, facts: dict) -> dict[str, str]:
    return {
        "chapter": title,
        "profile": profile,
        "minutes": f"{facts['wall_s'] / 60:.1f}",
        "CPU seconds": f"{facts['cpu_s']:.0f}",
        "a repetition": f"≤ {facts['each_s']:.0f} s" if facts["each_s"] else "–",
        "peak memory": f"{facts['peak_memory_gb']:.1f} GB",
        "device": facts["device"],
        "commit": facts["commit"] or "–",
    }


def _total(facts: list[dict]) -> dict:
    """Times add up; memory does not, for chapters run one after the other."""
    sums = ("wall_s", "cpu_s", "each_s")
    total = {key: sum(each[key] for each in facts) for key in sums}
    total["peak_memory_gb"] = max(each["peak_memory_gb"] for each in facts)
    devices = {each["device"] for each in facts}
    return total | {"device": devices.pop() if len(devices) == 1 else "–", "commit": ""}


def bench_dir() -> Path:
    """Where the committed outcomes of the benchmarks are."""
    return book_dir() / "results" / "bench"


def bench_table() -> Costs:
    """The committed outcomes of ``make bench``, a row for each comparison.

    Raises
    ------
    ValueError
        If a file is not the outcome of a benchmark; the message names it.
    """
    outcomes = []
    for path in sorted(bench_dir().glob("*.json")):
        try:
            outcomes.append(_bench_rows(json.loads(path.read_text(encoding="utf-8"))))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a benchmark's outcome: {error}") from error
    # A benchmark's title starts with its chapter.
    outcomes.sort(key=lambda rows: rows[0]["comparison"] if rows else "")
    rows = tuple(row for rows in outcomes for row in rows)
    return Costs(rows, "" if rows else "Not recorded yet.")


def _time(seconds: float) -> str:
    """Three digits in the largest unit of which it has one."""
    units = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
    unit = next((u for u, size in units.items() if seconds >= 0.9995 * size), "µs")
    return f"{seconds / units[unit]:.3g} {unit}"


def _bench_rows(outcome: dict) -> list[dict[str, str]]:
    rows = []
    for entry in outcome["comparisons"]:
        unit = SECONDS[entry["unit"]]
        case = f" ({entry['case']})" if entry["case"] else ""
        rows.append(
            {
                "comparison": outcome["title"] + case,
                "ours": _time(unit * entry["ours"]),
                "loop": _time(unit * entry["loop"]),
                "ratio": f"{entry['ratio']:.1f} ×",
                "largest difference": f"{entry['difference']:.0e}",
                "device": outcome["provenance"]["device"],
                "commit": outcome["provenance"].get("commit") or "–",
            }
        )
    return rows
