"""The thread that runs the model in its child process, and kills it when it takes too long."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from verifiers.children import Child, ChildDiedError
from verifiers.entailment.checkpoint import Checkpoint
from verifiers.entailment.microbatches import Job, Microbatches, Unread
from verifiers.errors import ModelUnavailableError, VerifierError
from verifiers.nli import NliScores

START_S = 600.0  # to import torch and load 2 GB, on a machine that is busy with other things
STOP_S = 10.0  # a model that is just being loaded is not waited for: its process ends with ours
MAX_REPLY_BYTES = 1_000_000
HANDED_ON = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "HOME")


class Runner:
    """One loaded model; the child is started with the first pair and again after it had to be killed."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Start the thread, but not yet the child.

        Raises:
            ModelUnavailableError: The calibration beside the weights is none.
        """
        self.owner = os.getpid()
        self._checkpoint = checkpoint
        self._temperature = checkpoint.calibration.temperature
        self._batches = Microbatches()
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._serve, name="nli", daemon=True)
        self._thread.start()

    def ask(self, jobs: Sequence[Job]) -> None:
        """Have the jobs done, and return when all are.

        Raises:
            VerifierError: The runner was stopped.
        """
        self._batches.put(jobs)
        for job in jobs:
            job.done.wait()

    def stop(self) -> None:
        """Kill the child; whoever waits gets a ``VerifierError``."""
        for job in self._batches.close():
            job.finish(VerifierError("the entailment model was closed"))
        with self._lock:
            self._stopped = True
            if self._child is not None:
                self._child.end()
        self._thread.join(STOP_S)

    def forget(self) -> None:
        """After a fork: leave the child to our parent."""
        if self._child is not None:
            self._child.forget()

    def _serve(self) -> None:
        device = "cpu"
        while unit := self._batches.take(device):
            try:
                child = self._ready_child()
                device = child.first["device"]
                self._run(unit, child)
            except VerifierError as error:
                for job in unit:
                    job.finish(error)
            except Exception as error:  # noqa: BLE001 - a bug must reach those who wait, who would wait for ever
                for job in unit:
                    job.finish(VerifierError(f"the entailment model broke: {type(error).__name__}: {error}"))
        self._drop_child()

    def _run(self, unit: list[Job], child: Child) -> None:
        limit_s = unit[0].timeout_s
        try:
            reply = child.ask({"pairs": [(job.premise, job.hypothesis) for job in unit]}, limit_s)
        except ChildDiedError as error:
            self._drop_child()
            if error.out_of_time:
                late = Unread(f"the model took more than {limit_s:g} s", out_of_time=True)
                self._failed(unit, late, again=len(unit) > 1)
            else:  # it may have died before, so that even a pair alone gets a second try
                self._failed(unit, VerifierError(f"the model broke: {error}"), again=True)
            return
        if "error" in reply:
            self._failed(unit, VerifierError(f"the model broke: {reply['error']}"), again=len(unit) > 1)
            return
        for job, one in zip(unit, reply["scores"], strict=True):
            job.finish(Unread(one["unread"]) if "unread" in one else NliScores(**one))

    def _failed(self, unit: list[Job], result: Unread | VerifierError, *, again: bool) -> None:
        """Ask the jobs again, each alone and once, so that only the culprit is told what happened."""
        if again and not unit[0].alone and self._batches.put_back(unit):
            return
        for job in unit:
            job.finish(result)

    def _ready_child(self) -> Child:
        if self._child is not None and self._child.is_alive():
            return self._child
        self._drop_child()
        child = self._new_child()
        with self._lock:
            self._child = child
            if self._stopped:
                child.end()
        return child

    def _new_child(self) -> Child:
        checkpoint = self._checkpoint
        folder, labels = str(checkpoint.folder.absolute()), ",".join(checkpoint.labels)
        try:
            child = Child(
                "verifiers.entailment.child",
                [folder, labels, str(self._temperature)],
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
        return child

    def _drop_child(self) -> None:
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.kill()


def child_environment() -> dict[str, str]:
    """Return the variables that a process with torch is given."""
    return {
        **{name: os.environ[name] for name in HANDED_ON if name in os.environ},
        "HF_HUB_OFFLINE": "1",  # a verdict never waits for somebody's server, and never fetches other weights
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads would starve the rest of a shared machine
    }
