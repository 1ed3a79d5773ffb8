"""Put the measured numbers into docs/audit.md, between its markers.

python -m benchmarks.seals.page
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.pages import fill, table

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
NUMBERS = Path("build/seals/seals.json")


def seals(of: dict[str, Any]) -> str:
    """Return the table of sealing and verifying."""
    entries, rows, peer = of["entries"], of["rows"], of["peer s"]
    head = f"{entries:,} entries, {rows:,} rows, {of['mib']:,} MiB, load {of['load']:.1f}"

    def line(name: str, seconds: float) -> list[object]:
        return [
            name,
            f"{seconds:.1f}",
            f"{entries / seconds:,.0f}",
            f"{rows / seconds:,.0f}",
            f"{seconds / peer:.1f}",
        ]

    lines = [
        line(f"seal, {of['processes']} processes", of["seal s"]),
        *(line(f"verify, {n} processes", seconds) for n, seconds in of["verify s"].items()),
        line("COPY and SHA-256", peer),
    ]
    kept = (
        f"{of['kept bytes an entry']} bytes are kept an entry, salts and indexes counted; "
        f"the sealing process took {of['peak mib']} MiB at most."
    )
    return table([head, "seconds", "entries/s", "rows/s", "times the peer"], lines) + "\n\n" + kept


if __name__ == "__main__":
    fill(PAGE, {"seals": (NUMBERS, seals)})
