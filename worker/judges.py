"""The verifiers at work on one task: every claim its answers give rise to, judged."""

from __future__ import annotations

from collections.abc import Sequence

from reasoner.outcomes import Outcome
from verifiers.claims import EqualityClaim, ProgramClaim
from verifiers.code.verifier import CodeVerifier
from verifiers.math.verifier import MathVerifier
from verifiers.verdicts import Verdict
from worker.claims import (
    EQUIVALENCE,
    candidate_key,
    code_specs,
    distinct_answers,
    equivalence_of,
    math_specs,
    pairs_of,
)
from worker.store.texts import digest
from worker.store.verdicts import Judged
from worker.submission.lines import TaskLine

EQUALITY_TIMEOUT_S = 5.0  # CPU seconds for one pair of answers; the slowest honest pair takes well under one


def judge_code(verifier: CodeVerifier, line: TaskLine, answers: Sequence[str | None]) -> list[Judged]:
    """Return a verdict for each distinct program and each of the task's test specs."""
    forms = distinct_answers(line, answers)
    found = []
    for i, spec in code_specs(line):
        claims = [
            ProgramClaim(program=program, tests=spec.tests, entry_point=spec.entry_point)
            for program in forms.values()
        ]
        verdicts = verifier.verify_many(claims, timeout_s=spec.timeout_s)
        limits = {"timeout_s": spec.timeout_s}
        found += [
            Judged(
                candidate=candidate_key(i, form),
                claim={"kind": "program", "spec": i, "program": digest(form)},
                verdict=verdict,
                limits=limits,
            )
            for form, verdict in zip(forms, verdicts, strict=True)
        ]
    return found


def judge_math(verifier: MathVerifier, line: TaskLine, answers: Sequence[str | None]) -> list[Judged]:
    """Return a verdict for each distinct answer and reference, and one for the relation among the answers."""
    forms = distinct_answers(line, answers)
    found = []
    for i, spec in math_specs(line):
        claims = [EqualityClaim(gold=spec.reference, answer=answer) for answer in forms.values()]
        verdicts = verifier.verify_many(claims, timeout_s=spec.timeout_s)
        found += [
            Judged(
                candidate=candidate_key(i, form),
                claim={"kind": "equality", "spec": i, "answer": digest(form)},
                verdict=verdict,
                limits={"timeout_s": spec.timeout_s},
            )
            for form, verdict in zip(forms, verdicts, strict=True)
        ]
    if equivalence_of(line) == "symbolic" and len(forms) > 1:
        found.append(_judge_equivalence(verifier, forms))
    return found


def _judge_equivalence(verifier: MathVerifier, forms: dict[str, str]) -> Judged:
    pairs = pairs_of(list(forms))
    verdicts = verifier.verify_many(
        [EqualityClaim(gold=forms[a], answer=forms[b]) for a, b in pairs], timeout_s=EQUALITY_TIMEOUT_S
    )
    n_same = sum(v.outcome is Outcome.CONFIRMED for v in verdicts)
    undecided = [v for v in verdicts if v.outcome is Outcome.ABSTAINED]
    reason = f"{n_same} of {len(pairs)} pairs of distinct answers are equal"
    if undecided:
        reason += f", {len(undecided)} cannot be told ({undecided[0].reason[:200]})"
    verdict = Verdict(
        verifier=verifier.name,
        version=verifier.version,
        outcome=Outcome.ABSTAINED if undecided else Outcome.CONFIRMED,
        reason=reason,
        elapsed_s=sum(v.elapsed_s for v in verdicts),
        evidence={
            "pairs": [
                [digest(a), digest(b), v.outcome.value] for (a, b), v in zip(pairs, verdicts, strict=True)
            ]
        },
    )
    return Judged(
        candidate=EQUIVALENCE,
        claim={"kind": "equivalence", "answers": [digest(form) for form in forms]},
        verdict=verdict,
        limits={"timeout_s": EQUALITY_TIMEOUT_S},
    )
