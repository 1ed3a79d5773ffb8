"""Pairs from many threads become few requests of like length; who shares one cannot hurt who."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from verifiers.errors import VerifierError
from verifiers.nli import NliScores

LINGER_S = 0.005  # a first pair waits so long for others; nothing beside one forward pass
UNIT_PAIRS = 64
UNIT_CHARS = {"cpu": 12_000, "cuda": 200_000}
"""Padded characters of one request at most, about four to a token; a longer pair goes alone."""

MAX_WAITING = 4_096  # pairs; who brings more waits until there is room


@dataclass(frozen=True, slots=True)
class Unread:
    """Nothing can be told of a pair: it is too long, holds no words, or took too long."""

    reason: str
    out_of_time: bool = False


Result = NliScores | Unread | VerifierError


@dataclass(eq=False, slots=True)
class Job:
    """One pair, and in the end what became of it."""

    premise: str
    hypothesis: str
    timeout_s: float
    alone: bool = False
    """Its request failed in company, and it is asked once more by itself."""

    result: Result | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def n_chars(self) -> int:
        """How long it is, roughly, to the model."""
        return len(self.premise) + len(self.hypothesis) + 10

    def finish(self, result: Result) -> None:
        """Hand the result to the thread that waits; the first one stands."""
        if not self.done.is_set():
            self.result = result
            self.done.set()


class Microbatches:
    """The queue between the threads that ask and the one that runs the model."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._closed = False

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue the jobs; blocks while the queue is full.

        Raises:
            VerifierError: The queue is closed.
        """
        rest = list(jobs)
        while rest:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or len(self._waiting) < MAX_WAITING)
                if self._closed:
                    raise VerifierError("the entailment model is closed")
                room = MAX_WAITING - len(self._waiting)
                self._waiting += rest[:room]
                rest = rest[room:]
                self._changed.notify_all()

    def put_back(self, jobs: Sequence[Job]) -> bool:
        """Queue jobs again, each to be asked alone, before all others; return whether the queue is still open."""
        with self._changed:
            if self._closed:
                return False
            for job in jobs:
                job.alone = True
            self._waiting[:0] = jobs
            self._changed.notify_all()
            return True

    def take(self, device: str) -> list[Job]:
        """Return the next request: the oldest job and those most like it; none when the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            # Others of the same moment are on their way; a full request need not wait for them.
            self._changed.wait_for(lambda: self._closed or len(self._waiting) >= UNIT_PAIRS, timeout=LINGER_S)
            if self._closed:
                return []
            unit = _unit(self._waiting, UNIT_CHARS[device])
            chosen = {id(job) for job in unit}
            self._waiting = [job for job in self._waiting if id(job) not in chosen]
            self._changed.notify_all()
            return unit

    def close(self) -> list[Job]:
        """Refuse further jobs and return those that still waited."""
        with self._changed:
            self._closed = True
            left, self._waiting = self._waiting, []
            self._changed.notify_all()
            return left


def _unit(waiting: Sequence[Job], max_chars: int) -> list[Job]:
    """Return the oldest job with its neighbours by length, as many as fit when padded to the longest.

    All have its time limit, so that a request as a whole has one.
    """
    oldest = waiting[0]
    if oldest.alone:
        return [oldest]
    like = [job for job in waiting if not job.alone and job.timeout_s == oldest.timeout_s]
    like.sort(key=lambda job: job.n_chars)
    low = next(i for i, job in enumerate(like) if job is oldest)
    high = low + 1
    while high - low < UNIT_PAIRS:
        longer = high < len(like) and like[high].n_chars * (high + 1 - low) <= max_chars
        shorter = low > 0 and like[high - 1].n_chars * (high + 1 - low) <= max_chars
        if longer and (not shorter or _is_nearer(like, low, high)):
            high += 1
        elif shorter:
            low -= 1
        else:
            break
    return like[low:high]


def _is_nearer(like: Sequence[Job], low: int, high: int) -> bool:
    """Return whether the next longer job wastes less padding than the next shorter one."""
    return like[high].n_chars - like[high - 1].n_chars <= like[low].n_chars - like[low - 1].n_chars
