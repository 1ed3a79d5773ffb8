"""Which of a task's answers lie so close that they are the same."""

from __future__ import annotations

import time
from collections.abc import Sequence

from reasoner.outcomes import Outcome
from reasoner.relations import EmbeddingLikeness
from worker.claims import answers_of, distinct_answers, equivalence_of, pairs_of
from worker.embedders.protocol import Embedder
from worker.judging.equivalence import judged_equivalence
from worker.judging.protocol import Said
from worker.store.verdicts import Judged
from worker.submission.lines import TaskLine

_OUTCOMES = {True: Outcome.CONFIRMED, False: Outcome.REFUTED, None: Outcome.ABSTAINED}


class EmbeddingJudge:
    """One verdict: its evidence has every pair's cosine too, ``None`` where no cosine was asked for."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def judge(
        self,
        line: TaskLine,
        said: Sequence[Said],
        *,
        tenant: str,  # noqa: ARG002 (looks nothing up)
    ) -> list[Judged]:
        """See ``Judge``."""
        forms = distinct_answers(line, answers_of(said))
        if equivalence_of(line) != "embedding" or len(forms) < 2:
            return []
        start = time.monotonic()
        likeness = EmbeddingLikeness(self._embedder.embed, cosine=line.options.cosine)
        pairs = pairs_of(list(forms))
        found = [likeness(a, b) for a, b in pairs]
        return [
            judged_equivalence(
                forms,
                pairs,
                [_OUTCOMES[one.same] for one in found],
                verifier="embedding",
                version=f"{self._embedder.name}@{self._embedder.revision}",
                why="a text is too long for the model, or holds no words",
                elapsed_s=time.monotonic() - start,
                limits={"cosine": line.options.cosine},
                details=[[None if one.cosine is None else round(one.cosine, 6)] for one in found],
            )
        ]

    def close(self) -> None:
        """See ``Judge``."""
