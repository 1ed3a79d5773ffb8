"""Claims as JSON values, so that a child process can be asked, and who decides each kind of them."""

from __future__ import annotations

from typing import Any, assert_never

from verifiers.claims import EqualityClaim, MathClaim, SatisfiesClaim, StepsClaim
from verifiers.math.comparison import Scalars
from verifiers.math.equality import decide
from verifiers.math.judgement import Judgement
from verifiers.math.rational import NeedsAlgebraError, RationalScalars
from verifiers.math.satisfaction import satisfies
from verifiers.math.steps import MAX_QUICK_CHARS, check_steps

__all__ = ["judged", "judged_without_algebra", "request_of"]


def request_of(claim: MathClaim) -> dict[str, Any]:
    """Return ``claim`` as JSON values."""
    match claim:
        case EqualityClaim(gold=gold, answer=answer, collection=collection):
            return {"kind": "equality", "gold": gold, "answer": answer, "collection": collection}
        case SatisfiesClaim(answer=answer, conditions=conditions, unknowns=unknowns):
            return {
                "kind": "satisfies",
                "answer": answer,
                "conditions": list(conditions),
                "unknowns": list(unknowns),
            }
        case StepsClaim(text=text):
            return {"kind": "steps", "text": text}
        case _:
            assert_never(claim)


def judged(request: dict[str, Any], scalars: Scalars) -> Judgement:
    """Return the judgement of what ``request_of`` made.

    Raises:
        NeedsAlgebraError: ``scalars`` only knows plain arithmetic and more is needed.
    """
    if request["kind"] == "equality":
        return decide(request["gold"], request["answer"], scalars, collection=request["collection"])
    if request["kind"] == "satisfies":
        return satisfies(request["answer"], request["conditions"], request["unknowns"], scalars)
    return check_steps(request["text"], scalars)


def judged_without_algebra(request: dict[str, Any]) -> Judgement | None:
    """Return the judgement where text and plain arithmetic suffice and are quick, else ``None``."""
    if request["kind"] == "steps" and len(request["text"]) > MAX_QUICK_CHARS:
        return None
    try:
        return judged(request, RationalScalars())
    except NeedsAlgebraError:
        return None
