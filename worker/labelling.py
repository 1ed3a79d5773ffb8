"""Which of a task's answers are right, by the truth that came back."""

from __future__ import annotations

from collections.abc import Sequence

from worker.claims import answers_of, distinct_answers, normaliser_of, relation
from worker.judging.protocol import Said, Saying
from worker.judging.table import Judges
from worker.store.labelled import Truth
from worker.store.texts import REDACTED
from worker.submission.lines import TaskLine


def right_by(line: TaskLine, said: Sequence[Said], truth: Truth, judges: Judges) -> dict[str, bool | None]:
    """Return of each distinct answer's normal form whether it is right; ``None`` is "cannot tell".

    Of a label that only says whether the decided answer is right, nothing is known of the other answers.

    Raises:
        VerifierError: What compares answers broke, or is missing.
    """
    if truth.correct is None:
        return right_answers(line, said, truth.answers, judges)
    if truth.decided == REDACTED:
        return dict.fromkeys(distinct_answers(line, answers_of(said)))
    decided = None if truth.decided is None else normaliser_of(line)(truth.decided)
    return {
        form: truth.correct if form == decided else None for form in distinct_answers(line, answers_of(said))
    }


def right_answers(
    line: TaskLine, said: Sequence[Said], labels: Sequence[str], judges: Judges
) -> dict[str, bool | None]:
    """Return of each distinct answer's normal form whether it is one of the labels; ``None`` is "cannot tell".

    Answers are compared with labels as the task compares its answers with each other; programs can't be, but word
    for word, so of another program than the label nothing is known. Nor is anything of a text that was redacted: it
    equals every other one.

    Raises:
        VerifierError: What compares them broke, or is missing.
    """
    bare = line.model_copy(update={"verify": []})  # the label judges here, no verifier does
    forms = distinct_answers(line, answers_of(said))
    return {form: _is_right(bare, answer, labels, judges) for form, answer in forms.items()}


def _is_right(line: TaskLine, answer: str, labels: Sequence[str], judges: Judges) -> bool | None:
    if answer == REDACTED or REDACTED in labels:
        return None
    normal_form = normaliser_of(line)
    form = normal_form(answer)
    if any(normal_form(label) == form for label in labels):
        return True
    found = [_is_same(line, form, answer, label, judges) for label in labels]
    if True in found:
        return True
    return None if None in found else False


def _is_same(line: TaskLine, form: str, answer: str, label: str, judges: Judges) -> bool | None:
    judged = judges.judge(line, [Saying(answer=answer), Saying(answer=label)])
    return relation(line, judged)(form, normaliser_of(line)(label))
