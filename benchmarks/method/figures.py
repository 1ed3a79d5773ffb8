"""Plots of the method's page, drawn the same way each time so that only changed numbers change the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

Curve = Sequence[tuple[float, float]]

mpl.use("svg")
mpl.rcParams.update(
    {
        "svg.hashsalt": "method",
        "svg.fonttype": "none",
        "figure.figsize": (6.0, 3.6),
        "axes.grid": True,
        "grid.alpha": 0.3,
    }
)


def _save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.tight_layout()
    plt.savefig(path, metadata={"Date": None})
    plt.close()
    print(f"wrote {path}")


def lines_figure(
    curves: Mapping[str, Curve], path: Path, *, x: str, y: str, level: float | None = None
) -> None:
    """Draw one line per name, with a dashed level to compare with."""
    _, axes = plt.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    if level is not None:
        axes.axhline(level, linestyle="--", linewidth=1, color="black")
    axes.legend()
    _save(path)
