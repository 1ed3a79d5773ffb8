"""Which pairs share a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.entailment.microbatches import UNIT_CHARS, UNIT_PAIRS, Job, Microbatches
from verifiers.errors import VerifierError

SIZES = st.lists(st.tuples(st.integers(0, 20_000), st.sampled_from([5.0, 30.0])), min_size=1, max_size=150)


def jobs_of(sizes: list[tuple[int, float]]) -> list[Job]:
    return [Job("p" * size, "h", timeout_s) for size, timeout_s in sizes]


@given(SIZES)
def test_every_pair_is_taken_once_and_the_oldest_first(sizes: list[tuple[int, float]]) -> None:
    batches, jobs = Microbatches(), jobs_of(sizes)
    batches.put(jobs)
    left = list(jobs)
    while left:
        unit = batches.take("cpu")
        assert left[0] in unit
        for job in unit:
            left.remove(job)
    assert batches.close() == []


@given(SIZES)
def test_a_request_has_one_time_limit_and_fits(sizes: list[tuple[int, float]]) -> None:
    batches = Microbatches()
    batches.put(jobs_of(sizes))
    unit = batches.take("cpu")
    assert len({job.timeout_s for job in unit}) == 1
    assert len(unit) <= UNIT_PAIRS
    assert len(unit) == 1 or len(unit) * max(job.n_chars for job in unit) <= UNIT_CHARS["cpu"]


def test_pairs_of_like_length_share_a_request() -> None:
    batches = Microbatches()
    batches.put(jobs_of([(100, 5.0), (3000, 5.0), (110, 5.0), (2900, 5.0)]))
    first = batches.take("cpu")
    assert sorted(len(job.premise) for job in first[:2]) == [100, 110]


def test_what_failed_in_company_is_asked_alone_and_first() -> None:
    batches, jobs = Microbatches(), jobs_of([(10, 5.0)] * 3)
    later = jobs_of([(10, 5.0)])
    batches.put(later)
    assert batches.put_back(jobs)
    assert [batches.take("cpu") for _ in range(4)] == [[job] for job in [*jobs, *later]]


def test_a_closed_queue_gives_back_what_waited_and_takes_no_more() -> None:
    batches, jobs = Microbatches(), jobs_of([(10, 5.0)] * 3)
    batches.put(jobs)
    assert batches.close() == jobs
    assert batches.take("cpu") == []
    assert not batches.put_back(jobs)
    with pytest.raises(VerifierError, match="closed"):
        batches.put(jobs)


def test_the_first_result_of_a_pair_stands() -> None:
    job = Job("p", "h", 5.0)
    first, second = VerifierError("first"), VerifierError("second")
    job.finish(first)
    job.finish(second)
    assert job.result is first
