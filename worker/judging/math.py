"""Answers against the task's references and conditions, chains against arithmetic, and answers against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reasoner.outcomes import Outcome
from verifiers.claims import EqualityClaim, SatisfiesClaim, StepsClaim
from verifiers.math.verifier import MathVerifier
from verifiers.verdicts import Verdict
from worker.claims import (
    answers_of,
    candidate_key,
    distinct_answers,
    equivalence_of,
    normaliser_of,
    pairs_of,
    specs_of,
)
from worker.judging.equivalence import judged_equivalence
from worker.judging.protocol import Said
from worker.judging.steps import groups_of, verdict_on_chains
from worker.store.texts import digest
from worker.store.verdicts import Judged
from worker.submission.lines import MathVerification, TaskLine

EQUALITY_TIMEOUT_S = 5.0  # CPU seconds for one pair of answers; the slowest honest pair takes well under one


class MathJudge:
    """A verdict for each distinct answer and verification, and one for the relation among the answers."""

    def __init__(self, verifier: MathVerifier) -> None:
        self._verifier = verifier

    def judge(
        self,
        line: TaskLine,
        said: Sequence[Said],
        *,
        tenant: str,  # noqa: ARG002 (looks nothing up)
    ) -> list[Judged]:
        """See ``Judge``."""
        forms = distinct_answers(line, answers_of(said))
        found: list[Judged] = []
        equal: list[tuple[str, str]] = []
        if equivalence_of(line) == "symbolic" and len(forms) > 1:
            related, equal = self._equivalence(forms)
            found.append(related)
        for i, spec in specs_of(line, MathVerification):
            if spec.steps:
                found += self._steps(i, spec, groups_of(forms, equal), _texts(line, said))
            else:
                found += self._answers(i, spec, forms)
        return found

    def _answers(self, i: int, spec: MathVerification, forms: Mapping[str, str]) -> list[Judged]:
        claims = [_claim(spec, answer) for answer in forms.values()]
        kind = "equality" if spec.conditions is None else "satisfies"
        verdicts = self._verifier.verify_many(claims, timeout_s=spec.timeout_s)
        return [_judged(i, kind, form, verdict, spec) for form, verdict in zip(forms, verdicts, strict=True)]

    def _steps(
        self,
        i: int,
        spec: MathVerification,
        groups: Sequence[Sequence[str]],
        texts: Mapping[str, Sequence[tuple[int, str]]],
    ) -> list[Judged]:
        """Judge every chain once, and give each group of equal answers one verdict."""
        found = []
        for group in groups:
            chains = sorted(chain for form in group for chain in texts[form])
            claims = [StepsClaim(text=text) for _, text in chains]
            verdicts = self._verifier.verify_many(claims, timeout_s=spec.timeout_s)
            verdict = verdict_on_chains([n for n, _ in chains], verdicts)
            found += [_judged(i, "steps", form, verdict, spec) for form in group]
        return found

    def _equivalence(self, forms: dict[str, str]) -> tuple[Judged, list[tuple[str, str]]]:
        """Return the verdict, and the pairs that are equal."""
        pairs = pairs_of(list(forms))
        verdicts = self._verifier.verify_many(
            [EqualityClaim(gold=forms[a], answer=forms[b]) for a, b in pairs], timeout_s=EQUALITY_TIMEOUT_S
        )
        undecided = [v for v in verdicts if v.outcome is Outcome.ABSTAINED]
        judged = judged_equivalence(
            forms,
            pairs,
            [v.outcome for v in verdicts],
            verifier=self._verifier.name,
            version=self._verifier.version,
            why=undecided[0].reason[:200] if undecided else "",
            elapsed_s=sum(v.elapsed_s for v in verdicts),
            limits={"timeout_s": EQUALITY_TIMEOUT_S},
        )
        return judged, [p for p, v in zip(pairs, verdicts, strict=True) if v.outcome is Outcome.CONFIRMED]

    def close(self) -> None:
        """See ``Judge``."""
        self._verifier.close()


def _claim(spec: MathVerification, answer: str) -> EqualityClaim | SatisfiesClaim:
    if spec.conditions is not None:
        return SatisfiesClaim(answer=answer, conditions=spec.conditions, unknowns=spec.unknowns)
    return EqualityClaim(gold=spec.reference or "", answer=answer, collection=spec.collection)


def _texts(line: TaskLine, said: Sequence[Said]) -> dict[str, list[tuple[int, str]]]:
    """Return, per normal form of an answer, the chains that reach it: their positions and texts."""
    normal_form = normaliser_of(line)
    texts: dict[str, list[tuple[int, str]]] = {}
    for n, one in enumerate(said):
        if one.answer is not None:
            texts.setdefault(normal_form(one.answer), []).append((n, one.text))
    return texts


def _judged(i: int, kind: str, form: str, verdict: Verdict, spec: MathVerification) -> Judged:
    return Judged(
        candidate=candidate_key(i, form),
        claim={"kind": kind, "spec": i, "answer": digest(form)},
        verdict=verdict,
        limits={"timeout_s": spec.timeout_s},
    )
