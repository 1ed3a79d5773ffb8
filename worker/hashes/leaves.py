"""Rows as leaves: a digest for each group of fields, salted where the group may hold personal text.

digest(group) = SHA-256(text), or HMAC-SHA-256(salt, text) where it is salted;
leaf = SHA-256(0x00 || ["<name>","<digest in hexadecimal>",...]), the list as JSON without spaces;
salt = HMAC-SHA-256(seed of the task, "<name>/<group>").
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as json_text

from worker.hashes.merkle import HASH_BYTES, leaf_hash

SEED_BYTES = 32
MARK_BYTES = 4
NO_DIGEST = bytes(HASH_BYTES)
"""Of a text whose salt is gone without a redaction that says so."""

GROUPS: dict[str, tuple[str, ...]] = {
    "task": ("task", "prompt"),
    "chain": ("sampling", "text", "answer"),
    "verdict": ("verdict", "evidence"),
    "decision": ("decision", "clusters", "answers"),
    "label": ("label", "answers"),
    "calibration": ("thresholds", "report"),
    "redaction": ("redaction",),
    "pruning": ("pruning",),
    "import": ("import",),
}
"""The groups of fields of each kind of row, in the order of their digests."""

PARTS: dict[tuple[str, str], str] = {
    ("task", "prompt"): "prompt",
    ("chain", "text"): "chains",
    ("verdict", "evidence"): "evidence",
    ("chain", "answer"): "answers",
    ("decision", "answers"): "answers",
    ("label", "answers"): "answers",
}
"""What may hold personal text, and the part of a task that is redacted with it; these digests are salted."""


TIMES = {
    "decision": "created_at",
    "label": "recorded_at",
    "calibration": "created_at",
    "redaction": "at",
    "pruning": "finished_at",
    "import": "at",
}
"""Which column says when the subject of an entry was written; it stands in its row's first text."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the record, as it is hashed."""

    name: str
    """``task``, ``decision <id>``, ``chain <index>``, ``verdict <verifier> <version> <candidate>``, ..."""

    texts: tuple[str, ...]
    """One for each group of its kind."""

    @property
    def kind(self) -> str:
        """The first word of its name."""
        return self.name.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Redacted:
    """What a redaction left of a text."""

    digest: bytes
    """The salted hash of what was there."""

    now: str
    """SHA-256, in hexadecimal, of what stands there instead."""


@dataclass(frozen=True, slots=True)
class Salts:
    """What the texts of one task are salted with."""

    seed: bytes | None = None
    """``None`` when a redaction took it, and nothing of the task was sealed since."""

    n_seeds: int = 0
    """How many it has had."""

    kept: Mapping[str, str] = field(default_factory=dict)
    """Of what was left by a redaction."""

    redacted: Mapping[str, Redacted] = field(default_factory=dict)

    def of(self, name: str, group: str) -> bytes | None:
        """Return the salt of a row's group; ``None`` when it is gone."""
        place = f"{name}/{group}"
        if place in self.kept:
            return bytes.fromhex(self.kept[place])
        return None if self.seed is None else hmac.digest(self.seed, place.encode(), "sha256")


NO_SALTS = Salts()


@dataclass(frozen=True, slots=True)
class Hashed:
    """An entry's rows as hashes."""

    names: list[str]
    leaves: bytes
    marks: bytes


def digests_of(row: Row, salts: Salts) -> list[bytes]:
    """Return the digest of each group."""
    kind = row.kind
    return [
        _salted(row.name, group, text, salts)
        if (kind, group) in PARTS
        else hashlib.sha256(text.encode()).digest()
        for group, text in zip(GROUPS[kind], row.texts, strict=True)
    ]


def _salted(name: str, group: str, text: str, salts: Salts) -> bytes:
    if (gone := salts.redacted.get(f"{name}/{group}")) is not None:
        return gone.digest
    salt = salts.of(name, group)
    return NO_DIGEST if salt is None else hmac.digest(salt, text.encode(), "sha256")


def leaf_of(name: str, digests: Sequence[bytes]) -> bytes:
    """Return the hash of a row's leaf."""
    told = ",".join([json_text(name), *(f'"{one.hex()}"' for one in digests)])
    return leaf_hash(f"[{told}]".encode())


def hashed(rows: Sequence[Row], salts: Salts) -> Hashed:
    """Return what is kept of an entry's rows."""
    digests = [digests_of(row, salts) for row in rows]
    return Hashed(
        names=[row.name for row in rows],
        leaves=b"".join(leaf_of(row.name, of) for row, of in zip(rows, digests, strict=True)),
        marks=b"".join(one[:MARK_BYTES] for of in digests for one in of),
    )


def split(hashes: bytes) -> list[bytes]:
    """Return concatenated hashes one by one."""
    return [hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)]
