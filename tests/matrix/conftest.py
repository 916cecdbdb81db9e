"""A small world with every method fitted to it, and its record."""

import pytest
from tiny_world import tiny

from tailwise.matrix import methods
from tailwise.matrix.run import Record, run_world


@pytest.fixture(scope="session")
def found():
    return {
        labelled: methods.candidates(tiny(labelled=labelled), n_subsets=3)[0]
        for labelled in (True, False)
    }


@pytest.fixture(scope="session")
def record():
    described, values = run_world(tiny(), n_subsets=3)
    return Record("laptop", {}, {"tiny": described}, {"tiny": values})
