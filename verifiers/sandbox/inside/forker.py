"""The first process of a long-lived sandbox: Python with everything imported, which forks each claim into its own.

It takes no data of any claim: a claim's descriptors come in, its process identifier goes out. What the claim's process
reads, it reads itself, after it has become powerless. So there is nothing here for a later claim to find.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import random
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

from verifiers.sandbox.inside import kernel

SCRATCH = "/tmp"  # noqa: S108 - of a claim's own mount namespace
BROKEN = 125  # the exit code of a process that could not be confined
# Not the network: with a claim's processes its sockets are gone, and a new one costs half as much as the fork itself.
_NAMESPACES = kernel.NEW_PIDS | kernel.NEW_MOUNTS | kernel.NEW_IPC


def main(control_fd: int, module: str, seccomp: str) -> NoReturn:
    """Serve one claim at a time until the worker hangs up.

    At ``control_fd``, a socket that keeps messages apart: in comes a JSON list of numbers (bytes and inodes of the
    scratch folder, then the limits for ``confine``) with descriptors (standard output, standard error, then those for
    the main function of ``module``). Out come ``["forked"]`` with a descriptor of the process, ``["ready"]`` by that
    process itself once it is confined or ``["broken", why]``, and ``["ended", status, CPU seconds]`` when it and all
    it started are dead: it is the first of its process namespace, and the kernel has killed the others before.

    Args:
        control_fd: The socket to the worker.
        module: Which side this is, ``judge`` or ``judged``.
        seccomp: The system call filter, in hexadecimal digits.
    """
    control = socket.socket(fileno=control_fd)
    kernel.hide_memory()
    run: Callable[..., None] = importlib.import_module(f"verifiers.sandbox.inside.{module}").main
    program = bytes.fromhex(seccomp)
    gc.collect()
    gc.freeze()  # so that no collection in a child copies all pages
    control.send(b'["up"]')
    while True:
        message, fds, _, _ = socket.recv_fds(control, 65536, 8)
        if not message:
            os._exit(0)
        pid = kernel.fork_into(_NAMESPACES)
        if pid == 0:
            _become_claim(control, run, program, json.loads(message), fds)
        pidfd = os.pidfd_open(pid)
        socket.send_fds(control, [b'["forked"]'], [pidfd])
        for fd in (pidfd, *fds):
            os.close(fd)
        _, status, usage = os.wait4(pid, 0)
        cpu_s = round(usage.ru_utime + usage.ru_stime, 3)
        control.send(json.dumps(["ended", status, cpu_s]).encode())


def _become_claim(
    control: socket.socket, run: Callable[..., None], program: bytes, numbers: list[int], fds: list[int]
) -> NoReturn:
    try:
        n_bytes, n_inodes, *limits = numbers
        os.setsid()
        os.dup2(fds[0], 1)
        os.dup2(fds[1], 2)
        kernel.mount_scratch(SCRATCH, n_bytes=n_bytes, n_inodes=n_inodes)
        os.chdir(SCRATCH)
        kernel.drop_capabilities()
        kernel.filter_system_calls(program)
        random.seed()
        control.send(b'["ready"]')
    except BaseException as error:  # noqa: BLE001 - whatever it is, the program must not run
        with contextlib.suppress(OSError):
            control.send(json.dumps(["broken", f"{type(error).__name__}: {error}"]).encode())
        os._exit(BROKEN)
    try:
        run(*fds[2:], *limits)  # closes all other descriptors first
    except BaseException:  # noqa: BLE001 - as an interpreter would do at its end
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)  # never back into the forker's loop
