"""Redacted tasks teach nothing: where all texts are the same mark, every answer would equal every label."""

from __future__ import annotations

import pytest

from tests.integration.bench import Outbox, query
from tests.integration.nights import PLAN, decided, night, numbers, tasks
from tests.integration.sealed import attack, id_of, seal
from worker.calibrating import reproduce
from worker.judging.protocol import Saying
from worker.judging.table import Judges
from worker.labelling import right_by
from worker.seals.redacting import redact
from worker.stages.desk import Desk
from worker.store.labelled import Truth
from worker.store.texts import REDACTED
from worker.store.transactions import Store
from worker.submission.lines import TaskLine

pytestmark = pytest.mark.services

GRADES = (
    "SELECT task_id, known_at, until_at, decision_id, label_id, grade, correct FROM gradings ORDER BY 1, 2"
)

LATE_LABEL = """
INSERT INTO labels (id, task_id, answers, source) SELECT gen_random_uuid(), id, '["no"]', 'late'
FROM tasks WHERE id = ANY(:ids) RETURNING 1
"""

WRONG = (
    "SELECT custom_id FROM tasks t JOIN decisions d ON d.task_id = t.id WHERE d.answer = 'no' ORDER BY t.id"
)


def take_out(store: Store, *names: str) -> None:
    for name in names:
        redact(store, id_of(store, name), tenant="default", parts=["answers"], who="me", why="asked for")


def test_a_task_redacted_before_it_was_graded_is_no_right_answer(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(40))
    seal(store)
    wrong = [row[0] for row in query(store, WRONG)]
    assert len(wrong) > 2
    take_out(store, *wrong)
    made = night(store, judges)
    assert {one.n_labels for one in made.calibrations} == {40 - len(wrong)}
    assert made.counts["untold"] == {}


def test_what_comes_after_a_redaction_grades_nothing_again(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(40))
    seal(store)
    first, before = night(store, judges), query(store, GRADES)
    wrong = [row[0] for row in query(store, WRONG)]
    take_out(store, *wrong)
    assert query(store, LATE_LABEL, ids=[id_of(store, name) for name in wrong])
    query(store, "UPDATE gradings SET form = 1 RETURNING 1")  # as if by an older version
    made = night(store, judges)
    assert made.counts["graded"] == 40 - len(wrong)
    assert query(store, GRADES) == before
    assert numbers(reproduce(store, judges, tenant="default", plan=PLAN, as_of=first.as_of)) == numbers(first)


def test_an_imported_task_whose_truth_was_redacted_teaches_nothing(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    decided(desk, outbox, *tasks(40))
    seal(store)
    wrong = [row[0] for row in query(store, WRONG)]
    take_out(store, *wrong)
    attack(store, "redactions", "DELETE FROM redactions")  # a ledger is exported without them
    made = night(store, judges)
    assert made.counts["redacted"] == len(wrong)
    assert {one.n_labels for one in made.calibrations} == {40 - len(wrong)}


@pytest.mark.parametrize(
    "truth", [Truth(answers=(REDACTED,)), Truth(answers=("yes",)), Truth(correct=True, decided=REDACTED)]
)
def test_nothing_is_known_of_an_answer_that_reads_like_the_mark(judges: Judges, truth: Truth) -> None:
    line = TaskLine.model_validate({"custom_id": "a", "kind": "qa", "candidates": ["yes", "no"]})
    assert set(right_by(line, [Saying(answer=REDACTED)] * 2, truth, judges).values()) == {None}
