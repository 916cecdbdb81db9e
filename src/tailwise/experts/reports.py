"""Numbers and tables of chapter 4, from rows of accuracy.

A row has a split, the pair of pretrained experts that it was run with, a kind (of
expert, or "mixture"), a method, and accuracy in each of `PARTS`.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain, product

import numpy as np
import pandas as pd

from tailwise.data import glyphs
from tailwise.experts import mechanisms, study
from tailwise.experts.contest import Bench, Terms, saved_for_backward
from tailwise.experts.mechanisms import SHOTS, Repetition
from tailwise.experts.mixing import MEMBERS, SOURCES
from tailwise.experts.scorer import INPUTS
from tailwise.experts.study import KINDS, Pair
from tailwise.ledger.claims import book_dir
from tailwise.metrics import MEAN_AND_HALF, Estimate, estimate
from tailwise.models.experts import SEEDS
from tailwise.training.processes import in_processes

PARTS = ("all", "many", "medium", "few", "unseen")
N_PAIRS = max(map(len, SEEDS.values()))  # of shipped experts that differ in one
FEWEST_PAIRS = 3  # for an interval over pairs
COSTS = {  # ways of training whose costs are shown
    "probe": Bench.probe,
    "one per cent": lambda bench: bench.parts(tokens=1, adapter=2),
    "phase 1": Bench.parts,
    "phase 2": lambda bench: bench.second(bench.start(tokens=4, adapter=8)),
    "full, blocks only": lambda bench: bench.full(blocks_only=True),
    "full": Bench.full,
}
Member = tuple[str, str]  # kind and method
TUNING = {
    "phase 1 − probe": ("phase 1", "probe"),
    "phase 1 − full": ("phase 1", "full"),
    "full, blocks only − full": ("full, blocks only", "full"),
    "prompts only − probe": ("prompts only", "probe"),
    "adapters only − probe": ("adapters only", "probe"),
    "one per cent − probe": ("one per cent", "probe"),
    "no gap: phase 1 − probe": ("phase 1, no gap", "probe, no gap"),
    "no gap: full − probe": ("full, no gap", "probe, no gap"),
}
ALONE = "phase 2, head alone"
ONE_SAMPLER = "phase 2, LA, one sampler"
SECOND = {  # what each differs in from what
    "phase 2 − phase 1": ("phase 2", "phase 1"),
    "group prompts": ("phase 2", ALONE),
    "group prompts, LA": (ONE_SAMPLER, f"{ONE_SAMPLER}, head alone"),
    "keys at pictures − random": ("phase 2", "phase 2, random keys"),
    "pool of 10 − of 1": ("phase 2", "phase 2, pool of 1"),
    "A-GCL − LA": ("phase 2", "phase 2, LA"),
    "two samplers": (ALONE, "phase 2, one sampler, head alone"),
    "after CE: phase 2": ("phase 2, after CE", "phase 1 with CE"),
    "after CE: head alone": (f"{ALONE}, after CE", "phase 1 with CE"),
}
HEADS = {
    "visual: LA − CE": ("visual", "probe", "probe with CE"),
    "language: LA − CE": ("language", "probe", "probe with CE"),
    "names − random, few steps": ("language", "probe", "probe, random head"),
    "names − random, converged": (
        "language",
        "probe, text, converged",
        "probe, random, converged",
    ),
    "names − class means, converged": (
        "language",
        "probe, text, converged",
        "probe, means, converged",
    ),
    "class means − random, converged": (
        "visual",
        "probe, means, converged",
        "probe, random, converged",
    ),
}
MEAN = ("mixture", "mean, phase 1")


def _recorded(name: str) -> dict:
    path = book_dir() / "results" / "experts" / f"{name}.json"
    return json.loads(path.read_text("utf-8"))


def choices() -> dict:
    """What was chosen on development letters, by `tools/studies/study_choices.py`."""
    return _recorded("validation")


def recorded() -> pd.DataFrame:
    """Rows of the record of `tools/studies/study_mechanisms.py`."""
    return pd.DataFrame(_recorded("mechanisms")["rows"])


def _contest(number: int, terms: Terms, n_test: int, device: str) -> list[dict]:
    load = cache(lambda seed: study.load_pair(seed).to(device))
    rep = Repetition(number, (number % N_PAIRS,), load, terms, n_test)
    return mechanisms.contest(rep)


def run_contest(
    splits: Sequence[int],
    *,
    terms: Terms,
    n_test: int = 20,
    jobs: int = 2,
    device: str = "cpu",
) -> pd.DataFrame:
    """Rows of `mechanisms.contest` on several splits, in separate processes.

    Split s has the shipped pair s modulo `N_PAIRS`. On a GPU one after the other, in
    this process. Each test set has `n_test` pictures of each class.
    """
    runs = [(number, terms, n_test, device) for number in splits]
    found = in_processes(_contest, runs, jobs=jobs, device=device)
    return pd.DataFrame(list(chain.from_iterable(found)))


def values(rows: pd.DataFrame, member: Member, part: str = "all") -> pd.Series:
    """Accuracy of a method in a part, one a split; a ValueError if there is none."""
    kind, method = member
    mine = rows[(rows["kind"] == kind) & (rows["method"] == method)]
    if mine.empty:
        raise ValueError(f"member is {member}: expected one of the rows")
    return mine.set_index("split")[part]


def gain(
    rows: pd.DataFrame,
    member: Member,
    other: Member,
    part: str = "all",
    *,
    over: str = "wider",
) -> Estimate:
    """Paired difference between two methods; `over` as in `summed_up`."""
    change = values(rows, member, part) - values(rows, other, part)
    return summed_up(rows, change, over)


def summed_up(rows: pd.DataFrame, found: pd.Series, over: str = "wider") -> Estimate:
    """Mean of a number by split, with an interval.

    Parameters
    ----------
    rows : DataFrame
        Tell the pair of pretrained experts of each split.
    found : Series
        By split; those without a number are left out.
    over : {"splits", "pairs", "wider"}
        Repetitions: splits, or pairs of experts, each the mean of its splits. "wider"
        takes the wider of both intervals, that over pairs only from three pairs on.
    """
    found = found.dropna()
    pairs = rows.drop_duplicates("split").set_index("split")["pair"]
    by_pair = found.groupby(pairs).mean()
    if over == "pairs":
        return estimate(by_pair.to_numpy())
    splits = estimate(found.to_numpy())
    if over == "splits" or len(by_pair) < FEWEST_PAIRS:
        return splits
    return max(splits, estimate(by_pair.to_numpy()), key=lambda e: e.half)


def gains(
    rows: pd.DataFrame,
    contrasts: Mapping[str, tuple[Member, Member]],
    parts: Sequence[str] = ("all", "few"),
) -> pd.DataFrame:
    """Paired differences in points: mean ± half of the 95 % interval.

    Over splits, and from three pairs of pretrained experts on over these, too.
    """
    over = ["splits"] + ["pairs"] * (rows["pair"].nunique() >= FEWEST_PAIRS)
    found = {}
    for name, (member, other) in contrasts.items():
        row = {
            f"{part}, {what}": gain(rows, member, other, part, over=what)
            for what, part in product(over, parts)
        }
        n = row[f"{parts[0]}, splits"].n
        found[name] = {k: _signed(e) for k, e in row.items()} | {"n": n}
    return _with_halves(found)


def _signed(e: Estimate) -> str:
    return f"{100 * e.mean:+.1f} ± {100 * e.half:.1f}"


def table(
    rows: pd.DataFrame,
    kinds: Sequence[str],
    methods: Sequence[str],
    parts: Sequence[str] = PARTS,
) -> pd.DataFrame:
    """Accuracy in per cent, mean ± half of the 95 % interval over splits."""
    found = {}
    for kind in kinds:
        for method in methods:
            of = {part: values(rows, (kind, method), part) for part in parts}
            found[kind, method] = {part: _text(v.to_numpy()) for part, v in of.items()}
    return _with_halves(found)


def _with_halves(rows: dict) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis(columns=MEAN_AND_HALF)


def _text(found: np.ndarray) -> str:
    e = estimate(100 * found)
    return f"{e.mean:.1f} ± {e.half:.1f}"


def by_kind(
    rows: pd.DataFrame,
    method: str,
    other: str,
    part: str = "all",
    *,
    kinds: Sequence[str] = KINDS,
) -> dict[str, Estimate]:
    """`gain` of one method over another for each kind of expert."""
    return {kind: gain(rows, (kind, method), (kind, other), part) for kind in kinds}


def rate_table() -> pd.DataFrame:
    """Validation accuracy in per cent by way of training and rate."""
    rows = pd.DataFrame(choices()["rates"])
    found = rows.groupby(["way", "rate"])["accuracy"].mean()
    return (100 * found).round(1).to_frame("validation accuracy, %").T


def steps() -> pd.DataFrame:
    """Validation accuracy by kind, way of training and steps, at the chosen rates."""
    return pd.DataFrame(choices()["steps"])


def contrasts(
    kinds: Sequence[str] = KINDS, of: Mapping[str, tuple[str, str]] | None = None
) -> dict[str, tuple[Member, Member]]:
    """Pairs of methods for `gains`, for each kind; by default those of `TUNING`."""
    return {
        f"{kind}: {name}": ((kind, a), (kind, b))
        for kind in kinds
        for name, (a, b) in (of or TUNING).items()
    }


def heads_table(rows: pd.DataFrame) -> pd.DataFrame:
    """`gains` of losses and of starts of the head."""
    pairs = {name: ((k, a), (k, b)) for name, (k, a, b) in HEADS.items()}
    return gains(rows, pairs)


def over_members(rows: pd.DataFrame, mixture: str) -> pd.Series:
    """What a mixture of two gains over the mean accuracy of its members, by split."""
    one, other = (values(rows, ("member", m)) for m in MEMBERS[mixture])
    return (values(rows, ("mixture", mixture)) - (one + other) / 2).dropna()


def two_kinds(rows: pd.DataFrame) -> Estimate:
    """Gain of two kinds of experts less that of two of one kind.

    The two of one kind are visual experts of two pretraining seeds.
    """
    found = over_members(rows, "two kinds") - over_members(rows, "two visual")
    return summed_up(rows, found)


def mixture_gains(
    rows: pd.DataFrame, way: str = "phase 1", part: str = "all"
) -> dict[str, Estimate]:
    """Mean of both experts' logits less each expert."""
    mean = ("mixture", f"mean, {way}")
    return {kind: gain(rows, mean, (kind, way), part) for kind in KINDS}


