"""What the judge says to the worker, frame by frame, as far as it can be read."""

from __future__ import annotations

from typing import Any

from verifiers.sandbox.inside import wire

_MAX_BYTES = 1024 * 1024


class Hearing:
    """The judge's word so far; the first word of each name stands."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._frames: dict[str, Any] = {}

    def take(self, part: bytes) -> bool:
        """Take some more of it; return False when it is too much to be honest."""
        self._received += part
        if len(self._received) > _MAX_BYTES:
            return False
        while len(self._received) >= 4:
            end = 4 + int.from_bytes(self._received[:4], "big")
            if len(self._received) < end:
                break
            body = bytes(self._received[4:end])
            del self._received[:end]
            try:
                frame = wire.parse(body)
            except wire.MalformedFrameError:
                continue
            if isinstance(frame, list) and frame and isinstance(frame[0], str):
                self._frames.setdefault(frame[0], frame[1] if len(frame) > 1 else True)
        return True

    @property
    def used(self) -> bool:
        """Whether the judge has begun to use the program."""
        return "called" in self._frames

    @property
    def reported(self) -> bool:
        """Whether the outcome is known."""
        return "report" in self._frames

    @property
    def report(self) -> dict[str, Any] | None:
        """The report; None when there was none, or none that could be read."""
        report = self._frames.get("report")
        return report if isinstance(report, dict) else None

    @property
    def behaviour(self) -> tuple[str, ...] | None:
        """What the program did with the job's inputs; None when that could not be seen."""
        texts = self._frames.get("behaviour")
        return tuple(str(text) for text in texts) if isinstance(texts, list) and texts else None
