"""Results as bytes: a safetensors file, with JSON that says how they are put together.

Plain values, lists, tuples, dicts, tensors, arrays and this package's dataclasses, in
each other. Reading runs no code but that of the dataclasses' fields.
"""

import importlib
import json
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

FORMAT = 2  # another one makes results of before stale
TREE = "tree"
PLAIN = (type(None), bool, int, float, str)


def dumps(value: Any) -> bytes:
    """The bytes of a result; a ValueError names a part of another type.

    Examples
    --------
    >>> loads(dumps({1: (2.5, "a"), "b": [None]}))
    {1: (2.5, 'a'), 'b': [None]}
    """
    tensors: dict[str, Tensor] = {}
    return with_tree(_taken_apart(value, tensors), tensors)


def with_tree(tree: Any, tensors: dict[str, Tensor]) -> bytes:
    """Tensors, and the JSON as one more, of bytes."""
    text = np.frombuffer(json.dumps(tree).encode(), np.uint8).copy()
    return save(tensors | {TREE: torch.from_numpy(text)})


def loads(content: bytes) -> Any:
    """The result again: the same values, each tensor on its device and contiguous."""
    tensors = load(content)
    tree = json.loads(tensors.pop(TREE).numpy().tobytes())
    return _put_together(tree, tensors)


def _taken_apart(x: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON: a plain value as it is, everything else as a list that starts with what."""
    if type(x) in PLAIN:
        return x
    if isinstance(x, (list, tuple)) and type(x) in (list, tuple):
        return [type(x).__name__, *(_taken_apart(part, tensors) for part in x)]
    if type(x) is dict:
        pairs = [[_taken_apart(part, tensors) for part in pair] for pair in x.items()]
        return ["dict", *pairs]
    if is_dataclass(x) and type(x).__module__.startswith("tailwise."):
        parts = {f.name: getattr(x, f.name) for f in fields(x)}
        name = [type(x).__module__, type(x).__name__]
        return ["dataclass", name, _taken_apart(parts, tensors)]
    if isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in "biufc":
        held = torch.from_numpy(np.array(x))
        kind = ["array"] if isinstance(x, np.ndarray) else ["scalar"]
    elif isinstance(x, Tensor):
        held, kind = x, ["tensor", str(x.device)]
    else:
        what = f"{type(x).__module__}.{type(x).__qualname__}"
        raise ValueError(
            f"a result holds a {what}: expected plain values, lists, tuples, dicts, "
            "tensors, arrays of numbers and dataclasses of tailwise"
        )
    if not held.numel():  # which early safetensors write and cannot read
        return [*kind, [list(held.shape), str(held.dtype).removeprefix("torch.")]]
    name = str(len(tensors))
    tensors[name] = held.detach().cpu().contiguous().clone()
    return [*kind, name]


def _put_together(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(tree, list):
        return tree
    kind, *rest = tree
    if kind == "tensor":
        return _held(rest[1], tensors).to(rest[0])
    if kind == "array":
        return _held(rest[0], tensors).numpy()
    if kind == "scalar":
        return tensors[rest[0]].numpy()[()]
    if kind == "dict":
        return {
            _put_together(key, tensors): _put_together(x, tensors) for key, x in rest
        }
    if kind == "dataclass":
        (module, name), parts = rest
        return _dataclass(module, name)(**_put_together(parts, tensors))
    parts = [_put_together(part, tensors) for part in rest]
    return tuple(parts) if kind == "tuple" else parts


def _held(name: str | list, tensors: dict[str, Tensor]) -> Tensor:
    if isinstance(name, str):
        return tensors[name]
    shape, dtype = name
    return torch.empty(shape, dtype=getattr(torch, dtype))


def _dataclass(module: str, name: str) -> type:
    if module.startswith("tailwise."):
        found = getattr(importlib.import_module(module), name, None)
        if isinstance(found, type) and is_dataclass(found):
            return found
    raise ValueError(f"{module}.{name} is no dataclass of tailwise")
