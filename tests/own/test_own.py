"""Your own features: faults named in a sentence, files alike, pilot against a loop."""

import json
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from scipy.stats import t as student

from tailwise.metrics import group_accuracies
from tailwise.own import features, heads, plots, report
from tailwise.own.export import export, refit
from tailwise.own.pilot import Pilot, Split, draw_splits, pilot
from tailwise.own.verdict import dashboard, gain_table, gains, interval, verdict

RNG = np.random.default_rng(0)
N = 260
Y = np.repeat(["crack", "fine"], [60, N - 60])
GROUPS = np.where(RNG.random(N) < 0.3, "night", "day")
X = RNG.normal(size=(N, 6)) + 1.2 * (Y == "fine")[:, None] * np.eye(6)[0]
X = (X + (GROUPS == "night")[:, None] * np.eye(6)[1]).astype(np.float32)


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


@pytest.fixture(scope="module")
def data() -> features.Features:
    return features.from_arrays(X, Y, GROUPS)


@pytest.fixture(scope="module")
def found(data) -> Pilot:
    return pilot(data, n_splits=10)


# Files


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
        ("a.parquet", "", "neither .npz nor .csv"),
        ("a.npz", "not a zip", "a.npz is not an .npz file"),
        ("a.csv", "", "a.csv is empty: export it again"),
        ("a.csv", "a;b;label\n1,5;2;x\n", "separate with commas"),
        ("a.csv", "name,label\nfoo,x\nbar,y\n", "no column of numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:column 'name' holds text")
def test_a_file_of_another_kind_is_refused(tmp_path, name, content, sentence):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=sentence):
        features.load(tmp_path / name)


def test_a_cell_says_which_name_is_the_class():
    y, groups = np.arange(N) % 3, np.arange(N) // 3 % 2
    names = features.from_arrays(X, y, groups).cells()[1]
    assert names[-1] == "class 2, group 1"
    names = features.from_arrays(X, np.array(list("abc"))[y], GROUPS).cells()[1]
    assert names[0] == "a, day"


# Report


def test_a_report_does_not_know_the_order_of_rows(data):
    order = np.random.default_rng(1).permutation(N)
    one, two = report(data), report(data.take(order))
    pd.testing.assert_frame_equal(one.counts, two.counts)
    assert one.sentences == two.sentences
    assert one.dimensions == pytest.approx(two.dimensions)
    assert one.counts["samples"].tolist() == [60, 200]
    assert one.ratio == pytest.approx(200 / 60)


def test_a_sample_keeps_shares_and_loses_no_group(data):
    part = features.sample(data, 26)
    share = np.bincount(data.cells()[0]) / 10
    np.testing.assert_array_equal(np.bincount(part.cells()[0]), np.round(share))
    rows = features.sample(data, 4)
    assert len(np.unique(rows.cells()[0])) == len(np.unique(data.cells()[0]))


def test_groups_within_classes_need_no_second_name():
    nested = features.from_arrays(X, Y, np.char.add(Y, GROUPS))
    assert nested.cells()[1] == ("crackday", "cracknight", "fineday", "finenight")
    assert features.from_arrays(X, Y, GROUPS).cells()[1][0] == "crack, day"


def test_a_combination_that_never_occurs_is_named():
    groups = np.where(Y == "crack", "day", GROUPS)
    said = " ".join(report(features.from_arrays(X, Y, groups)).sentences)
    assert "Never together: crack in night." in said
    full = report(features.from_arrays(X, Y, GROUPS)).sentences
    assert "Never together" not in " ".join(full)


# Splits


def test_splits_are_stratified_and_disjoint(data):
    cell = data.cells()[0]
    for split in draw_splits(data, 10):
        rows = np.concatenate([split.fit, split.val, split.test])
        np.testing.assert_array_equal(np.sort(rows), np.arange(N))
        for part in (split.val, split.test):
            share = np.bincount(cell[part]) / np.bincount(cell)
            assert np.abs(share - 0.2).max() <= 0.5 / np.bincount(cell).min()


@pytest.mark.parametrize(
    ("rows", "ask", "sentence"),
    [
        (slice(51, None), {}, "class 'crack' has 9 samples and needs 10"),
        (slice(59, None), {}, "class 'crack' has 1 sample and needs 10"),
        (slice(None), {"n_splits": 9}, "n_splits is 9"),
        (slice(None), {"val": 0.5, "test": 0.5}, "val is 0.5 and test is 0.5"),
    ],
)
def test_what_cannot_be_split_is_refused(data, rows, ask, sentence):
    part = features.from_arrays(X[rows], Y[rows])
    with pytest.raises(ValueError, match=sentence):
        draw_splits(part, **ask)


def test_a_group_too_small_to_split_is_refused():
    groups = np.where(np.arange(N) < 2, "dawn", "day")
    with pytest.raises(ValueError, match="group 'dawn' has 2 samples"):
        pilot(features.from_arrays(X, Y, np.where(Y == "fine", "noon", groups)))


# Pilot


