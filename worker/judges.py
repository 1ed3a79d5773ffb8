"""The verifiers at work on one task: every claim its answers give rise to, judged."""

from __future__ import annotations

import time
from collections.abc import Sequence

from reasoner.outcomes import Outcome
from reasoner.relations import EmbeddingLikeness
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
from worker.embedders.protocol import Embedder
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
            ProgramClaim(
                program=program,
                tests=spec.tests,
                entry_point=spec.entry_point,
                language=spec.language,
                files=spec.files,
                known_good=spec.known_good,
                seed=spec.seed,
            )
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
    undecided = [v for v in verdicts if v.outcome is Outcome.ABSTAINED]
    outcomes = [v.outcome for v in verdicts]
    verdict = Verdict(
        verifier=verifier.name,
        version=verifier.version,
        outcome=Outcome.ABSTAINED if undecided else Outcome.CONFIRMED,
        reason=_summary(outcomes, why=undecided[0].reason[:200] if undecided else ""),
        elapsed_s=sum(v.elapsed_s for v in verdicts),
        evidence={
            "pairs": [
                [digest(a), digest(b), outcome.value] for (a, b), outcome in zip(pairs, outcomes, strict=True)
            ]
        },
    )
    return _equivalence(forms, verdict, limits={"timeout_s": EQUALITY_TIMEOUT_S})


def judge_embedding(embedder: Embedder, line: TaskLine, answers: Sequence[str | None]) -> list[Judged]:
    """Return one verdict: which of the task's distinct answers lie so close that they are the same.

    Its evidence names every pair with its outcome and its cosine, ``None`` where no cosine was asked for.
    """
    forms = distinct_answers(line, answers)
    if equivalence_of(line) != "embedding" or len(forms) < 2:
        return []
    start = time.monotonic()
    likeness = EmbeddingLikeness(embedder.embed, cosine=line.options.cosine)
    pairs = pairs_of(list(forms))
    found = [likeness(a, b) for a, b in pairs]
    outcomes = [_OUTCOMES[one.same] for one in found]
    verdict = Verdict(
        verifier="embedding",
        version=f"{embedder.name}@{embedder.revision}",
        outcome=Outcome.ABSTAINED if Outcome.ABSTAINED in outcomes else Outcome.CONFIRMED,
        reason=_summary(outcomes, why="a text is too long for the model, or holds no words"),
        elapsed_s=time.monotonic() - start,
        evidence={
            "pairs": [
                [digest(a), digest(b), outcome.value, None if one.cosine is None else round(one.cosine, 6)]
                for (a, b), outcome, one in zip(pairs, outcomes, found, strict=True)
            ]
        },
    )
    return [_equivalence(forms, verdict, limits={"cosine": line.options.cosine})]


_OUTCOMES = {True: Outcome.CONFIRMED, False: Outcome.REFUTED, None: Outcome.ABSTAINED}


def _summary(outcomes: Sequence[Outcome], *, why: str) -> str:
    n_same, n_undecided = outcomes.count(Outcome.CONFIRMED), outcomes.count(Outcome.ABSTAINED)
    reason = f"{n_same} of {len(outcomes)} pairs of distinct answers are equal"
    return f"{reason}, {n_undecided} cannot be told ({why})" if n_undecided else reason


def _equivalence(forms: dict[str, str], verdict: Verdict, *, limits: dict[str, float]) -> Judged:
    return Judged(
        candidate=EQUIVALENCE,
        claim={"kind": "equivalence", "answers": [digest(form) for form in forms]},
        verdict=verdict,
        limits=dict(limits),
    )
