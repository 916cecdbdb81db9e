"""The heads that a pilot compares: chosen on validation rows, then refitted."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tailwise.methods.dfr import DeepFeatureReweighting
from tailwise.methods.weighted import WeightedHead
from tailwise.metrics import group_accuracies
from tailwise.own.features import Features

PLAIN, ADJUSTED, DFR = "plain", "logit adjustment", "DFR"
HEADS = (
    PLAIN,
    "logistic, prior weights",
    ADJUSTED,
    "squares, prior weights",
    "squares, effective weights",
)
RIDGES = (1.0, 0.1, 0.01)  # penalty per sample; of equals the first is taken
TAUS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
OBJECTIVES = ("balanced", "worst")


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
    if len(data.classes) > 2:
        return f"DFR is for two classes here, and the file has {len(data.classes)}"
    smallest = np.bincount(data.cells()[0]).min()
    if smallest < 12:
        return f"DFR needs 12 samples in each group, and the smallest has {smallest}"
    return None


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
    if name == DFR:
        return Setting()
    cell = data.cells()[0][val]

    def judged(head: Pipeline) -> float:
        return score(data.y[val], head.predict(data.X[val]), cell, objective)

    family = PLAIN if name == ADJUSTED else name
    X, y, heads = data.X[fit], data.y[fit], {} if fitted is None else fitted
    for r in RIDGES:
        if (family, r) not in heads:
            heads[family, r] = build(family, Setting(r), X, y)
    ridge = max(RIDGES, key=lambda r: judged(heads[family, r]))
    if name != ADJUSTED:
        return Setting(ridge)
    tau = max(TAUS, key=lambda t: judged(adjust(heads[family, ridge], y, t)))
    return Setting(ridge, tau)


def build(
    name: str,
    setting: Setting,
    X: np.ndarray,
    y: np.ndarray,
    cell: np.ndarray | None = None,
    *,
    seed: int = 0,
) -> BaseEstimator:
    """A fitted scikit-learn classifier for raw features.

    `cell` [n] are the groups that DFR balances; the others do not look at it.
    """
    if name == DFR:
        head = DeepFeatureReweighting(n_resamples=10, random_state=seed)
        return head.fit(X, y, groups=cell)
    makers: dict[str, Callable] = {
        HEADS[1]: lambda: _logistic(setting, X, y, "balanced"),
        HEADS[3]: lambda: WeightedHead("priors", ridge=setting.ridge),
        HEADS[4]: lambda: WeightedHead("effective", ridge=setting.ridge),
    }
    head = makers.get(name, lambda: _logistic(setting, X, y))()
    fitted = make_pipeline(StandardScaler(), head).fit(X, y)
    return adjust(fitted, y, setting.tau) if name == ADJUSTED else fitted


def _logistic(setting: Setting, X, y, class_weight=None) -> LogisticRegression:
    # scikit-learn's C multiplies the summed loss; ridge is the penalty per sample.
    C = 1 / (len(y) * setting.ridge)
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
    weight, bias = last.coef_, last.intercept_
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
