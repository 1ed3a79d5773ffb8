"""Answers against the task's references, and against each other."""

from __future__ import annotations

from collections.abc import Sequence

from reasoner.outcomes import Outcome
from verifiers.claims import EqualityClaim
from verifiers.math.verifier import MathVerifier
from worker.claims import answers_of, candidate_key, distinct_answers, equivalence_of, pairs_of, specs_of
from worker.judging.equivalence import judged_equivalence
from worker.judging.protocol import Said
from worker.store.texts import digest
from worker.store.verdicts import Judged
from worker.submission.lines import MathVerification, TaskLine

EQUALITY_TIMEOUT_S = 5.0  # CPU seconds for one pair of answers; the slowest honest pair takes well under one


class MathJudge:
    """A verdict for each distinct answer and reference, and one for the relation among the answers."""

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
        found = [one for i, spec in specs_of(line, MathVerification) for one in self._spec(i, spec, forms)]
        if equivalence_of(line) == "symbolic" and len(forms) > 1:
            found.append(self._equivalence(forms))
        return found

    def _spec(self, i: int, spec: MathVerification, forms: dict[str, str]) -> list[Judged]:
        claims = [EqualityClaim(gold=spec.reference, answer=answer) for answer in forms.values()]
        verdicts = self._verifier.verify_many(claims, timeout_s=spec.timeout_s)
        return [
            Judged(
                candidate=candidate_key(i, form),
                claim={"kind": "equality", "spec": i, "answer": digest(form)},
                verdict=verdict,
                limits={"timeout_s": spec.timeout_s},
            )
            for form, verdict in zip(forms, verdicts, strict=True)
        ]

    def _equivalence(self, forms: dict[str, str]) -> Judged:
        pairs = pairs_of(list(forms))
        verdicts = self._verifier.verify_many(
            [EqualityClaim(gold=forms[a], answer=forms[b]) for a, b in pairs], timeout_s=EQUALITY_TIMEOUT_S
        )
        undecided = [v for v in verdicts if v.outcome is Outcome.ABSTAINED]
        return judged_equivalence(
            forms,
            pairs,
            [v.outcome for v in verdicts],
            verifier=self._verifier.name,
            version=self._verifier.version,
            why=undecided[0].reason[:200] if undecided else "",
            elapsed_s=sum(v.elapsed_s for v in verdicts),
            limits={"timeout_s": EQUALITY_TIMEOUT_S},
        )

    def close(self) -> None:
        """See ``Judge``."""
        self._verifier.close()
