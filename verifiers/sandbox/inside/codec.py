"""Python values as plain data: what may cross between the judge and the judged, and nothing else.

A scalar stands for itself; everything else is a JSON array that begins with its tag. The receiver builds *exact*
base types, so that a subclass of int whose ``__eq__`` always says yes arrives as the int it really is.

=====================  ==========================================================================================
``["l"|"s"|"d"|...]``  list, set, dict and other containers, by value: tag, items
``["r", n]``           the n-th mutable container of the call's table (see ``Encoder.table``): identity and cycles
``["p", ...]``         an object that stays with its owner; what follows is the business of ``Opaque``
``["i"|"n"|"c"|...]``  what JSON cannot write: large ints, nan and infinities, complex, bytes, range, ``...``
``["v", kind, text]``  values with an exact text form: Decimal, Fraction, dates
=====================  ==========================================================================================
"""

from __future__ import annotations

import importlib
import math
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Value: TypeAlias = Any
"""Any Python value: what the tests and the program pass to each other."""

Node: TypeAlias = Any
"""The JSON that stands for a value."""

MAX_DEPTH = 100
MAX_NODES = 2_000_000
_LARGE_INT = 2**53
_MAX_NAME = 80

SEQUENCES: dict[str, Callable[[Iterable[Any]], Any]] = {
    "l": list,
    "t": tuple,
    "s": set,
    "f": frozenset,
    "q": deque,
}
MAPPINGS: dict[str, type[dict[Any, Any]]] = {
    "d": dict,
    "O": OrderedDict,
    "C": Counter,
    "D": defaultdict,
}
MUTABLE = frozenset("lsqdOCDB")
TAG_OF: dict[type, str] = {
    kind: tag for tag, kind in {**SEQUENCES, **MAPPINGS}.items() if isinstance(kind, type)
}
TEXTS: dict[str, tuple[str, Callable[[Any], str], str]] = {
    # kind: (module, value to text, name of the constructor from text)
    "Decimal": ("decimal", str, "Decimal"),
    "Fraction": ("fractions", str, "Fraction"),
    "date": ("datetime", lambda v: str(v.isoformat()), "date.fromisoformat"),
    "time": ("datetime", lambda v: str(v.isoformat()), "time.fromisoformat"),
    "datetime": ("datetime", lambda v: str(v.isoformat()), "datetime.fromisoformat"),
}


class CodecError(Exception):
    """Raised when a value cannot be written, or what arrived is not a value."""


def refuse_opaque(value: Value) -> Value:
    """Be the ``opaque`` of an encoder that only takes plain data."""
    raise CodecError(f"a {type(value).__name__} object is not plain data")


def refuse_node(node: list[Any]) -> Value:
    """Be the ``opaque`` of a decoder that only takes plain data."""
    raise CodecError(f"unknown tag {str(node[0])[:_MAX_NAME]!r}")


