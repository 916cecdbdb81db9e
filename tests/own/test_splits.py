"""No unit is on two sides, of any split, fold or sample."""

import numpy as np
import pandas as pd
import pytest
from tiny_features import X as SMALL

from tailwise.own import features, heads
from tailwise.own.pilot import pilot
from tailwise.own.splits import draw_splits
from tailwise.own.verdict import verdict

P, S = 60, 4
RNG = np.random.default_rng(0)
LABEL = RNG.permutation(np.repeat([1, 0], [15, P - 15]))
UNIT = np.repeat(np.arange(P), S)
X = np.repeat(RNG.normal(size=(P, 24)), S, 0) + 0.3 * RNG.normal(size=(P * S, 24))
Y = np.array(["control", "ill"])[LABEL[UNIT]]
SITE = np.array(["A", "B"])[RNG.integers(2, size=P)][UNIT]


def patients(**roles):
    return features.from_arrays(X, Y, units=UNIT, **roles)


@pytest.mark.parametrize("groups", [None, SITE])
def test_no_unit_is_on_two_sides(groups):
    data = features.from_arrays(X, Y, groups, units=UNIT)
    cell = data.cells()[0]
    for split in draw_splits(data, 10):
        parts = [split.fit, split.val, split.test]
        np.testing.assert_array_equal(
            np.sort(np.concatenate(parts)), np.arange(len(data))
        )
        seen = [set(data.units[rows]) for rows in parts]
        assert not seen[0] & seen[1]
        assert not (seen[0] | seen[1]) & seen[2]
        for rows in parts:
            assert set(cell[rows]) == set(cell)
        # Shares are those of units, up to rounding in each cell.
        assert abs(len(seen[2]) - 0.2 * P) <= 0.5 * len(set(cell))


def test_units_of_several_classes_are_split_too():
    site = RNG.integers(7, size=len(SMALL))
    y = np.arange(len(SMALL)) % 3
    data = features.from_arrays(SMALL, y, units=site)
    for split in draw_splits(data, 10):
        assert not set(site[split.test]) & set(site[split.fit])
        assert set(y[split.test]) == {0, 1, 2}


def test_a_sample_keeps_whole_units():
    data = patients()
    part = features.sample(data, 80)
    assert 60 <= len(part) <= 100
    sizes = np.bincount(part.units)
    assert (sizes == S).all()
    assert abs((part.classes[part.y] == "ill").mean() - (Y == "ill").mean()) < 0.1


@pytest.mark.filterwarnings("ignore:.*nearly repeat")
def test_what_rows_make_a_gain_units_do_not():
    # The label of a patient has nothing to do with the features.
    by_row = pilot(features.from_arrays(X, Y), n_splits=10)
    by_unit = pilot(patients(), n_splits=10)
    learned = [found.by_class.mean(-1)[:, 1:].mean() for found in (by_row, by_unit)]
    assert learned[0] > 0.75
    assert abs(learned[1] - 0.5) < 0.15
    assert verdict(by_unit).decision != "use"
    assert by_unit.size.tolist() == [P - 15, 15]


def test_dfr_keeps_units_apart_in_its_own_folds(monkeypatch):
    seen = []
    fit = heads.DeepFeatureReweighting.fit

    def spy(self, X, y, **given):
        seen.append(given["units"])
        return fit(self, X, y, **given)

    monkeypatch.setattr(heads.DeepFeatureReweighting, "fit", spy)
    unit = np.repeat(np.arange(120), 3)
    y = (np.arange(120) % 2)[unit]
    site = (np.arange(120) // 2 % 2)[unit]
    noise = RNG.normal(size=(360, 5))
    data = features.from_arrays(noise, y, site, units=unit)
    assert pilot(data, n_splits=10).heads[-1] == "DFR"
    assert len(seen) == 20  # chosen and refitted in each split
    assert all(units is not None for units in seen)


@pytest.mark.parametrize(
    ("units", "says"),
    [
        (UNIT * 0, "unit holds 1 different values"),
        (np.where(Y == "ill", UNIT % 2, UNIT), "'ill' has 2 units and needs 3"),
        (UNIT[1:], "lengths differ: unit has shape"),
        (np.where(UNIT == 3, None, UNIT.astype(str)), "unit is empty in row 12"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*nearly repeat")
def test_units_that_cannot_be_split_are_refused(units, says):
    with pytest.raises(ValueError, match=says):
        draw_splits(features.from_arrays(X, Y, units=units), 10)


def test_all_small_classes_are_named():
    y = np.repeat(np.arange(6), [100, 100, 9, 8, 12, 11])
    data = features.from_arrays(SMALL[:240], y)
    with pytest.raises(ValueError, match=r"2 classes have.*'2' \(9\), '3' \(8\)"):
        draw_splits(data, 10)


# A split of one's own


def test_a_given_split_is_used_as_it_is():
    part = np.array(["Train", "val ", "TEST"])[np.arange(P) % 3][UNIT]
    data = patients(split=part)
    (split,) = draw_splits(data, 10)
    for rows, name in ((split.fit, "Train"), (split.val, "val "), (split.test, "TEST")):
        np.testing.assert_array_equal(rows, np.flatnonzero(part == name))
    found = pilot(data)
    assert found.given_split
    assert len(found.mean) == 200
    assert any("your own split" in note for note in found.notes)
    # The first row is the test part itself, the others spread as resamples of units.
    hit = found.by_class[:, 0]
    se = np.sqrt(hit[0] * (1 - hit[0]) / 5)  # five units of the rare class are tested
    assert hit[:, 1].std() < 2 * se.max() + 0.05
    verdict(found)


def test_rows_to_choose_on_are_drawn_if_none_are_named():
    part = np.where(np.arange(P) % 4, "train", "test")[UNIT]
    data = patients(split=part)
    (split,) = draw_splits(data, 10)
    np.testing.assert_array_equal(split.test, np.flatnonzero(part == "test"))
    assert not set(UNIT[split.val]) & set(UNIT[split.fit])
    assert len(split.val) + len(split.fit) == (part == "train").sum()
    (alone,) = draw_splits(features.from_arrays(X, Y, split=part), 10)
    assert len(alone.val) + len(alone.fit) == (part == "train").sum()


def test_dates_put_the_latest_to_the_test():
    days = pd.to_datetime("2026-01-01") + pd.to_timedelta(RNG.permutation(P * S), "D")
    text = np.array([str(day.date()) for day in days])
    data = features.from_arrays(X, Y, split=text)
    (split,) = draw_splits(data, 10)
    assert max(text[split.fit]) < min(text[split.val])
    assert max(text[split.val]) < min(text[split.test])
    assert len(split.test) == len(split.val) == 0.2 * P * S
    # Earlier rows of units that come back later are left out.
    with pytest.warns(UserWarning, match="earlier rows of units"):
        kept = patients(split=text)
    (split,) = draw_splits(kept, 10)
    assert not set(kept.units[split.fit]) & set(kept.units[split.test])


@pytest.mark.filterwarnings("ignore:.*nearly repeat")
@pytest.mark.parametrize(
    ("split", "says"),
    [
        (np.array(["train", "test"])[np.arange(P * S) % 2], "is in fit and in test"),
        (np.array(["a", "b"])[UNIT % 2], "write train, val or test"),
        (np.where(Y == "ill", "train", "test"), "has no row in the part"),
        (np.arange(P * S), "write train, val or test"),
    ],
)
def test_a_bad_split_is_refused(split, says):
    with pytest.raises(ValueError, match=says):
        patients(split=split)
