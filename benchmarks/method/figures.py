"""Plots of the method's page, drawn the same way each time so that only changed numbers change the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

Curve = Sequence[tuple[float, float]]

mpl.use("svg")
mpl.rcParams.update(
    {"svg.hashsalt": "method", "figure.figsize": (6.0, 3.6), "axes.grid": True, "grid.alpha": 0.3}
)


def _save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.tight_layout()
    plt.savefig(path, metadata={"Date": None})
    plt.close()
    print(f"wrote {path}")


def _axes(x: str, y: str) -> Axes:
    _, axes = plt.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return axes


def risk_coverage_figure(curves: Mapping[str, Curve], path: Path) -> None:
    """Draw the selective risk against the answered share."""
    axes = _axes("answered share", "selective risk")
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker=".", markersize=3, label=name)
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.legend()
    _save(path)


def lines_figure(
    curves: Mapping[str, Curve], path: Path, *, x: str, y: str, level: float | None = None
) -> None:
    """Draw one line per name, with a dashed level to compare with."""
    axes = _axes(x, y)
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
    if level is not None:
        axes.axhline(level, linestyle="--", linewidth=1, color="black")
    axes.legend()
    _save(path)
