"""A file at its publisher's: how it is fetched, checked and unpacked.

Whenever a run is stopped, what it had is gone on with or removed by the next: a part
of a file, and the folder ``.NAME.aside`` in which an archive is unpacked. Of two runs
on a machine that want the same file, one waits for the other.
"""

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import urllib.request
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getuser
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock, Timeout

WAIT = 60  # seconds that an address has to answer
DAMAGED = EOFError, gzip.BadGzipFile, shutil.ReadError, tarfile.TarError
DAMAGED += zipfile.BadZipFile, zlib.error


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file at its publisher's.

    Attributes
    ----------
    name : str
        Under which it is kept.
    urls : tuple of str
        Whichever answers first with the file.
    md5 : str, optional
        Where one is published.
    """

    name: str
    urls: tuple[str, ...]
    md5: str | None = None


def fetched(file: Published, folder: Path, *, download: bool) -> Path:
    """The path of a file in a folder; what was fetched before a stop is gone on with.

    Raises
    ------
    OSError
        If it is not there, or no address had it; a part of it stays for the next time.
    """
    path = folder / file.name
    if not path.is_file():
        with alone(path):
            if not path.is_file():
                _come(file, folder, download, lambda part: part.rename(path))
    _clear(_parts(file, folder))
    return path


def unpacked(
    file: Published,
    folder: Path,
    inside: str,
    *,
    download: bool,
    bare: bool = False,
    check: Callable[[Path], object] = lambda found: None,
) -> Path:
    """The file or folder `inside` an archive, fetched and unpacked where it is not.

    The archive is removed after that, so that it does not take room twice.

    Parameters
    ----------
    bare : bool
        Whether the archive may hold what else lies in the folder `inside`.
    check : callable
        ``check(found)`` before it is put in place; it raises what is wrong.

    Raises
    ------
    OSError, ValueError
        As `fetched`; for an archive that is there and is not the published one, is cut
        or damaged, or has nothing of this name in it; and what `check` raises.
    """
    target, archive = folder / inside, folder / file.name

    def unpack(packed: Path) -> None:
        with aside(target) as made:
            try:
                if file.name.endswith(".zip"):
                    shutil.unpack_archive(packed, made, "zip")
                else:  # "tar" reads those that are compressed, too
                    shutil.unpack_archive(packed, made, "tar", filter="data")
            except DAMAGED as error:
                raise OSError(f"{file.name} is cut or damaged: {error}") from error
            found = made / inside
            if bare and not found.exists():
                found = made
            if not found.exists():
                raise OSError(f"{file.name} has no {inside} in it")
            check(found)
            found.rename(target)

    if not target.exists():
        with alone(target):
            if not target.exists():
                if archive.is_file():
                    _check(archive, file)
                    unpack(archive)
                else:
                    _come(file, folder, download, unpack)
    _clear([archive, *_parts(file, folder)])
    return target


@contextmanager
def alone(target: Path) -> Iterator[None]:
    """No other run makes `target` meanwhile; this one waits for one that does."""
    user = getattr(os, "getuid", getuser)()  # of Windows a name
    name = hashlib.sha256(f"{user} {target.absolute()}".encode()).hexdigest()[:16]
    # Not beside the target, since a lock that a run has had stays.
    lock = FileLock(Path(tempfile.gettempdir()) / f"tailwise-{name}.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        said = f"another run makes {target}: this one waits for it"
        warnings.warn(said, stacklevel=4)
        held = lock.acquire()
    with held:
        yield


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """A folder to make `target` in, without what a killed run has left there."""
    made = target.with_name(f".{target.name}.aside")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _come(
    file: Published, folder: Path, download: bool, take: Callable[[Path], object]
) -> None:
    """Fetch a file and `take` it, from the first address whose file can be taken."""
    if not download:
        raise OSError(
            f"{file.name} is not in {folder}: it comes from {' or '.join(file.urls)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    tried = []
    for url, part in zip(file.urls, _parts(file, folder)):
        whole = False
        try:
            _fetch(url, part)
            whole = True
            _check(part, file)
            take(part)
            return
        except (OSError, ValueError, HTTPException) as error:
            tried.append(f"{url}: {error}")
            whole |= getattr(error, "code", None) == 416  # more than there is
            # Not where this machine failed, such as for a full disk.
            if whole and not getattr(error, "errno", None):
                _clear([part])
    raise OSError(
        f"{file.name} did not come from {'; nor from '.join(tried)}; "
        f"if you have it from elsewhere, put it into {folder}"
    )


def _parts(file: Published, folder: Path) -> list[Path]:
    """Where what comes from each address lies until it is whole."""
    return [folder / f".{i}-{file.name}.part" for i in range(len(file.urls))]


def _clear(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _fetch(url: str, part: Path) -> None:
    # From the last byte that is there on: whoever has them all is not refused.
    have = max(0, part.stat().st_size - 1) if part.is_file() else 0
    headers = {"User-Agent": "tailwise"} | ({"Range": f"bytes={have}-"} if have else {})
    asked = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(asked, timeout=WAIT) as answer:
        if getattr(answer, "status", 200) != 206:
            have = 0
        size = answer.headers.get("Content-Length")
        with part.open("r+b" if have else "wb") as out:
            out.truncate(have)
            out.seek(have)
            shutil.copyfileobj(answer, out, 1 << 20)
    whole = None if size is None else int(size) + have
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
