"""The state directory: its layout, its lock, and the private place of its sockets."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path

from worker.embedded.errors import StateDirectoryBusyError
from worker.errors import ServiceError

# sockaddr_un holds 104 bytes on macOS and 108 on Linux; the longest name we put in is Postgres' own lock file.
MAX_SOCKET_PATH_BYTES = 100
LONGEST_SOCKET_NAME = ".s.PGSQL.5432.lock"
# A path of these alone needs no quoting in a URL, in postgresql.conf (where a comma separates) or in Valkey's.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")
LOCK_PATIENCE_S = 1.0  # someone who only looks whether it is locked holds it for a moment


class StateDirectory:
    """One user's servers, logs and sockets under one root; at most one supervisor at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.postgres = self.root / "postgres"
        self.valkey = self.root / "valkey"
        self.logs = self.root / "logs"
        self.processes = self.root / "processes"
        self.record = self.root / "services.json"
        self._lock_path = self.root / "lock"
        self._lock_fd: int | None = None

    @property
    def sockets(self) -> Path:
        """Return where the sockets go: below the root, or, if its path is too long or odd, below /tmp."""
        near = self.root / "run"
        length = len(os.fsencode(near)) + 1 + len(LONGEST_SOCKET_NAME)
        if length <= MAX_SOCKET_PATH_BYTES and PLAIN_PATH.fullmatch(str(near)):
            return near
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return _short_base() / f"merge-reasoner-{os.geteuid()}-{digest}"

    def make(self) -> None:
        """Create what is missing, for the owner's eyes only.

        Raises:
            ServiceError: A directory cannot be made.
        """
        try:
            for directory in (self.root, self.postgres, self.valkey, self.logs, self.processes):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not os.access(directory, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise ServiceError(
                f"cannot use {self.root} as state directory: {error.strerror}; choose another"
            ) from error

    def lock(self) -> None:
        """Take the directory for this process, until ``unlock`` or its death.

        Raises:
            StateDirectoryBusyError: Another process has it.
        """
        fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while not _try_flock(fd, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(fd)
                raise StateDirectoryBusyError(self.root, self.holder())
            time.sleep(0.05)
        os.truncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._lock_fd = fd

    def unlock(self) -> None:
        """Let the next supervisor in; harmless without the lock."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def remove_sockets(self) -> None:
        """Remove the place of the sockets, which is empty once the servers have stopped."""
        shutil.rmtree(self.sockets, ignore_errors=True)

    def is_locked(self) -> bool:
        """Return whether a living process runs its servers here."""
        try:
            fd = os.open(self._lock_path, os.O_RDWR)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise ServiceError(
                f"cannot use {self.root} as state directory: {error.strerror}; choose another"
            ) from error
        try:
            return not _try_flock(fd, fcntl.LOCK_SH)
        finally:
            os.close(fd)

    def holder(self) -> int | None:
        """Return the pid that took the lock last, if it can be read."""
        try:
            return int(self._lock_path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None


def _short_base() -> Path:
    """Return a short folder to make the sockets' own in: /tmp, or what stands in for it where we may not write."""
    common = Path("/tmp")  # noqa: S108 - what is made in it is checked by make_private
    return common if os.access(common, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


def make_private(directory: Path) -> None:
    """Create ``directory`` with mode 0700, or check that the one there is private and ours.

    Raises:
        ServiceError: It belongs to someone else, others may enter it, or it is no directory.
    """
    try:
        if os.geteuid() == 0 and directory.exists() and directory.lstat().st_uid != 0:
            shutil.rmtree(
                directory
            )  # given to Postgres' uid by an earlier start, or laid out by someone for us
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise ServiceError(f"cannot use {directory} for sockets: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ServiceError(
            f"{directory} must be a directory that only you can enter; remove it and start again"
        )


def _try_flock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
