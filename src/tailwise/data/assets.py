"""Files that ship with the package, each checked against its checksum."""

import hashlib
import os
from functools import cache
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


def cache_dir() -> Path:
    """Where downloaded data is kept: ``$TAILWISE_DATA`` or ``~/.cache/tailwise``."""
    return Path(os.environ.get("TAILWISE_DATA", "~/.cache/tailwise")).expanduser()


@cache
def _checksums(assets: Path) -> dict[str, str]:
    lines = (assets / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def read_asset(name: str, assets: Path = ASSETS) -> bytes:
    """Read a file that ships with the package and verify its SHA-256 checksum."""
    raw = (assets / name).read_bytes()
    expected, found = _checksums(assets)[name], hashlib.sha256(raw).hexdigest()
    if found != expected:
        raise ValueError(
            f"{name} is damaged: SHA-256 is {found[:12]}…, expected {expected[:12]}…; "
            "install the package again"
        )
    return raw
