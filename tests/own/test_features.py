"""A reader's own files: read alike, and faults named in a sentence."""

import numpy as np
import pandas as pd
import pytest
from tiny_features import GROUPS, N, X, Y

from tailwise.own import features


def arrays(**changes) -> dict:
    return dict(X=X, y=Y, groups=GROUPS) | changes


def write(path, **values):
    """A file of the kind that the name says; what is None is left out."""
    values = {name: v for name, v in values.items() if v is not None}
    if path.suffix == ".npz":
        np.savez(path, **values)
    else:
        table = pd.DataFrame(values["X"], columns=[f"f{k}" for k in range(6)])
        table["label"], table["group"] = values["y"], values["groups"]
        table.to_csv(path, index=False)
    return path


def test_an_npz_and_a_csv_are_alike(tmp_path, data):
    npz = features.load(write(tmp_path / "a.npz", **arrays()))
    csv = features.load(write(tmp_path / "a.csv", **arrays()))
    for name in vars(data):
        np.testing.assert_array_equal(getattr(npz, name), getattr(csv, name))
        np.testing.assert_array_equal(getattr(npz, name), getattr(data, name))
    assert npz.X.dtype == np.float32


def test_names_can_be_chosen(tmp_path, data):
    np.savez(tmp_path / "a.npz", emb=X, defect=Y, shift=GROUPS)
    table = pd.DataFrame(X, columns=list("abcdef")).assign(defect=Y, shift=GROUPS)
    table.assign(note="seen").to_csv(tmp_path / "a.csv", index=False)
    names = dict(label="defect", group="shift")
    npz = features.load(tmp_path / "a.npz", features="emb", **names)
    with pytest.warns(UserWarning, match="'note' holds text and is not used"):
        csv = features.load(tmp_path / "a.csv", **names)
    part = features.load(tmp_path / "a.csv", features=["c", "a"], **names)
    np.testing.assert_array_equal(npz.X, data.X)
    np.testing.assert_array_equal(csv.X, data.X)
    np.testing.assert_array_equal(part.X, data.X[:, [2, 0]])


def test_text_that_rows_share_is_offered_as_the_unit(tmp_path):
    table = pd.DataFrame(X, columns=list("abcdef")).assign(label=Y)
    n = len(table)
    table = table.assign(part=[f"P{k // 2}" for k in range(n)])
    table.assign(code=[f"C{k}" for k in range(n)]).to_csv(tmp_path / "a.csv")
    with pytest.warns(UserWarning, match="holds text") as caught:
        features.load(tmp_path / "a.csv")
    said = [str(w.message) for w in caught if "holds text" in str(w.message)]
    assert ["name it as the unit" in text for text in said] == [True, False]


def test_a_column_that_counts_rows_is_no_feature(tmp_path):
    table = pd.DataFrame(X).assign(label=Y)
    table.to_csv(tmp_path / "a.csv")  # with the index, as pandas does by default
    with pytest.warns(UserWarning, match="'Unnamed: 0' counts the rows"):
        assert features.load(tmp_path / "a.csv").X.shape == X.shape


@pytest.mark.parametrize("y", [np.arange(N) % 2 * 1.0, np.arange(N) % 2 == 1])
def test_labels_that_are_whole_are_classes(y):
    coded = features.from_arrays(X, y)
    np.testing.assert_array_equal(coded.y, np.arange(N) % 2)
    np.testing.assert_array_equal(coded.classes[coded.y], y)


def test_of_many_columns_the_last_are_named_too(tmp_path):
    table = pd.DataFrame(np.tile(X, 4)).assign(defect=Y)
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match="'5', 13 more, '19'.*'defect'$"):
        features.load(tmp_path / "a.csv")


def test_copies_are_a_warning():
    rows = np.append(np.arange(N), [3, 5])
    with pytest.warns(UserWarning, match=r"2 of 262 rows repeat.*first in row 260"):
        features.from_arrays(X[rows], Y[rows])


def spoiled(value, row=4, column=2):
    changed = X.astype(object if isinstance(value, str) else X.dtype)
    changed[row, column] = value
    return changed


FAULTS = {
    "NaN": (arrays(X=spoiled(np.nan)), "'f2' holds nan in row 4"),
    "infinity": (arrays(X=spoiled(-np.inf)), "'f2' holds -inf in row 4"),
    "overflow": (arrays(X=1e39 * X.astype(float)), "'f0' holds .?inf in row 0.*more"),
    "no y": (arrays(y=None), r"no array 'y' or .*it holds 'X', 'groups'"),
    "no X": (arrays(X=None), r"no array 'X' or 'features'.*it holds 'y', 'groups'"),
    "one class": (arrays(y=np.zeros(N, int)), "label holds one value, '0'"),
    "one group": (arrays(groups=np.ones(N)), "group holds one value, '1': leave"),
    "half a class": (arrays(y=np.where(Y == "fine", 0.5, 1)), "0.5 in row 60"),
    "no label": (arrays(y=np.where(np.arange(N) == 7, np.nan, 1)), "in row 7"),
    "identities": (arrays(y=np.arange(N)), "260 different values in 260 rows"),
    "lengths": (arrays(y=Y[:-1]), r"label has shape \(259,\) for 260 rows"),
    "lonely group": (
        arrays(groups=np.where(np.arange(N) == 3, "dawn", GROUPS)),
        "group 'dawn' has 1 sample",
    ),
    "flat": (arrays(X=X[:, 0]), r"features have shape \(260,\)"),
    "text": (arrays(X=X.astype(str)), "every feature must be a number"),
    "objects": (arrays(X=spoiled("1,5")), "'X' holds Python objects"),
}


