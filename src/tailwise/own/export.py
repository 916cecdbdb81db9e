"""Fit the chosen head on everything, and write it in forms that others can load."""

import importlib.util
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from tailwise import __version__
from tailwise.own import heads
from tailwise.own.features import Features
from tailwise.own.pilot import draw_splits

FILES = ("head.joblib", "head.pt", "head.json", "head.onnx")


@dataclass(frozen=True)
class Chosen:
    """A head that was fitted on every row.

    Attributes
    ----------
    name : str
        One of the pilot's heads.
    setting : Setting
    estimator : estimator
        For raw features; it predicts labels as they stand in the file.
    columns : tuple of str
        The features, in order.
    """

    name: str
    setting: heads.Setting
    estimator: BaseEstimator
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Exported:
    """What was written, and what was not."""

    folder: Path
    files: tuple[str, ...]
    note: str


def refit(
    data: Features, name: str, *, objective: str = "balanced", seed: int = 0
) -> Chosen:
    """Choose a head's setting once more, then fit it on every row.

    Nothing is left to test it on: what it will do is what the pilot measured.

    Parameters
    ----------
    data : Features
    name : str
        One of `tailwise.own.heads.HEADS`, or "DFR".
    objective : {"balanced", "worst"}
    seed : int

    Raises
    ------
    ValueError
        For an unknown head, DFR where it cannot be fitted, and as `draw_splits`.
    """
    known = (*heads.HEADS, heads.DFR)
    if name not in known:
        raise ValueError(f"unknown head {name!r}: expected one of {known}")
    if name == heads.DFR and (refusal := heads.dfr_refusal(data)):
        raise ValueError(refusal)
    split = draw_splits(data, seed=seed)[0]
    fit = np.sort(np.concatenate([split.fit, split.test]))
    setting = heads.choose(name, data, fit, split.val, objective)
    labels, cell = data.classes[data.y], data.cells()[0]
    head = heads.build(name, setting, data.X, labels, cell, seed=seed)
    return Chosen(name, setting, head, data.columns)


def check_folder(folder: str | Path) -> None:
    """Refuse a folder that `export` would refuse."""
    folder = Path(folder)
    if folder.exists() and not (
        folder.is_dir() and {path.name for path in folder.iterdir()} <= set(FILES)
    ):
        raise ValueError(f"{folder.name} holds other things: name a new folder")


def export(chosen: Chosen, folder: str | Path, *, sentence: str = "") -> Exported:
    """Write a head as joblib, as a torch state dict, as ONNX, and what it is as JSON.

    Parameters
    ----------
    chosen : Chosen
    folder : str or Path
        Made whole or not at all. An earlier export in it is replaced, anything else
        is not.
    sentence : str
        The verdict, kept in ``head.json``.

    Returns
    -------
    Exported

    Raises
    ------
    ValueError
        If the folder holds anything but an earlier export.

    Notes
    -----
    ``head.joblib`` holds the whole estimator. Reading a joblib file can run code, so
    load only your own; this package never does. ``head.pt`` is the ``state_dict`` of a
    ``torch.nn.Linear`` for raw features and loads with ``weights_only=True``; the
    softmax of its outputs are the estimator's probabilities, in the order of
    ``classes`` in ``head.json``.
    """
    folder = Path(folder).absolute()
    check_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    old = new.with_name(f"{new.name}.old")
    try:
        os.chmod(new, 0o755)
        note = _write(chosen, new, sentence)
        files = tuple(name for name in FILES if (new / name).exists())
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
    finally:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return Exported(folder, files, note)


def _write(chosen: Chosen, folder: Path, sentence: str) -> str:
    """Write the files into an empty folder; returns what was not written, and why."""
    weight, bias = heads.linear_map(chosen.estimator)
    joblib.dump(chosen.estimator, folder / FILES[0])
    state = {"weight": torch.tensor(weight), "bias": torch.tensor(bias)}
    torch.save({k: v.float() for k, v in state.items()}, folder / FILES[1])
    about = {
        "head": chosen.name,
        "setting": asdict(chosen.setting),
        "classes": chosen.estimator.classes_.tolist(),
        "columns": list(chosen.columns),
        "verdict": sentence,
        "tailwise": __version__,
    }
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    (folder / FILES[2]).write_text(text, "utf-8")
    if importlib.util.find_spec("skl2onnx") is None:
        return "head.onnx was not written: pip install skl2onnx adds the exporter"
    (folder / FILES[3]).write_bytes(_onnx(weight, bias, chosen.estimator.classes_))
    return ""


def _onnx(weight: np.ndarray, bias: np.ndarray, classes: np.ndarray) -> bytes:
    """The linear map as a logistic regression, which ONNX knows for every version."""
    from skl2onnx import to_onnx

    head = LogisticRegression()
    head.coef_, head.intercept_ = weight, bias
    if len(classes) == 2:
        head.coef_, head.intercept_ = np.diff(weight, axis=0), np.diff(bias)
    head.classes_, head.n_features_in_ = classes, weight.shape[1]
    example = np.zeros((1, weight.shape[1]), np.float32)
    return to_onnx(head, example, options={"zipmap": False}).SerializeToString()