class Encoder:
    """Write values as JSON nodes.

    Args:
        opaque: Writes what is not plain data; raises ``CodecError`` for what it will not.
        numbers: ``id`` of mutable containers that both sides know, to their number; written as references.
        collect: Give every mutable container a number and put its contents in ``table``, so that the other side can
            change them in place and say so.
    """

    def __init__(
        self,
        opaque: Callable[[Any], Any] = refuse_opaque,
        *,
        numbers: dict[int, int] | None = None,
        collect: bool = False,
    ) -> None:
        self.table: list[Any] = []
        self.objects: list[Any] = []  # those of the table; also keeps their ids from being reused
        self._opaque = opaque
        self._numbers = {} if numbers is None else dict(numbers)
        self._collect = collect
        self._n_nodes = 0
        self._depth = 0

    def encode(self, value: Value) -> Value:
        """Return ``value`` as a node.

        Raises:
            CodecError: It is too deep, too large, or refused by ``opaque``.
        """
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if -_LARGE_INT < value < _LARGE_INT else ["i", hex(value)]
        if kind is float:
            return value if math.isfinite(value) else ["n", repr(value)]
        number = self._numbers.get(id(value))
        if number is not None:
            return ["r", number]
        return self._compound(value, kind)

    def contents(self, value: Value) -> Value:
        """Return the node of a container itself, even if the other side knows it by number."""
        return self._container(value, TAG_OF.get(type(value)) or "B")

    def _compound(self, value: Value, kind: type) -> Value:
        tag = TAG_OF.get(kind) or ("B" if kind is bytearray else None)
        if tag is None:
            return self._other(value, kind)
        if not (self._collect and tag in MUTABLE):
            return self._container(value, tag)
        number = len(self.table)
        self._numbers[id(value)] = number
        self.table.append(None)
        self.objects.append(value)
        self.table[number] = self._container(value, tag)
        return ["r", number]

    def _container(self, value: Value, tag: str) -> Value:
        if tag == "B":
            return ["B", bytes(value).hex()]
        self._n_nodes += len(value)
        self._depth += 1
        if self._depth > MAX_DEPTH or self._n_nodes > MAX_NODES:
            raise CodecError("a value nested too deeply" if self._depth > MAX_DEPTH else "a value too large")
        if tag in MAPPINGS:
            items = [[self.encode(key), self.encode(value[key])] for key in list(value)]
        else:
            items = [self.encode(item) for item in list(value)]
        self._depth -= 1
        return [tag, items]

    def _other(self, value: Value, kind: type) -> Value:
        if kind is bytes:
            return ["b", value.hex()]
        if kind is complex:
            return ["c", self.encode(value.real), self.encode(value.imag)]
        if kind is range:
            return ["R", *(self.encode(part) for part in (value.start, value.stop, value.step))]
        if value is ... or value is NotImplemented:
            return ["e" if value is ... else "N"]
        text = TEXTS.get(kind.__name__)
        if text is not None and kind.__module__ in {text[0], f"_{text[0]}", f"_py{text[0]}"}:
            return ["v", kind.__name__, text[1](value)]
        return self._subclass(value, kind)

    def _subclass(self, value: Value, kind: type) -> Value:
        """Write what an instance of a subclass holds as its base type; named tuples keep their fields."""
        fields = getattr(kind, "_fields", None)
        if issubclass(kind, tuple) and isinstance(fields, tuple):
            return [
                "T",
                kind.__name__,
                [str(field) for field in fields],
                [self.encode(item) for item in tuple(value)],
            ]
        bases: tuple[Value, ...] = (int, float, str, bytes, tuple, frozenset, list, set, dict)
        for base in bases:
            if issubclass(kind, base):
                if base is dict:
                    return self.encode({key: dict.__getitem__(value, key) for key in dict.__iter__(value)})
                plain = base.__new__(base, base.__str__(value) if base is str else value)
                if base in {list, set}:
                    plain.extend(list.__iter__(value)) if base is list else plain.update(set.__iter__(value))
                return self.encode(plain) if type(plain) is base else self._opaque(value)
        return self._opaque(value)


