"""The label line: what somebody who learned the truth about a task may write."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AliasChoices, Field, model_validator

from worker.submission.lines import MAX_ANSWER_CHARS, Line
from worker.times import PointInTime

MAX_ANSWERS = 1000

Answer = Annotated[str, Field(max_length=MAX_ANSWER_CHARS)] | int | float


class LabelLine(Line):
    """The truth about one task, named by its id or by its batch and custom_id."""

    task_id: UUID | None = None
    batch_id: UUID | None = Field(default=None, validation_alias=AliasChoices("batch_id", "batch"))
    custom_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    answer: Answer | None = None
    answers: Annotated[list[Answer], Field(min_length=1, max_length=MAX_ANSWERS)] | None = None
    """Every answer that counts as right."""

    correct: bool | None = None
    """Whether the decided answer is right, for tasks whose answers can't be compared (programs)."""

    source: Annotated[str, Field(min_length=1, max_length=200)] = "file"
    """Who says so; a later label of any source wins."""

    at: PointInTime | None = None
    """When it was true; left out, it is now."""

    @model_validator(mode="after")
    def _names_a_task(self) -> LabelLine:
        if (self.task_id is None) == (self.custom_id is None):
            raise ValueError("name the task once: give task_id, or custom_id (and its batch_id)")
        if self.batch_id is not None and self.custom_id is None:
            raise ValueError(
                "batch_id goes with custom_id: give custom_id instead of task_id, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _says_one_thing(self) -> LabelLine:
        if sum(value is not None for value in (self.answer, self.answers, self.correct)) != 1:
            raise ValueError("say one thing: give exactly one of answer, answers and correct")
        return self

    @property
    def right_answers(self) -> list[str]:
        """The answers that count as right; empty when only ``correct`` is said."""
        if self.answer is not None:
            return [str(self.answer)]
        return [str(answer) for answer in self.answers or []]
