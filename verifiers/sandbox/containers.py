"""A long-lived container with a preloaded Python in it, and the pairs of judge and judged that it forks for claims."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from typing import Any

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.cell import START_TIMEOUT_S
from verifiers.sandbox.engine import ROOM, Container, Engine, unframed
from verifiers.sandbox.hearing import Hearing
from verifiers.sandbox.inside import wire
from verifiers.sandbox.inside.streams import (
    CONTROL,
    JUDGE_PRINTED,
    REPORT,
    STDERR,
    STDOUT,
    Parts,
    message,
    pieces,
)
from verifiers.sandbox.lanes import MAX_AGE_S
from verifiers.sandbox.patience import POLL_S, Patience, Times, backstops_s
from verifiers.sandbox.printed import Printed
from verifiers.sandbox.protocol import Ending, Job, Limit, Limits, Trial
from verifiers.sandbox.seccomp import filter_program
from verifiers.sandbox.waiting import readable

_END_TIMEOUT_S = 30.0  # for everything of a claim to be killed and wiped
_UIDS_EACH = 1000
_N_UID_RANGES = 2_000_000  # of 2^31, and none near the uids of real users


class ContainerStation:
    """One container and the connection to its first process; serves one claim at a time."""

    def __init__(self, engine: Engine, image: str, limits: Limits) -> None:
        """Start it.

        Args:
            engine: Where.
            image: Of what.
            limits: Of which only the sizes count that belong to the container as a whole.

        Raises:
            SandboxUnavailableError: It did not start.
        """
        self.began = time.monotonic()
        self.n_claims = 0
        self.doubted = False
        # RLIMIT_NPROC counts the processes of a uid on the whole machine, so no two containers may share one.
        first_uid = (1 + int.from_bytes(os.urandom(4), "big") % _N_UID_RANGES) * _UIDS_EACH
        code = (
            "from verifiers.sandbox.inside.container import main; "
            f"main({filter_program().hex()!r}, {first_uid}, {ROOM!r})"
        )
        self._container: Container = engine.start(image, code, limits)
        self._framed = bytearray()
        self._parts = Parts()
        try:
            self._await_up()
        except BaseException:
            self.close()
            raise

    @property
    def stream(self) -> socket.socket:
        """The connection to the container; doesn't block."""
        return self._container.stream

    def receive(self) -> list[tuple[int, bytes]]:
        """Return the pieces that have arrived.

        Raises:
            SandboxUnavailableError: The container is gone, or speaks in tongues.
        """
        try:
            data = self.stream.recv(65536)
            if data:
                self._framed += data
                return self._parts.feed(unframed(self._framed))
        except BlockingIOError:
            return []
        except (OSError, ValueError) as error:
            raise SandboxUnavailableError(f"the container cannot be heard: {error}") from error
        raise SandboxUnavailableError("the container ended")

    def is_fresh(self, max_claims: int) -> bool:
        """Return whether it is beyond doubt: alive, clean, silent, young, and not used often."""
        young = self.n_claims < max_claims and time.monotonic() - self.began < MAX_AGE_S
        return young and not self.doubted and not readable(self.stream.fileno())

    def close(self) -> None:
        """End it and delete it."""
        self._container.remove()

    def _await_up(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while readable(self.stream.fileno(), max(deadline - time.monotonic(), 0)):
            if self.receive():  # its first word is that it is up
                self.stream.setblocking(False)  # noqa: FBT003 - positional only
                return
        raise SandboxUnavailableError(f"the container did not come up within {START_TIMEOUT_S:g} s")


def judge_in_container(station: ContainerStation, job: Job, limits: Limits) -> Trial:
    """Run one pair in a container to its end.

    Raises:
        SandboxUnavailableError: It could not be run; says nothing about the program.
    """
    pair = _Pair(station, job, limits)
    pair.watch()
    return pair.trial()


class _Pair:
    """Judge and judged of one job in a container while they run, as seen from the worker."""

    def __init__(self, station: ContainerStation, job: Job, limits: Limits) -> None:
        station.n_claims += 1
        self._station = station
        self._hearing = Hearing()
        self._patience = Patience(limits)
        self._printed = {
            True: Printed(limits.output_bytes),
            False: Printed(limits.output_bytes),
        }  # by the judged?
        self._limits: dict[bool, Limit | None] = {True: None, False: None}
        self._times: tuple[Times, Times] = (0.0, 0.0), (0.0, 0.0)  # judge, judged
        self._ended: list[Any] | None = None
        self._stopped_at: float | None = None
        sizes = (limits.address_space_bytes, limits.n_processes, limits.file_bytes)
        judged_cpu_s, judge_cpu_s = backstops_s(limits)
        try:
            framed = wire.frame(job.message())
        except wire.WireError as error:
            raise SandboxUnavailableError(f"the job cannot be sent: {error}") from error
        start = message(["pair", (judge_cpu_s, *sizes), (judged_cpu_s, *sizes)])
        self._outgoing = bytearray(start + pieces(REPORT, framed))

    def watch(self) -> None:
        """Carry on until nothing is left of the pair.

        Raises:
            SandboxUnavailableError: The container is gone, or doesn't come to an end with it.
        """
        stream = self._station.stream
        poll = select.poll()
        looked_at = time.monotonic()
        self._write()
        while self._ended is None:
            poll.register(stream, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
            for _, events in poll.poll(POLL_S * 1000):
                if events & select.POLLOUT:
                    self._write()
                if events & ~select.POLLOUT:
                    self._read()
            if time.monotonic() - looked_at > POLL_S:
                self._enforce()
                looked_at = time.monotonic()
        self._station.doubted |= bool(self._outgoing) or not self._ended[3]

    def trial(self) -> Trial:
        """Say what came of them."""
        assert self._ended is not None  # noqa: S101 - watched until then
        judge, judged, killed_for_memory, _ = self._ended
        if killed_for_memory:  # by the kernel; if not the judge, then something of the program
            of_judged = judge[0] is None or os.WTERMSIG(judge[0]) != signal.SIGKILL
            self._limits[of_judged] = self._limits[of_judged] or Limit.MEMORY
        behaviour = self._hearing.behaviour if self._limits[True] is not Limit.WALL else None
        return Trial(
            report=self._hearing.report,
            behaviour=behaviour,
            used=self._hearing.used,
            judge=self._ending(judge, of_judged=False),
            judged=self._ending(judged, of_judged=True),
            starved=self._patience.starved,
        )

    def _ending(self, told: list[Any], *, of_judged: bool) -> Ending:
        status, cpu_s = told
        code = None if status is None else os.waitstatus_to_exitcode(status)
        printed = self._printed[of_judged]
        return Ending(
            exit_code=128 - code if code is not None and code < 0 else code,
            cpu_s=round(cpu_s, 3),
            limit=self._limits[of_judged],
            stdout=printed.text(STDOUT),
            stderr=printed.text(STDERR if of_judged else JUDGE_PRINTED),
        )

    def _write(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: self._station.stream.send(self._outgoing[:65536])]
        except BlockingIOError:
            return
        except OSError as error:
            raise SandboxUnavailableError(f"the container cannot be spoken to: {error}") from error

    def _read(self) -> None:
        for channel, data in self._station.receive():
            if channel == CONTROL:
                self._note(*json.loads(data))
            elif channel == REPORT:
                self._hear(data)
            else:
                of_judged = channel != JUDGE_PRINTED
                if not self._printed[of_judged].take(channel, data):
                    self._stop(Limit.OUTPUT, of_judged=of_judged)

    def _note(self, word: str, *facts: Any) -> None:  # noqa: ANN401 - JSON of code that has not met a claim
        if word == "times":
            self._times = tuple(facts[0]), tuple(facts[1])
        elif word == "ended":
            self._ended = list(facts)
        else:
            self._station.doubted = True
            raise SandboxUnavailableError(f"a claim's process could not be confined: {facts}")

    def _hear(self, part: bytes) -> None:
        reported = self._hearing.reported
        if not self._hearing.take(part):
            self._stop(None, of_judged=False)
        if self._hearing.reported and not reported:
            self._patience.begin_behaviour(self._times[1])

    def _enforce(self) -> None:
        if self._limits[True] is None:
            limit = self._patience.exceeded(self._times[1], self._times[0])
            if limit is not None:
                self._stop(limit, of_judged=True)
        if self._patience.is_over():
            self._stop(None, of_judged=False)
        if self._stopped_at is not None and time.monotonic() > self._stopped_at + _END_TIMEOUT_S:
            raise SandboxUnavailableError("a claim's processes in its container did not end in time")

    def _stop(self, limit: Limit | None, *, of_judged: bool) -> None:
        """End one of the two, and with the judge all of it; the first reason stands."""
        if not of_judged and self._stopped_at is None:
            self._stopped_at = time.monotonic()
            self._outgoing += message(["stop", "all"])
        elif of_judged and self._limits[True] is None:
            self._outgoing += message(["stop", "judged"])
        self._limits[of_judged] = self._limits[of_judged] or limit
        self._write()
