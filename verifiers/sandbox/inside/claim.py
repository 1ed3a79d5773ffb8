"""Judge and judged of one claim in a container, from their forks to their last trace.

Namespaces would need rights that a container should not have. So it is the uid that keeps the two apart, and both from
the claims before and after; and the judged has another root folder, in which there is no /proc, no /sys, nothing of
the engine's, and not the judge's scratch folder.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time

from verifiers.sandbox.inside.forker import SCRATCH
from verifiers.sandbox.inside.relay import Intake, Outlet, tell
from verifiers.sandbox.inside.remains import End, end_everything, n_killed_for_memory, times, wipe
from verifiers.sandbox.inside.side import Kind, Side
from verifiers.sandbox.inside.streams import JUDGE_PRINTED, REPORT, STDERR, STDOUT

_TICK_S = 0.05  # how often the CPU times are told


class Claim:
    """One claim, while it runs."""

    def __init__(
        self, judge: Kind, judged: Kind, uid: int, limits: list[list[int]], *, intake: Intake, out: int
    ) -> None:
        self._intake, self._out = intake, out
        self._rooms = (judge.root + SCRATCH, judged.root + SCRATCH)
        self._n_killed = n_killed_for_memory()
        self._over = False
        report, far_report = socket.socketpair()
        self._link, program_link = socket.socketpair()  # the judge's end stays open here, to hang up
        pipes = {channel: os.pipe() for channel in (STDOUT, STDERR, JUDGE_PRINTED)}
        written = {channel: far for channel, (_, far) in pipes.items()}
        self._ready, ready = os.pipe()
        judge_limits, judged_limits = limits
        self._judged = Side(
            judged,
            uid,
            printed=(written[STDOUT], written[STDERR]),
            ready=ready,
            fds=(program_link.fileno(),),
            limits=judged_limits,
        )
        self._judge = Side(
            judge,
            uid + 1,
            printed=(written[JUDGE_PRINTED], written[JUDGE_PRINTED]),
            ready=ready,
            fds=(far_report.fileno(), self._link.fileno()),
            limits=judge_limits,
        )
        for fd in (ready, far_report.detach(), program_link.detach(), *written.values()):
            os.close(fd)
        report.setblocking(False)  # noqa: FBT003 - positional only
        self._report = report.detach()
        near = {REPORT: self._report, **{channel: end for channel, (end, _) in pipes.items()}}
        self._outlets = {fd: Outlet(fd, channel, out, intake.mover) for channel, fd in near.items()}
        self._poll = select.poll()
        for fd in (intake.fd, self._ready, *self._judge.wakers, *self._judged.wakers, *self._outlets):
            self._poll.register(fd, select.POLLIN)
        self._poll.modify(
            self._report, 0
        )  # heard at its end, or every tick: each message costs the engine work

    def serve(self) -> None:
        """Carry its streams until the judge has ended or the worker says that it is over; then end all of it."""
        told_at = time.monotonic()
        while not self._over:
            for fd, events in self._poll.poll(_TICK_S * 1000):
                self._handle(fd, events)
            self._over |= self._judge.has_exited()
            if time.monotonic() - told_at > _TICK_S:
                tell(self._out, ["times", times(self._judge.pid), times(self._judged.pid)])
                self._outlets[self._report].drain()
                told_at = time.monotonic()
        self._end()

    def _handle(self, fd: int, events: int) -> None:
        if fd == self._intake.fd:
            self._take()
        elif fd in self._judge.wakers:
            self._poll.unregister(fd)
        elif fd in self._judged.wakers:
            self._poll.unregister(fd)
            self._hang_up()
        elif fd == self._ready:
            self._poll.unregister(fd)
            self._hear_ready()
        else:
            if events & select.POLLOUT:
                self._pass_on()
            if events & ~select.POLLOUT and not self._outlets[fd].pump():
                self._poll.unregister(fd)

    def _take(self) -> None:
        message = self._intake.next()
        if message is None:
            self._pass_on()
        elif message == ["stop", "judged"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._judged.pid, signal.SIGKILL)
            self._hang_up()
        elif message[0] == "stop":
            self._over = True

    def _pass_on(self) -> None:
        """Give the judge its job; nothing more is heard from the worker while the judge doesn't take it."""
        try:
            waits = self._intake.pass_on(self._report)
        except OSError:  # it is gone
            self._intake.drop()
            waits = False
        self._poll.register(self._report, select.POLLOUT if waits else 0)
        self._poll.register(self._intake.fd, 0 if waits else select.POLLIN)

    def _hang_up(self) -> None:
        """End the talk between the two, so that nothing which the program has left behind answers in its stead."""
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)

    def _hear_ready(self) -> None:
        """Hear the end of the pipe, which both close once they are confined, or why one could not be."""
        why = os.read(self._ready, 1000)
        if why:
            tell(self._out, ["broken", why.decode(errors="replace")])
            self._over = True

    def _end(self) -> None:
        sides = (self._judge, self._judged)
        exited = [side.has_exited() for side in sides]
        ends = end_everything()
        for outlet in self._outlets.values():
            outlet.drain()
            outlet.close()
        for side in sides:
            side.close()
        os.close(self._ready)
        self._link.close()
        n_unclean = sum(not wipe(room, side.uid) for room, side in zip(self._rooms, sides, strict=True))
        killed = n_killed_for_memory() > self._n_killed
        judge_end = ends.pop(self._judge.pid)
        judged_end = ends.pop(self._judged.pid)
        orphans_s = sum(end.cpu_s for end in ends.values())  # of the program, more likely than of the tests
        told = [
            [judge_end.status if exited[0] or not _is_ours(judge_end) else None, judge_end.cpu_s],
            [
                judged_end.status if exited[1] or not _is_ours(judged_end) else None,
                judged_end.cpu_s + orphans_s,
            ],
        ]
        tell(self._out, ["ended", *told, killed, not n_unclean])


def _is_ours(end: End) -> bool:
    """Return whether we may have ended it; else it was about to end by itself, its connection closed already."""
    return os.WIFSIGNALED(end.status) and os.WTERMSIG(end.status) == signal.SIGKILL
