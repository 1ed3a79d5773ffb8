"""Whatever the judged process answers, the judge gets a value, an exception, or the end of the program."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.sandbox.inside import wire
from verifiers.sandbox.inside.codec import Node, Value
from verifiers.sandbox.inside.link import Link, ProgramFatal
from verifiers.sandbox.inside.proxies import make_proxy

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=10,
)
PROXIES = st.tuples(
    st.just("p"), st.integers(0, 3), st.text(max_size=5), st.text("cinlgsdbwramxftu=#k?"), JSON
).map(list)
CLASSES = st.tuples(
    st.just("X"),
    st.lists(st.tuples(st.integers(0, 3), st.text(max_size=3)).map(list) | JSON, max_size=2),
    st.sampled_from(
        ["ValueError", "SystemExit", "int", "KeyError", "UnicodeDecodeError", "ExceptionGroup", "nothing"]
    ),
).map(list)
VALUES = JSON | PROXIES | CLASSES | st.tuples(st.just("l"), st.lists(PROXIES, max_size=2)).map(list)
REPLIES = (
    JSON
    | st.tuples(st.just(1), st.just("ok"), VALUES, JSON).map(list)
    | st.tuples(
        st.just(1), st.just("ok"), VALUES, st.lists(st.tuples(st.integers(-2, 2), VALUES).map(list))
    ).map(list)
    | st.tuples(st.just(1), st.just("raised"), CLASSES, st.text(max_size=4)).map(list)
    | st.tuples(st.just(1), st.sampled_from(["stop", "exit", "unwritable", "callback"]), VALUES).map(list)
)


@given(REPLIES)
def test_any_reply_is_understood_or_ends_the_program(reply: Node) -> None:
    near, far = socket.socketpair()
    with near, far:
        wire.send(far.fileno(), reply)
        far.shutdown(socket.SHUT_WR)
        link = Link(near.fileno(), on_first_call=lambda: None)
        function = make_proxy(link, 0, "function", "c", [])
        argument = [3, [1]]
        try:
            link.call(function, (argument,), {})
        except ProgramFatal:
            assert link.fatal is not None
        except Exception as error:
            if not isinstance(error, StopIteration) and error is not link.last_raised:
                raise
        assert type(argument) is list


def test_nothing_is_asked_of_a_program_that_has_ended() -> None:
    near, far = socket.socketpair()
    with near:
        far.close()
        link = Link(near.fileno(), on_first_call=lambda: None)
        for _ in range(2):
            with pytest.raises(ProgramFatal, match="ended before"):
                link.get("anything")


def test_an_object_of_the_program_never_equals_a_value_of_the_tests() -> None:
    near, far = socket.socketpair()
    with near, far:
        link = Link(near.fileno(), on_first_call=lambda: None)
        proxy: Value = make_proxy(link, 0, "Liar", "=bl", [])
        assert proxy != 5
        assert [proxy] != [5]
        assert (proxy,) != (5,)
        near.shutdown(socket.SHUT_WR)
        assert far.recv(1) == b""  # the program was not even asked