def over_the_better(rows: pd.DataFrame, way: str = "phase 1") -> pd.Series:
    """Mean of both experts' logits less the better expert, by split."""
    both = pd.concat([values(rows, (kind, way)) for kind in KINDS], axis=1)
    return values(rows, ("mixture", f"mean, {way}")) - both.max(axis=1)


def scorer_gains(
    rows: pd.DataFrame, source: str = "training", part: str = "all"
) -> dict[str, Estimate]:
    """Scorers less the plain mean, by what they read."""
    names = {inputs: ("mixture", f"scorer, {inputs}, {source}") for inputs in INPUTS}
    return {inputs: gain(rows, name, MEAN, part) for inputs, name in names.items()}


def weight_area(rows: pd.DataFrame, scorer: str = "summary, training") -> Estimate:
    """Area of a scorer's weight, see `mixing.weight_auc`."""
    return summed_up(rows, values(rows, ("mixture", f"scorer, {scorer}"), "auc"))


def member_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of mixtures, and what they gain over members and over the mean of two.

    In points, mean ± half of the 95 % interval as in `summed_up`.
    """
    mean, found = values(rows, MEAN), {}
    extra = ["with a poor third", "all candidates", "forward selection"]
    extra += [name for name in rows["method"].unique() if name.startswith("language t")]
    there = set(rows["method"])
    for name in [name for name in MEMBERS if name in there] + extra:
        accuracy = values(rows, ("mixture", name))
        row = {"accuracy, %": _text(accuracy.to_numpy())}
        row["over its members"] = row["over the mean of two kinds"] = ""
        if name in MEMBERS:
            own = summed_up(rows, over_members(rows, name))
            row["over its members"] = _signed(own)
        if name != "two kinds":
            e = summed_up(rows, accuracy - mean)
            row["over the mean of two kinds"] = _signed(e)
        found[name] = row
    return _with_halves(found)


def leak_gap(rows: pd.DataFrame) -> Estimate:
    """Training less test accuracy in rare classes, less the same in all others."""
    mine = rows[rows["method"] == "leak"].set_index("split")
    few, other = (mine[f"train {p}"] - mine[f"test {p}"] for p in ("few", "other"))
    return summed_up(rows, few - other)


def scorer_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Scorers less the plain mean in points, and the area of the weight."""
    found = {}
    for inputs in INPUTS:
        for source in SOURCES:
            member = ("mixture", f"scorer, {inputs}, {source}")
            row = {p: _signed(gain(rows, member, MEAN, p)) for p in ("all", "few")}
            area = values(rows, member, "auc").mean()
            row["area of the weight"] = "" if np.isnan(area) else f"{area:.2f}"
            found[inputs, source] = row
    return _with_halves(found)


