"""Turns what came of a pair into an outcome and a sentence."""

from __future__ import annotations

import signal
from typing import assert_never

from reasoner.outcomes import Outcome
from verifiers.sandbox.protocol import Ending, Limit, Limits, Trial

_MIB = 1024 * 1024
_HEAP_IS_FULL = "JavaScript heap out of memory"


def outcome_of(trial: Trial, limits: Limits, *, inner: bool = False) -> tuple[Outcome, str]:
    """Return the outcome and the reason.

    The judge's report decides. Without one, the program is refuted if the judge had begun to use it (whatever it gave
    the tests, they did not come to an end with it), and nothing is said if the judge had not: then it is the tests'
    fault.

    Args:
        trial: What came of the pair.
        limits: What it was allowed.
        inner: The tests ran in the program's own process, which therefore has to have ended well.
    """
    report = trial.report
    if report is None:
        return _without_report(trial, limits)
    try:
        outcome = Outcome(report["outcome"])
        reason = str(report["reason"])
    except (KeyError, ValueError):
        return Outcome.REFUTED, "the judge's report could not be read"
    if outcome is Outcome.CONFIRMED and inner and trial.judged.exit_code not in {0, None}:
        return Outcome.REFUTED, f"the tests reported success, and {_end(trial.judged)}"
    if "stopped" in report:
        reason = f"{_stopped(trial, limits, reason)}, in {report.get('where', 'the tests')}"
    return outcome, reason


def _without_report(trial: Trial, limits: Limits) -> tuple[Outcome, str]:
    how = limit_text(trial.judge.limit, limits, of="the tests") if trial.judge.limit else _end(trial.judge)
    if trial.used:
        return Outcome.REFUTED, f"the tests did not come to an end with what the program gave them ({how})"
    return Outcome.ABSTAINED, f"the tests themselves could not be run ({how})"


def limit_of(ending: Ending) -> Limit | None:
    """Return the limit that ended a process: from outside, or by V8, which ends itself when its heap is full."""
    if ending.limit is None and ending.exit_code and _HEAP_IS_FULL in ending.stderr:
        return Limit.MEMORY
    return ending.limit


def _stopped(trial: Trial, limits: Limits, reason: str) -> str:
    """Say why nothing more could be asked of the program: a limit, how its process ended, or what the judge said."""
    limit = limit_of(trial.judged)
    if limit is not None:
        return limit_text(limit, limits)
    if trial.report is not None and trial.report["stopped"] == "gone":
        return f"{reason} ({_end(trial.judged)})"
    return reason


def limit_text(limit: Limit, limits: Limits, *, of: str = "the program") -> str:
    """Return a sentence that names the limit."""
    match limit:
        case Limit.CPU:
            return f"{of} used more than its {limits.cpu_s:g} s of CPU time"
        case Limit.WALL:
            return f"{of} had not ended after {limits.wall_s:g} s, of which it computed little"
        case Limit.OUTPUT:
            return f"{of} printed more than {limits.output_bytes // _MIB} MiB"
        case Limit.MEMORY:
            return f"{of} used more than {limits.memory_bytes // _MIB} MiB of memory"
    assert_never(limit)


def _end(ending: Ending) -> str:
    if ending.exit_code is None:
        return "it was still running, with its connection closed"
    number = ending.exit_code - 128 if ending.exit_code > 128 else -ending.exit_code
    if number in {int(known) for known in signal.Signals}:
        return f"its process was ended by {signal.Signals(number).name}"
    return f"its process ended with exit code {ending.exit_code}"
