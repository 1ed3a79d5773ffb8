"""Recorded chains read back, and which of their answers are right."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.tasks import shown_only
from reasoner.chains import Chain
from reasoner.outcomes import Outcome
from worker.claims import candidate_key, normaliser_of
from worker.judging.protocol import Saying
from worker.judging.table import Judges
from worker.kinds import read_answer
from worker.sampling import entry_point_of
from worker.store.verdicts import Judged
from worker.submission.lines import MathVerification, TaskLine

RECORDING = Path(__file__).parent / "data" / "chains.jsonl.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One task with everything that the report needs to know of it."""

    line: TaskLine
    """With every test, hidden ones too: for truth, never for a decision."""

    chains: tuple[Chain, ...]
    greedy: Chain
    right: frozenset[str]
    """Normal forms of the right answers."""

    relating: tuple[Judged, ...]
    """Which answers are the same, by the verifier of the kind; of the k chains."""

    shown: tuple[Judged, ...]
    """What the verifiers say that need no truth: programs against the tests that the prompt shows."""

    @property
    def plain(self) -> TaskLine:
        """The task without verifiers."""
        return self.line.model_copy(update={"verify": []})

    @property
    def verified(self) -> TaskLine:
        """The task with the verifiers that need no truth."""
        return shown_only(self.line)

    def is_right(self, answer: str | None) -> bool:
        """Return whether an answer is right; none is not."""
        return answer is not None and normaliser_of(self.line)(answer) in self.right


def read(path: Path, judges: Judges, *, limit: int | None = None) -> list[Recorded]:
    """Return the tasks of a recording, judged."""
    return [_recorded(row, judges) for row in rows_of(path)[:limit]]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the tasks of a recording as they were written."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return [json.loads(line) for line in text.splitlines()]


def _recorded(row: dict[str, Any], judges: Judges) -> Recorded:
    line = TaskLine.model_validate(row["task"])
    chains = tuple(_chain(line, one) for one in row["chains"])
    greedy = _chain(line, row["greedy"])
    truth = line
    if line.kind == "math":
        reference = MathVerification(verifier="math", reference=line.labels[0])
        truth = line.model_copy(update={"verify": [reference]})
    verdicts = {one.candidate: one.verdict.outcome for one in judges.judge(truth, _said([*chains, greedy]))}
    form_of = normaliser_of(line)
    forms = {form_of(chain.answer) for chain in (*chains, greedy) if chain.answer is not None}
    right = {form for form in forms if verdicts.get(candidate_key(0, form)) is Outcome.CONFIRMED}
    plain, verified = line.model_copy(update={"verify": []}), shown_only(line)
    return Recorded(
        line=line,
        chains=chains,
        greedy=greedy,
        right=frozenset(right),
        relating=tuple(judges.judge(plain, _said(chains))),
        shown=tuple(judges.judge(verified, _said(chains))) if verified.verify else (),
    )


def _chain(line: TaskLine, row: dict[str, Any]) -> Chain:
    has_tokens = row["n_tokens"] > 0
    return Chain(
        index=row["index"],
        answer=read_answer(line.kind, line.mode, row["text"], entry_point_of(line), line.language),
        logprob=row["logprob"] if has_tokens else None,
        n_tokens=row["n_tokens"] if has_tokens else None,
        model=row["model"],
    )


def _said(chains: Sequence[Chain]) -> list[Saying]:
    return [Saying(answer=chain.answer) for chain in chains]
