"""Judge and judged of one job while they run, each in a cell of its own."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable
from typing import TypeAlias

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.cell import Cell
from verifiers.sandbox.hearing import Hearing
from verifiers.sandbox.inside import wire
from verifiers.sandbox.patience import POLL_S, Patience, backstops_s
from verifiers.sandbox.protocol import Job, Limit, Limits, Trial
from verifiers.sandbox.waiting import readable

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
        judged_cpu_s, judge_cpu_s = backstops_s(limits)
        fds = (far_report.fileno(), judge_end.fileno())
        self._judged = start("judged", (judged_end.fileno(),), judged_cpu_s)
        stack.callback(self._judged.abandon)
        self._judge = start("judge", fds, judge_cpu_s)
        stack.callback(self._judge.abandon)
        for end in (far_report, judge_end, judged_end):
            end.close()  # so that the end of one side is seen by the other
        self._hearing = Hearing()
        self._patience = Patience(limits)

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
        listening, looked_at = True, time.monotonic()
        while listening and not self._patience.is_over():
            for fd, _ in poll.poll(POLL_S * 1000):
                if fd == self._report.fileno():
                    listening = self._hear()
                elif not cells[fd].read(fd):
                    poll.unregister(fd)
            if time.monotonic() - looked_at > POLL_S:
                self._enforce()
                looked_at = time.monotonic()
        for fd, cell in cells.items():
            _drain(cell, fd)

    def trial(self) -> Trial:
        """End both cells and say what came of them."""
        judged, judge = self._judged.end(), self._judge.end()
        limited = self._judged.limits_memory and self._judge.limits_memory
        return Trial(
            report=self._hearing.report,
            behaviour=self._hearing.behaviour if judged.limit is not Limit.WALL else None,
            used=self._hearing.used,
            judge=judge,
            judged=judged,
            starved=self._patience.starved,
            warnings=() if limited else (NO_GROUPS,),
        )

    def _hear(self) -> bool:
        """Take a part of the judge's word; return False when there will be no more."""
        try:
            part = self._report.recv(65536)
        except OSError:
            return False
        reported = self._hearing.reported
        if not part or not self._hearing.take(part):
            return False
        if self._hearing.reported and not reported:
            self._patience.begin_behaviour(self._judged.times())
        return True

    def _enforce(self) -> None:
        if self._judged.limit is not None:
            return
        limit = self._patience.exceeded(self._judged.times(), self._judge.times())
        if limit is not None:
            self._judged.stop(limit)


def _drain(cell: Cell, fd: int) -> None:
    """Take what is left in the pipe, without waiting for more."""
    while readable(fd) and cell.read(fd):
        continue