def test_a_pilot_is_a_plain_loop(data, found):
    cell = data.cells()[0]
    differences = []
    for split in found.splits:
        rows, per_head = np.concatenate([split.fit, split.val]), []
        for name in found.heads:
            best = heads.choose(name, data, split.fit, split.val, "balanced")
            head = heads.build(name, best, data.X[rows], data.y[rows], cell[rows])
            y_hat = head.predict(data.X[split.test])
            acc = group_accuracies(data.y[split.test], y_hat, cell[split.test])
            per_head.append(acc.per_group)
        differences.append([row - per_head[0] for row in per_head[1:]])
    assert found.heads[-1] == "DFR"
    np.testing.assert_allclose(gains(found).mean, np.mean(differences, 0), atol=1e-12)


def test_averages_are_those_of_the_cells(data, found):
    counts = np.bincount(data.cells()[0][found.splits[0].test])
    mean = np.average(found.by_cell, axis=-1, weights=counts)
    np.testing.assert_allclose(found.mean, mean)
    np.testing.assert_allclose(found.bins[..., 2].sum(-1) / counts.sum(), mean)


def test_the_order_of_rows_changes_nothing_but_the_splits(data, found):
    order = np.random.default_rng(2).permutation(N)
    place = np.argsort(order)  # where each row of the file has gone
    moved = [Split(place[s.fit], place[s.val], place[s.test]) for s in found.splits]
    again = pilot(data.take(order), moved)
    np.testing.assert_array_equal(again.by_cell, found.by_cell)
    np.testing.assert_array_equal(again.bins, found.bins)


def test_a_large_file_is_sampled_with_a_note(data):
    small = pilot(data, n_splits=10, max_rows=130)
    assert len(small.data) == 130
    assert "130 of 260 rows were used, with 30 of the rarest class" in small.notes[0]


def test_three_classes_go_without_dfr():
    y = np.where(RNG.random(N) < 0.5, Y, "scratch")
    three = pilot(features.from_arrays(X, y, GROUPS), n_splits=10)
    assert "DFR" not in three.heads
    assert three.by_class.shape == (10, 5, 3)
    assert "two classes here, and the file has 3" in three.notes[0]


# Answer


def test_an_interval_is_the_corrected_t_interval():
    values = RNG.normal(size=(12, 3))
    by_hand = student.ppf(0.975, 11) * np.sqrt(values.var(0, ddof=1) * (1 / 12 + 0.25))
    np.testing.assert_allclose(interval(values, 0.25).half, by_hand)
    wider = interval(values, 0.25, n_compared=5).half
    assert (wider > by_hand).all()
    still = interval(np.zeros((12, 2)), 0.25, samples=[30, 60])
    np.testing.assert_allclose(still.half, [0.1, 0.05])


