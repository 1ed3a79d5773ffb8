"""A file of labels: matched with tasks line by line, kept, and answered for each line that needs a person."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from worker.settings import Settings
from worker.store.labels import NewLabel, Standing, add_labels, find_tasks
from worker.store.texts import storable
from worker.store.transactions import Store
from worker.submission.label_lines import LabelLine
from worker.submission.problems import LineProblem
from worker.submission.validation import LineValidator, ValidLine
from worker.submitting import ProblemLog

CHUNK = 500  # lines of one transaction

TOLD = {
    Standing.CONFLICTING: (
        "conflicting_label",
        "is kept, but another source says otherwise of the same time, so its answer counts as wrong in calibration",
        "send a label with a later at from whoever is right",
    ),
    Standing.CONTRADICTED: (
        "contradicted_label",
        "contradicts what the same source said of the same time",
        "give a correction a later at",
    ),
    Standing.UNDECIDED: (
        "undecided_task",
        "says whether the decided answer is right, but the task has no decision",
        "send it again when the task is decided, or give the answer itself",
    ),
    Standing.IN_FUTURE: ("time_in_future", "lies in the future", "give the time at which it was true"),
}
"""Standings that a person has to look at: code, problem and fix."""

FIELDS = {
    Standing.CONFLICTING: "at",
    Standing.CONTRADICTED: "at",
    Standing.UNDECIDED: "correct",
    Standing.IN_FUTURE: "at",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What became of a file of labels."""

    n_lines: int
    standings: Counter[Standing]
    n_unmatched: int
    """Lines about tasks that are not there."""

    problems: tuple[LineProblem, ...]
    """The first lines that need a person."""

    n_problems: int
    error_file: Path | None
    """Where all of them are, whole, so that they can be sent again."""

    @property
    def n_kept(self) -> int:
        """Labels that were added."""
        kept = (Standing.NEW, Standing.CORRECTED, Standing.LATE, Standing.CONFLICTING)
        return sum(self.standings[standing] for standing in kept)


class LabelFile:
    """Takes in one file.

    Args:
        store: The database.
        settings: Tenant and limits.
        file: Its name in problems.
        log: Gets every line that needs a person; closed by the caller.
        batch_id: The batch of lines that name a custom_id and no batch.
    """

    def __init__(
        self, store: Store, settings: Settings, *, file: str, log: ProblemLog, batch_id: UUID | None
    ) -> None:
        self._store = store
        self._settings = settings
        self._file = file
        self._log = log
        self._batch_id = batch_id
        self._n_lines = 0
        self._n_unmatched = 0
        self._standings: Counter[Standing] = Counter()

    def take_in(self, stream: BinaryIO) -> Labelled:
        """Keep the labels of every good line, a chunk at a time; what was kept stays, whatever comes later.

        Raises:
            SubmissionError: The error file cannot be written.
            StoreUnavailableError: The database is away; sending the file again adds only what is missing.
        """
        good = self._good_lines(stream)
        while chunk := list(islice(good, CHUNK)):
            self._keep(chunk)
        return Labelled(
            n_lines=self._n_lines,
            standings=self._standings,
            n_unmatched=self._n_unmatched,
            problems=tuple(self._log.first),
            n_problems=self._log.n,
            error_file=self._log.path if self._log.n else None,
        )

    def _good_lines(self, stream: BinaryIO) -> Iterator[ValidLine[LabelLine]]:
        validator = LineValidator(
            LabelLine, file=self._file, max_line_bytes=self._settings.max_line_bytes, unique=False
        )
        for result in validator.validate(stream):
            self._n_lines += 1
            if isinstance(result, LineProblem):
                self._log.add(result)
            elif result.line.custom_id is not None and (result.line.batch_id or self._batch_id) is None:
                self._tell(
                    result,
                    "batch_id",
                    "missing_field",
                    "is missing beside custom_id",
                    "add the batch's id, or name one for the whole file (--batch)",
                )
            else:
                yield result

    def _keep(self, chunk: Sequence[ValidLine[LabelLine]]) -> None:
        found = self._tasks_of(chunk)
        matched = [(one, task_id) for one, task_id in zip(chunk, found, strict=True) if task_id is not None]
        for one, task_id in zip(chunk, found, strict=True):
            if task_id is None:
                self._tell_unmatched(one)
        new = [
            NewLabel(
                task_id=task_id,
                answers=tuple(storable(answer) for answer in one.line.right_answers),
                correct=one.line.correct,
                source=storable(one.line.source),
                at=one.line.at,
            )
            for one, task_id in matched
        ]
        standings = add_labels(self._store, new, tenant=self._settings.tenant)
        self._standings.update(standings)
        for (one, _), standing in zip(matched, standings, strict=True):
            if standing in TOLD:
                self._tell(one, FIELDS[standing], *TOLD[standing])

    def _tasks_of(self, chunk: Sequence[ValidLine[LabelLine]]) -> list[UUID | None]:
        lines = [one.line for one in chunk]
        ids = [line.task_id for line in lines if line.task_id is not None]
        names = [
            (batch, line.custom_id)
            for line in lines
            if line.custom_id is not None and (batch := line.batch_id or self._batch_id) is not None
        ]
        known, by_name = find_tasks(self._store, tenant=self._settings.tenant, ids=ids, names=names)
        found: list[UUID | None] = []
        for line in lines:
            if line.task_id is not None:
                found.append(line.task_id if line.task_id in known else None)
            else:
                batch = line.batch_id or self._batch_id
                found.append(by_name.get((batch, line.custom_id)) if batch and line.custom_id else None)
        return found

    def _tell_unmatched(self, one: ValidLine[LabelLine]) -> None:
        self._n_unmatched += 1
        by_id = one.line.task_id is not None
        name = str(one.line.task_id if by_id else one.line.custom_id)
        self._tell(
            one,
            "task_id" if by_id else "custom_id",
            "unmatched_label",
            f'names no task of this tenant: "{name[:80]}"',
            "check the id, and the batch it belongs to (`merge-reasoner status` lists batches)",
        )

    def _tell(self, one: ValidLine[LabelLine], field: str, code: str, problem: str, fix: str) -> None:
        self._log.add(
            LineProblem(
                file=self._file,
                line=one.number,
                field=field,
                code=code,
                problem=problem,
                fix=fix,
                custom_id=one.line.custom_id,
            ),
            label=one.line.model_dump(mode="json", exclude_unset=True),
        )


def take_in_labels(
    store: Store,
    stream: BinaryIO,
    *,
    file: str,
    error_file: Path,
    settings: Settings,
    batch_id: UUID | None = None,
) -> Labelled:
    """Keep the labels of ``stream``; see ``LabelFile``.

    Raises:
        SubmissionError: The error file cannot be written.
        StoreUnavailableError: The database is away.
    """
    with contextlib.closing(ProblemLog(error_file)) as log:
        return LabelFile(store, settings, file=file, log=log, batch_id=batch_id).take_in(stream)
