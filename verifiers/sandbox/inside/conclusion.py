"""How a trial ends, and how that is told."""

from __future__ import annotations

from verifiers.sandbox.inside.asserts import MAX_TEXT, Assertion, Ended
from verifiers.sandbox.inside.codec import Value

MAX_REPORTED = 50  # assertions, and tests, spelled out in the evidence


class Conclusion(Exception):  # noqa: N818 - how a trial ends, not an error
    """Raised when the outcome is known."""

    def __init__(self, outcome: str, reason: str, **facts: Value) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.facts = facts


def reported(results: list[Ended]) -> list[Ended]:
    """Return the first results, and the first that failed if it came later."""
    failed = next((result for result in results[MAX_REPORTED:] if result.state == "failed"), None)
    no_earlier = all(result.state != "failed" for result in results[:MAX_REPORTED])
    return results[:MAX_REPORTED] + ([failed] if failed and no_earlier else [])


def state_of(assertion: Assertion) -> str:
    """Return how an assertion went, in a word."""
    if assertion.failure is not None:
        return "failed"
    return "passed" if assertion.n_passed else "not reached"


def one_line(error: BaseException) -> str:
    """Return an exception's class and text, in one line and not too long."""
    text = " ".join(str(error).split())[:MAX_TEXT]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
