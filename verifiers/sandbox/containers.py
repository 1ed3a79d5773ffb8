"""A long-lived container with a preloaded Python in it, and the confined processes that it forks for claims."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.cell import START_TIMEOUT_S, Cell
from verifiers.sandbox.engine import Container, Engine, unframed
from verifiers.sandbox.inside.streams import CONTROL, Channels, Parts, message
from verifiers.sandbox.protocol import Limits
from verifiers.sandbox.seccomp import filter_program
from verifiers.sandbox.waiting import readable

_END_TIMEOUT_S = 30.0  # for everything of a claim to be killed and wiped
_MAX_WAITING_BYTES = 8 * 1024 * 1024  # for the container; then nothing more is read that is meant for it
_UIDS_EACH = 1000
_N_UID_RANGES = 2_000_000  # of 2^31, and none near the uids of real users


class ContainerStation:
    """One container and the connection to its first process; serves one claim at a time."""

    def __init__(self, engine: Engine, image: str, module: str, limits: Limits) -> None:
        """Start it.

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
            f"main({module!r}, {filter_program().hex()!r}, {first_uid})"
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
        """The connection to the container."""
        return self._container.stream

    def receive(self) -> list[tuple[int, bytes]]:
        """Return the pieces that have arrived; waits for some bytes.

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

    def idle(self) -> bool:
        """Return whether it is alive, clean, and has nothing more to say about an earlier claim."""
        return not self.doubted and not readable(self.stream.fileno())

    def close(self) -> None:
        """End it and delete it."""
        self._container.remove()

    def _await_up(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while readable(self.stream.fileno(), max(deadline - time.monotonic(), 0)):
            if self.receive():  # its first word is that it is up
                return
        raise SandboxUnavailableError(f"the container did not come up within {START_TIMEOUT_S:g} s")


class ContainerCell(Cell):
    """A process forked in a container; a thread carries its streams to and fro."""

    def __init__(self, station: ContainerStation, fds: Sequence[int], limits: Limits, *, cpu_s: int) -> None:
        """Have it forked; it waits for what the descriptors say."""
        outputs = [socket.socketpair() for _ in range(2)]
        near_out, near_err = (near.detach() for near, _ in outputs)
        super().__init__((near_out, near_err), limits)
        station.n_claims += 1
        self._station = station
        self._words: dict[str, list[Any]] = {}
        self._heard = threading.Condition()
        self._wake, self._woken = socket.socketpair()
        numbers = (cpu_s, limits.address_space_bytes, limits.n_processes, limits.file_bytes)
        self._outgoing = bytearray(message(["fork", len(fds), numbers]))
        far = [end.detach() for _, end in outputs]
        self._poll = select.poll()
        self._channels = Channels(
            dict(enumerate([*far, *(os.dup(fd) for fd in fds)], 1)), self._outgoing.extend, self._poll
        )
        station.stream.setblocking(False)  # noqa: FBT003 - positional only
        self._thread = threading.Thread(target=self._carry, name="sandbox-streams", daemon=True)
        self._thread.start()

    def settle(self) -> None:
        """Wait until the process is confined."""
        self._await("ready", START_TIMEOUT_S)

    @property
    def limits_memory(self) -> bool:
        """Whether memory is limited for all of its processes together; every container is."""
        return True

    def times(self) -> tuple[float, float]:
        """Return the CPU time used and the time spent waiting for a processor, as the container last said."""
        cpu_s, waited_s = self._words.get("times", (0.0, 0.0))
        return cpu_s, waited_s

    def _has_exited(self) -> bool:
        return True  # whether it had is among what the container says at the end

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            self._wake.send(b"!")

    def _reap(self) -> tuple[int | None, float]:
        try:
            status, cpu_s, _, clean = self._await("ended", _END_TIMEOUT_S)
        except SandboxUnavailableError:
            self._station.doubted = True
            self._release()
            raise
        self._station.doubted |= not clean
        code = None if status is None else os.waitstatus_to_exitcode(status)
        return (128 - code if code is not None and code < 0 else code), cpu_s

    def _out_of_memory(self) -> bool:
        return bool(self._words["ended"][2])

    def _release(self) -> None:
        with self._heard:
            self._words.setdefault("gone", ["it is not waited for any more"])
        self._wake.close()  # the thread's sign to end, if it has not
        self._thread.join()
        for fd in self._streams:
            os.close(fd)

    def _await(self, word: str, timeout_s: float) -> list[Any]:
        with self._heard:
            done = self._heard.wait_for(lambda: {word, "gone", "broken"} & self._words.keys(), timeout_s)
            if word in self._words:
                return self._words[word]
        why = [*self._words.get("broken", ()), *self._words.get("gone", ())] if done else ["it took too long"]
        raise SandboxUnavailableError(f"a claim's process in its container: {why[0]}")

    # The thread

    def _carry(self) -> None:
        try:
            while not {"ended", "gone"} & self._words.keys():
                self._turn()
        except SandboxUnavailableError as error:
            self._say("gone", [str(error)])
        finally:
            self._channels.close()
            self._woken.close()

    def _turn(self) -> None:
        stream = self._station.stream
        full = len(self._outgoing) > _MAX_WAITING_BYTES
        wanted = select.POLLIN | (select.POLLOUT if self._outgoing else 0)
        self._poll.register(stream, wanted)
        self._poll.register(self._woken, select.POLLIN)
        for fd, events in self._poll.poll():
            if fd == stream.fileno():
                if events & select.POLLOUT:
                    self._write()
                if events & ~select.POLLOUT:
                    self._read()
            elif fd == self._woken.fileno():
                self._outgoing += message(["kill"]) if self._woken.recv(64) else b""
            elif not full and self._channels.owns(fd):
                self._channels.handle(fd, events)

    def _write(self) -> None:
        try:
            del self._outgoing[: self._station.stream.send(self._outgoing[:65536])]
        except BlockingIOError:
            return
        except OSError as error:
            raise SandboxUnavailableError(f"the container cannot be spoken to: {error}") from error

    def _read(self) -> None:
        for channel, data in self._station.receive():
            if channel == CONTROL:
                word, *rest = json.loads(data)
                self._say(word, rest)
            else:
                self._channels.take(channel, data)

    def _say(self, word: str, rest: list[Any]) -> None:
        with self._heard:
            self._words[word] = rest
            self._heard.notify_all()
