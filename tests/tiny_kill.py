"""A process that is killed at a moment that is known by what it has written."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

PATIENCE = 120  # seconds in which the moment must come
END = 60  # seconds in which all that it started must end, too


def killed(
    command: Sequence[str], moment: Callable[[], object], **environ: str
) -> None:
    """Start a command and kill it, SIGKILL, once `moment()` is true."""
    pipe = subprocess.PIPE
    started = subprocess.Popen(command, env=os.environ | environ, stdout=pipe)
    until = time.monotonic() + PATIENCE
    try:
        while not moment() and started.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
    finally:
        started.kill()
    # What it wrote to ends when the last process has gone that it started.
    told, _ = started.communicate(timeout=END)
    assert started.returncode == -signal.SIGKILL, told.decode()
