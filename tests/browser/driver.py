"""Runs the scripts of this folder, or says what they lack."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.book.layout import ROOT

HERE = Path(__file__).parent
HTML = Path(os.environ.get("TAILWISE_HTML", ROOT / "_build" / "html"))
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


def give_up(reason: str) -> None:
    """Skip; where everything is meant to be installed, that would hide a broken set-up,
    so fail there."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


def run(
    script: str,
    *arguments: str | Path,
    given: object = None,
    needs: Mapping[str, Path] | None = None,
    html: Path = HTML,
    seconds: int = 300,
) -> dict:
    """What a script saw, from the JSON that it prints.

    Parameters
    ----------
    script : str
        A name in this folder.
    *arguments
        Of its command line.
    given : object, optional
        What it reads, as JSON.
    needs : mapping of str to Path, optional
        Other paths that must exist, each under a name that says how to make it.
    html : Path
        The built site.
    seconds : int
        How long it may take.
    """
    needed = {
        "node": shutil.which("node") or "",
        f"the browser, CHROMIUM={CHROMIUM}": CHROMIUM,
        "the scripts' packages, npm ci --prefix tests/browser": HERE / "node_modules",
        **(needs or {}),
    }
    if missing := [what for what, path in needed.items() if not os.path.exists(path)]:
        give_up("not here: " + "; ".join(missing))
    done = subprocess.run(
        ["node", HERE / script, *arguments],
        input=json.dumps(given),
        env={**os.environ, "TAILWISE_HTML": str(html), "CHROMIUM": CHROMIUM},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
