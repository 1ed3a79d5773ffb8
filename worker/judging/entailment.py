"""Answers against the texts that should support them, and against each other."""

from __future__ import annotations

import time
from collections.abc import Sequence

from reasoner.normal_forms import normal_number
from reasoner.outcomes import Outcome
from reasoner.relations import numbers_in
from verifiers.claims import EntailmentClaim
from verifiers.entailment.verifier import EntailmentVerifier
from verifiers.verdicts import Verdict
from worker.claims import answers_of, candidate_key, distinct_answers, equivalence_of, pairs_of, specs_of
from worker.judging.equivalence import judged_equivalence
from worker.judging.protocol import Said
from worker.store.texts import digest
from worker.store.verdicts import Judged
from worker.submission.lines import ANSWER, EntailmentVerification, TaskLine

EQUIVALENCE_TIMEOUT_S = 30.0  # for each direction of one pair


class EntailmentJudge:
    """A verdict for each distinct answer and premise, and one for the relation among the answers."""

    def __init__(self, verifier: EntailmentVerifier) -> None:
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
        found = [
            one for i, spec in specs_of(line, EntailmentVerification) for one in self._spec(i, spec, forms)
        ]
        if equivalence_of(line) == "entailment" and len(forms) > 1:
            found.append(self._equivalence(forms))
        return found

    def _spec(self, i: int, spec: EntailmentVerification, forms: dict[str, str]) -> list[Judged]:
        claims = [
            EntailmentClaim(premise=spec.premise, hypothesis=spec.hypothesis.replace(ANSWER, answer))
            for answer in forms.values()
        ]
        verdicts = self._verifier.verify_many(claims, timeout_s=spec.timeout_s)
        return [
            Judged(
                candidate=candidate_key(i, form),
                claim={"kind": "entailment", "spec": i, "answer": digest(form)},
                verdict=verdict,
                limits={"timeout_s": spec.timeout_s},
            )
            for form, verdict in zip(forms, verdicts, strict=True)
        ]

    def _equivalence(self, forms: dict[str, str]) -> Judged:
        """Judge each pair: the same when each entails the other, and when they mention the same numbers.

        The relation is that of ``reasoner.relations.entailment_relation``. Numbers are compared by value and not by the
        model, which takes "gets 29 dollars" and "gets 35 dollars" for much the same.
        """
        started = time.monotonic()
        pairs = pairs_of(list(forms))
        known = {pair: _by_numbers(forms[pair[0]], forms[pair[1]]) for pair in pairs}
        open_pairs = [pair for pair in pairs if known[pair] is None]
        claims = [
            EntailmentClaim(premise=forms[a], hypothesis=forms[b], both_directions=True)
            for a, b in open_pairs
        ]
        asked = dict(
            zip(open_pairs, self._verifier.verify_many(claims, timeout_s=EQUIVALENCE_TIMEOUT_S), strict=True)
        )
        undecided = [one for one in asked.values() if one.outcome is Outcome.ABSTAINED]
        return judged_equivalence(
            forms,
            pairs,
            [known[pair] or asked[pair].outcome for pair in pairs],
            verifier=self._verifier.name,
            version=self._verifier.version,
            why=undecided[0].reason[:200] if undecided else "",
            elapsed_s=time.monotonic() - started,
            limits={"timeout_s": EQUIVALENCE_TIMEOUT_S},
            details=[_entailments(asked.get(pair)) for pair in pairs],
        )

    def close(self) -> None:
        """See ``Judge``."""
        self._verifier.close()


def _by_numbers(left: str, right: str) -> Outcome | None:
    if numbers_in(left) != numbers_in(right):
        return Outcome.REFUTED
    return Outcome.CONFIRMED if normal_number(left) == normal_number(right) else None


def _entailments(verdict: Verdict | None) -> list[float | None]:
    """Return P(entailment) of both directions; ``None`` where the model was not asked or could not read a text."""
    scores = {} if verdict is None else verdict.evidence["scores"]
    return [scores[way]["entailment"] if way in scores else None for way in ("forward", "backward")]
