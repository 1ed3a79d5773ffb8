"""Becomes a server: ties its life to the supervisor's, sheds root, then execs the server's binary.

Run by path in a fresh interpreter, standard library only. It exists because the same steps in a ``preexec_fn``
would run Python between fork and exec of a process with threads, which can deadlock.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
REFUSED = 97  # an exit code that neither initdb, postgres nor valkey-server uses


def enter_namespace(uid: int) -> None:
    """Appear as ``uid`` in a user namespace of one's own, while files still see the real owner.

    Raises:
        OSError: The kernel or a container's policy denies user namespaces.
    """
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")  # the kernel's condition for a gid map
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{uid} {outer_gid} 1", encoding="ascii")


def become(uid: int, gid: int) -> None:
    """Give up root for good; the files must then belong to ``uid``."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with_parent(parent_pid: int, death_signal: int) -> None:
    """Ask the kernel for ``death_signal`` when the supervisor dies; elsewhere than on Linux do nothing.

    Must come after every change of credentials, which clears the request.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before we asked
        sys.exit(REFUSED)


def take_identity(identity: str) -> None:
    """Change who we are: ``self``, ``namespace:UID`` or ``setuid:UID:GID``."""
    kind, *numbers = identity.split(":")
    if kind == "namespace":
        enter_namespace(int(numbers[0]))
    elif kind == "setuid":
        become(int(numbers[0]), int(numbers[1]))


def main(arguments: list[str]) -> None:
    """Exec ``arguments[3:]`` with the parent's pid, the death signal and the identity of the first three."""
    parent_pid, death_signal, identity, *command = arguments
    try:
        take_identity(identity)
        die_with_parent(int(parent_pid), int(death_signal))
        os.execv(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as error:
        print(f"launch as {identity}: {error}; uid {os.geteuid()} must be able to run {command[0]}",  # noqa: T201
              file=sys.stderr)  # fmt: skip
        sys.exit(REFUSED)


if __name__ == "__main__":
    main(sys.argv[1:])
