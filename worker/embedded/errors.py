"""What can go wrong with the embedded servers, beyond ``ServiceError`` itself."""

from __future__ import annotations

from pathlib import Path

from worker.errors import ServiceError


class StateDirectoryBusyError(ServiceError):
    """Raised when another process runs its servers in this state directory."""

    def __init__(self, directory: Path, pid: int | None) -> None:
        self.directory = directory
        self.pid = pid
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{directory} is in use by {who}; stop it (merge-reasoner down) or choose another state directory"
        )


class ServerStartError(ServiceError):
    """Raised when a server did not come up; names its log and quotes the end of it."""

    def __init__(self, server: str, reason: str, *, log: Path) -> None:
        self.server = server
        self.log = log
        super().__init__(f"{server} did not start: {reason}\nIts log is {log} and ends:\n{_tail(log)}")


def _tail(log: Path, *, n_lines: int = 12) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"  (unreadable: {error})"
    return "\n".join(f"  {line}" for line in lines[-n_lines:])
