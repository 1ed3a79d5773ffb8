"""Labelled pairs to train and to calibrate with: JSON lines, split by a hash of the premise."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from verifiers.entailment.checkpoint import RELATIONS

MAX_CHARS = 4_000  # of a text to learn from; real rows have some hundred
CALIBRATION_SHARE = 0.15
TEST_SHARE = 0.15

Part = Literal["train", "calibration", "test"]


class RowError(ValueError):
    """Raised when a line of a file of labelled pairs is none; the message names the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A premise, a hypothesis, and which of ``RELATIONS`` holds between them."""

    premise: str
    hypothesis: str
    label: str

    @property
    def part(self) -> Part:
        """Where the row belongs, always.

        By the premise, since corpora ask three things of each: a test row's premise was then never trained on.
        """
        place = int.from_bytes(hashlib.sha256(self.premise.encode("utf-8", "replace")).digest()[:4]) / 2**32
        if place < TEST_SHARE:
            return "test"
        return "calibration" if place < TEST_SHARE + CALIBRATION_SHARE else "train"


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file of {"premise", "hypothesis", "label"} lines, gzipped if its name ends so.

    Rows without a label (MNLI's "-") are left out; other fields don't matter.

    Raises:
        RowError: A line is no such row, or there is none.
        OSError: The file cannot be read.
    """
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as lines
    ):
        rows = [row for row in _rows(lines, path) if row.label != "-"]
    if not rows:
        raise RowError(f"{path} holds no rows")
    return rows


def _rows(lines: Iterable[str], path: Path) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield _row(json.loads(line))
            except (KeyError, TypeError, ValueError) as error:
                raise RowError(f"{path}, line {number}: {type(error).__name__}: {error}") from error


def _row(found: Any) -> Row:  # noqa: ANN401 - any JSON value
    texts = found["premise"], found["hypothesis"]
    if not all(isinstance(text, str) and len(text) <= MAX_CHARS for text in texts):
        raise ValueError(f"premise and hypothesis must be texts of at most {MAX_CHARS} characters")
    if found["label"] not in {*RELATIONS, "-"}:
        raise ValueError(f"label must be one of {', '.join(RELATIONS)}")
    return Row(premise=texts[0], hypothesis=texts[1], label=found["label"])
