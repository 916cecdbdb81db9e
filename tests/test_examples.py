"""Every example in a docstring prints what stands below it."""

import doctest
import importlib
from pathlib import Path

import pytest

import tailwise

SOURCE = Path(tailwise.__file__).parents[1]
WITH_EXAMPLES = [
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in sorted(SOURCE.glob("tailwise/**/*.py"))
    if ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_the_examples_hold(module):
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted
    assert not found.failed
