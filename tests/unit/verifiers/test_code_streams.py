"""Streams carried over one: what goes in comes out, in order, however it is cut, and the relay reads none of it."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.sandbox.inside.relay import Intake, Mover, Outlet, tell
from verifiers.sandbox.inside.streams import (
    CONTROL,
    PART_BYTES,
    REPORT,
    STDOUT,
    Parts,
    header,
    message,
    pieces,
)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.binary(max_size=300)), max_size=8),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_what_is_taken_apart_is_what_was_put_together(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(header(channel, len(data)) + data for channel, data in sent)
    parts, found = Parts(), []
    for number in range(len(stream)):
        if not stream:
            break
        size = cuts[number % len(cuts)]
        found += parts.feed(stream[:size])
        stream = stream[size:]
    assert found == sent


@pytest.mark.parametrize("size", [1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 7])
def test_what_is_long_goes_in_pieces(size: int) -> None:
    data = bytes(size)
    found = Parts().feed(pieces(REPORT, data))
    assert b"".join(part for _, part in found) == data
    assert all(len(part) <= PART_BYTES for _, part in found)


def test_a_piece_that_claims_to_be_huge_is_refused() -> None:
    with pytest.raises(ValueError, match="piece of"):
        Parts().feed(header(STDOUT, PART_BYTES + 1))


def test_the_relay_passes_a_job_on_and_hears_what_is_meant_for_it() -> None:
    inner, outer = os.pipe()
    near, far = socket.socketpair()
    nothing = os.open(os.devnull, os.O_RDWR)
    intake = Intake(inner, nothing)
    os.write(outer, pieces(REPORT, b"the job") + message(["stop", "all"]))
    assert intake.next() is None
    assert not intake.pass_on(near.fileno())
    assert far.recv(100) == b"the job"
    assert intake.next() == ["stop", "all"]
    os.write(outer, pieces(REPORT, b"too late") + message(["pair"]))
    assert intake.message() == ["pair"]
    for end in (near, far):
        end.close()
    for fd in (inner, outer, nothing):
        os.close(fd)


@given(st.binary(min_size=1, max_size=2 * PART_BYTES))
def test_the_relay_sends_all_that_a_process_printed_before_it_ended(data: bytes) -> None:
    near, far = socket.socketpair()
    inner, outer = os.pipe()
    os.set_blocking(outer, False)
    outlet = Outlet(near.fileno(), STDOUT, outer, Mover())
    parts, found = Parts(), b""
    for start in range(0, len(data), 10_000):
        far.sendall(data[start : start + 10_000])
        outlet.drain()
        found += b"".join(part for channel, part in parts.feed(os.read(inner, 200_000)) if channel == STDOUT)
    far.close()
    assert not outlet.pump()
    tell(outer, ["ended"])
    assert parts.feed(os.read(inner, 200_000)) == [(STDOUT, b""), (CONTROL, b'["ended"]')]
    assert found == data
    near.close()
    os.close(inner)
    os.close(outer)
