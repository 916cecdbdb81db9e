"""Results as bytes: a safetensors file whose header says how they are put together.

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

FORMAT = 1  # another one makes results of before stale
PLAIN = (type(None), bool, int, float, str)


def dumps(value: Any) -> bytes:
    """The bytes of a result; a ValueError names a part of another type.

    Examples
    --------
    >>> loads(dumps({1: (2.5, "a"), "b": [None]}))
    {1: (2.5, 'a'), 'b': [None]}
    """
    tensors: dict[str, Tensor] = {}
    tree = _taken_apart(value, tensors)
    return save(tensors, metadata={"tree": json.dumps(tree)})


def loads(content: bytes) -> Any:
    """The result again: the same values, each tensor on its device and contiguous."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    return _put_together(json.loads(header["__metadata__"]["tree"]), load(content))


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
    name = str(len(tensors))
    tensors[name] = held.detach().cpu().contiguous().clone()
    return [*kind, name]


def _put_together(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(tree, list):
        return tree
    kind, *rest = tree
    if kind == "tensor":
        return tensors[rest[1]].to(rest[0])
    if kind == "array":
        return tensors[rest[0]].numpy()
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


def _dataclass(module: str, name: str) -> type:
    if module.startswith("tailwise."):
        found = getattr(importlib.import_module(module), name, None)
        if isinstance(found, type) and is_dataclass(found):
            return found
    raise ValueError(f"{module}.{name} is no dataclass of tailwise")
