"""What crosses between judge and judged is plain data, of exact types, within bounds."""

from __future__ import annotations

import contextlib
import json
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.sandbox.inside.codec import MAX_DEPTH, CodecError, Decoder, Encoder, Node, Value

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**400, max_value=10**401)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.binary()
    | st.just(...)
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.datetimes()
)
HASHABLE = st.recursive(
    SCALARS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=8
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
        | st.lists(inner, max_size=3).map(deque)
    ),
    max_leaves=20,
)


def crossed(value: Value) -> Value:
    return Decoder().decode(json.loads(json.dumps(Encoder().encode(value), allow_nan=False)))


# Which values are drawn depends on the modules imported before; of some, hypothesis only has much to say.
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@given(VALUES)
def test_a_value_arrives_equal_and_of_the_same_type(value: Value) -> None:
    arrived = crossed(value)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        Counter("aab"),
        OrderedDict([("b", 1), ("a", 2)]),
        range(3, 9, 2),
        bytearray(b"ab"),
        Decimal("1.50"),
        Fraction(1, 3),
        date(2024, 2, 29),
        datetime(2024, 2, 29, 1, 2, 3),  # noqa: DTZ001 - without a zone is a case of its own
        float("inf"),
        NotImplemented,
    ],
    ids=repr,
)
def test_less_common_values_arrive_too(value: Value) -> None:
    assert crossed(value) == value
    assert type(crossed(value)) is type(value)


def test_nan_arrives_as_nan() -> None:
    arrived = crossed(float("nan"))
    assert arrived != arrived  # noqa: PLR0124 - that is what nan is


def test_a_defaultdict_arrives_with_its_items() -> None:
    assert crossed(defaultdict(int, {"a": 1})) == {"a": 1}


class Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class LyingText(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class LyingList(list[int]):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "plain"),
    [(Liar(3), 3), (LyingText("no"), "no"), (LyingList([1]), [1]), (Colour.RED, 1)],
    ids=["int", "str", "list", "enum"],
)
def test_an_instance_of_a_subclass_arrives_as_what_it_really_holds(value: Value, plain: Value) -> None:
    arrived = crossed(value)
    assert type(arrived) is type(plain)
    assert arrived == plain
    assert arrived != [plain]


def test_a_named_tuple_keeps_its_fields() -> None:
    class Point(NamedTuple):
        x: int
        y: int

    arrived = crossed(Point(1, 2))
    assert (arrived.x, arrived.y) == (1, 2) == arrived
    with pytest.raises(AttributeError):
        arrived.z  # noqa: B018


def test_an_object_of_a_class_does_not_cross() -> None:
    with pytest.raises(CodecError, match="object is not plain data"):
        Encoder().encode(object())


def test_a_value_nested_too_deeply_is_refused_by_the_writer() -> None:
    value: list[Any] = []
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(CodecError, match="too deeply"):
        Encoder().encode(value)


def test_a_value_nested_too_deeply_is_refused_by_the_reader() -> None:
    node: Node = 1
    for _ in range(MAX_DEPTH + 1):
        node = ["l", [node]]
    with pytest.raises(CodecError, match="too deeply"):
        Decoder().decode(node)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=15,
)
TAGS = st.sampled_from("l t s f q d O C D B r T i n c b R e N v p h X zz".split())  # noqa: SIM905
NODES = st.recursive(
    JSON, lambda inner: st.tuples(TAGS, inner, inner).map(list) | st.tuples(TAGS, inner).map(list)
)


@given(NODES)
def test_whatever_arrives_is_a_plain_value_or_a_codec_error(node: Node) -> None:
    with contextlib.suppress(CodecError):
        Decoder().decode(node)


def test_containers_of_a_call_keep_their_identity_even_in_circles() -> None:
    row = [1]
    circle: list[Any] = [row, row]
    circle.append(circle)
    encoder = Encoder(collect=True)
    node = encoder.encode(circle)
    decoder = Decoder()
    decoder.table(json.loads(json.dumps(encoder.table)))
    arrived = decoder.decode(node)
    assert arrived[0] is arrived[1]
    assert arrived[2] is arrived


def test_a_container_is_refilled_in_place() -> None:
    kept = [3, 1]
    Decoder().refill(kept, ["l", [1, 3, ["t", [2]]]])
    assert kept == [1, 3, (2,)]


def test_a_container_cannot_become_one_of_another_kind() -> None:
    with pytest.raises(CodecError, match="kind"):
        Decoder().refill([1], ["s", [1]])
