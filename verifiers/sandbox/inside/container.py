"""The first process of a container: Python with everything imported, which forks each claim under a uid of its own.

Namespaces would need rights that a container should not have, so here it is the uid that keeps claims apart: a fresh
one for each, under which everything is killed and wiped when the claim is over. All that this process keeps of root is
the right to change its uid.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import random
import select
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from verifiers.sandbox.inside import kernel
from verifiers.sandbox.inside.forker import BROKEN, SCRATCH
from verifiers.sandbox.inside.streams import CONTROL, Channels, Parts, message

_TICK_S = 0.05
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SWEEP_TIMEOUT_S = 10.0
_MEMORY_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def main(module: str, seccomp: str, first_uid: int) -> NoReturn:
    """Serve one claim at a time, at standard input and output, until the worker hangs up.

    In come ``["fork", number of streams, limits for confine]`` and ``["kill"]``, beside the pieces of streams. Out come
    ``["up"]``, ``["ready"]`` or ``["broken", why]``, ``["times", CPU seconds, seconds waited]`` again and again,
    and ``["ended", wait status, CPU seconds, killed for memory, clean]`` when nothing is left of it.

    Args:
        module: Which side this is, ``judge`` or ``judged``.
        seccomp: The system call filter, in hexadecimal digits.
        first_uid: The first of many numbers that no other container uses.
    """
    kernel.hide_memory()
    run: Callable[..., None] = importlib.import_module(f"verifiers.sandbox.inside.{module}").main
    program = bytes.fromhex(seccomp)
    out = os.dup(1)
    os.dup2(2, 1)  # nobody but this function writes to the stream
    gc.collect()
    gc.freeze()
    _send(out, message(["up"]))
    parts = Parts()
    for uid in range(first_uid, first_uid + 1000):
        request = _next_request(parts)
        _Claim(run, program, uid, request, out).serve(parts)
    os._exit(0)


def _send(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _receive(parts: Parts) -> list[tuple[int, bytes]]:
    data = os.read(0, 65536)
    if not data:
        os._exit(0)  # the worker is gone; with this process the container ends, and all that is in it
    return parts.feed(data)


def _next_request(parts: Parts) -> list[Any]:
    while True:
        for channel, data in _receive(parts):
            if channel == CONTROL:
                content: list[Any] = json.loads(data)
                if content[0] == "fork":
                    return content


class _Claim:
    """One claim's process, from its fork until nothing of it is left."""

    def __init__(
        self, run: Callable[..., None], program: bytes, uid: int, request: list[Any], out: int
    ) -> None:
        _, n_links, limits = request
        self._out = out
        self._uid = uid
        self._n_killed = _n_killed_for_memory()
        self._swept: tuple[int, float, bool] | None = None
        ready, far_ready = os.pipe()
        links = [socket.socketpair() for _ in range(n_links)]
        near_out, far_out = os.pipe()
        near_err, far_err = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _become_claim(
                run,
                program,
                uid,
                links=[far.detach() for _, far in links],
                ready=far_ready,
                output=(far_out, far_err),
                limits=limits,
            )
        for fd in (far_ready, far_out, far_err):
            os.close(fd)
        for _, far in links:
            far.close()
        with open(ready, encoding="utf-8") as confined:  # noqa: PTH123 - a descriptor
            word = confined.read()
        self._tell(["ready"] if word == "ready" else ["broken", word])
        self._poll = select.poll()
        self._poll.register(0, select.POLLIN)
        self._pidfd = os.pidfd_open(self.pid)
        self._poll.register(self._pidfd, select.POLLIN)
        near = [near_out, near_err, *(end.detach() for end, _ in links)]
        self._channels = Channels(dict(enumerate(near, 1)), lambda data: _send(out, data), self._poll)

    def serve(self, parts: Parts) -> None:
        """Carry its streams until the worker says that it is over, then end it."""
        told_at = 0.0
        going = True
        while going:
            for fd, events in self._poll.poll(_TICK_S * 1000):
                if fd == 0:
                    going = self._obey(parts)
                elif fd == self._pidfd:
                    self._poll.unregister(fd)
                    self._swept = _sweep(self._uid, self.pid)  # nobody answers in its stead
                else:
                    self._channels.handle(fd, events)
            if time.monotonic() - told_at > _TICK_S:
                self._tell(["times", *_times(self.pid)])
                told_at = time.monotonic()
        self._end()

    def _obey(self, parts: Parts) -> bool:
        going = True
        for channel, data in _receive(parts):
            if channel != CONTROL:
                self._channels.take(channel, data)
            elif json.loads(data) == ["kill"]:
                going = False
        return going

    def _end(self) -> None:
        by_itself = self._swept is not None or bool(select.select([self._pidfd], [], [], 0)[0])
        status, usage_s, swept = self._swept or _sweep(self._uid, self.pid)
        clean = swept and not any(Path(SCRATCH).iterdir())
        self._channels.drain()
        self._channels.close()
        os.close(self._pidfd)
        killed = _n_killed_for_memory() > self._n_killed
        self._tell(["ended", status if by_itself else None, round(usage_s, 3), killed, clean])

    def _tell(self, content: list[Any]) -> None:
        _send(self._out, message(content))


