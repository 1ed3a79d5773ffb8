"""The names of pytest that tests of programs use, made for the judge: a small, honest part of pytest.

What is not here makes the verdict an abstention that says so; it never makes it a pass.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, NoReturn
from unittest import SkipTest

from verifiers.sandbox.inside.codec import Value
from verifiers.sandbox.inside.link import Link

_RAISABLE = (Exception, SystemExit, KeyboardInterrupt, GeneratorExit)
MARKS = "pytestmark"  # the attribute under which marks are kept, as in pytest


class Failed(AssertionError):  # noqa: N818 - pytest calls it so
    """Raised by ``pytest.fail`` and by a ``raises`` that saw nothing raised."""


class Mark:
    """``pytest.mark.NAME``: decorates, or takes arguments and then decorates."""

    def __init__(self, name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> None:
        self.name = name
        self.args = args
        self.kwargs = kwargs or {}
        self._has_arguments = kwargs is not None

    def __call__(self, *args: Value, **kwargs: Value) -> Value:
        """Take arguments, or decorate a test."""
        decorates = len(args) == 1 and not kwargs and isinstance(args[0], types.FunctionType | type)
        if not decorates or (
            self.name != "skip" and not self._has_arguments and self.name in _NEED_ARGUMENTS
        ):
            return Mark(self.name, args, kwargs)
        thing = args[0]
        setattr(thing, MARKS, [*thing.__dict__.get(MARKS, []), self])
        if reason_to_skip([self]):  # for unittest, where a TestCase carries the mark
            thing.__unittest_skip__, thing.__unittest_skip_why__ = True, reason_to_skip([self])
        return thing


_NEED_ARGUMENTS = ("parametrize", "skipif", "usefixtures")


class _Marker:
    def __getattr__(self, name: str) -> Mark:
        return Mark(name)


class Parameters:
    """``pytest.param``: one set of arguments, with marks of its own."""

    def __init__(self, *values: Value, marks: Value = (), id: str | None = None) -> None:  # noqa: A002 - pytest's
        self.values = values
        self.marks = list(marks) if isinstance(marks, list | tuple) else [marks]
        self.id = id


class Fixture:
    """``@pytest.fixture``."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self.function = function
        self.name: str = options.get("name") or function.__name__
        self.scope: str = options.get("scope") or "function"
        self.params: list[Any] | None = None if options.get("params") is None else list(options["params"])
        self.autouse = bool(options.get("autouse"))


class ExceptionInfo:
    """What ``with pytest.raises(...) as info`` gives."""

    value: Any = None

    @property
    def type(self) -> type[BaseException]:
        """The exception's class."""
        return type(self.value)

    def match(self, pattern: str) -> bool:
        """Return True; an exception whose text doesn't match is a failure."""
        if not re.search(pattern, str(self.value)):
            raise Failed(f"pattern {pattern!r} is not in {str(self.value)[:200]!r}")
        return True

    def __str__(self) -> str:
        return repr(self.value)


class Raises:
    """``with pytest.raises(...)``."""

    def __init__(self, expected: Value, match: Value = None) -> None:
        self._expected = expected
        self._match = match
        self._info = ExceptionInfo()

    def __enter__(self) -> ExceptionInfo:
        return self._info

    def __exit__(self, kind: Value, error: BaseException | None, trace: object) -> bool:
        if error is None:
            raise Failed(f"DID NOT RAISE {_name_of(self._expected)}")
        # Only what a program may raise: what ends a trial passes through every test.
        if not isinstance(error, _RAISABLE) or not isinstance(error, self._expected):
            return False
        self._info.value = error
        return self._match is None or self._info.match(self._match)


def raises(expected: Value, *args: Value, match: Value = None, **kwargs: Value) -> Value:
    """Be ``pytest.raises``, with or without a function to call."""
    if not args:
        return Raises(expected, match)
    context = Raises(expected, match)
    with context as info:
        args[0](*args[1:], **kwargs)
    return info


