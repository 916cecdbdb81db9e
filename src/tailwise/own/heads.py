"""The heads that a pilot compares: chosen on validation rows, then refitted."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from tailwise.methods import calibration
from tailwise.methods.calibration import Recalibration
from tailwise.methods.dfr import DeepFeatureReweighting
from tailwise.methods.moments import ClassMoments, class_moments
from tailwise.methods.weighted import WeightedHead
from tailwise.metrics import group_accuracies
from tailwise.own import units
from tailwise.own.features import Features

PLAIN, WEIGHTED = "plain", "logistic, prior weights"
ADJUSTED, DFR = "logit adjustment", "DFR"
SQUARES = {
    "squares, prior weights": "priors",
    "squares, effective weights": "effective",
}
HEADS = (PLAIN, WEIGHTED, ADJUSTED, *SQUARES)
RIDGES = (1.0, 0.1, 0.01)  # penalty per sample; of equals the first is taken
TAUS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
OBJECTIVES = ("balanced", "worst", "cost")


@dataclass(frozen=True)
class Setting:
    """What was chosen for a head: its ridge, and tau of the logit adjustment."""

    ridge: float | None = None
    tau: float = 0.0

    def __str__(self) -> str:
        if self.ridge is None:
            return "penalty chosen inside its fit"
        return f"ridge {self.ridge:g}" + (f", tau {self.tau:g}" if self.tau else "")


def dfr_refusal(data: Features) -> str | None:
    """Why last-layer retraining on balanced groups cannot be tried, or None."""
    if data.groups is None:
        return "DFR needs groups, and the file has none"
    cell = data.cells()[0]
    smallest = np.bincount(cell).min()
    if smallest < 12:
        return f"DFR needs 12 samples in each group, and the smallest has {smallest}"
    if (least := units.per_cell(cell, data.units).min()) < 12:
        return f"DFR needs 12 units in each group, and the smallest has {least}"
    return None


class Rows:
    """Some rows of a data set, and what several heads need of them, made once."""

    def __init__(self, X, y, cell=None, unit=None) -> None:
        self.X, self.y, self.cell, self.unit = X, y, cell, unit
        self.plain: dict[float, Pipeline] = {}  # by ridge: two heads are made of it

    @cached_property
    def scaler(self) -> StandardScaler:
        return StandardScaler().fit(self.X)

    @cached_property
    def scaled(self) -> np.ndarray:
        return self.scaler.transform(self.X)

    @cached_property
    def moments(self) -> tuple[ClassMoments, np.ndarray]:
        """Of the scaled features, and the labels in order."""
        classes, member = np.unique(self.y, return_inverse=True)
        found = class_moments(self.X, member, len(classes))
        return found.scaled(self.scaler.mean_, self.scaler.scale_), classes


def rows_of(data: Features, rows: np.ndarray) -> Rows:
    """Rows of a data set, with their cells and units."""
    unit = None if data.units is None else data.units[rows]
    return Rows(data.X[rows], data.y[rows], data.cells()[0][rows], unit)


def score(y, y_hat, cell, objective: str) -> float:
    """Accuracy over cells: their mean ("balanced") or their smallest ("worst")."""
    found = group_accuracies(y, y_hat, cell)
    if objective == "balanced":
        return found.accuracy_balanced
    return found.accuracy_worst_group


def choose(
    name: str,
    data: Features,
    fit: np.ndarray,
    val: np.ndarray,
    objective: str,
    fitted: dict | None = None,
) -> Setting:
    """The setting with the best objective on the rows `val` when fitted on `fit`.

    Logit adjustment (chapter 5) keeps the plain head's ridge and chooses tau. DFR
    chooses its penalty inside its own fit. `fitted` keeps heads for the next call with
    the same rows.
    """
    fitted = {} if fitted is None else fitted
    if "rows" not in fitted:
        fitted["rows"] = rows_of(data, fit)
        fitted["val"] = data.X[val], data.y[val], data.cells()[0][val]
    if name == DFR:
        return Setting()
    rows, (X, y, cell) = fitted["rows"], fitted["val"]
    criterion = "balanced" if objective == "cost" else objective

    def judged(head: Pipeline) -> float:
        return score(y, head.predict(X), cell, criterion)

    family = PLAIN if name == ADJUSTED else name
    for r in RIDGES:
        if (family, r) not in fitted:
            head = build_on(rows, family, Setting(r))
            fitted[family, r] = head, judged(head)
    ridge = max(RIDGES, key=lambda r: fitted[family, r][1])
    if name != ADJUSTED:
        return Setting(ridge)
    plain = fitted[family, ridge][0]
    tau = max(TAUS, key=lambda t: judged(adjust(plain, rows.y, t)))
    return Setting(ridge, tau)


def chosen(name: str, setting: Setting, fitted: dict, *, seed: int = 0):
    """The head that `choose` has chosen, fitted on its fitting rows."""
    family = PLAIN if name == ADJUSTED else name
    if name == DFR:
        return build_on(fitted["rows"], name, setting, seed=seed)
    head = fitted[family, setting.ridge][0]
    return adjust(head, fitted["rows"].y, setting.tau) if name == ADJUSTED else head


def build(
    name: str,
    setting: Setting,
    X: np.ndarray,
    y: np.ndarray,
    cell: np.ndarray | None = None,
    *,
    unit: np.ndarray | None = None,
    seed: int = 0,
) -> BaseEstimator:
    """A fitted scikit-learn classifier for raw features.

    `cell` [n] are the groups that DFR balances, and `unit` [n] what it keeps apart; the
    others do not look at them.
    """
    return build_on(Rows(X, y, cell, unit), name, setting, seed=seed)


def build_on(
    rows: Rows, name: str, setting: Setting, *, seed: int = 0
) -> BaseEstimator:
    """As `build`, on rows that may have served another head."""
    if name == DFR:
        head = DeepFeatureReweighting(n_resamples=10, random_state=seed)
        return head.fit(rows.X, rows.y, groups=rows.cell, units=rows.unit)
    if setting.ridge is None:
        raise ValueError(f"setting has no ridge: the head {name!r} needs one")
    if name == ADJUSTED:
        plain = build_on(rows, PLAIN, Setting(setting.ridge))
        return adjust(plain, rows.y, setting.tau)
    if name == PLAIN and setting.ridge in rows.plain:
        return rows.plain[setting.ridge]
    if name in SQUARES:
        head = WeightedHead(SQUARES[name], ridge=setting.ridge)
        head.fit_moments(*rows.moments)
    else:
        weight = "balanced" if name == WEIGHTED else None
        head = _logistic(setting.ridge, rows.scaled, rows.y, weight)
        head.fit(rows.scaled, rows.y)
    step = type(head).__name__.lower()
    fitted = Pipeline([("standardscaler", rows.scaler), (step, head)])
    if name == PLAIN:
        rows.plain[setting.ridge] = fitted
    return fitted


def _logistic(ridge: float, X, y, class_weight=None) -> LogisticRegression:
    # scikit-learn's C multiplies the summed loss; ridge is the penalty per sample.
    C = 1 / (len(y) * ridge)
    small = X.shape[1] <= 512 and len(np.unique(y)) == 2  # Newton's matrix is d × d
    solver = "newton-cholesky" if small else "lbfgs"
    return LogisticRegression(
        C=C, class_weight=class_weight, solver=solver, max_iter=1000
    )


def adjust(fitted: Pipeline, y: np.ndarray, tau: float) -> Pipeline:
    """The head with ``tau * log(prior)`` subtracted from its logits, class by class."""
    scaler, plain = fitted
    shift = tau * np.log(np.unique(y, return_counts=True)[1] / len(y))
    if len(shift) == 2:
        shift = shift[1:] - shift[:1]
    head = LogisticRegression(**plain.get_params())
    vars(head).update(vars(plain))
    head.intercept_ = plain.intercept_ - shift
    return Pipeline([("standardscaler", scaler), ("logisticregression", head)])


def linear_map(head: BaseEstimator) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``[k, d]`` and biases ``[k]`` whose softmax is the head's probability.

    They are for raw features: the scaler is folded in.
    """
    scaler, last = head if isinstance(head, Pipeline) else (None, head)
    weight, bias = last.coef_.astype(float), last.intercept_.astype(float)
    if scaler is not None:
        weight = weight / scaler.scale_
        bias = bias - weight @ scaler.mean_
    if len(weight) > 1:
        return weight, bias
    # Two classes: WeightedHead takes the softmax of -s and s, the others a sigmoid.
    half = 1.0 if isinstance(last, WeightedHead) else 0.5
    return half * np.concatenate([-weight, weight]), half * np.concatenate(
        [-bias, bias]
    )


def logits(head: BaseEstimator, X: np.ndarray) -> np.ndarray:
    """Logits ``[n, k]`` in float64 whose softmax is the head's probability."""
    scores = head.decision_function(X)
    if scores.ndim > 1:
        return scores.astype(float)
    last = head[-1] if isinstance(head, Pipeline) else head
    half = 1.0 if isinstance(last, WeightedHead) else 0.5
    return half * np.stack([-scores, scores], 1).astype(float)


def recalibrate(head: BaseEstimator, X: np.ndarray, y: np.ndarray) -> Recalibration:
    """What makes a head's logits probabilities, from rows it was not fitted on.

    `y` [n] are the labels as the head predicts them.
    """
    code = np.searchsorted(head.classes_, y)
    return calibration.recalibrate(logits(head, X), code)
