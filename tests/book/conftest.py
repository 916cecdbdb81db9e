from pathlib import Path

import pytest
from built import HTML, give_up


@pytest.fixture(scope="module")
def html() -> Path:
    if not (HTML / "index.html").exists():
        give_up(f"not here: {HTML} (make html)")
    return HTML
