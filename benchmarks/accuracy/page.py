"""Put the measured numbers into docs/benchmarks.md, between their markers.

python -m benchmarks.accuracy.page
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.pages import Render, fill, table

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
NUMBERS = Path("build/accuracy")
ENGINES = Path("build/engines")

Numbers = dict[str, Any]


def accuracy(of: Numbers) -> str:
    """Return the tables of one kind."""
    parts = [_ways(of), _sets(of), _degrees(of), _exits(of)]
    return "\n\n".join(parts)


def worker_path(of: Numbers) -> str:
    """Return the table of the worker's path against the engine alone."""
    rows: list[list[object]] = [
        ["the engine driven directly", _rates(of["direct_tok_s"])],
        ["queue, engine, rows", _rates(of["worker_tok_s"])],
        ["share (goal: 0.95)", f"{of['share']:.3f}; by round {', '.join(map(str, of['share_by_round']))}"],
    ]
    rows.append(
        [
            "share between the first request and the last chain",
            f"{of['share_within']:.3f}; {of['before_s']} s before, {of['after_s']} s after, of {of['run_s']} s",
        ]
    )
    head = (
        f"{of['engine']}, {of['model']}: {of['tasks']} tasks of {of['chains_per_task']} chains of at most "
        f"{of['max_tokens']} tokens, {of['parallel']} at once, load {of['load_before']}"
    )
    return table([head, "tokens/s or as told"], rows)


def prefix_caching(of: Numbers) -> str:
    """Return the table of prefix caching on against off."""
    head = (
        f"vllm, {of['model']}: {of['chains']} chains of a prompt of {of['prompt_tokens']} tokens, "
        f"{of['max_tokens']} tokens each"
    )
    rows: list[list[object]] = [
        [
            f"prefix caching {how}",
            ", ".join(f"{one:.2f}" for one in of[f"{how}_s"]),
            ", ".join(f"{one:.2f}" for one in of[f"{how}_first_s"]),
        ]
        for how in ("on", "off")
    ]
    rows.append(["times as fast with it", of["speedup"], of["speedup_first"]])
    return table([head, "seconds", "of those until each has its first token"], rows)


def early_exit(of: Numbers) -> str:
    """Return the table of what early exit saves when aborted chains count."""
    rows = [
        [
            r["policy"],
            f"{r['saved']:.1%}",
            f"{r['told']:.1%}",
            f"{r['same_answer']:.1%}",
            f"{r['same_abstention']:.1%}",
        ]
        for r in of["rows"]
    ]
    head = [
        f"{of['tasks']} tasks, {of['rows'][0]['tokens']} tokens without early exit",
        "tokens saved",
        "`tokens.saved` says",
        "same answer",
        "same abstention",
    ]
    return table(head, rows)


def _rates(rates: list[float]) -> str:
    return ", ".join(f"{rate:.1f}" for rate in rates)


def _share(value: float | None, interval: Any = None) -> str:  # noqa: ANN401 - a pair from JSON, or none
    if value is None:
        return "-"
    return f"{value:.3f}" if interval is None else f"{value:.3f} ({interval[0]:.2f} to {interval[1]:.2f})"


def _ways(of: Numbers) -> str:
    rows = [
        [
            row["way"],
            _share(row["accuracy"], (row["low"], row["high"])),
            _share(row["at_50"]),
            _share(row["aurc"]),
            _share(row["answered_share"]),
            _share(
                row["selective_accuracy"],
                (row["selective_low"], row["selective_high"]) if "selective_low" in row else None,
            ),
        ]
        for row in of["ways"]
    ]
    head = [
        "way",
        "accuracy (95 %)",
        "at 50 % answered",
        "AURC",
        "answered share",
        "accuracy among answered (95 %)",
    ]
    return table([f"{of['tasks']} tasks, {of['chains']} chains: {head[0]}", *head[1:]], rows)


def _sets(of: Numbers) -> str:
    rows = [
        [
            name,
            _share(one["coverage"], one["coverage_interval"]),
            f"{one['mean_size']:.2f}",
            _share(one["ceiling"], one["ceiling_interval"]),
        ]
        for name, one in of["sets"].items()
    ]
    return table(["set of", "coverage (95 %)", "mean size", "any chain right: the ceiling (95 %)"], rows)


def _degrees(of: Numbers) -> str:
    degree = of["degree"]
    rows = [[b["degree"], b["tasks"], _share(b["right"], b["interval"])] for b in degree["bands"]]
    rows.append(
        ["AUROC of a low degree for right", "", _share(degree["auroc"], degree.get("auroc_interval"))]
    )
    return table(["merge degree", "tasks", "answer right (95 %)"], rows)


def _exits(of: Numbers) -> str:
    rows = [
        [
            row["policy"],
            _share(row["tokens_saved"]),
            _share(row["chains_saved"]),
            _share(row["same_answer"]),
            _share(row["same_abstention"]),
            _share(row["accuracy"], row["interval"]),
        ]
        for row in of["exits"]
    ]
    head = ["early exit", "tokens saved", "chains saved", "same answer", "same abstention", "accuracy (95 %)"]
    return table(head, rows)


TABLES: dict[str, tuple[Path, Render]] = {
    **{f"accuracy {kind}": (NUMBERS / f"{kind}.json", accuracy) for kind in ("math", "code")},
    "worker path vllm": (ENGINES / "worker_path_vllm.json", worker_path),
    "prefix caching": (ENGINES / "prefix_caching.json", prefix_caching),
    **{f"early exit {kind}": (ENGINES / f"early_exit_{kind}.json", early_exit) for kind in ("math", "code")},
}


if __name__ == "__main__":
    fill(PAGE, TABLES)
