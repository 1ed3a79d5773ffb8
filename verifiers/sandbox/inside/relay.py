"""Moves a claim's bytes through the first process of a container without ever reading them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import termios
from typing import Any

from verifiers.sandbox.inside.streams import CONTROL, HEADER_BYTES, PART_BYTES, header, message


def tell(out: int, content: list[Any]) -> None:
    """Send a message of this process itself."""
    write_all(out, message(content))


def write_all(fd: int, data: bytes) -> None:
    """Write it, however long that takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Mover:
    """Moves bytes between two descriptors inside the kernel."""

    def __init__(self) -> None:
        self._detour = os.pipe()

    def move(self, source: int, target: int, n_bytes: int) -> int:
        """Move at most so many bytes; return how many.

        Raises:
            BlockingIOError: There is nothing to take, or no place for it.
            OSError: Nobody reads any more.
        """
        try:
            return os.splice(source, target, n_bytes)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        # gVisor doesn't move from a socket to a pipe of the host's: by a pipe of ours, then.
        n_taken = os.splice(source, self._detour[1], n_bytes)
        left = n_taken
        while left:
            left -= os.splice(self._detour[0], target, left)
        return n_taken


class Intake:
    """Standard input: messages for this process, and pieces for the judge.

    Args:
        fd: Where they come from.
        nothing: Where to throw what nobody wants, a descriptor of /dev/null.
    """

    def __init__(self, fd: int, nothing: int) -> None:
        self.mover = Mover()
        self.fd = fd
        self._nothing = nothing
        self._n_left = 0  # of the current piece

    @property
    def amidst(self) -> bool:
        """Whether a piece has been passed on in part."""
        return self._n_left > 0

    def message(self) -> list[Any]:
        """Return the next message for this process; waits, and drops all pieces before it."""
        while True:
            self.drop()
            found = self.next()
            if found is not None:
                return found

    def next(self) -> list[Any] | None:
        """Return the next message, or None if a piece comes now, to be passed on."""
        head = self._exactly(HEADER_BYTES)
        channel, size = head[0], int.from_bytes(head[1:], "big")
        if channel == CONTROL:
            content: list[Any] = json.loads(self._exactly(size))
            return content
        self._n_left = size
        return None

    def pass_on(self, target: int) -> bool:
        """Pass on what fits; return whether more of the piece is to come.

        Raises:
            OSError: Nobody reads any more.
        """
        with contextlib.suppress(BlockingIOError):
            while self._n_left:
                self._n_left -= self.mover.move(self.fd, target, self._n_left) or self._gone()
        return self._n_left > 0

    def drop(self) -> None:
        """Throw away what is left of the current piece."""
        self.pass_on(self._nothing)

    def _exactly(self, n_bytes: int) -> bytes:
        data = b""
        while len(data) < n_bytes:
            data += os.read(self.fd, n_bytes - len(data)) or self._gone()
        return data

    def _gone(self) -> Any:  # noqa: ANN401 - doesn't return
        os._exit(0)  # the worker is gone; with this process the container ends, and all that is in it


class Outlet:
    """One stream of a claim on its way out."""

    def __init__(self, fd: int, channel: int, out: int, mover: Mover) -> None:
        self.fd = fd
        self._channel = channel
        self._out = out
        self._mover = mover

    def pump(self) -> bool:
        """Send what can be read now; return False at its end."""
        n_bytes = min(_n_readable(self.fd), PART_BYTES)
        write_all(self._out, header(self._channel, n_bytes))
        left = n_bytes
        while left:
            left -= self._mover.move(self.fd, self._out, left)
        return n_bytes > 0

    def drain(self) -> None:
        """Send all that can still be read without waiting."""
        while _n_readable(self.fd):
            self.pump()

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)


def _n_readable(fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"), "little")
