"""Under a figure of a pilot: which run drew it, from what."""

from tailwise import __version__, profiles
from tailwise.ledger import provenance
from tailwise.own.pilot import Pilot


class Origin(str):
    """A line that a notebook shows as the provenance of the figure above it."""

    def _repr_html_(self) -> str:
        return f"<p class='provenance'>{self}</p>"


def origin(pilot: Pilot) -> Origin:
    """Splits and samples of a pilot, the day, the device, release and commit."""
    facts = provenance.describe(profiles.current(), provenance.Stopwatch())
    commit = f"commit {facts['commit']}" if facts["commit"] else ""
    said = (
        f"{len(pilot.splits)} × split of {len(pilot.data):,} samples",
        facts["date"],
        facts["device"],
        f"tailwise {__version__}",
        commit,
    )
    return Origin(" · ".join(filter(None, said)))
