"""One of the two processes of a claim in a container, under a uid that nothing else has ever had there."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from verifiers.sandbox.inside import kernel
from verifiers.sandbox.inside.forker import BROKEN, SCRATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What makes a judge, and what makes a judged."""

    run: Callable[..., None]
    root: str
    """Its root folder."""

    oom_score: bytes
    """Whom the kernel kills first when memory is short: the highest."""

    system_calls: bytes
    """The filter."""

    nothing: int
    """A descriptor of /dev/null."""


class Side:
    """A forked process, until somebody waits for it."""

    def __init__(
        self,
        kind: Kind,
        uid: int,
        *,
        printed: tuple[int, int],
        ready: int,
        fds: tuple[int, ...],
        limits: list[int],
    ) -> None:
        """Fork it; it confines itself, closes ``ready`` or says there why it couldn't, and only then runs.

        Args:
            kind: What it is to be.
            uid: Its own.
            printed: Where its standard output and its standard error go.
            ready: The end of a pipe.
            fds: All other descriptors that it is given.
            limits: As for ``confine``.
        """
        self.uid = uid
        self.pid = os.fork()
        if self.pid == 0:
            _confine(kind, uid, printed, ready)
            _run(kind, fds, limits)
        self.wakers: list[int] = []
        """Descriptors that can be read when it has ended; none in gVisor, which has no such thing."""
        with contextlib.suppress(OSError):
            self.wakers.append(os.pidfd_open(self.pid))

    def has_exited(self) -> bool:
        """Return whether it has ended; to be asked before anybody waits for it."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def close(self) -> None:
        """Forget it."""
        for fd in self.wakers:
            os.close(fd)


def _confine(kind: Kind, uid: int, printed: tuple[int, int], ready: int) -> None:
    try:
        os.setsid()
        for target, fd in enumerate((kind.nothing, *printed)):
            os.dup2(fd, target)
        _score(kind.oom_score)
        os.chroot(kind.root)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)  # and with root go all capabilities
        os.umask(0o077)
        os.chdir(SCRATCH)
        kernel.drop_capabilities()
        kernel.hide_memory()
        kernel.filter_system_calls(kind.system_calls)
        os.close(ready)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the program must not run
        with contextlib.suppress(OSError):
            os.write(ready, f"{type(error).__name__}: {error}".encode())
        os._exit(BROKEN)


def _run(kind: Kind, fds: tuple[int, ...], limits: list[int]) -> NoReturn:
    try:
        kind.run(*fds, *limits)  # closes all other descriptors first
    except BaseException:  # noqa: BLE001 - as an interpreter would do at its end
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)  # never back to whoever forked it


def _score(points: bytes) -> None:
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    os.write(fd, points)
    os.close(fd)
