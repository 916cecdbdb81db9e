"""A file at its publisher's: how it is fetched, checked and unpacked."""

import hashlib
import shutil
import tempfile
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path

WAIT = 60  # seconds that an address has to answer


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file at its publisher's.

    Attributes
    ----------
    name : str
        Under which it is kept.
    url : str
    md5 : str, optional
        Where one is published.
    """

    name: str
    url: str
    md5: str | None = None


def fetched(file: Published, folder: Path, *, download: bool) -> Path:
    """The path of a file in a folder; what was fetched before a stop is gone on with.

    Raises
    ------
    OSError
        If it is not there and did not come; a part of it stays for the next time.
    ValueError
        If what came, or was there, does not match its checksum.
    """
    path = folder / file.name
    if not path.is_file():
        if not download:
            raise OSError(f"{file.name} is not in {folder}: it comes from {file.url}")
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        try:
            _fetch(file.url, part)
        except (OSError, ValueError) as error:
            raise OSError(
                f"{file.name} did not come from {file.url}: {error}"
            ) from error
        _check(part, file)
        part.rename(path)
    return path


def _fetch(url: str, part: Path) -> None:
    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "tailwise"} | ({"Range": f"bytes={have}-"} if have else {})
    asked = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(asked, timeout=WAIT) as answer:
        goes_on = getattr(answer, "status", 200) == 206
        size = answer.headers.get("Content-Length")
        with part.open("ab" if goes_on else "wb") as out:
            shutil.copyfileobj(answer, out, 1 << 20)
    whole = None if size is None else int(size) + goes_on * have
    if whole not in (None, found := part.stat().st_size):
        raise OSError(
            f"it was cut after {found} of {whole} bytes; the same command goes on there"
        )


def _check(path: Path, file: Published) -> None:
    if file.md5 is None:
        return
    with path.open("rb") as content:
        found = hashlib.file_digest(content, "md5").hexdigest()
    if found != file.md5:
        path.unlink()
        raise ValueError(
            f"{file.name} is not the published file, and was removed: MD5 is "
            f"{found[:12]}…, expected {file.md5[:12]}…"
        )


def unpacked(file: Published, folder: Path, inside: str, *, download: bool) -> Path:
    """The file or folder `inside` an archive, fetched and unpacked where it is not.

    The archive is removed after that, so that it does not take room twice.

    Raises
    ------
    OSError, ValueError
        As `fetched`; an OSError for an archive that is cut or damaged, or has nothing
        of this name in it.
    """
    target = folder / inside
    if target.exists():
        return target
    there = (folder / file.name).is_file()
    archive = fetched(file, folder, download=download)
    if there:
        _check(archive, file)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacked-") as aside:
        try:
            filter = {} if archive.suffix == ".zip" else {"filter": "data"}
            shutil.unpack_archive(archive, aside, **filter)
        except (EOFError, OSError, shutil.ReadError, zlib.error) as error:
            raise OSError(f"{file.name} is cut or damaged: {error}") from error
        if not (found := Path(aside) / inside).exists():
            raise OSError(f"{file.name} has no {inside} in it")
        target.parent.mkdir(parents=True, exist_ok=True)
        found.rename(target)
    archive.unlink()
    return target
