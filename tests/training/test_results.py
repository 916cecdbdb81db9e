"""Results as bytes: the same again, and nothing else is read or written."""

import numpy as np
import pytest
import torch

from tailwise.matrix.worlds import Part
from tailwise.metrics import Estimate, estimate
from tailwise.training.results import dumps, loads, with_tree

HALF = torch.tensor([[0.5, -0.0, float("nan")], [1e-30, 3e38, 1]])
VALUES = {
    "plain": [None, True, 2, -0.0, 1e-320, float("inf"), "é\n", ()],
    "nested": {1: {(2, "b"): [[{}]]}, "dict": [], None: "x"},
    "tensors": (HALF, HALF.T, HALF.bfloat16(), HALF > 0, torch.tensor(2), HALF[:0]),
    "arrays": [np.arange(6.0).reshape(2, 3).T, np.array(True), np.zeros((0, 2), "i4")],
    "scalars": [np.float64(0.1), np.int64(3), np.bool_(False), np.float32(0.1)],
    "dataclass": estimate([0.1, 0.2, 0.4]),
}


def same(a, b) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        bits = [x.contiguous().flatten().view(torch.uint8) for x in (a, b)]
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*bits)
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return same([*a.items()], [*b.items()])
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b)


@pytest.mark.parametrize("kind", VALUES)
def test_a_result_comes_back_as_it_was(kind):
    assert same(loads(dumps(VALUES[kind])), VALUES[kind])


def test_every_estimate_is_the_same_object_of_ours():
    found = loads(dumps({"a": estimate([1.0, 2.0])}))["a"]
    assert isinstance(found, Estimate)
    assert found == estimate([1.0, 2.0])


def test_two_names_for_one_tensor_are_two_tensors():
    row = torch.ones(3)
    first, second = loads(dumps((row, row)))
    first += 1
    assert torch.equal(second, row)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (torch.nn.Linear(1, 1), r"torch\.nn\.modules\.linear\.Linear"),
        ({"a": {1, 2}}, r"builtins\.set"),
        (np.array(["a"]), r"numpy\.ndarray"),
        (lambda: 0, r"builtins\.function"),
        ([same], r"builtins\.function"),
    ],
)
def test_what_cannot_be_kept_is_named(value, name):
    with pytest.raises(ValueError, match=f"a result holds a {name}: expected plain"):
        dumps(value)


@pytest.mark.parametrize(
    "name",
    [
        ["os", "system"],
        ["subprocess", "Popen"],
        ["pstats", "FunctionProfile"],  # a dataclass, but not ours
        ["tailwise.training.processes", "in_processes"],
        ["tailwise.matrix.worlds", "torch"],
        ["tailwise.files", "Path"],
    ],
)
def test_a_file_cannot_call_anything(name):
    tree = ["dataclass", name, ["dict"]]
    content = with_tree(tree, {})
    with pytest.raises(ValueError, match="is no dataclass of tailwise"):
        loads(content)


def test_fields_may_hold_anything_of_this():
    part = Part(X=(1, HALF), y={"a": {"test": HALF}}, group=1e-3)
    found = loads(dumps(part))
    assert type(found) is Part
    assert same(vars(found), vars(part))
