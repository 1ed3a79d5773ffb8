"""How often one request is tried, and what the requests of one call know of each other."""

from __future__ import annotations

import random
from dataclasses import dataclass

from worker.engines.refusals import Cause, Failure
from worker.engines.window import PATIENCE_S, SPREAD_S
from worker.errors import EngineFaultError, EngineUnavailableError

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
CROWDED = 4
"""How many times more refusals a request takes from an endpoint that meanwhile answers others."""

NEVER_AGAIN = {Cause.OPERATOR, Cause.TOO_LONG, Cause.REFUSED, Cause.SLOW}
"""What the same request would meet again. A slow answer too: it has cost the endpoint its time already."""


@dataclass(slots=True)
class Call:
    """The requests that were asked for together, for one task."""

    fault: EngineUnavailableError | EngineFaultError | None = None
    """What the first of them failed of; those that are not begun are not begun any more."""

    is_cut_off: bool = False
    """Whether no connection can be made."""


class Attempts:
    """Those of one request.

    Args:
        most: How often it may be repeated. Once at the most where no connection is made: the queue waits better, and
            other models of a pool are free.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._n_failed = 0
        self._n_refused = 0
        self._n_answered = 0

    def pause_s(self, failure: Failure, *, n_answered: int) -> float | None:
        """Return how long to wait before the next attempt; ``None`` when there should be none.

        Args:
            failure: Of the last attempt.
            n_answered: How many requests the endpoint has answered so far, of whomever: an overload in which others
                are answered will let us in as well.
        """
        if failure.cause in NEVER_AGAIN or (failure.retry_after_s or 0.0) > PATIENCE_S:
            return None
        self._n_failed += 1
        if failure.cause is Cause.OVERLOADED:
            self._n_refused += 1
            if n_answered != self._n_answered and self._n_refused <= CROWDED * self._most:
                self._n_answered, self._n_failed = n_answered, 1
        most = min(1, self._most) if failure.cause is Cause.UNREACHABLE else self._most
        if self._n_failed > most:
            return None
        if failure.retry_after_s is not None:
            return failure.retry_after_s * random.uniform(1.0, 1.0 + SPREAD_S)  # noqa: S311 - no secret
        doubled = FIRST_PAUSE_S * 2.0 ** (self._n_failed - 1)
        return min(doubled, LONGEST_PAUSE_S) * random.uniform(1.0 - SPREAD_S, 1.0)  # noqa: S311 - no secret