class Approx:
    """``pytest.approx``: numbers, and sequences and mappings of numbers."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expected: Value, rel: Value = None, abs: Value = None, nan_ok: bool = False) -> None:  # noqa: A002, FBT001, FBT002 - pytest's
        self._expected = expected
        self._relative, self._absolute, self._nan_ok = rel, abs, nan_ok

    def __repr__(self) -> str:
        return f"approx({self._expected!r})"

    def __bool__(self) -> NoReturn:
        raise Failed("approx() is only of use in a comparison")

    def __eq__(self, actual: object) -> bool:
        return self._close(self._expected, actual)

    def _close(self, expected: Value, actual: Value) -> bool:
        if isinstance(expected, dict):
            return (
                isinstance(actual, dict)
                and expected.keys() == actual.keys()
                and all(self._close_number(expected[key], actual[key]) for key in expected)
            )
        if isinstance(expected, Iterable) and not isinstance(expected, str | bytes):
            items = list(expected)
            return (
                isinstance(actual, list | tuple)
                and len(items) == len(actual)
                and all(map(self._close_number, items, actual))
            )
        return self._close_number(expected, actual)

    def _close_number(self, expected: Value, actual: Value) -> bool:
        if type(expected) is bool or not isinstance(expected, int | float | complex | Decimal):
            return bool(expected == actual)
        if type(actual) is bool or not isinstance(actual, int | float | complex | Decimal):
            return bool(expected == actual)
        if expected == actual:
            return True
        if expected != expected or actual != actual:  # noqa: PLR0124 - nan
            return bool(self._nan_ok and expected != expected and actual != actual)  # noqa: PLR0124
        if abs(expected) == math.inf or abs(actual) == math.inf:
            return False
        number = Decimal if isinstance(expected, Decimal) or isinstance(actual, Decimal) else float
        try:
            difference = abs(_as(number, actual) - _as(number, expected))
            return bool(difference <= self._tolerance(_as(number, abs(expected)), number))
        except OverflowError:  # an integer beyond all floats
            return False

    def _tolerance(self, size: Value, number: Callable[[Any], Any]) -> Value:
        absolute = number(1e-12 if self._absolute is None else self._absolute)
        if self._relative is None and self._absolute is not None:
            return absolute
        return max(number(1e-6 if self._relative is None else self._relative) * size, absolute)


def _as(number: Value, value: Value) -> Value:
    return value if isinstance(value, complex) else number(value)


def skip(reason: str = "", **_: Value) -> NoReturn:
    """Be ``pytest.skip``."""
    raise SkipTest(reason)


def fail(reason: str = "", **_: Value) -> NoReturn:
    """Be ``pytest.fail``."""
    raise Failed(reason or "failed by the tests")


def fixture(function: Callable[..., Any] | None = None, **options: Value) -> Value:
    """Be ``pytest.fixture``, with or without options."""
    if function is not None:
        return Fixture(function, options)
    return lambda decorated: Fixture(decorated, options)


def marks_of(*things: object) -> list[Mark]:
    """Return the marks of a test and of the classes and the module that it is in, the nearest first."""
    found: list[Mark] = []
    for thing in things:
        places = thing.__mro__ if isinstance(thing, type) else (thing,)
        for place in places:
            marks = getattr(place, "__dict__", {}).get(MARKS, [])
            marks = marks if isinstance(marks, list | tuple) else [marks]
            found += [mark for mark in reversed(marks) if isinstance(mark, Mark)]
    return found


def reason_to_skip(marks: Iterable[object]) -> str | None:
    """Return why a test with these marks is not run; one that is expected to fail proves nothing either way."""
    for mark in marks:
        if not isinstance(mark, Mark):
            continue
        reason = mark.kwargs.get("reason")
        if mark.name == "skip":
            return str(reason or (mark.args[0] if mark.args else "marked skip"))
        if mark.name == "skipif" and mark.args and mark.args[0]:
            return str(reason or "marked skipif")
        if mark.name == "xfail" and (not mark.args or mark.args[0]):
            return str(reason or "marked xfail")
    return None


def module(link: Link) -> types.ModuleType:
    """Return what the tests get when they import pytest."""

    def unknown(name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise link.cannot(f"the tests use pytest.{name}, which is not supported")

    made = types.ModuleType("pytest")
    made.__dict__.update(
        fixture=fixture,
        mark=_Marker(),
        param=Parameters,
        raises=raises,
        approx=Approx,
        skip=skip,
        fail=fail,
        main=lambda *_, **__: 0,
        __getattr__=unknown,
    )
    return made


def _name_of(expected: Value) -> str:
    kinds = expected if isinstance(expected, tuple) else (expected,)
    return " or ".join(getattr(kind, "__name__", "what was expected") for kind in kinds)
