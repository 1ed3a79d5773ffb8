"""Merkle trees as in RFC 6962, section 2.1: SHA-256, 0x00 before a leaf's data and 0x01 before two children."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32
EMPTY = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows leaf by leaf; keeps one hash for each bit of its size."""

    def __init__(self) -> None:
        self._peaks: list[tuple[int, bytes]] = []
        self.size = 0

    def add(self, leaf: bytes) -> None:
        """Add a leaf's hash on the right."""
        height, right = 0, leaf
        while self._peaks and self._peaks[-1][0] == height:
            right = node_hash(self._peaks.pop()[1], right)
            height += 1
        self._peaks.append((height, right))
        self.size += 1

    def root(self) -> bytes:
        """Return the root of the leaves so far."""
        if not self._peaks:
            return EMPTY
        found = self._peaks[-1][1]
        for _, peak in reversed(self._peaks[:-1]):
            found = node_hash(peak, found)
        return found


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaves' hashes."""
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


def path_to(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of the leaf at ``index``: the hashes that lead from it to the root, lowest first."""
    if len(leaves) <= 1:
        return []
    split = 1 << ((len(leaves) - 1).bit_length() - 1)  # the largest power of two below the size
    if index < split:
        return [*path_to(leaves[:split], index), root_of(leaves[split:])]
    return [*path_to(leaves[split:], index - split), root_of(leaves[:split])]
