"""A reader's own features and a pilot on them, made once."""

import pytest
from tiny_features import GROUPS, X, Y

from tailwise.own import features
from tailwise.own.pilot import Pilot, pilot


@pytest.fixture(scope="session")
def data() -> features.Features:
    return features.from_arrays(X, Y, GROUPS)


@pytest.fixture(scope="session")
def found(data) -> Pilot:
    return pilot(data, n_splits=10)