def cost_table(rows: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    """What a way of training costs, and its accuracy in per cent, means over splits.

    Trained parameters with the head; CPU seconds of training; megabytes that one
    step of 128 images keeps for gradients, measured here with a pair; passes
    of a backbone for an image at inference. A mean has those of both experts, the
    larger memory of the two.
    """
    found = {}
    task = glyphs.draw(0, n_max=4, imbalance_ratio=2, n_val=1, n_test=1, crowd=True)
    for kind in KINDS:
        bench = Bench(pair, kind, task, 0, Terms(steps=1, views=1))
        head = bench.start().head.weight.numel()
        for way, make in COSTS.items():
            mine = rows[(rows["kind"] == kind) & (rows["method"] == way)]
            found[f"{kind}, {way}"] = {
                "trained": mine["trained"].mean() + head,
                "CPU s": mine["seconds"].mean(),
                "MB a step": saved_for_backward(make, bench) / 1e6,
                "passes": 2 if way == "phase 2" else 1,
            } | _percent(mine)
    for way in ("probe", "phase 1", "full"):
        both = pd.DataFrame([found[f"{kind}, {way}"] for kind in KINDS])
        mine = rows[(rows["kind"] == "mixture") & (rows["method"] == f"mean, {way}")]
        row = both.sum().to_dict() | {"MB a step": both["MB a step"].max()}
        found[f"mean, {way}"] = row | _percent(mine)
    table = pd.DataFrame.from_dict(found, orient="index")
    return table.round({"trained": 0, "CPU s": 1, "MB a step": 1, "all": 1, "few": 1})


def _percent(rows: pd.DataFrame) -> dict[str, float]:
    return {part: 100 * rows[part].mean() for part in ("all", "few")}


def labels_table(
    rows: pd.DataFrame, ways: Sequence[str], kinds: Sequence[str] = KINDS
) -> pd.DataFrame:
    """Accuracy in per cent with few labels (all classes), and with wrong ones (few)."""
    cases = [(f", {shots} a class", "all") for shots in SHOTS]
    cases += [("", "few"), (", mislabelled", "few")]
    names = [f"{shots} a class" for shots in SHOTS]
    names += ["rare: labels right", "rare: 1 in 10 wrong"]
    found = {
        f"{kind}, {way}": {
            name: _text(values(rows, (kind, way + case), part).to_numpy())
            for name, (case, part) in zip(names, cases)
        }
        for kind, way in product(kinds, ways)
    }
    return _with_halves(found)


def pretraining_table() -> pd.DataFrame:
    """What steps and width of pretraining bought the visual expert.

    Validation accuracy in per cent on development letters by way of training; record
    of `tools/studies/study_pretraining.py`.
    """
    rows = pd.DataFrame(_recorded("pretraining")["rows"])
    sizes = ["width", "parameters", "pretraining"]
    found = rows.groupby([*sizes, "way"])["accuracy"].mean().unstack()
    return (100 * found[["probe", "parts", "full"]]).round(1).reset_index()
