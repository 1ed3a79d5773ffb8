"""Which decision and label counted when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from worker.grading import spans
from worker.store.gradings import DecisionRecord, LabelRecord
from worker.store.labelled import Truth

START = datetime(2026, 5, 3, tzinfo=UTC)


def time(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


minutes = st.integers(0, 6)
decisions_st = st.lists(minutes, max_size=3).map(
    lambda times: [
        DecisionRecord(id=UUID(int=i + 1), created_at=time(t), answer=None, document={})
        for i, t in enumerate(times)
    ]
)
labels_st = st.lists(st.tuples(minutes, minutes, st.sampled_from("ab")), max_size=4).map(
    lambda found: [
        LabelRecord(id=UUID(int=i + 1), at=time(at), recorded_at=time(heard), truth=Truth(answers=(answer,)))
        for i, (at, heard, answer) in enumerate(found)
    ]
)


@given(decisions_st, labels_st, st.integers(0, 8))
def test_at_any_time_the_newest_of_what_was_known_by_then_counts(
    decisions: list[DecisionRecord], labels: list[LabelRecord], minute: int
) -> None:
    now = time(minute)
    holding = [
        span
        for span in spans(decisions, labels)
        if span.known_at <= now and (span.until_at is None or span.until_at > now)
    ]
    made = [d for d in decisions if d.created_at <= now]
    heard = [label for label in labels if label.recorded_at <= now]
    if not made or not heard:
        assert holding == []
        return
    (span,) = holding
    newest = max(label.at for label in heard)
    assert span.decision == max(made, key=lambda d: (d.created_at, d.id))
    assert span.label.at == newest
    assert span.conflicting == (len({label.truth for label in heard if label.at == newest}) > 1)
