"""Programs against the task's tests."""

from __future__ import annotations

from collections.abc import Sequence

from verifiers.claims import ProgramClaim
from verifiers.code.verifier import CodeVerifier
from worker.claims import answers_of, candidate_key, distinct_answers, specs_of
from worker.judging.protocol import Said
from worker.store.texts import digest
from worker.store.verdicts import Judged
from worker.submission.lines import CodeVerification, TaskLine


class CodeJudge:
    """A verdict for each distinct program and each of the task's test specs."""

    def __init__(self, verifier: CodeVerifier) -> None:
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
        return [one for i, spec in specs_of(line, CodeVerification) for one in self._spec(i, spec, forms)]

    def _spec(self, i: int, spec: CodeVerification, forms: dict[str, str]) -> list[Judged]:
        claims = [
            ProgramClaim(
                program=program,
                tests=spec.tests,
                entry_point=spec.entry_point,
                language=spec.language,
                files=spec.files,
                known_good=spec.known_good,
                seed=spec.seed,
                inner=spec.inner,
            )
            for program in forms.values()
        ]
        verdicts = self._verifier.verify_many(claims, timeout_s=spec.timeout_s)
        return [
            Judged(
                candidate=candidate_key(i, form),
                claim={"kind": "program", "spec": i, "program": digest(form)},
                verdict=verdict,
                limits={"timeout_s": spec.timeout_s},
            )
            for form, verdict in zip(forms, verdicts, strict=True)
        ]

    def close(self) -> None:
        """See ``Judge``."""
        self._verifier.close()
