"""A file becomes a batch: validated line by line, written at once, published after the commit."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, TextIO
from uuid import UUID

from worker.demands import unmet
from worker.errors import SubmissionError
from worker.publisher import Publisher
from worker.roster import offered
from worker.settings import Settings
from worker.store.batches import find_batch, write_batch
from worker.store.documents import collection_names
from worker.store.texts import storable
from worker.store.transactions import Store
from worker.submission.lines import TaskLine
from worker.submission.problems import LineProblem
from worker.submission.validation import LineValidator, ValidLine

MAX_KEY_CHARS = 500  # an index entry has to hold it
MAX_SHOWN = 20  # problems kept for the terminal; the error file has all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What became of a file."""

    batch_id: UUID
    n_tasks: int
    n_rejected: int
    existed: bool
    """The same key was submitted before; nothing was written this time."""

    problems: tuple[LineProblem, ...] = ()
    """The first of the rejected lines."""

    error_file: Path | None = None
    """Where all of them are, when there are any."""


class ProblemLog:
    """Writes every problem to the error file as it is found; the file is made with the first one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n = 0
        self.first: list[LineProblem] = []
        self._stream: TextIO | None = None

    def add(self, problem: LineProblem, **more: object) -> None:
        """Record one rejected line; ``more`` stands beside the problem in the file, as JSON values."""
        self.n += 1
        if len(self.first) < MAX_SHOWN:
            self.first.append(problem)
        if self._stream is None:
            try:
                self._stream = self.path.open("w", encoding="utf-8")
            except OSError as error:
                raise SubmissionError(
                    f"cannot write bad lines to {self.path}: {error.strerror}; name another place (--errors). "
                    f"Nothing was submitted. First: {problem}"
                ) from error
        self._stream.write(storable(json.dumps(problem.to_json() | more, ensure_ascii=False)) + "\n")

    def close(self) -> None:
        """Finish the file."""
        if self._stream is not None:
            self._stream.close()


def content_key(stream: BinaryIO) -> str:
    """Return the default idempotency key of what ``stream`` holds, and wind it back."""
    stream.seek(0)
    hashed = hashlib.sha256()
    while block := stream.read(1 << 20):
        hashed.update(block)
    stream.seek(0)
    return f"sha256:{hashed.hexdigest()}"


def submit(
    store: Store,
    publisher: Publisher,
    stream: BinaryIO,
    *,
    file: str,
    error_file: Path,
    settings: Settings,
    key: str | None = None,
    strict: bool = False,
    not_before: datetime | None = None,
    deadline: datetime | None = None,
) -> Submission:
    """Submit every good line of ``stream`` as one batch.

    Args:
        store: The database.
        publisher: Wakes the reconciler after the commit; what is published when is for the reconciler to say, so that
            one submitter cannot push in before others.
        stream: Seekable; JSON lines as ``worker.submission.lines`` describes them.
        file: Its name in errors.
        error_file: Gets a line for every bad line; not made when there is none.
        settings: Tenant and limits.
        key: Idempotency key; the content's hash when not given.
        strict: One bad line refuses all.
        not_before: When tasks that name no time of their own may start.
        deadline: What is unfinished by then fails.

    Raises:
        ConfigurationError: The settings name no engine that there is.
        SubmissionError: No line is good, or ``strict`` and one is bad; nothing was written but the error file.
        StoreUnavailableError: The database is away; nothing was written.
    """
    key = storable(key) if key else content_key(stream)
    if len(key) > MAX_KEY_CHARS:
        raise SubmissionError(f"the idempotency key is longer than {MAX_KEY_CHARS} characters; shorten it")
    before = find_batch(store, tenant=settings.tenant, key=key)
    if before is not None:
        return Submission(
            batch_id=before.id, n_tasks=before.n_tasks, n_rejected=before.n_rejected_lines, existed=True
        )
    log = ProblemLog(error_file)
    with contextlib.closing(log):
        written = write_batch(
            store,
            _good_lines(
                _known_lines(store, stream, file=file, settings=settings), log, file=file, strict=strict
            ),
            tenant=settings.tenant,
            key=key,
            source=storable(file),
            who=f"submit/{os.getpid()}",
            n_rejected=lambda: log.n,
            not_before=not_before,
            deadline=deadline,
        )
    if written is None:  # somebody else submitted the same key while we were reading
        return submit(store, publisher, stream, file=file, error_file=error_file, settings=settings, key=key)
    publisher.wake()
    return Submission(
        batch_id=written.batch_id,
        n_tasks=written.n_tasks,
        n_rejected=log.n,
        existed=False,
        problems=tuple(log.first),
        error_file=log.path if log.n else None,
    )


def _known_lines(
    store: Store, stream: BinaryIO, *, file: str, settings: Settings
) -> Iterator[TaskLine | LineProblem]:
    """Yield each line, or what is wrong with it; a collection that the tenant doesn't have is wrong, too.

    And so is what the engine cannot honour. Found out at once, and not by an engine, or by a verifier after the task's
    chains were paid for. The collections are looked up when the first line names one.
    """
    names: set[str] | None = None
    offer = offered(settings)
    for result in LineValidator(TaskLine, file=file, max_line_bytes=settings.max_line_bytes).validate(stream):
        if not isinstance(result, ValidLine):
            yield result
            continue
        named = result.line.collections
        if named and names is None:
            names = collection_names(store, tenant=settings.tenant)
        unknown = [(i, name) for i, name in named if name not in (names or ())]
        if not unknown:
            refusal = unmet(result.line, offer)
            yield (
                result.line
                if refusal is None
                else LineProblem(
                    file=file, line=result.number, custom_id=result.line.custom_id, **asdict(refusal)
                )
            )
            continue
        i, name = unknown[0]
        yield LineProblem(
            file=file,
            line=result.number,
            field=f"verify.{i}.collection",
            code="unknown_collection",
            problem=f'there is no collection "{name}"',
            fix="add its documents first (merge-reasoner docs add), or choose one that `docs list` shows",
            custom_id=result.line.custom_id,
        )


def _good_lines(
    lines: Iterable[TaskLine | LineProblem], log: ProblemLog, *, file: str, strict: bool
) -> Iterator[TaskLine]:
    """Yield the good lines; raise at the end what undoes the submission, so that every problem is logged first."""
    n_good = 0
    for result in lines:
        if isinstance(result, TaskLine):
            n_good += 1
            yield result
        else:
            log.add(result)
    if n_good == 0 and log.n == 0:
        raise SubmissionError(f"{file} holds no tasks; write one JSON object per line")
    if n_good == 0 or (strict and log.n):
        what = "no line is good" if n_good == 0 else f"{log.n} lines are bad and --strict was given"
        first = log.first[0]
        raise SubmissionError(f"{what}; nothing was submitted. First: {first} All: {log.path}")
