"""Put the measured numbers into docs/verifiers.md, between its markers.

python -m benchmarks.math.page
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.pages import Render, fill, table

PAGE = Path(__file__).parents[2] / "docs" / "verifiers.md"
NUMBERS = Path("build/math")


def equality(of: dict[str, Any]) -> str:
    """Return the table of equality against the peer."""
    rows: list[list[object]] = []
    for judge in of["judges"]:
        for what, name in (
            ("cases", "gold, answer"),
            ("turned", "answer, gold"),
            ("selves", "MATH answers, themselves"),
        ):
            one = judge[what]
            rows.append(
                [judge["judge"], name, f"{one['right']} of {one['n']}", one["false_accepts"], one["false_rejects"],
                 one["claims_per_s"], one["median_ms"], one["max_ms"]]
            )  # fmt: skip
    head = ["judge", "cases", "right", "false accepts", "false rejects", "claims/s", "median ms", "max ms"]
    return table(head, rows)


def satisfies(of: dict[str, Any]) -> str:
    """Return the table of conditions."""
    rows = [
        [f"{name} answers", *(of[name][o] for o in ("confirmed", "refuted", "abstained"))]
        for name in ("right", "wrong")
    ]
    return table(["", "confirmed", "refuted", "abstained"], rows)


def steps(of: dict[str, Any]) -> str:
    """Return the table of texts whose arithmetic was checked."""
    names = ("confirmed", "refuted", "abstained", "equalities_held", "equalities_skipped")
    rows = [[one["texts"], one["n"], *(one[name] for name in names)] for one in of["texts"]]
    return table(["texts", "n", *(name.replace("_", " ") for name in names)], rows)


def models(of: dict[str, Any]) -> str:
    """Return the table of what a refutation says about a model's answer."""
    rows = []
    for one in of["models"]:
        precision = one["refuted_and_wrong"] / one["refuted"]
        rows.append(
            [one["model"], f"{one['wrong'] / one['n']:.3f}", one["refuted"], f"{precision:.3f}",
             f"{one['refuted_and_wrong'] / one['wrong']:.3f}"]
        )  # fmt: skip
    return table(
        ["model", "wrong answers", "refuted chains", "of those wrong", "share of the wrong refuted"], rows
    )


def hostile(of: dict[str, Any]) -> str:
    """Return the table of hostile claims."""
    rows = [[one["claim"], one["outcome"], one["wall_s"], one["own_cpu_s"]] for one in of["claims"]]
    return table(["claim", "outcome", "wall s", "CPU s of the asking process"], rows)


TABLES: dict[str, tuple[str, Render]] = {
    "math-equality": ("equality", equality),
    "math-satisfies": ("satisfies", satisfies),
    "math-steps": ("steps", steps),
    "math-models": ("steps", models),
    "math-hostile": ("hostile", hostile),
}


if __name__ == "__main__":
    fill(PAGE, {name: (NUMBERS / f"{source}.json", render) for name, (source, render) in TABLES.items()})
