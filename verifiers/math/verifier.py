"""The ``math`` verifier: are two answers the same answer?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from verifiers.children import ChildDiedError
from verifiers.claims import EqualityClaim
from verifiers.math.equality import Judgement, decide_without_algebra
from verifiers.math.pool import Pool
from verifiers.verdicts import Outcome, Verdict, Verifier

__all__ = ["MathVerifier"]


class MathVerifier:
    """Judges equality of answers; symmetric, and safe from any thread.

    Text and plain arithmetic are decided here; whatever needs SymPy goes to a killable child process. The CPU time of a
    claim is limited first, so that verdicts don't depend on how busy the machine is; the caller's time limit stands
    behind it.
    """

    name = "math"
    version = "1"

    def __init__(self, *, n_children: int = 2, cpu_limit_s: float = 1.0) -> None:
        """Start nothing yet.

        Args:
            n_children: How many processes may compute at once.
            cpu_limit_s: CPU seconds a claim may take in one.
        """
        self._pool = Pool(n_children)
        self._n_children = n_children
        self._cpu_limit_s = cpu_limit_s

    def verify(self, claim: EqualityClaim, *, timeout_s: float) -> Verdict:
        """Judge whether the two answers are the same; what can't be read or computed is an abstention.

        Args:
            claim: The two answers, bare or in a text.
            timeout_s: Wall seconds the comparison may take once a child works on it.

        Raises:
            VerifierError: The verifier is closed, or no child process can be started.
        """
        started = time.perf_counter()
        judgement = decide_without_algebra(claim.gold, claim.answer) or self._with_algebra(claim, timeout_s)
        return self._verdict(judgement, started)

    def verify_many(self, claims: Sequence[EqualityClaim], *, timeout_s: float) -> list[Verdict]:
        """Judge many claims, in their order.

        Args:
            claims: The claims.
            timeout_s: As for one claim, for each of them.
        """
        found: list[Verdict | None] = []
        for claim in claims:  # most need no algebra, and are decided quicker than a thread is started
            started = time.perf_counter()
            judgement = decide_without_algebra(claim.gold, claim.answer)
            found.append(None if judgement is None else self._verdict(judgement, started))
        hard = [claim for claim, verdict in zip(claims, found, strict=True) if verdict is None]
        if hard:
            with ThreadPoolExecutor(self._n_children) as threads:
                verdicts = threads.map(lambda claim: self._hard(claim, timeout_s), hard)
                return [verdict or next(verdicts) for verdict in found]
        return [verdict for verdict in found if verdict is not None]

    def close(self) -> None:
        """Kill the children; later claims that need one raise ``VerifierError``."""
        self._pool.close()

    def _verdict(self, judgement: Judgement, started: float) -> Verdict:
        return Verdict(
            verifier=self.name,
            version=self.version,
            outcome=judgement.outcome,
            reason=judgement.reason,
            elapsed_s=time.perf_counter() - started,
            evidence=dict(judgement.evidence),
        )

    def _hard(self, claim: EqualityClaim, timeout_s: float) -> Verdict:
        started = time.perf_counter()
        return self._verdict(self._with_algebra(claim, timeout_s), started)

    def _with_algebra(self, claim: EqualityClaim, timeout_s: float) -> Judgement:
        request = {"gold": claim.gold, "answer": claim.answer, "cpu_s": min(self._cpu_limit_s, timeout_s)}
        try:
            reply = self._pool.ask(request, timeout_s=timeout_s)
        except ChildDiedError as error:
            return Judgement(Outcome.ABSTAINED, str(error))
        return Judgement(Outcome(reply["outcome"]), reply["reason"], reply["evidence"])


if TYPE_CHECKING:
    _conforms: type[Verifier[EqualityClaim]] = MathVerifier
