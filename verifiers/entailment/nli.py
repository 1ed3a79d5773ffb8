"""A transformers model as an ``NliModel``, for all threads of a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from verifiers.entailment.checkpoint import Checkpoint, missing_libraries
from verifiers.entailment.microbatches import Job, Unread
from verifiers.entailment.runner import Runner
from verifiers.errors import ModelUnavailableError, VerifierError
from verifiers.nli import NliModel, NliScores

__all__ = ["NOTHING_READ", "TransformersNli", "Unread"]

PATIENCE_S = 60.0  # for one pair of ``score``, whose callers name no limit
MAX_HYPOTHESIS_CHARS = (
    20_000  # no text of so many has so few tokens as are read; longer ones are not even tokenised
)
MAX_PREMISE_CHARS = 400_000
NOTHING_READ = NliScores(entailment=0.0, neutral=1.0, contradiction=0.0, n_windows=0)
"""What is said of a pair that can't be read, to those who ask for nothing but scores."""


class TransformersNli:
    """Scores pairs with a sequence-classification checkpoint; safe from any thread and after a fork.

    The model is loaded by a child process with the first pair. Pairs that are asked at about the same time share
    forward passes, whoever asks; a score is a function of its pair alone, up to about the fifth digit.
    """

    def __init__(self, open_it: Callable[[], Checkpoint]) -> None:
        """Start nothing yet.

        Args:
            open_it: Finds the checkpoint, with the first use; may raise ``VerifierError``, and is then asked again.
        """
        self._open = open_it
        self._found: Checkpoint | None = None
        self._lock = threading.Lock()
        self._runner: Runner | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """What is scored with.

        Raises:
            ModelUnavailableError: It isn't there, or can't be used; the message says the fix.
        """
        if self._found is None:
            self._found = self._open()
        return self._found

    @property
    def name(self) -> str:
        """See ``NliModel``."""
        return self.checkpoint.name

    @property
    def revision(self) -> str:
        """See ``NliModel``."""
        return self.checkpoint.revision

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[NliScores]:
        """See ``NliModel``; a pair that can't be read is neutral in 0 windows.

        Raises:
            VerifierError: The model could not be loaded, broke, or took longer than a minute for one pair.
        """
        found = []
        for one in self.score_within(pairs, timeout_s=PATIENCE_S):
            if isinstance(one, Unread) and one.out_of_time:
                raise VerifierError(one.reason)
            found.append(NOTHING_READ if isinstance(one, Unread) else one)
        return found

    def score_within(self, pairs: Sequence[tuple[str, str]], *, timeout_s: float) -> list[NliScores | Unread]:
        """Return the scores of each pair, or why nothing can be told of it, in their order.

        Args:
            pairs: (premise, hypothesis) each.
            timeout_s: Wall seconds for one pair once the model works on it; waiting for others doesn't count.

        Raises:
            VerifierError: The model could not be loaded or broke; says nothing about the texts.
        """
        results: list[Unread | Job] = [_too_long(*pair) or Job(*pair, timeout_s) for pair in pairs]
        self._running().ask([job for job in results if isinstance(job, Job)])
        return [_outcome(one) if isinstance(one, Job) else one for one in results]

    def close(self) -> None:
        """Let go of the weights; whoever waits gets a ``VerifierError``, whoever comes later loads them again."""
        with self._lock:
            runner, self._runner = self._runner, None
        if runner is not None and runner.owner == os.getpid():
            runner.stop()

    def _running(self) -> Runner:
        """Return the runner, started if it isn't.

        Raises:
            ModelUnavailableError: The libraries or a usable checkpoint are missing.
        """
        runner = self._runner
        if runner is not None and runner.owner != os.getpid():  # forked: thread and child are our parent's
            self._lock, self._runner = threading.Lock(), None
            runner.forget()
        with self._lock:
            if self._runner is None:
                why = missing_libraries()
                if why is not None:
                    raise ModelUnavailableError(why)
                self._runner = Runner(self.checkpoint)
            return self._runner


def _too_long(premise: str, hypothesis: str) -> Unread | None:
    if len(hypothesis) > MAX_HYPOTHESIS_CHARS:
        return Unread(f"the hypothesis has {len(hypothesis)} characters; {MAX_HYPOTHESIS_CHARS} are read")
    if len(premise) > MAX_PREMISE_CHARS:
        return Unread(f"the premise has {len(premise)} characters; {MAX_PREMISE_CHARS} are read")
    return None


def _outcome(job: Job) -> NliScores | Unread:
    """Return what became of the job.

    Raises:
        VerifierError: It did, in another thread; each caller gets an error of its own.
    """
    if isinstance(job.result, VerifierError):
        raise type(job.result)(str(job.result)) from job.result
    if job.result is None:  # a bug, if ever
        raise VerifierError("the entailment model gave no answer")
    return job.result


if TYPE_CHECKING:
    _conforms: type[NliModel] = TransformersNli
