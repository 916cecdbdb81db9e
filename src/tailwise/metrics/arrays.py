"""What callers hand over, as NumPy arrays: tensors of any kind, labels without gaps."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike


def from_torch(values):
    """A tensor of any kind, on any device, as a NumPy array; anything else as it is.

    NumPy has no bfloat16, so tensors of half precision become float32, which holds
    all their values.

    Examples
    --------
    >>> from_torch(torch.tensor([0.5, 2.0]).bfloat16()).dtype
    dtype('float32')
    """
    if not isinstance(values, torch.Tensor):
        return values
    values = values.detach().cpu()
    half = values.dtype in (torch.bfloat16, torch.float16)
    return (values.float() if half else values).numpy()


def as_array(values: ArrayLike | torch.Tensor) -> np.ndarray:
    """An array of anything array-like, tensors included."""
    return np.asarray(from_torch(values))


def first_missing(values: np.ndarray) -> int | None:
    """The first row that holds None, NaN or NA, or None where no row does."""
    missing = pd.isna(values)
    missing = missing.any(1) if missing.ndim == 2 else missing
    return int(missing.argmax()) if missing.any() else None


def as_labels(name: str, values: ArrayLike | torch.Tensor) -> np.ndarray:
    """Labels as an array of numbers or of names, or a ValueError that says where not.

    Bytes become text. Missing labels, infinite ones among them, are refused.

    Examples
    --------
    >>> as_labels("y", [b"a", b"b"]).tolist()
    ['a', 'b']
    """
    labels = as_array(values)
    if labels.dtype.kind == "f" and not (good := np.isfinite(labels)).all():
        bad = int(np.argwhere(~good)[0, 0])
        raise ValueError(
            f"{name} holds NaN or infinite values, first in row {bad}: expected labels"
        )
    if (row := first_missing(labels)) is not None:
        raise ValueError(
            f"{name} holds a missing label, first in row {row}: fill in a name or "
            "leave the row out"
        )
    if labels.dtype.kind == "S":
        return np.char.decode(labels)
    if labels.dtype.kind == "O" and all(isinstance(v, str) for v in labels.flat):
        return labels.astype(str)
    return labels


def check_comparable(**labels: np.ndarray) -> None:
    """Refuse two arrays of labels that could never be equal, which reads as an error.

    Names against numbers, or classes against probabilities.
    """
    (a, one), (b, two) = labels.items()
    kinds = [values.dtype.kind in "biuf" for values in (one, two)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"{a} holds {one.dtype} such as {one.flat[0]}, and {b} holds {two.dtype} "
            f"such as {two.flat[0]}: expected labels of one type"
        )
    parts = {n: v[v % 1 != 0] for n, v in labels.items() if v.dtype.kind == "f"}
    broken = {name: values[0] for name, values in parts.items() if len(values)}
    if len(broken) == 1:
        name, value = broken.popitem()
        raise ValueError(
            f"{name} holds {value}, which is no label of the other: pass classes, such "
            "as p > 0.5, not probabilities"
        )
