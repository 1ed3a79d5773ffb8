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


def _math(_place: Surroundings) -> Judge:
    from verifiers.math.verifier import MathVerifier
    from worker.judging.math import MathJudge

    return MathJudge(MathVerifier())


JUDGES: Mapping[str, Callable[[Surroundings], Judge]] = {
    "code": _code,
    "embedding": _embedding,
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