class Decoder:
    """Read nodes that somebody else wrote, trusting nothing in them.

    Args:
        opaque: Reads the tags that are not plain data; raises ``CodecError`` for what it does not know.
        objects: The containers behind ``["r", n]``.
    """

    def __init__(
        self, opaque: Callable[[list[Any]], Any] = refuse_node, *, objects: list[Any] | None = None
    ) -> None:
        self._opaque = opaque
        self._objects = [] if objects is None else objects
        self._depth = 0

    def decode(self, node: Node) -> Value:
        """Return the value of ``node``, of exact base types.

        Raises:
            CodecError: It is not a node, or too deep.
        """
        if node is None or isinstance(node, bool | int | float | str):
            return node
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise CodecError("a value nested too deeply")
        if not isinstance(node, list) or not node or not isinstance(node[0], str):
            raise CodecError("not a value")
        try:
            value = self._tagged(node[0], node)
        except CodecError:
            raise
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            # One place for every way in which a hostile node can be ill-formed: too short, unhashable, not a number.
            raise CodecError(f"an ill-formed {node[0][:_MAX_NAME]!r} value") from error
        self._depth -= 1
        return value

    def table(self, nodes: Node) -> list[Any]:
        """Return the containers of a call's table, filled; they may refer to each other in circles."""
        self._objects = [self._empty(node) for node in nodes]
        for container, node in zip(self._objects, nodes, strict=True):
            self.refill(container, node)
        return self._objects

    def refill(self, container: Value, node: Node) -> None:
        """Make ``container`` hold what ``node`` says, in place.

        Raises:
            CodecError: The node is of another kind than the container.
        """
        tag = TAG_OF.get(type(container)) or "B"
        if not isinstance(node, list) or len(node) != 2 or node[0] != tag:
            raise CodecError("a container that changed its kind")
        fresh = self.decode(node)
        container.clear()
        container.extend(fresh) if tag in "lqB" else container.update(fresh)

    def _empty(self, node: Node) -> Value:
        tag = node[0]
        if tag not in MUTABLE:
            raise CodecError("not a mutable container")
        return bytearray() if tag == "B" else MAPPINGS[tag]() if tag in MAPPINGS else SEQUENCES[tag](())

    def _tagged(self, tag: str, node: list[Any]) -> Value:
        if tag in SEQUENCES:
            return SEQUENCES[tag]([self.decode(item) for item in node[1]])
        if tag in MAPPINGS:
            return self._mapping(tag, node[1])
        if tag == "r":
            return self._reference(node[1])
        if tag == "T":
            return named_tuple(node[1], node[2], [self.decode(item) for item in node[3]])
        return self._scalar(tag, node)

    def _mapping(self, tag: str, pairs: Node) -> Value:
        mapping: dict[Any, Any] = MAPPINGS[tag]()
        for key, item in pairs:
            mapping[self.decode(key)] = self.decode(item)
        return mapping

    def _reference(self, number: Value) -> Value:
        if type(number) is not int or number < 0:
            raise CodecError("a reference to nothing")
        return self._objects[number]

    def _scalar(self, tag: str, node: list[Any]) -> Value:
        if tag == "i":
            return int(node[1], 16)
        if tag == "n":
            return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[node[1]]
        if tag == "c":
            return complex(self.decode(node[1]), self.decode(node[2]))
        if tag in {"b", "B"}:
            return bytes.fromhex(node[1]) if tag == "b" else bytearray.fromhex(node[1])
        if tag == "R":
            return range(*(self.decode(part) for part in node[1:4]))
        if tag in {"e", "N"}:
            return ... if tag == "e" else NotImplemented
        return _from_text(node[1], node[2]) if tag == "v" else self._opaque(node)


def _from_text(kind: str, text: str) -> Value:
    module, _, constructor = TEXTS[kind]
    made: Value = importlib.import_module(module)
    for part in constructor.split("."):
        made = getattr(made, part)
    return made(text)


def named_tuple(name: str, fields: list[str], items: list[Any]) -> Value:
    """Return a tuple whose items also have names; not ``collections.namedtuple``, which compiles what it is given."""
    places = {str(field): place for place, field in enumerate(fields)}

    def by_name(self: tuple[Any, ...], field: str) -> Value:
        if field in places:
            return tuple.__getitem__(self, places[field])
        raise AttributeError(field)

    return type(safe_name(name), (tuple,), {"__slots__": (), "__getattr__": by_name})(items)


def safe_name(name: Value) -> str:
    """Return ``name`` if it can stand as a type's name, else ``object``; hostile text goes no further."""
    return name if isinstance(name, str) and name.isidentifier() and len(name) <= _MAX_NAME else "object"
