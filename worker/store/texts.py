"""Text as Postgres can keep it."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
DIGEST_CHARS = 16  # 64 bits: collisions among the answers of one task are out of the question

REDACTED = "[redacted]"
"""What stands in place of a text that went."""


def storable(text: str) -> str:
    """Return ``text`` with what Postgres refuses replaced by U+FFFD: the character NUL and lone surrogates.

    Model output is arbitrary; a chain must not be lost, or crash a worker for ever, because of one character.
    """
    return _UNSTORABLE.sub("\ufffd", text)


def storable_json(value: Any) -> Any:  # noqa: ANN401 (JSON values of any shape)
    """Return a JSON value with every string in it made storable, and floats that JSON lacks as text."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(key)): storable_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def digest(text: str) -> str:
    """Return the prefix of the SHA-256 that names an answer in keys."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARS]
