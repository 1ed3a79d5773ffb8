"""The few requests to the kernel that the standard library has no words for (or has only since Python 3.12)."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal

NEW_MOUNTS, NEW_IPC, NEW_PIDS = 0x00020000, 0x08000000, 0x20000000
_CLONE = {"x86_64": 56, "aarch64": 220}
_SET_DUMPABLE, _SET_SECCOMP, _CAP_DROP, _NO_NEW_PRIVILEGES, _AMBIENT = 4, 22, 24, 38, 47
_FILTER, _CLEAR_ALL = 2, 4
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63  # more than there are; the kernel says which do not exist
_PRIVATE, _NOSUID, _NODEV = (1 << 18) | (1 << 14), 2, 4  # MS_PRIVATE | MS_REC, MS_NOSUID, MS_NODEV
_libc = ctypes.CDLL(None, use_errno=True)
_Header, _Sets = (
    ctypes.c_uint32 * 2,
    ctypes.c_uint32 * 6,
)  # made once: a type costs a forked process many pages


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("operations", ctypes.c_char_p))


def fork_into(namespaces: int) -> int:
    """Fork into new namespaces; the child is the first process of its own. Only for a process with one thread.

    Raises:
        OSError: The kernel refused.
    """
    number = _CLONE[platform.machine()]
    return _checked(_libc.syscall(number, ctypes.c_ulong(namespaces | signal.SIGCHLD), 0, 0, 0, 0))


def hide_memory() -> None:
    """Keep every process without capabilities from reading this one's memory and environment."""
    _control(_SET_DUMPABLE, 0)


def mount_scratch(path: str, *, n_bytes: int, n_inodes: int) -> None:
    """Mount an empty folder in memory at ``path``, for this mount namespace alone.

    Raises:
        OSError: The kernel refused.
    """
    _checked(_libc.mount(None, b"/", None, ctypes.c_ulong(_PRIVATE), None))
    options = f"size={n_bytes},nr_inodes={n_inodes},mode=0700".encode()
    _checked(
        _libc.mount(
            b"tmpfs", path.encode(), b"tmpfs", ctypes.c_ulong(_NOSUID | _NODEV), ctypes.c_char_p(options)
        )
    )


def drop_capabilities() -> None:
    """Give up every capability, for good.

    Raises:
        OSError: The kernel refused.
    """
    try:
        _control(_AMBIENT, _CLEAR_ALL)
    except OSError as error:
        if error.errno != errno.EINVAL:  # gVisor has no ambient ones
            raise
    for capability in range(_LAST_CAPABILITY + 1):
        if _libc.prctl(_CAP_DROP, ctypes.c_ulong(capability), 0, 0, 0):
            break  # past the last one
    _control(_NO_NEW_PRIVILEGES, 1)
    _checked(_libc.capset(_Header(_CAPABILITY_VERSION_3, 0), _Sets()))


def filter_system_calls(program: bytes) -> None:
    """Apply a seccomp filter, an array of ``struct sock_filter``, to this process and all that it starts.

    Raises:
        OSError: The kernel refused.
    """
    compiled = _Program(len(program) // 8, program)
    _checked(_libc.prctl(_SET_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(compiled), 0, 0))


def _control(option: int, value: int) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def _checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
