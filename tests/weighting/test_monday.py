"""What chapter 1 gives a reader to copy does what its words say."""

import re

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from tailwise import weighting
from tailwise.metrics import group_accuracies
from tools.book.layout import ROOT

CHAPTER = ROOT / "book" / "chapters" / "1_loss_weighting.py"
RIDGE = 0.1


@pytest.fixture(scope="module")
def copied():
    """The names that the block leaves behind, after 60 rows to fit on."""
    monday = CHAPTER.read_text("utf-8").partition("# ## On Monday\n")[2]
    block = re.search(r"^# ```python\n(.*?)^# ```$", monday, re.MULTILINE | re.DOTALL)
    code = re.sub(r"^# ?", "", block[1], flags=re.MULTILINE)
    rng = np.random.default_rng(3)
    y = np.where(np.arange(120) % 10 < 4, 1.0, -1.0)[rng.permutation(120)]
    X = 3 + rng.normal(size=(120, 6)) + y[:, None]
    names = dict(X=X, y=y, torch=torch, weighting=weighting)
    names |= dict(StandardScaler=StandardScaler, group_accuracies=group_accuracies)
    names |= dict(fit_on=slice(0, None, 2), judge_on=slice(1, None, 2))
    exec(code, names)
    fitted, new = X[::2], X[1::2]
    mean, sd = fitted.mean(0), fitted.std(0)
    return names, (fitted - mean) / sd, y[::2], (new - mean) / sd


def head(Z, t, n):
    """Least squares with a free intercept; the penalty is that of n samples."""
    centred, mean = Z - Z.mean(0), t.mean()
    gram = centred.T @ centred + n * RIDGE * np.eye(Z.shape[1])
    coef = np.linalg.solve(gram, centred.T @ (t - mean))
    return coef, mean - Z.mean(0) @ coef


def test_the_moved_threshold_is_between_scores_of_heads_fitted_without_them(copied):
    names, Z, t, new = copied
    unseen = np.empty(len(t))
    for i in range(len(t)):
        rest = np.arange(len(t)) != i
        coef, bias = head(Z[rest], t[rest], len(t))
        unseen[i] = Z[i] @ coef + bias
    up, down = unseen[t > 0], unseen[t < 0]
    # As many standard deviations below one mean as above the other.
    threshold = names["threshold"].item()
    below = (up.mean() - threshold) / up.std(ddof=1)
    above = (threshold - down.mean()) / down.std(ddof=1)
    assert below == pytest.approx(above, rel=1e-9)
    coef, bias = head(Z, t, len(t))
    assert names["moved"].tolist() == (new @ coef + bias > threshold).tolist()


def test_the_average_is_over_heads_on_balanced_rows(copied):
    names, Z, t, new = copied
    rows = names["rows"].numpy()
    assert len(rows) == 32
    scores = []
    for drawn in rows:
        assert t[drawn].sum() == 0
        assert set(drawn[t[drawn] > 0]) == set((t > 0).nonzero()[0])
        coef, bias = head(Z[drawn], t[drawn], len(drawn))
        scores.append(new @ coef + bias)
    assert names["averaged"].tolist() == (np.mean(scores, 0) > 0).tolist()
