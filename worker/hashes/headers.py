"""What a seal says, as the text that is hashed, and how one seal holds on to the one before it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from worker.hashes.merkle import HASH_BYTES

FORMAT = 1
FIRST_PREVIOUS = bytes(HASH_BYTES)
"""What the first seal names as the hash before it."""


def header_of(
    *,
    number: int,
    previous: bytes,
    root: bytes,
    n_entries: int,
    n_rows: int,
    until_at: datetime,
    sealed_at: datetime,
    who: str,
) -> str:
    """Return the header: JSON with sorted keys and without spaces."""
    says = {
        "format": FORMAT,
        "number": number,
        "previous": previous.hex(),
        "root": root.hex(),
        "entries": n_entries,
        "rows": n_rows,
        "until": utc(until_at),
        "sealed": utc(sealed_at),
        "who": who,
    }
    return json.dumps(says, sort_keys=True, separators=(",", ":"))


def hash_of(header: str) -> bytes:
    """Return a seal's hash: 0x02, which no tree uses, before the header."""
    return hashlib.sha256(b"\x02" + header.encode()).digest()


def utc(time: datetime) -> str:
    """Return a time as headers and rows have it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
