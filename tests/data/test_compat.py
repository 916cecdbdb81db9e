"""The guard around torchvision's import."""

import sys
from types import SimpleNamespace

import pytest
import torch

from tailwise.data import compat


@pytest.fixture
def torchvision(tmp_path, monkeypatch):
    """A torchvision that fails to import until its operators are defined."""
    state = SimpleNamespace(error=None, defined=[], loads=0)

    class Library:
        def __init__(self, namespace, kind):
            assert (namespace, kind) == ("torchvision", "DEF")

        def define(self, schema):
            state.defined.append(schema.split("(")[0])

    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from torchvision import operators\n"
        "import fake_state\n"
        "if fake_state.error and 'nms' not in fake_state.defined:\n"
        "    raise fake_state.error\n"
    )
    (package / "operators.py").write_text("import fake_state\nfake_state.loads += 1\n")
    real = {m: sys.modules[m] for m in sys.modules if m.split(".")[0] == "torchvision"}
    for name in real:
        del sys.modules[name]
    monkeypatch.setitem(sys.modules, "fake_state", state)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(torch.library, "Library", Library)
    yield state
    for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    sys.modules.update(real)


NMS = "operator torchvision::nms does not exist"


def test_missing_operators_are_declared_and_the_import_tried_again(torchvision):
    torchvision.error = RuntimeError(NMS)
    assert compat.import_torchvision() is sys.modules["torchvision"]
    assert torchvision.defined == ["nms", "qnms"]
    assert torchvision.loads == 2


def test_a_sound_torchvision_is_left_alone(torchvision):
    assert compat.import_torchvision() is sys.modules["torchvision"]
    assert torchvision.defined == []
    assert torchvision.loads == 1


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operator torchvision::roi_align does not exist"),
        RuntimeError("CUDA error"),
        ImportError(NMS),
        ValueError(NMS),
    ],
)
def test_any_other_error_is_raised(torchvision, error):
    torchvision.error = error
    with pytest.raises(type(error), match=str(error)):
        compat.import_torchvision()
    assert torchvision.defined == []


def test_the_real_torchvision_has_the_data_set():
    assert compat.import_torchvision().datasets.FashionMNIST
