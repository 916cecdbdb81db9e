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
