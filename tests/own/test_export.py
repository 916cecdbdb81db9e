"""A head that is exported gives the same scores, and a folder is whole."""

import json

import joblib
import numpy as np
import pytest
import torch
from scipy.special import softmax
from tiny_features import N, X, Y

from tailwise.own import features, heads
from tailwise.own.export import export, refit
from tailwise.own.pilot import pilot


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
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    chosen = refit(features.from_arrays(X, np.arange(N) % k), "plain")
    done = export(chosen, tmp_path / "head")
    session = runtime.InferenceSession(done.folder / "head.onnx")
    labels, probability, risk = session.run(None, {"X": X})
    np.testing.assert_allclose(risk, chosen.risk(X), atol=1e-5)
    expected = chosen.estimator.predict_proba(X)
    np.testing.assert_allclose(probability, expected, atol=1e-5)  # single precision
    np.testing.assert_array_equal(labels, chosen.estimator.predict(X))


def test_without_the_exporter_a_sentence_says_how_to_get_it(
    tmp_path, data, monkeypatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = export(refit(data, "plain"), tmp_path / "head")
    assert "pip install onnx" in done.note
    assert done.files == ("head.joblib", "head.pt", "risk.pt", "head.json")


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


ODD = {
    "as usual": X,
    "half precision": torch.from_numpy(X).bfloat16(),
    "far from zero": X + 40,
    "very far from zero": X.astype(float) + 1e5,
    "a date": np.c_[X.astype(float), 2460310.5 + np.random.default_rng(0).random(N)],
    "nearly constant": np.c_[X.astype(float), np.where(np.arange(N) == 3, 1.00001, 1)],
    "of many sizes": X * 10.0 ** np.arange(-9, 9, 3),
    "whole numbers": np.round(50 * X).astype(int),
}


@pytest.mark.filterwarnings("ignore:column")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("k", [2, 3])
def test_every_form_agrees_or_names_the_column(tmp_path, kind, k):
    y = np.array(["a", "b", "c"])[np.arange(N) % k]
    data = features.from_arrays(ODD[kind], y)
    for name in (heads.PLAIN, heads.ADJUSTED, *heads.SQUARES):
        chosen = refit(data, name)
        done = export(chosen, tmp_path / "head", sentence=kind)
        expected = chosen.estimator.predict_proba(data.X)
        about = json.loads((done.folder / "head.json").read_text("utf-8"))
        double = about["dtype"] == "float64"
        assert ("need float64 features" in done.note) == double
        if double:
            assert any(f"column {one!r} is large" in done.note for one in data.columns)
        rows = data.X.astype(about["dtype"])
        for file, wanted in (("head.pt", expected), ("risk.pt", chosen.risk(data.X))):
            state = torch.load(done.folder / file, weights_only=True)
            layer = torch.nn.Linear(
                data.X.shape[1], k, dtype=getattr(torch, about["dtype"])
            )
            layer.load_state_dict(state)
            found = layer(torch.from_numpy(rows)).softmax(-1).detach()
            np.testing.assert_allclose(found, wanted, atol=1e-5)
        loaded = joblib.load(done.folder / "head.joblib")  # ours, written above
        np.testing.assert_array_equal(loaded.predict_proba(data.X), expected)
        if (done.folder / "head.onnx").exists():
            runtime = pytest.importorskip("onnxruntime")
            session = runtime.InferenceSession(done.folder / "head.onnx")
            label, probability, risk = session.run(None, {"X": rows})
            np.testing.assert_allclose(probability, expected, atol=1e-5)
            np.testing.assert_allclose(risk, chosen.risk(data.X), atol=1e-5)
            sure = np.ptp(np.sort(expected, 1)[:, -2:], axis=1) > 1e-4
            said = chosen.estimator.predict(data.X)
            np.testing.assert_array_equal(np.asarray(label)[sure], said[sure])


def test_corrected_probabilities_have_the_share_of_the_file(data):
    for name in heads.HEADS:
        chosen = refit(data, name)
        mean = chosen.risk(data.X).mean(0)
        # The correction was found on a fifth of the rows, the head then refitted.
        np.testing.assert_allclose(mean, chosen.shares, atol=0.06)


def test_what_a_system_leaves_in_a_folder_does_not_matter(tmp_path, data):
    chosen = refit(data, "plain")
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / ".DS_Store").write_text("")
    assert export(chosen, tmp_path / "head").files[0] == "head.joblib"
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file is a file: name a new folder"):
        export(chosen, tmp_path / "file")
