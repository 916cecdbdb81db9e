"""The files people have hold the same features, labels, groups and units."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_features import GROUPS, N, X, Y

from tailwise.own import features

UNIT = np.arange(N) // 4
TABLE = pd.DataFrame(X, columns=list("abcdef")).assign(
    label=Y, group=GROUPS, unit=[f"P{u}" for u in UNIT]
)


def write(folder: Path, kind: str) -> Path:
    path = folder / f"a.{kind}"
    arrays = dict(X=X, y=Y, groups=GROUPS, units=UNIT)
    if kind == "npz":
        np.savez(path, **arrays)
    elif kind == "npy":
        np.save(path, X)
        for name in ("y", "groups", "units"):
            np.save(folder / f"{name}.npy", arrays[name])
    elif kind == "pt":
        codes = {
            n: np.unique(arrays[n], return_inverse=True)[1] for n in ("y", "groups")
        }
        tensors = {n: torch.tensor(v) for n, v in {**arrays, **codes}.items()}
        torch.save(tensors, path)
    elif kind == "parquet":
        pytest.importorskip("pyarrow")
        TABLE.to_parquet(path)
    else:
        TABLE.to_csv(path, index=False, sep="\t" if "tsv" in kind else ",")
    return path


@pytest.mark.parametrize(
    "kind", ["csv", "csv.gz", "tsv", "tsv.gz", "npz", "npy", "pt", "parquet"]
)
def test_every_kind_of_file_is_the_same(tmp_path, kind):
    data = features.load(write(tmp_path, kind))
    np.testing.assert_allclose(data.X, X, rtol=1e-6)
    np.testing.assert_array_equal(data.y, (Y == "fine") * 1)
    np.testing.assert_array_equal(data.groups, (GROUPS == "night") * 1)
    pairs = set(zip(data.units.tolist(), UNIT.tolist()))
    assert len(pairs) == len(set(UNIT))
    if kind in ("csv", "tsv", "parquet"):
        assert data.columns == tuple("abcdef")


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "csv")
    assert len(features.load("~/a.csv")) == N


def test_a_column_of_vectors_is_spread_out():
    table = pd.DataFrame({"emb": list(X), "label": Y})
    data = features.from_table(table)
    np.testing.assert_array_equal(data.X, X)
    assert data.columns[:2] == ("emb_0", "emb_1")


def test_groups_may_come_from_several_columns(tmp_path):
    table = TABLE.assign(shift=np.where(UNIT % 2, "early", "late"))
    table.to_csv(tmp_path / "a.csv", index=False)
    data = features.load(tmp_path / "a.csv", group=["group", "shift"])
    names = np.array([f"{g}, {s}" for g, s in zip(table["group"], table["shift"])])
    np.testing.assert_array_equal(data.group_names[data.groups], names)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.npy", b"no array", "a.npy is damaged"),
        ("a.pt", b"no tensors", "a.pt is no dictionary of tensors"),
        ("a.tsv", b"\xff\xfe\x00a", "a.tsv is not a table in UTF-8 with tabs"),
        (
            "a.csv.gz",
            gzip.compress(b"a,label\nx,u\ny,v\n", mtime=0),
            "no column of numbers",
        ),
        ("a.csv", b"a,a ,label\n1,2,x\n3,4,y\n", "two columns are called 'a'"),
    ],
)
@pytest.mark.filterwarnings("ignore:column 'a' holds text")
def test_a_bad_file_is_one_sentence(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=says) as caught:
        features.load(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_features_without_labels_say_where_they_go(tmp_path):
    np.save(tmp_path / "emb.npy", X)
    with pytest.raises(ValueError, match=r"no labels beside emb.npy.*emb_labels.npy"):
        features.load(tmp_path / "emb.npy")
    np.save(tmp_path / "emb_labels.npy", Y)
    assert features.load(tmp_path / "emb.npy").classes.tolist() == ["crack", "fine"]


def test_an_array_of_objects_is_never_read(tmp_path):
    np.save(tmp_path / "X.npy", X.astype(object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects, which may run code"):
        features.load(tmp_path / "X.npy")
    torch.save({"X": Path("x")}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="without running code"):
        features.load(tmp_path / "a.pt")


@pytest.mark.parametrize(("tails", "classes"), [("leave out", 2), ("merge", 3)])
def test_tails_are_named_and_then_left_out_or_merged(tails, classes):
    y = Y.astype("U8").copy()
    y[-4:], y[-9:-4] = "dent", "stain"
    says = "2 classes with fewer than 10 samples.*dent .4., stain .5."
    with pytest.warns(UserWarning, match=says):
        data = features.from_arrays(X, y, tails=tails)
    assert len(data.classes) == classes
    assert len(data) == (N if tails == "merge" else N - 9)
    kept = data.classes[data.y]
    assert (kept == "crack").sum() == 60
    with pytest.raises(ValueError, match="unknown tails"):
        features.from_arrays(X, y, tails="drop")


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (("0", "1"), [0, 1]),
        (("1.0", "2.0"), [1, 2]),
        (("007", "7"), ["007", "7"]),
        (("12345678901234567890", "12345678901234567891"), None),
        (("-1", "+1"), [-1, 1]),
        (("1", "b"), ["1", "b"]),
    ],
)
def test_numbers_are_labels_unless_they_are_names(tmp_path, names, read):
    y = np.array(names)[(Y == "fine") * 1]
    text = TABLE.assign(label=y, unit=y, group=y)
    text.drop(columns=["unit", "group"]).to_csv(tmp_path / "a.csv", index=False)
    data = features.load(tmp_path / "a.csv")
    assert data.classes.tolist() == (list(names) if read is None else read)
    np.testing.assert_array_equal(data.y, (Y == "fine") * 1)
