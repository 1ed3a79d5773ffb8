"""Several byte streams carried over one, for a container whose only way out is its standard input and output."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from collections.abc import Callable, Mapping
from typing import Any

_HEADER_BYTES = 5  # channel, then the size of what follows
_PART_BYTES = 65536
_MAX_WAITING_BYTES = 32 * 1024 * 1024  # for somebody who doesn't read; then he is cut off
CONTROL = 0


def message(content: list[Any]) -> bytes:
    """Return a message to the other end itself."""
    return part(CONTROL, json.dumps(content).encode())


def part(channel: int, data: bytes) -> bytes:
    """Return a piece of one stream; an empty one is its end."""
    return channel.to_bytes(1, "big") + len(data).to_bytes(4, "big") + data


class Parts:
    """Takes a stream apart again."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take some bytes; return the pieces that are complete with them.

        Raises:
            ValueError: A piece claims to be larger than any is.
        """
        self._data += data
        found = []
        while len(self._data) >= _HEADER_BYTES:
            size = int.from_bytes(self._data[1:_HEADER_BYTES], "big")
            if size > _PART_BYTES:
                raise ValueError(f"a piece of {size} bytes")
            end = _HEADER_BYTES + size
            if len(self._data) < end:
                break
            found.append((self._data[0], bytes(self._data[_HEADER_BYTES:end])))
            del self._data[:end]
        return found


class Channels:
    """The near ends of the streams: what can be read from them goes out, what comes in is written to them.

    Args:
        fds: Descriptors by channel, owned from now on.
        send: Sends bytes to the far end.
        poll: Told which descriptors to watch.
    """

    def __init__(self, fds: Mapping[int, int], send: Callable[[bytes], None], poll: select.poll) -> None:
        self._fds = dict(fds)
        self._channels = {fd: channel for channel, fd in fds.items()}
        self._waiting = {channel: bytearray() for channel in fds}
        self._ending: set[int] = set()
        self._silent: set[int] = set()
        self._send = send
        self._poll = poll
        for channel, fd in fds.items():
            os.set_blocking(fd, False)
            self._watch(channel)

    def owns(self, fd: int) -> bool:
        """Return whether a descriptor is one of these."""
        return fd in self._channels

    def handle(self, fd: int, events: int) -> None:
        """Read from, and write to, a descriptor that is ready."""
        channel = self._channels[fd]
        if events & select.POLLOUT:
            self._write(channel)
        if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self._read(channel)
        self._watch(channel)

    def take(self, channel: int, data: bytes) -> None:
        """Write what came in; when it can't be written yet, later."""
        if channel not in self._fds:
            return
        if data:
            self._waiting[channel] += data
        else:
            self._ending.add(channel)
        self._write(channel)
        self._watch(channel)

    def drain(self) -> None:
        """Send all that can still be read without waiting."""
        for channel in self._fds:
            while channel not in self._silent and self._read(channel):
                continue

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self._fds.values():
            self._forget(fd)
            os.close(fd)
        self._fds.clear()
        self._channels.clear()

    def _read(self, channel: int) -> bool:
        try:
            data = os.read(self._fds[channel], _PART_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._silent.add(channel)
        self._send(part(channel, data))
        return bool(data)

    def _write(self, channel: int) -> None:
        waiting = self._waiting[channel]
        try:
            while waiting:
                del waiting[: os.write(self._fds[channel], waiting[:_PART_BYTES])]
        except BlockingIOError:
            if len(waiting) > _MAX_WAITING_BYTES:
                waiting.clear()
                self._ending.add(channel)
        except OSError:  # nobody reads any more
            waiting.clear()
        if channel in self._ending and not waiting:
            self._ending.discard(channel)
            try:
                end = socket.socket(fileno=self._fds[channel])
            except OSError:  # a pipe, which is only read from
                return
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_WR)
            end.detach()

    def _watch(self, channel: int) -> None:
        fd = self._fds[channel]
        events = (0 if channel in self._silent else select.POLLIN) | (
            select.POLLOUT if self._waiting[channel] else 0
        )
        if events:
            self._poll.register(fd, events)
        else:
            self._forget(fd)

    def _forget(self, fd: int) -> None:
        try:
            self._poll.unregister(fd)
        except KeyError:
            return
