"""A file of any length goes through `merge` in the memory of a short one."""

from __future__ import annotations

from pathlib import Path

from benchmarks.method.stream import measured

MORE_MB = 8.0  # the long file is 21 MB longer, and its decisions 9 MB


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    short, long = measured(1_000, tmp_path), measured(8_000, tmp_path)
    assert long["read_mb"] - short["read_mb"] > 2 * MORE_MB
    assert long["peak_mb"] - short["peak_mb"] < MORE_MB
