"""Read features from the files people have; nothing that is read can run code."""

import pickle
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from tailwise.metrics.arrays import as_array
from tailwise.own.raw import ROLES, Raw, Wanted, some
from tailwise.own.read_table import read_parquet, read_text

KINDS = ".npz, .npy, .pt, .csv, .tsv or .parquet"


def check_kind(path: Path) -> None:
    """Refuse a file whose ending is none of those that can be read."""
    _reader(path)


def read(path: Path, wanted: Wanted) -> Raw:
    """What stands in a file, by its ending; errors as in `own.load`."""
    return _reader(path)(path, wanted)


def _reader(path: Path):
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if {".csv", ".tsv", ".tab"} & set(suffixes[-2:]):
        return read_text
    readers = {
        ".npz": read_npz,
        ".npy": read_npy,
        ".pt": read_pt,
        ".pth": read_pt,
        ".parquet": read_parquet,
        ".pq": read_parquet,
    }
    if not suffixes or suffixes[-1] not in readers:
        raise ValueError(f"{path.name} is none of {KINDS}: save it as one of them")
    return readers[suffixes[-1]]


def read_npz(path: Path, wanted: Wanted) -> Raw:
    """The arrays of an ``.npz``."""
    try:
        file = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        file = None
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError(f"{path.name} is not an .npz file: write it with numpy.savez")
    with file:
        return _named(lambda name: _array(file, name), file.files, wanted)


def read_pt(path: Path, wanted: Wanted) -> Raw:
    """A dictionary of tensors and lists in a ``.pt`` of PyTorch."""
    try:
        file = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError):
        file = None
    if not isinstance(file, dict):
        raise ValueError(
            f"{path.name} is no dictionary of tensors that can be read without running "
            "code: write it with torch.save({'X': X, 'y': y}, path)"
        )
    return _named(lambda name: as_array(file[name]), list(file), wanted)


def _named(get, there: list[str], wanted: Wanted) -> Raw:
    features = wanted.features
    if features is not None and not isinstance(features, str):
        raise ValueError(f"features is {features!r}: give the name of one array")
    found = {role: wanted.find(role, there, "array") for role in ("features", *ROLES)}
    given = {role: None if n is None else get(n) for role, n in found.items()}
    return _raw(given)


def _raw(given: dict) -> Raw:
    return Raw(
        X=given["features"],
        y=given["label"],
        groups=given["group"],
        units=given["unit"],
        split=given["split"],
    )


def read_npy(path: Path, wanted: Wanted) -> Raw:
    """Features in an ``.npy``, as a memory map, and labels in files beside it.

    ``y.npy``, ``label.npy`` or ``labels.npy``, also with the name of the features and
    an underscore before it; the same for groups, units and the split.
    """
    given: dict[str, np.ndarray | None] = {"features": _mapped(path)}
    beside = {
        file.stem.removeprefix(f"{path.stem}_"): file
        for file in sorted(path.parent.glob("*.npy"), key=lambda f: -len(f.stem))
        if file != path
    }
    for role in ROLES:
        try:
            name = wanted.find(role, list(beside), "array")
        except ValueError:
            if role != "label" or wanted.label != "label":
                raise
            there = some([f.name for f in beside.values()]) or "no other .npy"
            raise ValueError(
                f"no labels beside {path.name}: save them as y.npy or "
                f"{path.stem}_labels.npy in the same folder, which holds {there}"
            ) from None
        given[role] = None if name is None else _mapped(beside[name])
    return _raw(given)


def _mapped(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        whole = file.read(6) == b"\x93NUMPY"
    try:
        if whole:
            return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as fault:
        if "Python objects" in str(fault) or "pickle" in str(fault):
            raise ValueError(_objects(path.name)) from None
    raise ValueError(f"{path.name} is damaged: write it with numpy.save")


def _array(file, name: str) -> np.ndarray:
    try:
        return file[name]
    except ValueError:  # NumPy's way to say that the array needs pickle
        raise ValueError(_objects(name)) from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error):
        raise ValueError(f"array {name!r} is damaged: write the file again") from None


def _objects(name: str) -> str:
    return (
        f"array {name!r} holds Python objects, which may run code when they are read: "
        "save it as numbers or as text, numpy.asarray(values, dtype=str)"
    )
