"""What so much data can say, whatever the order of its rows."""

import numpy as np
import pandas as pd
import pytest
from tiny_features import GROUPS, N, X, Y

from tailwise.own import features, report


def test_a_report_does_not_know_the_order_of_rows(data):
    order = np.random.default_rng(1).permutation(N)
    one, two = report(data), report(data.take(order))
    pd.testing.assert_frame_equal(one.counts, two.counts)
    assert one.sentences == two.sentences
    assert one.dimensions == pytest.approx(two.dimensions)
    assert one.counts["samples"].tolist() == [60, 200]
    assert one.ratio == pytest.approx(200 / 60)


def test_a_combination_that_never_occurs_is_named():
    groups = np.where(Y == "crack", "day", GROUPS)
    said = " ".join(report(features.from_arrays(X, Y, groups)).sentences)
    assert "Never together: crack in night." in said
    full = report(features.from_arrays(X, Y, GROUPS)).sentences
    assert "Never together" not in " ".join(full)


def test_units_are_what_a_report_counts():
    unit = np.arange(N) // 4
    said = report(features.from_arrays(X, Y, units=unit)).sentences
    assert "One split tests 3 units of class 'crack'" in said[1]
    assert "65 units of 4 rows each" in " ".join(said)
    unit[:4] = [900, 901, 901, 901]
    again = report(features.from_arrays(X, Y, units=unit)).sentences
    assert "66 units of 1 to 4 rows" in " ".join(again)
