"""Columns that are no features: left out with a sentence, or kept exactly."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from tiny_features import GROUPS, N, X, Y

from tailwise.own import features

RNG = np.random.default_rng(5)


def read(column, name="a", y=Y, **options):
    """What is left of a table with one more column, and the warnings."""
    table = pd.DataFrame(X, columns=[f"f{k}" for k in range(6)]).assign(label=y)
    table[name] = column
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = features.from_table(table, **options)
    return data, [str(w.message) for w in caught]


REPEATED = RNG.permutation(np.repeat(np.arange(52), 5))
PATIENT_LABEL = np.where(np.arange(52) % 4 == 1, "crack", "fine")[REPEATED]


@pytest.mark.parametrize(
    ("name", "column", "y", "says"),
    [
        ("Unnamed: 0", np.arange(N), Y, "counts the rows and"),
        ("Unnamed: 0", RNG.permutation(N), Y, "counts the rows, in another order"),
        ("when", np.cumsum(RNG.integers(1, 90, N)), Y, "counts the rows"),
        ("patient_id", RNG.integers(1000, 1060, N), Y, "looks like an identifier"),
        ("PatientID", RNG.integers(1000, 1060, N), Y, "looks like an identifier"),
        ("a", REPEATED, PATIENT_LABEL, "always share the label"),
    ],
)
def test_identifiers_are_no_features(name, column, y, says):
    data, said = read(column, name, y)
    assert name not in data.columns
    (sentence,) = [one for one in said if repr(name) in one]
    assert says in sentence
    assert "name it as the unit" in sentence
    assert data.X.shape == (N, 6)
    # Asked for by name it is kept, and the warning is the same.
    kept, said = read(column, name, y, features=["f0", name])
    assert kept.columns == ("f0", name)
    assert any("was asked for as a feature" in one for one in said)


@pytest.mark.parametrize(
    ("name", "column", "y"),
    [
        ("age", RNG.integers(18, 90, N), Y),
        ("area", RNG.integers(0, 10**7, N), Y),
        ("cracks", np.where(Y == "crack", 30, 0) + RNG.integers(0, 29, N), Y),
        ("idle", RNG.normal(size=N), Y),
        ("grade", RNG.integers(0, 9, N), Y),
    ],
)
def test_measurements_stay(name, column, y):
    data, said = read(column, name, y)
    assert name in data.columns
    assert not said


def test_an_array_is_looked_through_as_well():
    with pytest.warns(UserWarning, match="'f6' counts the rows, in another order"):
        data = features.from_arrays(np.c_[X, RNG.permutation(N)], Y)
    np.testing.assert_array_equal(data.X, X)


def test_a_nearly_constant_column_is_left_out():
    column = np.full(N, 14.62)
    column[3] += 1e-5
    data, said = read(column)
    assert "a" not in data.columns
    assert f"is nearly constant (14.62 in {N - 1} of {N} rows" in said[0]
    # So is one that rounding to float32 has left with a few steps.
    jitter = (1e4 + 1e-3 * RNG.random(N)).astype(np.float32)
    assert "a" not in read(jitter)[0].columns
    # A column without any spread does no harm; zeros with a few large values are used.
    assert "a" in read(np.zeros(N))[0].columns
    assert "a" in read(np.where(np.arange(N) < 5, 3.0, 0))[0].columns


def test_a_column_that_float32_would_destroy_keeps_its_digits():
    column = 2460310.5 + RNG.random(N)
    data, said = read(column)
    assert data.X.dtype == np.float64
    np.testing.assert_array_equal(data.X[:, -1], column)
    assert "'a' needs float64 (f8): float32 (f4)" in said[0]
    assert read(column - 2460310)[0].X.dtype == np.float32


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32])
def test_tensors_of_any_precision_are_features(kind):
    tensor = torch.from_numpy(X).to(kind)
    data = features.from_arrays(tensor, torch.from_numpy((Y == "crack") * 1))
    np.testing.assert_array_equal(data.X, tensor.float().numpy())
    assert data.classes.tolist() == [0, 1]


def test_names_of_a_table_survive():
    table = pd.DataFrame(X, columns=[f" emb {k}" for k in range(6)])
    data = features.from_arrays(table, pd.Series(Y), pd.Series(GROUPS))
    assert data.columns == tuple(f" emb {k}" for k in range(6))


def test_a_memory_map_is_read(tmp_path):
    np.save(tmp_path / "X.npy", X)
    data = features.from_arrays(np.load(tmp_path / "X.npy", mmap_mode="r"), Y)
    np.testing.assert_array_equal(data.X, X)


@pytest.mark.parametrize("name", ["NA", "None", "null", "nan"])
def test_a_class_may_be_called_so(tmp_path, name):
    table = pd.DataFrame(X).assign(label=np.where(Y == "crack", f" {name} ", "fine "))
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.warns(UserWarning, match=f"label '{name}' is taken for the name"):
        data = features.load(tmp_path / "a.csv")
    assert data.classes.tolist() == sorted([name, "fine"])


def test_rows_that_nearly_repeat_are_reported():
    rows = np.r_[np.arange(N), 7]
    far = np.concatenate([X] * 4, 1)[:, :24] + RNG.normal(size=(N, 24))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features.from_arrays(far, Y)
    again = far[rows].copy()
    again[-1] += 0.01
    with pytest.warns(UserWarning, match=r"nearly repeat another, such as row 7.*260"):
        features.from_arrays(again, Y[rows])
    unit = np.r_[np.arange(N) // 2, 200]
    with pytest.warns(UserWarning, match="nearly repeat another of another unit"):
        features.from_arrays(again, Y[rows], units=unit)
    unit[-1] = unit[7]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features.from_arrays(again, Y[rows], units=unit)


@pytest.mark.parametrize("d", [2, 8, 100])
def test_independent_rows_do_not_repeat(d):
    reported = 0
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=(300, d))
        reported += features.duplicate_rows.near_repeats(noise)[0] > 0
    # One in a hundred is expected; three of twenty come with a chance of 0.1 percent.
    assert reported <= 2


def test_a_column_vector_of_labels_is_labels():
    expected = features.from_arrays(X, Y, GROUPS)
    found = features.from_arrays(X, Y[:, None], GROUPS[:, None])
    np.testing.assert_array_equal(found.y, expected.y)
    np.testing.assert_array_equal(found.groups, expected.groups)
    with pytest.raises(ValueError, match=r"label has shape \(260, 2\)"):
        features.from_arrays(X, np.stack([Y, Y], 1))
    several = features.from_arrays(X, Y, np.stack([GROUPS, Y], 1))
    assert several.group_names[0] == "day, crack"
    kinds = pd.Series(Y).astype("category")
    np.testing.assert_array_equal(features.from_arrays(X, kinds).y, expected.y)


def test_a_sparse_matrix_says_what_to_do():
    with pytest.raises(ValueError, match="sparse matrix: give X.toarray"):
        features.from_arrays(sparse.csr_matrix(X), Y)