def test_the_interval_covers_when_heads_are_equal():
    # Two heads that guess: the true difference is 0, and an interval that ignored
    # that splits overlap would miss it far more often than once in twenty.
    rng, n, misses = np.random.default_rng(3), 60, 0
    for _ in range(400):
        difference = rng.choice([-1, 0, 1], size=n, p=[0.25, 0.5, 0.25])
        tests = [rng.permutation(n)[: n // 5] for _ in range(20)]
        e = interval([difference[rows].mean() for rows in tests], 0.25)
        misses += abs(e.mean) > e.half
    # 20 of 400 are expected, with a standard error below 4.4.
    assert misses <= 20 + 3 * 4.4


@pytest.mark.parametrize(
    ("gain", "decision"), [(0.2, "use"), (-0.2, "keep"), (0.0, "keep")]
)
def test_a_verdict_follows_the_rarest(found, gain, decision):
    by_cell = np.repeat(found.by_cell[:, :1], len(found.heads), 1)
    noise = 1e-3 * np.random.default_rng(4).normal(size=by_cell[:, 1:].shape)
    by_cell[:, 1:] += gain + noise - noise.mean()
    staged = Pilot(**{**vars(found), "by_cell": by_cell})
    answer = verdict(staged, smallest_effect=0.05)
    assert answer.decision == decision
    assert answer.chosen == (answer.head if decision == "use" else "plain")
    assert "5 points" in answer.sentence or "no better" in answer.sentence
    assert "crack, night" in answer.sentence
    assert ("rests on 10 splits" in answer.sentence) == (decision == "use")


def test_a_wide_interval_is_undecided(found):
    by_cell = found.by_cell.copy()
    swing = np.tile([0.3, -0.2], 5)[:, None, None]
    by_cell[:, 1:] = by_cell[:, :1] + swing
    staged = Pilot(**{**vars(found), "by_cell": by_cell})
    assert verdict(staged).decision == "undecided"


def test_tables_have_a_row_for_each_head(found):
    assert list(dashboard(found).index) == list(found.heads)
    assert list(gain_table(found).columns) == list(found.cells)
    assert list(gain_table(found, "class").columns) == ["crack", "fine"]
    with pytest.raises(ValueError, match="by is 'group'"):
        gains(found, "group")
    with pytest.raises(ValueError, match="smallest_effect is 2"):
        verdict(found, smallest_effect=2)


def test_without_an_error_no_average_is_more_certain_than_its_samples(found):
    whole = dict(by_cell=np.ones_like(found.by_cell), mean=np.ones_like(found.mean))
    perfect = dashboard(replace(found, **whole)).loc["plain"]
    size = np.bincount(found.data.cells()[0])
    assert perfect["worst"] == f"100.0 ± {300 / size.min():.1f}"
    assert perfect["balanced"] == f"100.0 ± {(300 / size).mean():.1f}"
    assert perfect["test mean"] == f"100.0 ± {300 / size.sum():.1f}"


def test_figures_show_every_head(found, page):
    ax = page()
    plots.gain_forest(ax, found)
    assert len(ax.get_legend().get_texts()) == len(found.heads) - 1
    assert len(ax.get_yticklabels()) == len(found.cells)
    axes = page(2, 3)
    plots.reliability(axes.flat, found)
    titles = [one.get_title("left").splitlines()[0] for one in axes.flat]
    assert titles == list(found.heads)
    assert len({mark for _, mark in plots.looks(found).values()}) == 6


# Export


@pytest.mark.parametrize("name", [*heads.HEADS, heads.DFR])
def test_an_export_gives_the_same_scores(tmp_path, data, name):
    chosen = refit(data, name)
    done = export(chosen, tmp_path / "head", sentence="Use it.")
    expected = chosen.estimator.predict_proba(X)
    weight, bias = heads.linear_map(chosen.estimator)
    # Exact but for the scaler, which is folded in.
    np.testing.assert_allclose(softmax(X @ weight.T + bias, 1), expected, atol=1e-5)
    loaded = joblib.load(done.folder / "head.joblib")  # ours, written a line above
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    state = torch.load(done.folder / "head.pt", weights_only=True)
    layer = torch.nn.Linear(X.shape[1], 2)
    layer.load_state_dict(state)
    scores = layer(torch.from_numpy(X)).softmax(-1).detach()
    np.testing.assert_allclose(scores, expected, atol=1e-5)  # single precision
    about = json.loads((done.folder / "head.json").read_text("utf-8"))
    assert about["classes"] == ["crack", "fine"]
    assert about["verdict"] == "Use it."
    assert set(loaded.predict(X)) <= {"crack", "fine"}


@pytest.mark.parametrize("k", [2, 3])
def test_onnx_gives_the_same_scores(tmp_path, k):
    pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    chosen = refit(features.from_arrays(X, np.arange(N) % k), "plain")
    done = export(chosen, tmp_path / "head")
    session = runtime.InferenceSession(done.folder / "head.onnx")
    labels, probability = session.run(None, {"X": X})
    expected = chosen.estimator.predict_proba(X)
    np.testing.assert_allclose(probability, expected, atol=1e-5)  # single precision
    np.testing.assert_array_equal(labels, chosen.estimator.predict(X))


def test_without_the_exporter_a_sentence_says_how_to_get_it(
    tmp_path, data, monkeypatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = export(refit(data, "plain"), tmp_path / "head")
    assert "pip install skl2onnx" in done.note
    assert done.files == ("head.joblib", "head.pt", "head.json")


def test_a_failed_export_leaves_the_last_one(tmp_path, data, monkeypatch):
    chosen = refit(data, "plain")
    export(chosen, tmp_path / "head", sentence="first")

    def fails(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("torch.save", fails)
        with pytest.raises(OSError, match="disk full"):
            export(chosen, tmp_path / "head", sentence="second")
    assert [path.name for path in tmp_path.iterdir()] == ["head"]
    assert json.loads((tmp_path / "head/head.json").read_text())["verdict"] == "first"
    export(chosen, tmp_path / "head", sentence="third")
    assert json.loads((tmp_path / "head/head.json").read_text())["verdict"] == "third"


def test_a_folder_with_other_things_is_left_alone(tmp_path, data):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other things"):
        export(refit(data, "plain"), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_unknown_heads_are_named(data):
    with pytest.raises(ValueError, match="unknown head 'svm'"):
        refit(data, "svm")
    with pytest.raises(ValueError, match="DFR needs groups"):
        refit(features.from_arrays(X, Y), "DFR")
    with pytest.raises(ValueError, match="unknown objective 'mean'"):
        pilot(data, objective="mean")


def test_groups_can_be_left_out(tmp_path):
    table = pd.DataFrame({"a": [0.1, 0.5, 0.2, 0.9], "label": list("uuvv")})
    table.assign(group=[1, 1, 1, 1]).to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(ValueError, match="leave the groups out: group=False in load"):
        features.load(tmp_path / "f.csv")
    data = features.load(tmp_path / "f.csv", group=False)
    assert data.groups is None
    assert data.columns == ("a",)


def test_a_missing_file_is_named_with_its_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file f\.csv in .*correct"):
        features.load(tmp_path / "f.csv")
