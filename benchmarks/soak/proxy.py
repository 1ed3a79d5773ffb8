"""A network that can be cut: a proxy between workers and their broker, on Unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

BLOCK = 65536


class Proxy:
    """Forwards connections from ``here`` to ``there`` until it is told otherwise."""

    def __init__(self, here: Path, there: Path) -> None:
        self.here = here
        self._there = there
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._swallowing: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> None:
        """Begin to forward."""
        self._thread.start()
        self.restore()

    def stop(self) -> None:
        """Hang up and end."""
        self.cut()
        self._call(self._cancel_pumps())
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
        self._loop.call_soon_threadsafe(lambda: self._swallowing.update(self._writers))

    def _call(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        if self._server is None:
            self.here.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._accept, path=str(self.here))

    async def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self.here.unlink(missing_ok=True)
        for writer in list(self._writers):
            writer.transport.abort()
        self._writers.clear()
        self._swallowing.clear()

    async def _cancel_pumps(self) -> None:
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(str(self._there))
        except OSError:  # the broker is down: the caller sees a closed connection
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pump = asyncio.get_running_loop().create_task(self._pump(source, sink, (writer, far_writer)))
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
                if sink not in self._swallowing:
                    sink.write(block)
                    await sink.drain()
        if sink in self._swallowing:
            return  # what was swallowed stays open: nobody is told
        for writer in both:
            self._writers.discard(writer)
            writer.close()