def _become_claim(
    run: Callable[..., None],
    program: bytes,
    uid: int,
    *,
    links: list[int],
    ready: int,
    output: tuple[int, int],
    limits: list[int],
) -> NoReturn:
    try:
        os.setsid()
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(output[0], 1)
        os.dup2(output[1], 2)
        Path("/proc/self/oom_score_adj").write_text("1000")  # when memory is short, the claim goes first
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)  # and with root go all capabilities
        os.umask(0o077)
        os.chdir(SCRATCH)
        kernel.drop_capabilities()
        kernel.hide_memory()
        kernel.filter_system_calls(program)
        random.seed()
        os.write(ready, b"ready")
    except BaseException as error:  # noqa: BLE001 - whatever it is, the program must not run
        with contextlib.suppress(OSError):
            os.write(ready, f"{type(error).__name__}: {error}".encode())
        os._exit(BROKEN)
    try:
        run(*links, *limits)  # closes all other descriptors first
    except BaseException:  # noqa: BLE001 - as an interpreter would do at its end
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)  # never back into the loop above


def _sweep(uid: int, claim: int) -> tuple[int, float, bool]:
    """Kill everything of a uid and remove its files.

    Returns:
        The claim's wait status, the CPU time of all that it started (seconds), and whether nothing is left.
    """
    sweeper = os.fork()
    if sweeper == 0:
        with contextlib.suppress(OSError):
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            _kill_all()
            _wipe()
            os._exit(0)
        os._exit(1)
    status, usage_s = 0, 0.0
    while True:  # orphans too: they are the first process's
        pid, its_status, usage = os.wait4(-1, 0)
        usage_s += usage.ru_utime + usage.ru_stime
        if pid == claim:
            status = its_status
        if pid == sweeper:
            return status, usage_s, its_status == 0


def _kill_all() -> None:
    deadline = time.monotonic() + _SWEEP_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            os.kill(-1, 9)  # all that this uid may kill, but this process
        except ProcessLookupError:
            return
        time.sleep(0.0002)  # for the first process to reap them
    os._exit(1)


def _wipe() -> None:
    for path in Path(SCRATCH).iterdir():
        if path.is_dir() and not path.is_symlink():
            for folder, folders, _ in os.walk(path):
                for inner in folders:
                    with contextlib.suppress(OSError):
                        Path(folder, inner).chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _times(pid: int) -> tuple[float, float]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        cpu_s = sum(int(fields[place]) for place in (11, 12, 13, 14)) / _TICKS_PER_S
        waited_s = int(Path(f"/proc/{pid}/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0, 0.0
    return cpu_s, waited_s


def _n_killed_for_memory() -> int:
    for name in _MEMORY_EVENTS:
        try:
            words = [line.split() for line in Path(name).read_text().splitlines()]
        except OSError:
            continue
        return sum(int(number) for key, number in words if key == "oom_kill")
    return 0
