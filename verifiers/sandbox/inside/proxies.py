"""Stand-ins, in the judge, for objects that stay in the program: generators, functions, instances of its classes.

**The program is never asked whether something of its own equals a value of the tests.** It would learn the value and
could answer yes. So ``proxy == 5`` is False, ``5 in proxy`` iterates and compares here, and arithmetic or order between
the program's object and a plain value cannot be judged (``proxy - 2.5`` could answer 0.0). Between two objects of the
program its own operators are asked, and that is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from verifiers.sandbox.inside.codec import Value

if TYPE_CHECKING:
    from verifiers.sandbox.inside.link import Link

_ORDER = ("lt", "le", "gt", "ge")
_ARITHMETIC = (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
    "matmul",
)
_IN_PLACE = ("iadd", "isub", "imul")


class Proxy:
    """An object of the program, by handle; what it can do is added by ``make_proxy``."""

    __slots__ = ("__weakref__", "_link", "handle")

    def __init__(self, link: Link, handle: int) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "handle", handle)

    def __getattr__(self, name: str) -> Value:
        return _link(self).value("attr", self.handle, name)

    def __setattr__(self, name: str, value: Value) -> None:
        link = _link(self)
        link.prepare("set attr", self.handle, name, link.node(value))

    def __delattr__(self, name: str) -> None:
        _link(self).prepare("del attr", self.handle, name)

    def __repr__(self) -> str:
        return str(_link(self).exactly(str, "repr", self.handle))

    def __str__(self) -> str:
        return str(_link(self).exactly(str, "str", self.handle))

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return hash(self.handle)

    def __deepcopy__(self, memo: object) -> Proxy:
        raise _link(self).cannot("the tests copy an object of the program, which only it could do")

    def __copy__(self) -> Proxy:
        return self.__deepcopy__({})

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise _link(self).cannot("the tests pickle an object of the program, which only it could do")

    def __mro_entries__(self, bases: object) -> NoReturn:
        why = "the tests derive a class of their own from a class of the program"
        raise _link(self).cannot(why, inside=True)


def _link(proxy: Proxy) -> Link:
    found: Link = object.__getattribute__(proxy, "_link")
    return found


def make_proxy(link: Link, handle: int, name: str, letters: str, operators: list[Any]) -> Proxy:
    """Return a proxy that can do what ``letters`` and ``operators`` say (see ``judged.CAPABILITIES``)."""
    methods: dict[str, Any] = {"__slots__": ()}
    for letter in letters:
        methods.update(_METHODS.get(letter, {}))
    for operation in operators:
        if isinstance(operation, str):
            methods.update(_operator(operation))
    if "i" in letters:
        methods["__contains__"] = _contains
    if "#" in letters:
        methods["__hash__"] = None
    kind: type[Proxy] = type(name, (Proxy,), methods)
    return kind(link, handle)


def _operator(name: str) -> dict[str, Callable[[Any, Any], Any]]:
    if name in _ORDER or name in _ARITHMETIC or name in _IN_PLACE:
        return {f"__{name}__": lambda self, other: _between(name, self, other, self)}
    forward = name[1:]
    if name.startswith("r") and forward in _ARITHMETIC:
        return {f"__{name}__": lambda self, other: _between(forward, other, self, self)}
    return {}


def _between(name: str, left: Value, right: Value, own: Proxy) -> Value:
    link = _link(own)
    if not (isinstance(left, Proxy) and isinstance(right, Proxy)):
        raise link.cannot_judge(type(own).__name__)
    link.n_trusted += name in _ORDER
    return link.value("binary", name, left.handle, right.handle)


def _equal(self: Proxy, other: object) -> bool:
    if self is other or not isinstance(other, Proxy):
        return self is other
    link = _link(self)
    link.n_trusted += 1
    return bool(link.exactly(bool, "binary", "eq", self.handle, other.handle))


def _contains(self: Proxy, wanted: object) -> bool:
    return any(item is wanted or item == wanted for item in self)  # type: ignore[attr-defined]


def _iterate(self: Proxy) -> Value:
    iterator = _link(self).value("iter", self.handle)
    if not isinstance(iterator, Iterator):
        raise TypeError("the program's __iter__ gave no iterator")
    return iterator


def _hash(self: Proxy) -> int:
    return int(_link(self).exactly(int, "hash", self.handle))


def _is_instance(self: Proxy, value: object) -> bool:
    return (
        isinstance(value, Proxy)
        and _link(self).exactly(bool, "is instance", value.handle, self.handle) is True
    )


def _is_subclass(self: Proxy, value: object) -> bool:
    return (
        isinstance(value, Proxy)
        and _link(self).exactly(bool, "is subclass", value.handle, self.handle) is True
    )


def _asks(operation: str, kind: type) -> Callable[[Proxy], Any]:
    return lambda self: _link(self).exactly(kind, operation, self.handle)


def _gives(operation: str) -> Callable[[Proxy], Any]:
    return lambda self: _link(self).value(operation, self.handle)


def _leave(self: Proxy, error: BaseException | None) -> None:
    """End a ``with``; the program must not swallow what was raised in it, such as a failed assertion."""
    link = _link(self)
    if link.value("leave", self.handle) and error is not None:
        raise link.cannot("the tests raise in a context manager of the program, which swallows exceptions")


def _set_item(self: Proxy, key: Value, value: Value) -> None:
    link = _link(self)
    link.prepare("set item", self.handle, link.node(key), link.node(value))


_METHODS: dict[str, dict[str, Any]] = {
    "c": {"__call__": lambda self, *args, **kwargs: _link(self).call(self, args, kwargs)},
    "i": {"__iter__": _iterate},
    "n": {"__next__": _gives("next"), "__iter__": lambda self: self},
    "l": {"__len__": _asks("len", int)},
    "g": {"__getitem__": lambda self, key: _link(self).value("item", self.handle, _link(self).node(key))},
    "s": {"__setitem__": _set_item},
    "d": {
        "__delitem__": lambda self, key: _link(self).prepare("del item", self.handle, _link(self).node(key))
    },
    "b": {"__bool__": _asks("bool", bool)},
    "w": {"__enter__": _gives("enter"), "__exit__": lambda self, *about: _leave(self, about[1])},
    "r": {"__reversed__": _gives("reversed")},
    "a": {"__abs__": _gives("abs")},
    "m": {"__neg__": _gives("neg")},
    "x": {"__index__": _asks("index", int)},
    "f": {"__float__": _asks("float", float)},
    "t": {"__int__": _asks("int", int)},
    "u": {"__round__": lambda self, digits=None: _link(self).value("round", self.handle, digits)},
    "=": {"__eq__": _equal, "__hash__": _hash},
    "k": {"__instancecheck__": _is_instance, "__subclasscheck__": _is_subclass},
}
