"""What the worker makes of the judge's word: frames in any pieces, the first of each name, nothing that is too much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from verifiers.sandbox.hearing import Hearing
from verifiers.sandbox.inside import wire
from verifiers.sandbox.patience import Patience
from verifiers.sandbox.printed import Printed
from verifiers.sandbox.protocol import Limit, Limits

WORD = (
    wire.frame(["called"]) + wire.frame(["report", {"outcome": "refuted"}]) + wire.frame(["behaviour", ["1"]])
)


@given(st.lists(st.integers(1, 30), min_size=1))
def test_frames_may_come_in_any_pieces(cuts: list[int]) -> None:
    hearing, left, number = Hearing(), WORD, 0
    while left:
        assert hearing.take(left[: cuts[number % len(cuts)]])
        left = left[cuts[number % len(cuts)] :]
        number += 1
    assert (hearing.used, hearing.report, hearing.behaviour) == (True, {"outcome": "refuted"}, ("1",))


def test_the_first_report_stands() -> None:
    hearing = Hearing()
    hearing.take(WORD + wire.frame(["report", {"outcome": "confirmed"}]))
    assert hearing.report == {"outcome": "refuted"}


@given(st.binary(max_size=200))
def test_no_bytes_make_it_stumble(data: bytes) -> None:
    hearing = Hearing()
    hearing.take(data)
    assert hearing.report is None or isinstance(hearing.report, dict)


def test_too_long_a_word_is_not_listened_to() -> None:
    assert not Hearing().take(b"\xff" * (2 << 20))


def test_of_what_was_printed_the_end_is_kept_and_all_is_counted() -> None:
    printed = Printed(10_000)
    assert printed.take(1, b"a" * 6000 + b"end")
    assert not printed.take(2, b"b" * 6000)
    assert printed.text(1).endswith("aend")
    assert len(printed.text(1)) < 6000


def test_cpu_time_is_a_limit_before_wall_time_is() -> None:
    limits = Limits(cpu_s=1, wall_s=0)
    assert Patience(limits).exceeded((2.0, 0.0), (0.0, 0.0)) is Limit.CPU
    assert Patience(limits).exceeded((0.0, 0.0), (0.0, 0.0)) is Limit.WALL


def test_what_waited_for_a_processor_was_starved_and_what_slept_was_not() -> None:
    slept, waited = Patience(Limits(cpu_s=1, wall_s=0)), Patience(Limits(cpu_s=1, wall_s=0))
    slept.exceeded((0.0, 0.0), (0.0, 0.0))
    waited.exceeded((0.5, 1000.0), (0.0, 0.0))
    assert (slept.starved, waited.starved) == (False, True)


def test_generated_inputs_have_a_budget_of_their_own() -> None:
    patience = Patience(Limits(cpu_s=1, wall_s=0, behaviour_cpu_s=0.5))
    patience.begin_behaviour((3.0, 0.0))
    assert patience.exceeded((3.4, 0.0), (0.0, 0.0)) is None
    assert patience.exceeded((3.6, 0.0), (0.0, 0.0)) is Limit.CPU
