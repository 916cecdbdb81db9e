"""How far a long run is, and the time left.

On a terminal a line that is rewritten; with ``$TAILWISE_PROGRESS`` a file that holds
the line as it stands; elsewhere nothing, so that notebooks hold no times.
"""

import os
import sys
import time
from pathlib import Path

from tailwise.files import write_whole


class Progress:
    """The chunks of one call.

    Parameters
    ----------
    name : str
        What is computed.
    total, kept, stale : int
        Chunks, those that are there from before, and those that are there but were
        made by other code, and so are computed again.
    """

    def __init__(self, name: str, total: int, kept: int, stale: int = 0) -> None:
        self.name, self.total, self.kept, self.stale = name, total, kept, stale
        self.done, self.start = 0, time.monotonic()
        file = os.environ.get("TAILWISE_PROGRESS")
        self.file = Path(file) if file else None
        self.shown = sys.stderr.isatty() and not file
        self._show()

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        self._show()

    def line(self) -> str:
        """Such as ``train: 12 of 40 chunks (3 kept), about 5 min left``."""
        ready = self.kept + self.done
        text = f"{self.name}: {ready} of {self.total} chunks"
        notes = [f"{self.kept} kept"] if self.kept else []
        notes += [f"{self.stale} of other code"] if self.stale else []
        text += f" ({', '.join(notes)})" if notes else ""
        if self.done and ready < self.total:
            each = (time.monotonic() - self.start) / self.done
            text += f", about {duration(each * (self.total - ready))} left"
        return text

    def _show(self) -> None:
        if self.file:
            write_whole(self.file, self.line())
        elif self.shown:
            sys.stderr.write(f"\r\033[K{self.line()}")
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the line as it stands."""
        if self.shown:
            sys.stderr.write("\n")


def duration(seconds: float) -> str:
    """Such as 40 s, 12 min or 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
