"""How what came of a pair becomes an outcome and a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from reasoner.outcomes import Outcome
from verifiers.code.reading import outcome_of
from verifiers.sandbox.protocol import Ending, Limit, Limits, Trial

LIMITS = Limits(cpu_s=2, wall_s=9)


def trial(
    report: dict[str, Any] | None,
    *,
    used: bool = True,
    judged: tuple[int | None, Limit | None] = (0, None),
    judge: tuple[int | None, Limit | None] = (0, None),
) -> Trial:
    return Trial(
        report=report,
        behaviour=None,
        used=used,
        judge=Ending(exit_code=judge[0], cpu_s=0.1, limit=judge[1]),
        judged=Ending(exit_code=judged[0], cpu_s=0.1, limit=judged[1]),
        starved=False,
    )


STOPPED = {
    "outcome": "refuted",
    "reason": "the program ended before it had answered",
    "stopped": "gone",
    "where": "line 1",
}


def test_the_judges_report_decides() -> None:
    assert outcome_of(trial({"outcome": "confirmed", "reason": "fine"}), LIMITS) == (
        Outcome.CONFIRMED,
        "fine",
    )


def test_a_limit_hit_after_the_report_changes_nothing() -> None:
    report = {"outcome": "confirmed", "reason": "fine"}
    assert outcome_of(trial(report, judged=(None, Limit.CPU)), LIMITS) == (Outcome.CONFIRMED, "fine")


@pytest.mark.parametrize(
    ("limit", "words"),
    [(Limit.CPU, "2 s of CPU time"), (Limit.WALL, "9 s"), (Limit.OUTPUT, "1 MiB"), (Limit.MEMORY, "512 MiB")],
)
def test_a_limit_that_stopped_the_program_is_named_with_the_place(limit: Limit, words: str) -> None:
    outcome, reason = outcome_of(trial(STOPPED, judged=(None, limit)), LIMITS)
    assert outcome is Outcome.REFUTED
    assert words in reason
    assert reason.endswith("in line 1")


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [(0, "exit code 0"), (139, "SIGSEGV"), (None, "connection closed"), (255, "exit code 255")],
)
def test_a_program_that_ended_by_itself_is_told_so(exit_code: int | None, words: str) -> None:
    assert words in outcome_of(trial(STOPPED, judged=(exit_code, None)), LIMITS)[1]


def test_a_missing_report_refutes_once_the_program_was_used() -> None:
    assert outcome_of(trial(None, judge=(137, None)), LIMITS)[0] is Outcome.REFUTED


def test_a_missing_report_says_nothing_about_a_program_that_was_never_used() -> None:
    outcome, reason = outcome_of(trial(None, used=False, judge=(None, Limit.OUTPUT)), LIMITS)
    assert outcome is Outcome.ABSTAINED
    assert "the tests printed more" in reason


@pytest.mark.parametrize("report", [{}, {"outcome": "yes", "reason": ""}, {"outcome": "confirmed"}])
def test_a_report_that_cannot_be_read_never_confirms(report: dict[str, Any]) -> None:
    assert outcome_of(trial(report), LIMITS)[0] is Outcome.REFUTED