@pytest.mark.parametrize(("values", "sentence"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_an_npz_is_one_sentence(tmp_path, values, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        features.load(write(tmp_path / "a.npz", **values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "ask", "sentence"),
    [
        (arrays(X=spoiled("1,5")), {}, "'f2' holds '1,5' in line 6 of the file"),
        (arrays(X=spoiled("1,5", slice(None))), {}, "'f2' holds '1,5' in line 2 of"),
        (arrays(X=spoiled(np.nan)), {}, "'f2' holds nan in line 6 of the file"),
        (arrays(), {"label": "defect"}, "no column 'defect'.*'f0'.*'label', 'group'$"),
        (arrays(), {"group": "shift"}, "no column 'shift' in the file"),
        (arrays(), {"features": ["f0", "f9"]}, "no column 'f9' in the file"),
        (arrays(), {"features": ["f0", "label"]}, "'label', which is the label"),
        (arrays(y=[None, *Y[1:]]), {}, "label is empty.*line 2 of the file"),
    ],
)
def test_a_fault_in_a_csv_is_one_sentence(tmp_path, values, ask, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        features.load(write(tmp_path / "a.csv", **values), **ask)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.xlsx", "", "none of .npz, .npy, .pt, .csv"),
        ("a.npz", "not a zip", "a.npz is not an .npz file"),
        ("a.csv", "", "a.csv is empty: export it again"),
        ("a.csv", "a;b;label\n1,5;2;x\n", "'1,5' in line 2 .* decimal comma"),
        ("a.csv", "a\tb\tlabel\n1\t2\tx\n", "separate with commas"),
        ("a.csv", "name,label\nfoo,x\nbar,y\n", "no column of numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:column 'name' holds text")
def test_a_file_of_another_kind_is_refused(tmp_path, name, content, sentence):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=sentence):
        features.load(tmp_path / name)


def test_semicolons_are_as_good_as_commas(tmp_path):
    table = pd.DataFrame({"a": [0.1, 0.5, 0.2, 0.9], "label": ["u,1", "u,1", "v", "v"]})
    for name, mark in (("c.csv", ","), ("s.csv", ";")):
        table.to_csv(tmp_path / name, index=False, sep=mark)
    commas, semicolons = (features.load(tmp_path / f"{name}.csv") for name in "cs")
    assert semicolons.classes.tolist() == ["u,1", "v"] == commas.classes.tolist()
    np.testing.assert_array_equal(semicolons.X, commas.X)


def test_a_missing_file_is_named_with_its_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file f\.csv in .*correct"):
        features.load(tmp_path / "f.csv")


def test_groups_can_be_left_out(tmp_path):
    table = pd.DataFrame({"a": [0.1, 0.5, 0.2, 0.9], "label": list("uuvv")})
    table.assign(group=[1, 1, 1, 1]).to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(ValueError, match="leave the groups out: group=False in load"):
        features.load(tmp_path / "f.csv")
    data = features.load(tmp_path / "f.csv", group=False)
    assert data.groups is None
    assert data.columns == ("a",)


def test_a_cell_says_which_name_is_the_class():
    y, groups = np.arange(N) % 3, np.arange(N) // 3 % 2
    names = features.from_arrays(X, y, groups).cells()[1]
    assert names[-1] == "class 2, group 1"
    names = features.from_arrays(X, np.array(list("abc"))[y], GROUPS).cells()[1]
    assert names[0] == "a, day"


def test_groups_within_classes_need_no_second_name():
    nested = features.from_arrays(X, Y, np.char.add(Y, GROUPS))
    assert nested.cells()[1] == ("crackday", "cracknight", "fineday", "finenight")
    assert features.from_arrays(X, Y, GROUPS).cells()[1][0] == "crack, day"


def test_a_sample_keeps_shares_and_loses_no_group(data):
    part = features.sample(data, 26)
    share = np.bincount(data.cells()[0]) / 10
    np.testing.assert_array_equal(np.bincount(part.cells()[0]), np.round(share))
    rows = features.sample(data, 4)
    assert len(np.unique(rows.cells()[0])) == len(np.unique(data.cells()[0]))
