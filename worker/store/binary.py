"""Arrays in Postgres' binary form (``array_send``), which NumPy reads as they are.

An array is: number of dimensions, whether there are nulls, type, size and lower bound, of four bytes each; then each
element behind its length. An array without elements ends after the type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, TextClause

HEAD_BYTES, HEAD_OF_EMPTY_BYTES, LENGTH_BYTES = 20, 12, 4


def in_binary(connection: Connection, statement: TextClause, values: dict[str, object]) -> list[Any]:
    """Return the statement's rows, asked for in the binary form: a text of columns is twice as long."""
    compiled = str(statement.compile(dialect=connection.dialect))
    driver: Any = connection.connection.driver_connection
    with driver.cursor(binary=True, row_factory=namedtuple_row) as cursor:
        found: list[Any] = cursor.execute(compiled, values).fetchall()
    return found


def chained(raw: bytes, sizes: NDArray[Any], kind: str, *, backwards: bool = False) -> NDArray[Any]:
    """Return the elements of arrays that stand one behind the other.

    Args:
        raw: The arrays.
        sizes: How many elements each has, in the order in which they are wanted.
        kind: NumPy's type of the elements, big-endian.
        backwards: Whether ``raw`` has them in the other order.
    """
    sizes, width = sizes.astype(np.int64), np.dtype(kind).itemsize
    word = min(width, LENGTH_BYTES)  # heads, lengths and elements are all whole words, which are gathered
    step = LENGTH_BYTES + width
    lengths = np.where(sizes > 0, HEAD_BYTES + step * sizes, HEAD_OF_EMPTY_BYTES)
    ends = np.cumsum(lengths)
    begins = len(raw) - ends if backwards else ends - lengths
    nth = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    at = (np.repeat(begins, sizes) + HEAD_BYTES + step * nth + LENGTH_BYTES) // word
    words = np.frombuffer(raw, dtype=f"u{word}")[at[:, None] + np.arange(width // word)]
    values: NDArray[Any] = words.view(kind).ravel()
    return values.astype(np.dtype(kind).newbyteorder("="))
