"""The figures of a calibration, drawn from its row: the one door to Matplotlib.

No text of a user's stands in a figure, so there is nothing to escape.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from worker.errors import PlotsUnavailableError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
Format = Literal["svg", "png"]

STYLE = {
    "svg.hashsalt": "calibration",  # the same numbers give the same file
    "svg.fonttype": "none",
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.dpi": 120,
}
SIZE_INCHES = (5.6, 3.4)
DASHED: dict[str, Any] = {"linestyle": "--", "linewidth": 1, "color": "black"}


def draw(name: str, row: Row, history: Sequence[Row], *, form: Format) -> bytes:
    """Return one figure as a file's content.

    Args:
        name: One of ``FIGURES``.
        row: The calibration.
        history: What came into force in its domain, oldest first.
        form: ``svg`` or ``png``.

    Raises:
        PlotsUnavailableError: Matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotsUnavailableError(
            "figures need the extra `plots` (Matplotlib): pip install matplotlib; "
            "`calibrate report` tells the numbers without it"
        ) from error
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]  # its stub lists every key it knows
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        FIGURES[name](figure.add_subplot(), row, history)
        content = io.BytesIO()
        figure.savefig(content, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    return content.getvalue()


def _risk(axes: Axes, row: Row, _history: Sequence[Row]) -> None:
    points = row["curve"].get("risk", [])
    axes.plot([p["answered_share"] for p in points], [p["selective_risk"] for p in points])
    certified = row["report"].get("certified")
    if certified:
        axes.plot(certified["answered_share"], certified["risk"], "o", label="chosen")
        axes.plot(certified["answered_share"], certified["risk_bound"], "v", label="its upper bound")
    axes.axhline(row["target_risk"], label="target", **DASHED)
    axes.set(xlabel="answered share", ylabel="selective risk", xlim=(0, 1), ylim=(0, None))
    axes.legend()


def _coverage(axes: Axes, row: Row, _history: Sequence[Row]) -> None:
    targets = row["report"].get("targets", [])
    axes.plot([0, 1], [0, 1], label="as promised", **DASHED)
    axes.plot(
        [t["alpha"] for t in targets], [t["coverage"] for t in targets], marker="o", label="on held-out tasks"
    )
    ceiling = row["report"].get("ceiling")
    if ceiling is not None:
        axes.axhline(ceiling, linewidth=1, color="tab:red", label="truth among the answers")
    axes.set(xlabel="alpha", ylabel="coverage", xlim=(0.45, 1), ylim=(0, 1.02))
    axes.legend()


def _reliability(axes: Axes, row: Row, _history: Sequence[Row]) -> None:
    bins = row["report"].get("reliability", [])
    n = sum(one["n"] for one in bins) or 1
    axes.plot([0, 1], [0, 1], label="stated comes true", **DASHED)
    axes.plot([b["confidence"] for b in bins], [b["accuracy"] for b in bins], marker="o", label="accuracy")
    axes.bar(
        [(b["low"] + b["high"]) / 2 for b in bins],
        [b["n"] / n for b in bins],
        width=0.09,
        alpha=0.3,
        label="share of tasks",
    )
    axes.set(xlabel="confidence", ylabel="share", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend()


def _size(axes: Axes, row: Row, _history: Sequence[Row]) -> None:
    points = row["curve"].get("lambda", [])
    axes.plot([p["coverage"] for p in points], [p["mean_size"] for p in points], label="over lambda")
    after = row["report"].get("after")
    if after and after["coverage"] is not None:
        axes.plot(after["coverage"], after["mean_size"], "o", label="chosen, on held-out tasks")
    axes.axvline(row["alpha"], label="alpha", **DASHED)
    axes.set(xlabel="coverage", ylabel="mean set size", xlim=(0, 1.02), ylim=(0, None))
    axes.legend()


def _drift(axes: Axes, row: Row, _history: Sequence[Row]) -> None:
    spans = row["report"].get("over_time", [])
    at = [i + 1 for i in range(len(spans))]
    for name, label in (
        ("coverage", "coverage"),
        ("answered_share", "answered share"),
        ("selective_risk", "risk"),
    ):
        values = [float("nan") if span[name] is None else span[name] for span in spans]
        axes.plot(at, values, marker="o", label=label)
    axes.set(xlabel="span of the window, oldest first", ylabel="share", ylim=(0, 1.02))
    axes.legend()


def _history(axes: Axes, row: Row, history: Sequence[Row]) -> None:
    for name in ("lambda", "tau_margin", "tau_conf"):
        axes.plot(
            [one["at"] for one in history],
            [one[name] for one in history],
            drawstyle="steps-post",
            marker="o",
            label=name,
        )
    axes.axhline(row["lambda"], label="this one's lambda", **DASHED)
    axes.tick_params(axis="x", rotation=30)
    axes.set(xlabel="in force since", ylabel="threshold", ylim=(-0.02, 1.02))
    axes.legend()


FIGURES: Mapping[str, Callable[[Axes, Row, Sequence[Row]], None]] = {
    "risk": _risk,
    "coverage": _coverage,
    "reliability": _reliability,
    "size": _size,
    "drift": _drift,
    "history": _history,
}
"""Risk against answered share, coverage against target, reliability, set size, drift, history of the thresholds."""
