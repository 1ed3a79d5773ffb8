"""Whether a file is what was promised: its sha256, computed once for as long as the file stays as it is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from pathlib import Path

from worker.errors import ModelFetchError
from worker.models.catalogue import KnownModel
from worker.models.progress import Reporter, progress_of

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 24


def sha256_of(path: Path, model: KnownModel, report: Reporter) -> str:
    """Return the file's sha256 in hexadecimal; takes about a second for half a gigabyte.

    Raises:
        ModelFetchError: It cannot be read.
    """
    digest = hashlib.sha256()
    done = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                report(progress_of(f"checking {model.name}", done, model))
    except OSError as error:
        raise ModelFetchError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def write_stamp(path: Path) -> None:
    """Note that the file, as it is now, has the right sha256; else it is read again next time."""
    try:
        stamp_of(path).write_text(json.dumps(_identity(path)), encoding="ascii")
    except OSError as error:  # a folder of somebody else's, mounted to be read
        logger.info("not noted that a model is whole", extra={"path": str(path), "error": str(error)})


def remove_stamp(path: Path) -> None:
    """Forget that note, if it can be removed; it does not fit a file that was changed."""
    with contextlib.suppress(OSError):
        stamp_of(path).unlink(missing_ok=True)


def stamp_of(path: Path) -> Path:
    """Return where that note is."""
    return path.with_suffix(".checked")


def is_checked(path: Path) -> bool:
    """Return whether the file is there and has not changed since it was found right."""
    try:
        return bool(json.loads(stamp_of(path).read_text(encoding="ascii")) == _identity(path))
    except (OSError, ValueError):
        return False


def _identity(path: Path) -> dict[str, int]:
    found = path.stat()
    return {"n_bytes": found.st_size, "modified_ns": found.st_mtime_ns, "inode": found.st_ino}
