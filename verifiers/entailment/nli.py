"""A transformers model as an ``NliModel``: one child process for all threads, killed when it takes too long."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verifiers.children import Child, ChildDiedError
from verifiers.entailment.checkpoint import Checkpoint, missing_libraries
from verifiers.entailment.microbatches import Job, Microbatches
from verifiers.errors import ModelUnavailableError, VerifierError
from verifiers.nli import NliModel, NliScores

__all__ = ["TransformersNli", "Unread"]

START_S = 600.0  # to import torch and load 2 GB, on a machine that is busy with other things
CLOSE_S = 10.0  # a model that is just being loaded is not waited for: its process ends with ours
PATIENCE_S = 60.0  # for one pair of ``score``, whose callers name no limit
MAX_REPLY_BYTES = 1_000_000
MAX_HYPOTHESIS_CHARS = (
    20_000  # no text of so many has so few tokens as are read; longer ones are not even tokenised
)
MAX_PREMISE_CHARS = 400_000
NOTHING_READ = NliScores(entailment=0.0, neutral=1.0, contradiction=0.0, n_windows=0)
HANDED_ON = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "HOME")


@dataclass(frozen=True, slots=True)
class Unread:
    """Nothing can be told of a pair: it is too long, holds no words, or took too long."""

    reason: str
    out_of_time: bool = False


class TransformersNli:
    """Scores pairs with a sequence-classification checkpoint; safe from any thread and after a fork.

    The model is loaded by a child process with the first pair. Pairs that are asked at about the same time share
    forward passes, whoever asks; a score is a function of its pair alone, up to about the sixth digit.
    """

    def __init__(self, open_it: Callable[[], Checkpoint]) -> None:
        """Start nothing yet.

        Args:
            open_it: Finds the checkpoint, with the first use; may raise ``VerifierError``, and is then asked again.
        """
        self._open = open_it
        self._found: Checkpoint | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._start_over()

    def _start_over(self) -> None:
        self._owner = os.getpid()
        self._batches = Microbatches()
        self._thread: threading.Thread | None = None
        self._child: Child | None = None

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
        why = missing_libraries()
        if why is not None:
            raise ModelUnavailableError(why)
        self._begin()
        results: list[NliScores | Unread | Job] = [
            _too_long(*pair) or Job(*pair, timeout_s) for pair in pairs
        ]
        jobs = [job for job in results if isinstance(job, Job)]
        self._batches.put(jobs)
        for job in jobs:
            job.done.wait()
        return [_outcome(one) if isinstance(one, Job) else one for one in results]

    def close(self) -> None:
        """Kill the child; whoever waits, and later callers, get a ``VerifierError``."""
        with self._lock:
            self._closed = True
            if os.getpid() != self._owner:
                return
            child, thread = self._child, self._thread
        for job in self._batches.close():
            job.finish(VerifierError("the entailment model was closed"))
        if child is not None:
            child.end()
        if thread is not None:
            thread.join(CLOSE_S)

    def _begin(self) -> None:
        """Start the thread that runs the model, unless it runs.

        Raises:
            ModelUnavailableError: There is no usable checkpoint.
            VerifierError: The model is closed.
        """
        if os.getpid() != self._owner:  # forked: the thread and the child are our parent's
            self._lock = threading.Lock()
            if self._child is not None:
                self._child.forget()
            self._start_over()
        with self._lock:
            if self._closed:
                raise VerifierError("the entailment model is closed")
            _ = self.checkpoint.calibration  # a bad one must fail its callers, not the thread
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="nli", daemon=True)
                self._thread.start()

    def _serve(self) -> None:
        device = "cpu"
        while unit := self._batches.take(device):
            try:
                device = self._ready_child().first["device"]
                self._run(unit)
            except VerifierError as error:
                for job in unit:
                    job.finish(error)
            except Exception as error:  # noqa: BLE001 - a bug must reach those who wait, who would wait for ever
                for job in unit:
                    job.finish(VerifierError(f"the entailment model broke: {type(error).__name__}: {error}"))
        self._drop_child()

    def _run(self, unit: list[Job]) -> None:
        limit_s = unit[0].timeout_s
        try:
            reply = self._ready_child().ask(
                {"pairs": [(job.premise, job.hypothesis) for job in unit]}, limit_s
            )
        except ChildDiedError as error:
            self._drop_child()
            late = Unread(f"the model took more than {limit_s:g} s", out_of_time=True)
            self._failed(unit, late if error.out_of_time else VerifierError(f"the model broke: {error}"))
            return
        if "error" in reply:
            self._failed(unit, VerifierError(f"the model broke: {reply['error']}"))
            return
        for job, one in zip(unit, reply["scores"], strict=True):
            job.finish(Unread(one["unread"]) if "unread" in one else NliScores(**one))

    def _failed(self, unit: list[Job], result: object) -> None:
        """Tell a job alone what happened; several are asked again, each alone, so that only the culprit is told."""
        if len(unit) > 1 and not self._closed:
            self._batches.put_back(unit)
            return
        for job in unit:
            job.finish(result)

    def _ready_child(self) -> Child:
        if self._child is not None and self._child.is_alive():
            return self._child
        self._drop_child()
        checkpoint = self.checkpoint
        arguments = [
            str(checkpoint.folder.absolute()),
            ",".join(checkpoint.labels),
            str(checkpoint.calibration.temperature),
        ]
        try:
            child = Child(
                "verifiers.entailment.child",
                arguments,
                start_s=START_S,
                max_reply_bytes=MAX_REPLY_BYTES,
                environment=child_environment(),
            )
        except OSError as error:
            raise VerifierError(f"cannot start a process for the entailment model: {error}") from error
        except ChildDiedError as error:
            raise ModelUnavailableError(f"{checkpoint.name} could not be loaded: {error}") from error
        if "error" in child.first:
            child.kill()
            raise ModelUnavailableError(f"{checkpoint.name} could not be loaded: {child.first['error']}")
        with self._lock:
            self._child = child
            closed = self._closed
        if closed:
            child.kill()
            raise VerifierError("the entailment model was closed")
        return child

    def _drop_child(self) -> None:
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.kill()


def _too_long(premise: str, hypothesis: str) -> Unread | None:
    if len(hypothesis) > MAX_HYPOTHESIS_CHARS:
        return Unread(f"the hypothesis has {len(hypothesis)} characters; {MAX_HYPOTHESIS_CHARS} are read")
    if len(premise) > MAX_PREMISE_CHARS:
        return Unread(f"the premise has {len(premise)} characters; {MAX_PREMISE_CHARS} are read")
    return None


def _outcome(job: Job) -> NliScores | Unread:
    result = job.result
    if isinstance(result, NliScores | Unread):
        return result
    if isinstance(result, ModelUnavailableError):
        raise ModelUnavailableError(str(result)) from result
    raise VerifierError(str(result))


def child_environment() -> dict[str, str]:
    """Return the variables that a process with torch is given."""
    ours: dict[str, Any] = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
    return {
        **ours,
        "HF_HUB_OFFLINE": "1",  # a verdict never waits for somebody's server, and never fetches other weights
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads would starve the rest of a shared machine
    }


if TYPE_CHECKING:
    _conforms: type[NliModel] = TransformersNli
