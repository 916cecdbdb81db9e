"""Files that are there whole or not at all."""

import hashlib
import os
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).parent


def checkout() -> Path | None:
    """The root of the checkout that the package lies in; None for an installed one."""
    root = PACKAGE.parents[1]
    return root if (root / "book" / "claims").is_dir() else None


def file_hash(*paths: Path) -> str:
    """SHA-256 over names and contents of files and, below folders, of all files."""
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(file.relative_to(path.parent).as_posix().encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, whole or not at all: temporary file, then rename."""
    content = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # before another file may name it
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
