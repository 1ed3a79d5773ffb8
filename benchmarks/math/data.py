"""The data the math verifier is measured on; its folder comes from ``--data`` or the variable BENCHMARK_DATA."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
CONDITIONS = Path(__file__).with_name("conditions.jsonl")
"""Problems of MATH (MIT licence) whose statement gives conditions on the answer, with wrong answers of ours."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers and whether they are the same."""

    gold: str
    pred: str
    same: bool


def rows(folder: Path, pattern: str) -> list[dict[str, Any]]:
    """Return the rows of all files that match.

    Raises:
        FileNotFoundError: There is no such file in the folder.
    """
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise FileNotFoundError(folder / pattern)
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def equality_pairs(folder: Path) -> list[Pair]:
    """Return the cases that Math-Verify tests itself with."""
    return [Pair(r["gold"], r["pred"], r["expected"]) for r in rows(folder, "math_equivalence*.jsonl")]


def math_answers(folder: Path) -> list[str]:
    """Return the final answers of the MATH problems."""
    return [_last_answer(row["answer"]) for row in rows(folder, "math500*.jsonl")]


def _last_answer(solution: str) -> str:
    return solution.rpartition("The answer is: ")[2]


def conditions() -> list[dict[str, Any]]:
    """Return answers with the conditions they must satisfy, and wrong answers."""
    return [json.loads(line) for line in CONDITIONS.read_text(encoding="utf-8").splitlines()]


def without_annotations(solution: str) -> str:
    """Return a GSM8K solution without the calculator's ``<<...>>``."""
    return re.sub(r"<<[^<>]*>>", "", solution)
