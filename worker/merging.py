"""Decisions from recorded chains, without any service: the same judging and deciding as in the queue."""

from __future__ import annotations

from types import TracebackType
from typing import Annotated, Any, Self

from pydantic import Field

from reasoner.chains import Chain
from reasoner.decisions import Thresholds
from verifiers.code.verifier import CodeVerifier
from verifiers.math.verifier import MathVerifier
from worker.claims import EQUIVALENCE, verifiers_needed
from worker.deciding import decide_task
from worker.judges import judge_code, judge_math
from worker.sampling import given_chains
from worker.store.verdicts import Judged
from worker.submission.lines import MAX_CHAINS, GivenChain, TaskLine


class MergeLine(TaskLine):
    """A task line that brings its chains."""

    chains: Annotated[list[GivenChain], Field(min_length=1, max_length=MAX_CHAINS)]


class Merger:
    """Decides tasks that bring their chains; its verifiers start when a task needs them.

    Args:
        thresholds: In force for every task that names none of its own.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._code: CodeVerifier | None = None
        self._math: MathVerifier | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the verifiers."""
        for verifier in (self._code, self._math):
            if verifier is not None:
                verifier.close()
        self._code = self._math = None

    def decide_many(self, lines: list[MergeLine]) -> list[dict[str, Any]]:
        """Return one decision line per task, in order."""
        return [self._decide(line) for line in lines]

    def _decide(self, line: MergeLine) -> dict[str, Any]:
        stored = given_chains(line)
        chains = [chain.as_chain() for chain in stored]
        judged = self._judge(line, chains)
        decision = decide_task(line, chains, judged, calibrated=self._thresholds)
        verdicts: dict[str, dict[str, int]] = {}
        for one in judged:
            if one.candidate == EQUIVALENCE:
                continue  # how the answers relate to each other says nothing of any of them
            counts = verdicts.setdefault(one.verdict.verifier, {})
            counts[one.verdict.outcome.value] = counts.get(one.verdict.outcome.value, 0) + 1
        return {
            "custom_id": line.custom_id,
            "task_id": None,
            "state": "abstained" if decision.abstain else "answered",
            **decision.to_json(),
            "verdicts": verdicts,
            "tokens": {"spent": sum(chain.n_tokens or 0 for chain in stored), "saved": 0},
            "calibration_id": None,
            "error": None,
        }

    def _judge(self, line: MergeLine, chains: list[Chain]) -> list[Judged]:
        answers = [chain.answer for chain in chains]
        judged: list[Judged] = []
        for name in verifiers_needed(line, answers):
            if name == "code":
                self._code = self._code or CodeVerifier()
                judged += judge_code(self._code, line, answers)
            else:
                self._math = self._math or MathVerifier()
                judged += judge_math(self._math, line, answers)
        return judged
