"""Put the measured numbers into docs/calibration.md, between its markers.

python -m benchmarks.calibration.page
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.pages import Render, fill, table

PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"
NUMBERS = Path("build/calibration")


def four_models(of: dict[str, Any]) -> str:
    """Return the table of held-out rows before and after."""
    names = ("coverage", "mean size", "answered", "risk")
    rows: list[list[object]] = []
    for how in ("one vote each", "fitted weights"):
        found = of[how]
        rows.append(
            [f"{how}, the paper's 0.3, 0.1, 0.3", *(f"{found['before'][name]:.3f}" for name in names)]
        )
        rows.append([f"{how}, calibrated", *(f"{found['after'][name]:.3f}" for name in names)])
    weights, fit, held = of["for weights, fit, held out"]
    text = (
        f"GSM8K answered by four models, one chain each ({of['rows']} problems), alpha {of['alpha']:g}, "
        f"target risk {of['target risk']:g}, delta {of['delta']:g}. Means on the held-out rows over {of['orders']} "
        f"random orders ({weights} rows for weights, {fit} to fit, {held} held out); calibrated: over the orders "
        "whose candidate passed its guards, "
        + " and ".join(
            f"{of[how]['in force']} ({how}; {_guards(of[how]['guards'])} rejected)"
            for how in ("one vote each", "fitted weights")
        )
        + ". `python -m benchmarks.calibration.four_models --data FOLDER --out build/calibration`."
    )
    ceiling = f'With alpha 0.9 the guard says: "{of["alpha 0.9"]}".'
    return "\n\n".join([text, table(["held-out rows", *names], rows), ceiling])


def _guards(found: dict[str, int]) -> str:
    return ", ".join(f"{n} by {guard}" for guard, n in sorted(found.items())) or "none"


def nights(of: dict[str, Any]) -> str:
    """Return what is measured, and the table of a night over a ledger."""
    return "\n\n".join(
        [
            "`python -m benchmarks.calibration.nights --database URL --out build/calibration`; the night looks at the "
            "newest 5000 of each domain and of all together, however many there are, and the peer reads ten numbers of "
            "each of these rows with COPY and NumPy. The third column is COPY alone, of all that the night reads of "
            "them (masses, ballots, ids), not taken apart. Nothing is left to be graded, but the night looks for it.",
            _night(of),
        ]
    )


def made_nights(of: dict[str, Any]) -> str:
    """Return the table of a night over gradings that were made for it."""
    return "\n\n".join(
        ["`python -m benchmarks.calibration.nights --decisions 1000000 --domains 20 --pools 5`:", _night(of)]
    )


def _night(of: dict[str, Any]) -> str:
    head = (
        f"{of['decisions']:,} graded decisions in {of['domains']} domains, {of['pools']} windows of pools, "
        f"load {of['load']:.1f}"
    )
    return table(
        [head, "night", "COPY and NumPy", "COPY of all columns"],
        [
            ["rows read", *3 * [of["rows read"]]],
            ["seconds", *(f"{of[name]:.2f}" for name in ("night s", "numpy s", "whole s"))],
            [
                "seconds of CPU in the process",
                f"{of['night cpu s']:.2f}",
                f"{of['numpy cpu s']:.2f}",
                "",
            ],
            ["seconds of the night for looking what is to be graded", f"{of['look s']:.2f}", "", ""],
            [
                "the night in times of it (goal: 2)",
                "",
                *(f"{of['night s'] / of[name]:.2f}" for name in ("numpy s", "whole s")),
            ],
            ["peak memory, MiB", of["mib peak"], "", ""],
        ],
    )


def recorded(of: dict[str, Any]) -> str:
    """Return the table of held-out rows of recorded chains before and after."""
    text = (
        f"Chains of {', '.join(of['models'])} (docs/benchmarks.md), alpha {of['alpha']:g}, target risk "
        f"{of['target risk']:g}, delta {of['delta']:g}. Every row is held out once, in {of['folds']} turns; where a "
        "guard rejects a turn's candidate, the paper's thresholds stay. In brackets the 95 % (Wilson) intervals. "
        "`python -m benchmarks.calibration.recorded --out build/calibration`."
    )
    rows: list[list[object]] = []
    for name, found in of["ways"].items():
        guards = f"; {_guards(found['guards'])} rejected" if found["guards"] else ""
        rows.append(
            _recorded_row(f"{name} ({found['rows']} rows), the paper's 0.3, 0.1, 0.3", found["before"])
        )
        rows.append(_recorded_row(f"{name}, calibrated in {found['passed']} turns{guards}", found["after"]))
    return "\n\n".join([text, table(["held-out rows", "coverage", "mean size", "answered", "risk"], rows)])


def _recorded_row(name: str, of: dict[str, Any]) -> list[object]:
    return [
        name,
        _with_interval(of["coverage"], of["coverage_interval"]),
        f"{of['mean_size']:.2f}",
        _with_interval(of["answered_share"], of["answered_interval"]),
        _with_interval(of["selective_risk"], of["risk_interval"]),
    ]


def _with_interval(share: float | None, interval: list[float] | None) -> str:
    if share is None or interval is None:
        return "-"
    return f"{share:.3f} ({interval[0]:.2f} to {interval[1]:.2f})"


TABLES: dict[str, Render] = {
    "four_models": four_models,
    "recorded": recorded,
    "nights": nights,
    "nights-made": made_nights,
}


if __name__ == "__main__":
    fill(PAGE, {name: (NUMBERS / f"{name}.json", render) for name, render in TABLES.items()})
