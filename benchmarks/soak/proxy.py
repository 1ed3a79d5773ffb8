"""A network that can be cut: a proxy between workers and their broker, on Unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

BLOCK = 65536

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

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
        self._open: set[asyncio.Transport] = set()
        self._swallowing: set[asyncio.BaseTransport] = set()
        self._pumps: set[asyncio.Task[None]] = set()  # the loop alone would let go of them
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
        self._loop.call_soon_threadsafe(lambda: self._swallowing.update(self._open))

    def _call(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        if self._server is None:
            self.here.unlink(missing_ok=True)
            self._server = await self._loop.create_unix_server(
                lambda: _End(self._open, self._accept), path=str(self.here)
            )

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
        for transport in list(self._open):
            transport.abort()
        self._swallowing.clear()

    async def _end(self) -> None:
        """Hang up until nothing is open: it would be complained of in whatever test collects the garbage."""
        for _ in range(MOST_TURNS):
            await self._hang_up()
            await asyncio.sleep(0)
            if not self._open and asyncio.all_tasks() == {asyncio.current_task()}:
                return

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader = asyncio.StreamReader(loop=self._loop)
        try:
            transport, protocol = await self._loop.create_unix_connection(
                lambda: _End(self._open, reader=far_reader), str(self._there)
            )
        except OSError:  # the broker is down: the caller sees a closed connection
            writer.transport.abort()
            return
        far_writer = asyncio.StreamWriter(transport, protocol, far_reader, self._loop)
        if writer.transport.is_closing():  # hung up meanwhile
            transport.abort()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pump = self._loop.create_task(self._pump(source, sink, (writer, far_writer)))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        with contextlib.suppress(OSError):
            while block := await source.read(BLOCK):
                if sink.transport not in self._swallowing:
                    sink.write(block)
                    await sink.drain()
        if sink.transport in self._swallowing:
            return  # what was swallowed stays open: nobody is told
        for writer in both:
            writer.close()


class _End(asyncio.StreamReaderProtocol):
    """One end of a connection, which is known to be open from its first moment to its last."""

    def __init__(
        self,
        known: set[asyncio.Transport],
        accept: Accept | None = None,
        *,
        reader: asyncio.StreamReader | None = None,
    ) -> None:
        super().__init__(reader or asyncio.StreamReader(), accept)
        self._known = known
        self._own: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._own = transport
        self._known.add(self._own)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._known.discard(self._own)
        super().connection_lost(exc)
