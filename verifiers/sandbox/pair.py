"""Judge and judged of one job while they run, whatever their cells are made of."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.cell import Cell
from verifiers.sandbox.inside import wire
from verifiers.sandbox.protocol import Job, Limit, Limits, Trial
from verifiers.sandbox.waiting import readable

_POLL_S = 0.05  # how exactly CPU time is enforced
_GRACE_S = 2.0  # for the judge to say what the program was doing when it was stopped
_BEHAVIOUR_WALL_S = 5.0
_JUDGE_CPU_FACTOR = 2  # the tests' own work, beside the program's
_MAX_REPORT_BYTES = 1024 * 1024
_STARVED_SHARE = 0.2  # of the wall time, below which a pair was asleep and not kept from running
Starter: TypeAlias = Callable[[str, tuple[int, ...], int], Cell]
"""Starts a cell: which side, its descriptors, its last limit of CPU time in seconds."""

NO_GROUPS = "no control groups here: memory is limited for each process, not for all of them together"


def run_pair(start: Starter, job: Job, limits: Limits) -> Trial:
    """Run one pair, whose cells ``start`` starts, to its end.

    Raises:
        SandboxUnavailableError: It could not be started; says nothing about the program.
    """
    with contextlib.ExitStack() as stack:
        pair = _Pair(start, limits, stack)
        pair.begin(job)
        pair.watch()
        return pair.trial()


class _Pair:
    """Judge and judged of one job while they run."""

    def __init__(self, start: Starter, limits: Limits, stack: contextlib.ExitStack) -> None:
        self._limits = limits
        self._report, far_report = (stack.enter_context(end) for end in socket.socketpair())
        judge_end, judged_end = (stack.enter_context(end) for end in socket.socketpair())
        cpu_s = math.ceil(limits.cpu_s + limits.behaviour_cpu_s) + 1  # a backstop: the worker is more exact
        fds = (far_report.fileno(), judge_end.fileno())
        self._judged = start("judged", (judged_end.fileno(),), cpu_s)
        stack.callback(self._judged.abandon)
        self._judge = start("judge", fds, _JUDGE_CPU_FACTOR * cpu_s + 2)
        stack.callback(self._judge.abandon)
        for end in (far_report, judge_end, judged_end):
            end.close()  # so that the end of one side is seen by the other
        self._received = b""
        self._frames: dict[str, Any] = {}
        self._began = time.monotonic()
        self._deadline = self._began + limits.wall_s
        self._cpu_limit_s = limits.cpu_s
        self._starved = False

    def begin(self, job: Job) -> None:
        """Give the judge the job, once both cells are settled and limited."""
        self._judged.settle()
        self._judge.settle()
        self._report.settimeout(self._limits.wall_s)
        try:
            self._report.sendall(wire.frame(job.message()))
        except (OSError, wire.WireError) as error:
            raise SandboxUnavailableError(f"the judge did not take its job: {error}") from error

    def watch(self) -> None:
        """Read what comes until the judge has nothing more to say or a limit is hit."""
        poll = select.poll()
        cells = {fd: cell for cell in (self._judge, self._judged) for fd in cell.streams}
        for fd in (self._report.fileno(), *cells):
            poll.register(fd, select.POLLIN)
        listening = True
        while listening and time.monotonic() < self._deadline + _GRACE_S:
            for fd, _ in poll.poll(_POLL_S * 1000):
                if fd == self._report.fileno():
                    listening = self._hear()
                elif not cells[fd].read(fd):
                    poll.unregister(fd)
            self._enforce()
        for fd, cell in cells.items():
            _drain(cell, fd)

    def trial(self) -> Trial:
        """End both cells and say what came of them."""
        judged, judge = self._judged.end(), self._judge.end()
        behaviour = self._frames.get("behaviour")
        texts = behaviour if isinstance(behaviour, list) and judged.limit is not Limit.WALL else None
        report = self._frames.get("report")
        limited = self._judged.limits_memory and self._judge.limits_memory
        return Trial(
            report=report if isinstance(report, dict) else None,
            behaviour=tuple(str(text) for text in texts) if texts else None,
            used="called" in self._frames,
            judge=judge,
            judged=judged,
            starved=self._starved,
            warnings=() if limited else (NO_GROUPS,),
        )

    def _hear(self) -> bool:
        """Take a part of the judge's word; return False when there will be no more."""
        try:
            part = self._report.recv(65536)
        except OSError:
            return False
        self._received += part
        if not part or len(self._received) > _MAX_REPORT_BYTES:
            return False
        for name, value in self._complete_frames():
            if name not in self._frames:  # the first word stands
                self._frames[name] = value
            if name == "report":
                self._begin_behaviour()
        return True

    def _complete_frames(self) -> Iterator[tuple[str, Any]]:
        while len(self._received) >= 4:
            size = int.from_bytes(self._received[:4], "big")
            if len(self._received) < 4 + size:
                return
            body, self._received = self._received[4 : 4 + size], self._received[4 + size :]
            try:
                frame = wire.parse(body)
            except wire.MalformedFrameError:
                return
            if isinstance(frame, list) and frame and isinstance(frame[0], str):
                yield frame[0], frame[1] if len(frame) > 1 else True

    def _begin_behaviour(self) -> None:
        """Give the generated inputs their own small budget; the outcome is known."""
        self._cpu_limit_s = self._judged.times()[0] + self._limits.behaviour_cpu_s
        self._deadline = time.monotonic() + _BEHAVIOUR_WALL_S

    def _enforce(self) -> None:
        cpu_s, waited_s = self._judged.times()
        if cpu_s > self._cpu_limit_s:
            self._judged.stop(Limit.CPU)
        if time.monotonic() > self._deadline and self._judged.limit is None:
            judge_cpu_s, judge_waited_s = self._judge.times()
            wanted_s = cpu_s + waited_s + judge_cpu_s + judge_waited_s
            self._starved = wanted_s > _STARVED_SHARE * (time.monotonic() - self._began)
            self._judged.stop(Limit.WALL)


def _drain(cell: Cell, fd: int) -> None:
    """Take what is left in the pipe, without waiting for more."""
    while readable(fd) and cell.read(fd):
        continue
