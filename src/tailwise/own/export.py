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
from scipy.special import softmax
from sklearn.base import BaseEstimator

from tailwise import __version__
from tailwise.methods.calibration import Recalibration
from tailwise.own import heads, onnx
from tailwise.own.features import Features
from tailwise.own.splits import draw_splits

REPORT = "report.html"
FILES = ("head.joblib", "head.pt", "risk.pt", "head.json", "head.onnx", REPORT)
DUST = {".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints"}
CLOSE = 1e-5  # of a probability, between the estimator and what is written


@dataclass(frozen=True, kw_only=True)
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
    recalibration : Recalibration
        Prior correction and temperature, from rows that were set aside once.
    shares : ndarray [k]
        Of the classes in the file.
    sample : ndarray [m, d]
        Rows on which exports are compared with the estimator.
    """

    name: str
    setting: heads.Setting
    estimator: BaseEstimator
    columns: tuple[str, ...]
    recalibration: Recalibration
    shares: np.ndarray
    sample: np.ndarray

    def risk(self, X: np.ndarray) -> np.ndarray:
        """Probabilities ``[n, k]`` after the correction."""
        return self.recalibration.probability(heads.logits(self.estimator, X))


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
    objective : {"balanced", "worst", "cost"}
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
    fitted: dict = {}
    fit = np.sort(np.concatenate([split.fit, split.test]))
    setting = heads.choose(name, data, fit, split.val, objective, fitted)
    first = heads.chosen(name, setting, fitted, seed=seed)
    found = heads.recalibrate(first, data.X[split.val], data.y[split.val])
    labels, cell = data.classes[data.y], data.cells()[0]
    head = heads.build(name, setting, data.X, labels, cell, unit=data.units, seed=seed)
    return Chosen(
        name=name,
        setting=setting,
        estimator=head,
        columns=data.columns,
        recalibration=found,
        shares=np.bincount(data.y, minlength=len(data.classes)) / len(data),
        sample=data.X[np.random.default_rng(seed).permutation(len(data))[:1000]],
    )


def check_folder(folder: str | Path) -> None:
    """Refuse a folder that `export` would refuse.

    What an operating system leaves in a folder is no reason.
    """
    folder = Path(folder).expanduser()
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder.name} is a file: name a new folder")
    others = sorted({path.name for path in folder.iterdir()} - {*FILES} - DUST)
    if others:
        raise ValueError(
            f"{folder.name} holds other things, such as {others[0]!r}: name a new "
            "folder"
        )


def export(
    chosen: Chosen,
    folder: str | Path,
    *,
    sentence: str = "",
    threshold: dict | None = None,
    page: str | None = None,
) -> Exported:
    """Write a head as joblib, as a torch state dict, as ONNX, and what it is as JSON.

    Parameters
    ----------
    chosen : Chosen
    folder : str or Path
        Made whole or not at all. An earlier export in it is replaced, anything else
        is not.
    sentence : str
        The verdict, kept in ``head.json``.
    threshold : dict, optional
        Class, threshold and costs, kept in ``head.json``.
    page : str, optional
        A report in HTML, written beside the head.

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
    ``classes`` in ``head.json``. ``risk.pt`` is the same for probabilities after the
    prior correction and the temperature. Both are float64 where float32 would move a
    probability by more than 1e-5; a note then names the column.
    """
    folder = Path(folder).expanduser().absolute()
    check_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    old = new.with_name(f"{new.name}.old")
    try:
        os.chmod(new, 0o755)
        note = _write(chosen, new, sentence, threshold)
        if page is not None:
            (new / REPORT).write_text(page, "utf-8")
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


def _write(chosen: Chosen, folder: Path, sentence: str, threshold: dict | None) -> str:
    """Write the files into an empty folder; returns what is special, and why."""
    weight, bias = heads.linear_map(chosen.estimator)
    found = chosen.recalibration
    risk = weight / found.temperature, bias / found.temperature + found.shift
    expected = chosen.estimator.predict_proba(chosen.sample), chosen.risk(chosen.sample)
    kind, note = _precision(chosen, ((weight, bias), risk), expected)
    joblib.dump(chosen.estimator, folder / FILES[0])
    for name, (w, b) in (("head.pt", (weight, bias)), ("risk.pt", risk)):
        state = {"weight": torch.tensor(w), "bias": torch.tensor(b)}
        torch.save({k: v.to(kind) for k, v in state.items()}, folder / name)
    classes = chosen.estimator.classes_
    about = {
        "head": chosen.name,
        "setting": asdict(chosen.setting),
        "classes": classes.tolist(),
        "shares": chosen.shares.tolist(),
        "columns": list(chosen.columns),
        "dtype": str(kind).removeprefix("torch."),
        "probability": {
            "how": "softmax(logits / temperature + shift), as in risk.pt",
            "temperature": found.temperature,
            "shift": found.shift.tolist(),
        },
        "threshold": threshold,
        "verdict": sentence,
        "tailwise": __version__,
    }
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    (folder / "head.json").write_text(text, "utf-8")
    if importlib.util.find_spec("onnx") is None:
        missing = "head.onnx was not written: pip install onnx adds the exporter"
        return f"{note}; {missing}" if note else missing
    number = np.float64 if kind == torch.float64 else np.float32
    content = onnx.graph(weight, bias, risk, classes, number)
    (folder / "head.onnx").write_bytes(content)
    return note


def _precision(chosen: Chosen, maps, expected) -> tuple[torch.dtype, str]:
    """The type in which linear layers give the probabilities that are expected."""
    X = chosen.sample
    gaps = {np.float32: 0.0, np.float64: 0.0}
    for (weight, bias), p in zip(maps, expected):
        for kind in gaps:
            logits = X.astype(kind) @ weight.T.astype(kind) + bias.astype(kind)
            gap = np.abs(softmax(logits, 1) - p).max()
            gaps[kind] = max(gaps[kind], float(gap))
    if gaps[np.float32] <= CLOSE / 2:  # the sample is not every row
        return torch.float32, ""
    weight = maps[0][0]
    worst = int((np.abs(weight).max(0) * np.abs(X).max(0)).argmax())
    rest = gaps[np.float64]
    exact = "" if rest <= CLOSE else f", and still differ by up to {rest:.0e}"
    return torch.float64, (
        f"column {chosen.columns[worst]!r} is large for its spread, so that the "
        f"exported layers need float64 features (X.double()){exact}"
    )
