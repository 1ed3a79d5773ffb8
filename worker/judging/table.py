"""The table of judges: adding a verifier to tasks is a module beside this one and a row here."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from worker.claims import answers_of, verifiers_needed
from worker.judging.protocol import Judge, Said, Surroundings
from worker.store.verdicts import Judged
from worker.submission.lines import TaskLine


def _code(_place: Surroundings) -> Judge:
    from verifiers.code.verifier import CodeVerifier
    from worker.judging.code import CodeJudge

    return CodeJudge(CodeVerifier())


def _embedding(place: Surroundings) -> Judge:
    from worker.embedders.shelf import LazyEmbedder
    from worker.judging.embedding import EmbeddingJudge

    # Loaded with the first task that asks for it: most installations never do, and need not have the extra.
    return EmbeddingJudge(LazyEmbedder(place.settings.models_dir))


def _entailment(place: Surroundings) -> Judge:
    from verifiers.entailment.verifier import EntailmentVerifier
    from worker.judging.entailment import EntailmentJudge
    from worker.models.nli import nli_of

    settings = place.settings
    return EntailmentJudge(EntailmentVerifier(nli_of(settings.nli_model, settings.models_dir)))


def _facts(place: Surroundings) -> Judge:
    from verifiers.facts.verifier import FactsVerifier
    from worker.embedders.shelf import embedder_if_here
    from worker.judging.facts import FactsJudge, bars_of
    from worker.models.nli import nli_of

    settings = place.settings
    nli = nli_of(settings.nli_model, settings.models_dir)
    embedder, why = embedder_if_here(settings.models_dir)
    verifier = FactsVerifier(nli, embedder=embedder, bars=lambda: bars_of(nli), why_no_embedder=why)
    return FactsJudge(verifier, nli, store=place.store, embedder=embedder, why_no_embedder=why)


def _math(_place: Surroundings) -> Judge:
    from verifiers.math.verifier import MathVerifier
    from worker.judging.math import MathJudge

    return MathJudge(MathVerifier())


JUDGES: Mapping[str, Callable[[Surroundings], Judge]] = {
    "code": _code,
    "embedding": _embedding,
    "entailment": _entailment,
    "facts": _facts,
    "math": _math,
}
"""Per verifier, how its judge is opened; ``worker.messages.VERIFY`` names its queue."""


class Judges:
    """The judges of one process, each opened when a task first needs it."""

    def __init__(self, place: Surroundings) -> None:
        self._place = place
        self._open: dict[str, Judge] = {}
        self._opening = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop them."""
        with contextlib.ExitStack() as stack:
            for judge in self._open.values():
                stack.callback(judge.close)
        self._open = {}

    def judge(self, line: TaskLine, said: Sequence[Said]) -> list[Judged]:
        """Return a verdict on every claim the chains give rise to.

        Raises:
            ModelUnavailableError: A verifier that the task asks for needs an extra or weights that are missing.
            VerifierError: A verifier broke.
        """
        needed = verifiers_needed(line, answers_of(said))
        tenant = self._place.settings.tenant
        return [one for name in needed for one in self._judge_of(name).judge(line, said, tenant=tenant)]

    def _judge_of(self, name: str) -> Judge:
        with self._opening:
            if name not in self._open:
                self._open[name] = JUDGES[name](self._place)
            return self._open[name]
