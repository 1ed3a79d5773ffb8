"""The table of labelled decisions says what the decisions say one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.bounds import measure, measure_counts
from reasoner.calibration import risk_coverage_curve
from reasoner.decisions import Thresholds
from reasoner.errors import InvalidRuleError
from reasoner.labelled_decision import LabelledDecision
from reasoner.labelled_table import LabelledTable
from reasoner.performance import perform
from reasoner.reliability import reliability

shares = st.integers(0, 8).map(lambda part: part / 8)


@st.composite
def decision(draw: st.DrawFn) -> LabelledDecision:
    posterior = tuple(draw(st.lists(shares, max_size=4)))
    positions = st.integers(0, len(posterior) - 1) if posterior else st.none()
    return LabelledDecision(
        posterior=posterior,
        truth=draw(st.one_of(st.none(), positions)),
        confidence=draw(shares),
        margin=draw(shares),
        right=draw(st.booleans()),
        answerable=draw(st.booleans()),
    )


decisions = st.lists(decision(), max_size=12)
thresholds = st.builds(Thresholds, lambda_=shares, tau_margin=shares, tau_conf=shares)


@given(decisions, thresholds, st.data())
def test_thresholds_do_to_any_part_what_they_do_to_each_decision(
    found: list[LabelledDecision], given_: Thresholds, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(found)))
    stop = data.draw(st.integers(start, len(found)))
    done = perform(LabelledTable.of(found).part(start, stop), given_)
    part = found[start:stop]
    answered = [
        d
        for d in part
        if d.answerable
        and d.margin >= given_.tau_margin
        and d.confidence >= given_.tau_conf
        and max(d.posterior, default=0.0) >= given_.lambda_
    ]
    assert done.n_tasks == len(part)
    assert done.n_covered == sum(d.of_truth > 0 and d.of_truth >= given_.lambda_ for d in part)
    assert done.total_size == sum(p > 0 and p >= given_.lambda_ for d in part for p in d.posterior)
    assert (done.n_answered, done.n_errors) == (len(answered), sum(not d.right for d in answered))


@given(decisions)
def test_bins_and_curve_count_each_decision_once(found: list[LabelledDecision]) -> None:
    bins = reliability(found)
    assert sum(one.n for one in bins) == len(found)
    assert sum(round(one.accuracy * one.n) for one in bins) == sum(d.right for d in found)
    assert all(one.low <= one.confidence <= one.high for one in bins)
    if found:
        curve = risk_coverage_curve([d.confidence for d in found], [d.right for d in found])
        assert [point.confidence for point in curve] == sorted({d.confidence for d in found}, reverse=True)
        for point in curve:
            answered = [d for d in found if d.confidence >= point.confidence]
            assert point.answered_share == len(answered) / len(found)
            assert point.selective_risk == sum(not d.right for d in answered) / len(answered)


@given(st.lists(st.lists(st.booleans(), max_size=4), max_size=8))
def test_counts_measure_what_lists_do(correct: list[list[bool]]) -> None:
    if not any(correct):
        return
    right, chains = np.array([sum(t) for t in correct]), np.array([len(t) for t in correct])
    found = measure_counts(right, chains)
    assert found == measure(correct)
    assert found.p == pytest.approx(np.mean([sum(t) / len(t) for t in correct if t]))


def test_decisions_that_hold_no_number_are_counted_once_each() -> None:
    nan = math.nan
    rows = [
        LabelledDecision(posterior=(nan, nan), truth=0, confidence=0.5, margin=0.5, right=True),
        LabelledDecision(posterior=(), truth=None, confidence=nan, margin=0.5, right=False),
        LabelledDecision(posterior=(0.5,), truth=None, confidence=0.5, margin=math.inf, right=False),
        LabelledDecision(posterior=(0.5,), truth=None, confidence=0.5, margin=0.5, right=False),
        LabelledDecision(posterior=(0.5, nan), truth=None, confidence=0.5, margin=0.5, right=False),
    ]
    assert LabelledTable.of(rows).n_broken == 4 == sum(not row.is_finite for row in rows)


def test_a_truth_that_is_no_answer_is_refused() -> None:
    one = np.ones(1)
    flags = np.ones(1, dtype=np.bool_)
    with pytest.raises(InvalidRuleError, match="1 truths"):
        LabelledTable.from_columns(
            masses=one,
            sizes=np.array([1]),
            truth=np.array([1]),
            confidence=one,
            margin=one,
            right=flags,
            answerable=flags,
        )
