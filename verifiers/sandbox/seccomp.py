"""A filter of system calls, assembled by hand: what a program under test never needs and an attacker would.

Namespaces already keep the sandbox apart. The filter takes away the kernel's larger and younger attack surfaces, the
ways to look into another process, and every socket family but AF_UNIX. Classic BPF, as ``seccomp(2)`` wants it; the
numbers are those of the kernel's ``unistd_64.h`` (x86_64) and ``asm-generic/unistd.h`` (aarch64).
"""

from __future__ import annotations

import errno
import platform
import struct

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENT_0 = 0, 4, 16  # offsets in struct seccomp_data, low words
_X32_BIT = 0x40000000
_AF_UNIX = 1
# CLONE_NEWTIME | NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
_NEW_NAMESPACES = (
    0x00000080 | 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
)

# name: (x86_64, aarch64), None where the architecture has no such call
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # looking into, or reaching into, other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "pidfd_open": (434, 434), "process_madvise": (440, 440),
    # namespaces and mounts
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    # large attack surfaces
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "bpf": (321, 280),
    "userfaultfd": (323, 282), "perf_event_open": (298, 241), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262), "memfd_secret": (447, 447),
    # memory that no limit of a process counts
    "memfd_create": (319, 279), "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190),
    # the machine
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "syslog": (103, 116), "quotactl": (179, 60), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "iopl": (172, None), "ioperm": (173, None),
    "modify_ldt": (154, None), "personality": (135, 92), "vhangup": (153, 58), "mbind": (237, 235),
    "set_mempolicy": (238, 237), "migrate_pages": (256, 238), "move_pages": (279, 239),
}  # fmt: skip
_ARCHITECTURES = {  # machine: (AUDIT_ARCH, column in the table, socket, socketpair, clone, clone3)
    "x86_64": (0xC000003E, 0, 41, 53, 56, 435),
    "aarch64": (0xC00000B7, 1, 198, 199, 220, 435),
}


def machines() -> tuple[str, ...]:
    """Return the processor architectures that there is a filter for."""
    return tuple(_ARCHITECTURES)


def filter_program(machine: str | None = None) -> bytes:
    """Return the filter for ``machine`` (default: this one) as an array of ``struct sock_filter``.

    Raises:
        KeyError: There is no table for this architecture.
    """
    audit, column, socket, socketpair, clone, clone3 = _ARCHITECTURES[machine or platform.machine()]
    refused = [
        _op(_LOAD, _ARCHITECTURE),
        *_unless_equal(audit, _KILL),
        _op(_LOAD, _NUMBER),
    ]
    if column == 0:  # the x32 calls of x86_64 have the same effects under other numbers
        refused += [_op(_JUMP_AT_LEAST, _X32_BIT, 0, 1), _op(_RETURN, _ERRNO | errno.ENOSYS)]
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            refused += [_op(_JUMP_EQUAL, number, 0, 1), _op(_RETURN, _ERRNO | errno.EPERM)]
    # clone3 hides its flags behind a pointer; libc falls back to clone when it hears ENOSYS.
    refused += [_op(_JUMP_EQUAL, clone3, 0, 1), _op(_RETURN, _ERRNO | errno.ENOSYS)]
    refused += [
        _op(_JUMP_EQUAL, clone, 0, 4),
        _op(_LOAD, _ARGUMENT_0),
        _op(_JUMP_ANY_BIT, _NEW_NAMESPACES, 0, 1),
        _op(_RETURN, _ERRNO | errno.EPERM),
        _op(_RETURN, _ALLOW),
    ]
    for number in (socket, socketpair):
        refused += [
            _op(_JUMP_EQUAL, number, 0, 4),
            _op(_LOAD, _ARGUMENT_0),
            _op(_JUMP_EQUAL, _AF_UNIX, 1, 0),
            _op(_RETURN, _ERRNO | errno.EAFNOSUPPORT),
            _op(_RETURN, _ALLOW),
        ]
    return b"".join([*refused, _op(_RETURN, _ALLOW)])


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _unless_equal(value: int, action: int) -> list[bytes]:
    return [_op(_JUMP_EQUAL, value, 1, 0), _op(_RETURN, action)]
