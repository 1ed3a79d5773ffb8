"""A network that can be cut: a proxy between workers and their broker, on Unix sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import cast

TURNS = 5
"""Turns of the loop from taking a call until it has a transport; two in Python 3.11."""

MOST_TURNS = 10_000
"""Turns of the loop in which everything has ended after a hang-up; one that waits longer is no longer waited for."""


class Proxy:
    """Forwards connections from ``here`` to ``there`` until it is told otherwise."""

    def __init__(self, here: Path, there: Path) -> None:
        self.here = here
        self._there = there
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._open: set[_End] = set()
        self._connecting: set[asyncio.Task[None]] = set()  # the loop alone would let go of them
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> None:
        """Begin to forward."""
        self._thread.start()
        self.restore()

    def stop(self) -> None:
        """Hang up and end."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Hang up on everybody and take no calls."""
        self._call(self._hang_up())

    def restore(self) -> None:
        """Take calls again."""
        self._call(self._listen())

    def swallow(self) -> None:
        """Keep the present connections open, and let nothing through them any more; new ones work."""
        self._call(self._swallow())

    def _call(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _listen(self) -> None:
        if self._server is None:
            self.here.unlink(missing_ok=True)
            self._server = await self._loop.create_unix_server(self._answer, path=str(self.here))

    async def _swallow(self) -> None:
        for end in self._open:
            end.swallows = True

    async def _hang_up(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            # asyncio leaks what it has taken from a server that is closed before the call has a transport.
            for listening in server.sockets:
                self._loop.remove_reader(listening.fileno())
            for _ in range(TURNS):
                await asyncio.sleep(0)
            server.close()
            self.here.unlink(missing_ok=True)
        for end in list(self._open):
            end.transport.abort()

    async def _end(self) -> None:
        """Hang up until nothing is open: it would be complained of in whatever test collects the garbage."""
        for _ in range(MOST_TURNS):
            await self._hang_up()
            await asyncio.sleep(0)
            if not self._open and not self._connecting:
                return

    def _answer(self) -> _End:
        near = _End(self._open)
        connecting = self._loop.create_task(self._connect(near))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)
        return near

    async def _connect(self, near: _End) -> None:
        far = _End(self._open)
        try:
            await self._loop.create_unix_connection(lambda: far, str(self._there))
        except OSError:  # the broker is down: the caller sees a closed connection
            await near.made.wait()
            near.transport.abort()
            return
        await near.made.wait()
        near.join(far)


class _End(asyncio.Protocol):
    """One end of a connection: known to be open from its first moment to its last, and silent until it is joined.

    Protocols and not asyncio's streams: those close a connection that is only kept open, and complain of it, as soon
    as the garbage collection finds that nobody reads it, and a swallowed connection is just that.
    """

    transport: asyncio.Transport

    def __init__(self, known: set[_End]) -> None:
        self.made = asyncio.Event()
        self.swallows = False
        self._known = known
        self._peer: _End | None = None

    def join(self, peer: _End) -> None:
        """Forward between this end and the other, or end both where one has ended meanwhile."""
        peer.swallows = self.swallows
        for end, other in ((self, peer), (peer, self)):
            end._peer = other  # noqa: SLF001 - the two ends of one connection
            if end.transport.is_closing():
                other.transport.abort()
            else:
                end.transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.pause_reading()
        self._known.add(self)
        self.made.set()

    def data_received(self, data: bytes) -> None:
        if self._peer is not None and not self.swallows:
            self._peer.transport.write(data)

    def pause_writing(self) -> None:
        if self._peer is not None:
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer is not None:
            self._peer.transport.resume_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._known.discard(self)
        peer, self._peer = self._peer, None
        if peer is not None and not self.swallows:  # of what was swallowed nobody is told
            peer.transport.close()
