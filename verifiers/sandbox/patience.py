"""How long a pair may go on: CPU time decides, wall time only ends what waits for ever."""

from __future__ import annotations

import math
import time
from typing import TypeAlias

from verifiers.sandbox.protocol import Limit, Limits

POLL_S = 0.05  # how exactly CPU time is enforced
_GRACE_S = 2.0  # for the judge to say what the program was doing when it was stopped
_BEHAVIOUR_WALL_S = 5.0
_JUDGE_CPU_FACTOR = 2  # the tests' own work, beside the program's
_STARVED_SHARE = 0.2  # of the wall time, below which a pair was asleep and not kept from running
Times: TypeAlias = tuple[float, float]
"""CPU time used and time spent waiting for a processor, in seconds."""


def backstops_s(limits: Limits) -> tuple[int, int]:
    """Return the CPU seconds after which the kernel ends the judged, and the judge; the worker is more exact."""
    cpu_s = math.ceil(limits.cpu_s + limits.behaviour_cpu_s) + 1
    return cpu_s, _JUDGE_CPU_FACTOR * cpu_s + 2


class Patience:
    """The clock of one pair, which begins to run when this is made."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._began = time.monotonic()
        self._deadline = self._began + limits.wall_s
        self._cpu_s = limits.cpu_s
        self.starved = False
        """It ran out of wall time while waiting for a processor."""

    def begin_behaviour(self, judged: Times) -> None:
        """Give the generated inputs their own small budget; the outcome is known."""
        self._cpu_s = judged[0] + self._limits.behaviour_cpu_s
        self._deadline = time.monotonic() + _BEHAVIOUR_WALL_S

    def exceeded(self, judged: Times, judge: Times) -> Limit | None:
        """Return the limit for which the program has to be stopped now, if there is one."""
        if judged[0] > self._cpu_s:
            return Limit.CPU
        now = time.monotonic()
        if now <= self._deadline:
            return None
        self.starved = sum(judged) + sum(judge) > _STARVED_SHARE * (now - self._began)
        return Limit.WALL

    def is_over(self) -> bool:
        """Return whether the judge has had its time to say what the program was doing, too."""
        return time.monotonic() > self._deadline + _GRACE_S
