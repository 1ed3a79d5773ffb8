"""The ``math`` verifier: are two answers the same, does one satisfy its conditions, is a chain's arithmetic right?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from verifiers.children import ChildDiedError
from verifiers.claims import MathClaim
from verifiers.math.judgement import Judgement
from verifiers.math.pool import Pool
from verifiers.math.requests import judged_without_algebra, request_of
from verifiers.verdicts import Outcome, Verdict, Verifier

__all__ = ["MathVerifier"]


class MathVerifier:
    """Judges the three kinds of ``MathClaim``; symmetric in the two answers of an equality, and safe from any thread.

    Text and plain arithmetic are decided here; whatever needs SymPy goes to a killable child process. The CPU time of a
    claim is limited first, so that verdicts don't depend on how busy the machine is; the caller's time limit stands
    behind it.
    """

    name = "math"
    version = "2"

    def __init__(self, *, n_children: int = 2, cpu_limit_s: float = 1.0) -> None:
        """Start nothing yet.

        Args:
            n_children: How many processes may compute at once.
            cpu_limit_s: CPU seconds a claim may take in one.
        """
        self._pool = Pool(n_children)
        self._n_children = n_children
        self._cpu_limit_s = cpu_limit_s

    def verify(self, claim: MathClaim, *, timeout_s: float) -> Verdict:
        """Judge a claim; what can't be read or computed is an abstention.

        Args:
            claim: Its texts are hostile.
            timeout_s: Wall seconds it may take once a child works on it.

        Raises:
            VerifierError: The verifier is closed, or no child process can be started.
        """
        started = time.perf_counter()
        request = request_of(claim)
        judgement = judged_without_algebra(request) or self._with_algebra(request, timeout_s)
        return self._verdict(judgement, started)

    def verify_many(self, claims: Sequence[MathClaim], *, timeout_s: float) -> list[Verdict]:
        """Judge many claims, in their order.

        Args:
            claims: The claims.
            timeout_s: As for one claim, for each of them.
        """
        found: list[Verdict | None] = []
        hard: list[dict[str, Any]] = []
        for claim in claims:  # most need no algebra, and are decided quicker than a thread is started
            started = time.perf_counter()
            request = request_of(claim)
            judgement = judged_without_algebra(request)
            found.append(None if judgement is None else self._verdict(judgement, started))
            if judgement is None:
                hard.append(request)
        if hard:
            with ThreadPoolExecutor(self._n_children) as threads:
                verdicts = threads.map(lambda request: self._hard(request, timeout_s), hard)
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

    def _hard(self, request: dict[str, Any], timeout_s: float) -> Verdict:
        started = time.perf_counter()
        return self._verdict(self._with_algebra(request, timeout_s), started)

    def _with_algebra(self, request: dict[str, Any], timeout_s: float) -> Judgement:
        cpu_s = min(self._cpu_limit_s, timeout_s)
        try:
            reply = self._pool.ask({**request, "cpu_s": cpu_s}, timeout_s=timeout_s)
        except ChildDiedError as error:
            return Judgement(Outcome.ABSTAINED, str(error))
        return Judgement(Outcome(reply["outcome"]), reply["reason"], reply["evidence"])


if TYPE_CHECKING:
    _conforms: type[Verifier[MathClaim]] = MathVerifier
