"""Frames of JSON over a file descriptor, capped; the only way anything crosses a sandbox border.

JSON and not pickle or marshal: both of those let the sender run code in, or crash, the receiver.
"""

from __future__ import annotations

import json
import os
from typing import Any, NoReturn, TypeAlias

Message: TypeAlias = Any
"""A JSON value."""

MAX_FRAME_BYTES = 8 * 1024 * 1024  # one value; a list of a million small integers fits
_HEADER_BYTES = 4


class WireError(Exception):
    """Raised when the other side's frames cannot be used."""


class PeerGoneError(WireError):
    """Raised when the other side closed its end: it died, or wants us to believe so."""


class MalformedFrameError(WireError):
    """Raised when a frame is oversized or not the JSON it should be."""


def send(fd: int, message: Message) -> None:
    """Write one frame, whatever its size.

    Raises:
        MalformedFrameError: ``message`` is larger than the other side would accept.
        PeerGoneError: Nobody reads any more.
    """
    data = memoryview(frame(message))
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError as error:
        raise PeerGoneError("the other side stopped reading") from error


def frame(message: Message) -> bytes:
    """Return one frame.

    Raises:
        MalformedFrameError: ``message`` is larger than the other side would accept.
    """
    body = json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(body) > MAX_FRAME_BYTES:
        raise MalformedFrameError(f"a message of {len(body)} bytes, more than {MAX_FRAME_BYTES}")
    return len(body).to_bytes(_HEADER_BYTES, "big") + body


def receive(fd: int) -> Message:
    """Read one frame.

    Raises:
        PeerGoneError: The stream ended.
        MalformedFrameError: The frame is too large, too deeply nested or not JSON.
    """
    size = int.from_bytes(_read_exactly(fd, _HEADER_BYTES), "big")
    if size > MAX_FRAME_BYTES:
        raise MalformedFrameError(f"a message that claims {size} bytes, more than {MAX_FRAME_BYTES}")
    return parse(_read_exactly(fd, size))


def parse(body: bytes) -> Message:
    """Return the JSON value in ``body``.

    Raises:
        MalformedFrameError: It is too deeply nested or not JSON.
    """
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise MalformedFrameError(f"a message that is not JSON: {type(error).__name__}") from error


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _read_exactly(fd: int, n_bytes: int) -> bytes:
    parts: list[bytes] = []
    while n_bytes:
        try:
            part = os.read(fd, min(n_bytes, 1 << 20))
        except OSError as error:
            raise PeerGoneError("the other side is gone") from error
        if not part:
            raise PeerGoneError("the other side is gone")
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)
