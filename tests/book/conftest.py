import os
from pathlib import Path

import pytest
from built import HTML


@pytest.fixture(scope="module")
def html() -> Path:
    if not (HTML / "index.html").exists():
        report = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        report(f"not here: {HTML} (make html)")
    return HTML
