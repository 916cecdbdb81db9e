"""Tables of chapter 3: of several laws, and of the LeNet that was recorded."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tailwise.ledger.claims import Ledger, book_dir
from tailwise.metrics import MEAN_AND_ERROR, Estimate, estimate
from tailwise.softad import contests, study
from tailwise.softad.study import NAMES


def recorded_lenet() -> pd.DataFrame:
    """Numbers by seed and method; one column a key of `study.NAMES`."""
    path = book_dir() / "results" / "softad" / "lenet.json"
    rows = pd.DataFrame(json.loads(path.read_text("utf-8"))["rows"])
    return rows.set_index(["seed", "method"])


def lenet_contests(rows: pd.DataFrame) -> dict[str, dict[str, Estimate]]:
    """`contests.LENET` and ERM's training loss, as a ledger enters them."""
    fitted = rows["loss_train"].unstack()["ERM"]
    found = {"ch3.lenet_fits": {"": estimate(fitted)}}
    for claim, (label, number, *less) in contests.LENET.items():
        values = rows[number].unstack()
        values = np.log(values) if number in contests.LOGS else values
        change = values[label] - values[less[0] if less else "ERM"]
        found[claim] = {"": estimate(change)}
    return found


def entered(
    ledger: Ledger, trained: Mapping[str, tuple[dict[str, study.Result], dict]]
) -> pd.DataFrame:
    """Enter the contests of several laws of training; one table, with the law first.

    Parameters
    ----------
    ledger : Ledger
    trained : dict
        Law to the first two arguments of `tailwise.softad.study.measured`.
    """
    tables = {law: ledger.enter(*study.measured(*of)) for law, of in trained.items()}
    return pd.concat(tables).fillna("")


def lenet_table(rows: pd.DataFrame, numbers: Sequence[str]) -> pd.DataFrame:
    """Means over seeds with standard errors; one row a method, in recorded order."""
    found = {}
    for method in rows.index.unique("method"):
        of = rows.xs(method, level="method")
        found[method] = {NAMES[k]: _text(of[k]) for k in numbers}
    table = pd.DataFrame.from_dict(found, orient="index")
    return table.rename_axis(columns=MEAN_AND_ERROR)


def _text(values: pd.Series) -> str:
    if values.isna().any():
        return ""
    e = estimate(values)
    return f"{e.mean:.3f} ± {e.stderr:.3f}"
