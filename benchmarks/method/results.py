"""Where the benchmarks of the method put their numbers: one JSON file each, from which the page is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def save(folder: Path, name: str, numbers: dict[str, Any]) -> None:
    """Write ``folder/name.json`` and say so."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(f"wrote {path}")
