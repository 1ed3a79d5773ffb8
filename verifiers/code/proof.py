"""Whether tests that nobody vouches for tell right programs from wrong ones."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from reasoner.outcomes import Outcome
from verifiers.claims import ProgramClaim
from verifiers.code.mutants import VALUE, mutants

LEAST_SHARE = 2 / 3  # of the mutants; not all, since some mutants are as right as the program they come from
MAX_KEPT = 512  # proofs remembered; a task's candidates share one
_LEAST_CPU_S = 1.0
_MUTANT_CPU_FACTOR = 10.0  # a mutant that takes so much longer than the right program loops


@dataclass(frozen=True, slots=True)
class Tried:
    """How one program did."""

    outcome: Outcome
    reason: str
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Proof:
    """What the tests did with a right program and with its mutants."""

    problem: str | None
    """Why the tests don't count; None when they do."""

    n_killed: int = 0
    n_mutants: int = 0

    def __str__(self) -> str:
        if self.problem is None:
            return f"proved ({self.n_killed} of {self.n_mutants} mutants killed)"
        return f"unproved: {self.problem}"


def prove(
    claim: ProgramClaim, known_good: str, *, timeout_s: float, attempt: Callable[[ProgramClaim, float], Tried]
) -> Proof:
    """Return whether the tests of ``claim`` pass ``known_good`` and fail its mutants.

    It shields from tests that are wrong or say little, as models write them; not from tests that are made to deceive.

    Args:
        claim: Its tests count, and its entry point.
        known_good: A program that is right.
        timeout_s: CPU time for it, in seconds; mutants get less.
        attempt: Runs a program against the tests, with a limit in CPU seconds.
    """
    right = attempt(_of(claim, known_good), timeout_s)
    if right.outcome is not Outcome.CONFIRMED:
        return Proof(f"the program that is known to be right does not pass them: {right.reason}")
    mutant_s = min(timeout_s, max(_LEAST_CPU_S, _MUTANT_CPU_FACTOR * right.cpu_s))
    tried = [
        (mutant.kind, attempt(_of(claim, mutant.program), mutant_s).outcome) for mutant in mutants(known_good)
    ]
    told = [(kind, outcome) for kind, outcome in tried if outcome is not Outcome.ABSTAINED]
    killed = [kind for kind, outcome in told if outcome is Outcome.REFUTED]
    return Proof(_problem(told, killed), len(killed), len(told))


def _problem(told: Sequence[tuple[str, Outcome]], killed: list[str]) -> str | None:
    if not told:
        return "there is no mutant of the right program to try them on"
    if len(killed) < LEAST_SHARE * len(told):
        return f"only {len(killed)} of {len(told)} mutants of the right program fail them"
    if VALUE not in killed and any(kind == VALUE for kind, _ in told):
        return "they do not notice when the right program's results are changed"
    return None


def _of(claim: ProgramClaim, program: str) -> ProgramClaim:
    return replace(claim, program=program, known_good=None)


class Proofs:
    """The proofs made lately; safe to use from any thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Proof] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, claim: ProgramClaim, timeout_s: float, make: Callable[[], Proof]) -> Proof:
        """Return the proof for the tests of ``claim``, made now if it is not known."""
        parts = (
            claim.tests,
            claim.known_good,
            claim.entry_point,
            sorted(claim.files.items()),
            claim.seed,
            claim.language,
            claim.inner,
            timeout_s,
        )
        key = hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()
        with self._lock:
            known = self._kept.get(key)
        if known is not None:
            return known
        proof = make()
        with self._lock:
            self._kept[key] = proof
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return proof
