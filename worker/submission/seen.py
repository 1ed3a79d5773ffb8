"""The ids of a file that were read so far, in memory that does not grow with the file."""

from __future__ import annotations

import sqlite3

FEW = 50_000
"""Ids kept in memory; from then on all of them are in a temporary file that is gone with us."""

CACHE_KIB = 8192


class SeenIds:
    """Remembers on which line each id stood first.

    Args:
        few: How many are kept in memory.
    """

    def __init__(self, *, few: int = FEW) -> None:
        self._n_few = few
        self._few: dict[str, int] = {}
        self._many: sqlite3.Connection | None = None

    def first(self, identifier: str, number: int) -> int:
        """Return the line on which ``identifier`` stood first, which is ``number`` when it is new."""
        if self._many is None:
            found = self._few.setdefault(identifier, number)
            if len(self._few) >= self._n_few:
                self._many = self._spill()
            return found
        # Text that UTF-8 cannot hold (a lone surrogate) is no text to SQLite, so the id is kept as bytes.
        key = identifier.encode("utf-8", "surrogatepass")
        added = self._many.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, number)).rowcount
        if added:
            return number
        (line,) = self._many.execute("SELECT line FROM seen WHERE id = ?", (key,)).fetchone()
        return int(line)

    def close(self) -> None:
        """Forget all of them."""
        self._few.clear()
        if self._many is not None:
            self._many.close()
            self._many = None

    def _spill(self) -> sqlite3.Connection:
        many = sqlite3.connect(
            "", isolation_level=None
        )  # an empty name: a temporary file that only we can see
        many.execute("PRAGMA journal_mode = OFF")
        many.execute("PRAGMA synchronous = OFF")
        many.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        many.execute("CREATE TABLE seen (id BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID")
        many.execute("BEGIN")
        rows = ((i.encode("utf-8", "surrogatepass"), n) for i, n in self._few.items())
        many.executemany("INSERT INTO seen VALUES (?, ?)", rows)
        self._few.clear()
        return many
