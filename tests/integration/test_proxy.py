"""The network that faults are made with does what it is told, and leaves nothing open."""

from __future__ import annotations

import contextlib
import gc
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.soak.proxy import Proxy
from benchmarks.waiting import PATIENCE_S

MIB = 1 << 20


class Echo(socketserver.BaseRequestHandler):
    server: Far

    def handle(self) -> None:
        self.server.requests.append(self.request)
        while block := self.request.recv(65536):
            self.request.sendall(block)


class Far(socketserver.ThreadingUnixStreamServer):
    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Echo)
        self.path = path
        self.requests: list[socket.socket] = []

    def hang_up(self) -> None:
        for request in self.requests:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    with Far(tmp_path / "far") as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server
        server.hang_up()
        server.shutdown()
        serving.join()


@pytest.fixture
def proxy(far: Far, tmp_path: Path) -> Iterator[Proxy]:
    made = Proxy(tmp_path / "near", far.path)
    made.start()
    yield made
    made.stop()
    gc.collect()  # what was left open would be complained of here, and fail the test


def call(proxy: Proxy) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(PATIENCE_S)
    try:
        made.connect(str(proxy.here))
    except OSError:
        made.close()
        raise
    return made


def echoed(calling: socket.socket, text: bytes) -> bytes:
    calling.sendall(text)
    answer = b""
    while len(answer) < len(text) and (block := calling.recv(65536)):
        answer += block
    return answer


def test_what_is_sent_comes_to_the_other_end_and_back(proxy: Proxy) -> None:
    with call(proxy) as one, call(proxy) as other:
        assert echoed(one, b"one") == b"one"
        assert echoed(other, b"other") == b"other"


def test_more_than_a_slow_reader_takes_at_once_comes_whole(proxy: Proxy) -> None:
    text = bytes(range(256)) * (8 * MIB // 256)
    with call(proxy) as calling:
        sending = threading.Thread(target=calling.sendall, args=(text,))
        sending.start()
        answer = b""
        while len(answer) < len(text) and (block := calling.recv(65536)):
            answer += block
        sending.join()
    assert answer == text


def test_a_cut_network_hangs_up_on_everybody_and_takes_calls_when_it_is_restored(proxy: Proxy) -> None:
    with call(proxy) as calling:
        assert echoed(calling, b"before") == b"before"
        proxy.cut()
        assert calling.recv(1) == b""
        with pytest.raises(FileNotFoundError):
            call(proxy)
        proxy.restore()
        with call(proxy) as again:
            assert echoed(again, b"after") == b"after"


def test_a_network_that_swallows_keeps_what_is_open_silent_and_open(proxy: Proxy, far: Far) -> None:
    with call(proxy) as calling, call(proxy) as leaving:
        assert echoed(calling, b"before") == b"before"
        assert echoed(leaving, b"before") == b"before"
        proxy.swallow()
        calling.sendall(b"swallowed")
        leaving.close()
        far.hang_up()
        with call(proxy) as new:
            assert echoed(new, b"new") == b"new"
        gc.collect()  # a stream that nobody reads any more would be closed here
        calling.settimeout(0.2)
        with pytest.raises(TimeoutError):
            calling.recv(1)


def test_an_end_that_hangs_up_ends_the_other(proxy: Proxy, far: Far) -> None:
    far.path.unlink()
    with call(proxy) as calling:  # nobody is at the far end
        assert calling.recv(1) == b""


def test_a_flood_of_calls_that_is_cut_leaves_nothing_open(proxy: Proxy) -> None:
    for _ in range(5):
        calls = [call(proxy) for _ in range(50)]
        proxy.cut()
        for calling in calls:
            calling.close()
        proxy.restore()
