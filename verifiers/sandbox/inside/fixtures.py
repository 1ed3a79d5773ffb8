"""Gives test functions their arguments: fixtures, parameters, and what is torn down afterwards."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable, Iterator
from typing import Any

from verifiers.sandbox.inside.capture import captured
from verifiers.sandbox.inside.codec import Value
from verifiers.sandbox.inside.link import Link
from verifiers.sandbox.inside.pytest_names import Fixture, Mark, Parameters, reason_to_skip

MAX_VARIANTS = 10_000  # of one test function
_ELSEWHERE = {
    "capfd": "what the program prints",
    "monkeypatch": "the program's own process",
    "mocker": "the program's own process",
    "caplog": "the program's own logging",
    "tmp_path": "files that the tests and the program share",
    "tmpdir": "files that the tests and the program share",
}


class Variant:
    """One way to call a test function: its parameters, by name."""

    def __init__(self, label: str, values: dict[str, Any], skipped: str | None) -> None:
        self.label = label
        self.values = values
        self.skipped = skipped


class Request:
    """The ``request`` of a fixture with parameters."""

    def __init__(self, param: Value) -> None:
        self.param = param


class Fixtures:
    """All fixtures of a module, and the values that outlive one test."""

    def __init__(self, namespace: dict[str, Any], link: Link) -> None:
        self._link = link
        self._of_module = {"capsys": Fixture(lambda: captured(link), {"name": "capsys"})}
        self._of_module |= getattr(link, "own_fixtures", {})
        self._of_module |= {f.name: f for f in namespace.values() if isinstance(f, Fixture)}
        self._kept: dict[tuple[Any, ...], Any] = {}
        self._ends: list[Any] = []

    def known(self, owner: type | None) -> dict[str, Fixture]:
        """Return the fixtures that a test of ``owner`` can name."""
        own = (
            [
                value
                for base in reversed(owner.__mro__)
                for value in vars(base).values()
                if isinstance(value, Fixture)
            ]
            if owner
            else []
        )
        return self._of_module | {fixture.name: fixture for fixture in own}

    def variants(self, function: Value, owner: type | None, marks: list[Mark]) -> list[Variant]:
        """Return every combination of the parameters of a test function and of the fixtures that it needs."""
        axes = [self._axis(mark) for mark in marks if mark.name == "parametrize"]
        given = {name for axis in axes for _, values, _ in axis for name in values}
        for fixture in self._needed(function, owner, given, marks):
            if fixture.params is not None:
                axes += [[_of_fixture(fixture, place, param) for place, param in enumerate(fixture.params)]]
        combined = list(itertools.islice(itertools.product(*reversed(axes)), MAX_VARIANTS + 1))
        if len(combined) > MAX_VARIANTS:
            raise self._link.cannot(f"the tests have more than {MAX_VARIANTS} variants of one test")
        return [_combination(parts) for parts in combined]

    def _axis(self, mark: Mark) -> list[tuple[str, dict[str, Any], str | None]]:
        names, rows = (
            *mark.args,
            *(mark.kwargs[key] for key in ("argnames", "argvalues") if key in mark.kwargs),
        )
        if mark.kwargs.get("indirect"):
            raise self._link.cannot("the tests use parametrize(indirect=...), which is not supported")
        names = (
            [name.strip() for name in names.split(",") if name.strip()]
            if isinstance(names, str)
            else list(names)
        )
        axis = []
        for number, row in enumerate(rows):
            skipped = reason_to_skip(row.marks) if isinstance(row, Parameters) else None
            values = row.values if isinstance(row, Parameters) else (row,) if len(names) == 1 else tuple(row)
            if len(values) != len(names):
                raise self._link.cannot(f"the tests parametrize {len(names)} names with {len(values)} values")
            axis.append((str(number), dict(zip(names, values, strict=True)), skipped))
        return axis

    def _needed(
        self, function: Value, owner: type | None, given: set[str], marks: list[Mark]
    ) -> list[Fixture]:
        """Return the fixtures that a call of ``function`` needs, those of fixtures included, each once."""
        known = self.known(owner)
        named = [str(name) for mark in marks if mark.name == "usefixtures" for name in mark.args]
        wanted = (
            [fixture.name for fixture in known.values() if fixture.autouse] + named + parameters(function)
        )
        found: dict[str, Fixture] = {}
        while wanted:
            name = wanted.pop(0)
            if name not in found and name not in given and name in known:
                found[name] = known[name]
                wanted += parameters(known[name].function)
        return list(found.values())

    def arguments(
        self, function: Value, owner: type | None, instance: object, variant: Variant, marks: list[Mark]
    ) -> tuple[dict[str, Any], list[Any]]:
        """Return the arguments of a test, and the generators of fixtures to be ended after it."""
        setup = _Setup(self, owner, instance, variant)
        for fixture in self._needed(function, owner, set(variant.values), marks):
            if fixture.autouse or any(
                fixture.name in mark.args for mark in marks if mark.name == "usefixtures"
            ):
                setup.value(fixture.name)
        return {name: setup.value(name) for name in parameters(function)}, setup.ends

    def made(self, fixture: Fixture, key: tuple[Any, ...], ends: list[Any], make: Callable[[], Any]) -> Value:
        """Return the value of a fixture: made now, or kept from an earlier test when its scope is wider."""
        kept = fixture.scope != "function"
        if kept and key in self._kept:
            return self._kept[key]
        value = make()
        if isinstance(value, types.GeneratorType):
            (self._ends if kept else ends).append(value)
            value = next(value)
        if kept:
            self._kept[key] = value
        return value

    def unknown(self, name: str) -> BaseException:
        """Return the exception for an argument that nothing gives."""
        if name in _ELSEWHERE:
            return self._link.cannot(
                f"the tests use the fixture {name}, which needs {_ELSEWHERE[name]}; "
                "they and the program are in different processes",
                inside=True,
            )
        return self._link.cannot(f"the tests use a fixture {name!r} that they do not define")

    def close(self) -> None:
        """End the fixtures whose scope is wider than a test."""
        finish(self._ends)


class _Setup:
    """The fixtures of one call of one test."""

    def __init__(self, fixtures: Fixtures, owner: type | None, instance: object, variant: Variant) -> None:
        self._fixtures = fixtures
        self._known = fixtures.known(owner)
        self._owner = owner
        self._instance = instance
        self._values = {name: value for name, value in variant.values.items() if "|" not in name}
        self._params = variant.values
        self.ends: list[Any] = []

    def value(self, name: str) -> Value:
        if name not in self._values:
            fixture = self._known.get(name)
            if fixture is None:
                raise self._fixtures.unknown(name)
            owner = self._owner if fixture.scope == "class" else None
            key = (name, owner, self._params.get(f"{name}|number"))
            self._values[name] = self._fixtures.made(fixture, key, self.ends, lambda: self._call(fixture))
        return self._values[name]

    def _call(self, fixture: Fixture) -> Value:
        arguments = {
            needed: Request(self._params.get(f"{fixture.name}|param"))
            if needed == "request"
            else self.value(needed)
            for needed in parameters(fixture.function)
        }
        if takes_self(fixture.function):
            return fixture.function(self._instance, **arguments)
        return fixture.function(**arguments)


def _of_fixture(fixture: Fixture, number: int, param: Value) -> tuple[str, dict[str, Any], str | None]:
    skipped = reason_to_skip(param.marks) if isinstance(param, Parameters) else None
    value = param.values[0] if isinstance(param, Parameters) else param
    return str(number), {f"{fixture.name}|param": value, f"{fixture.name}|number": number}, skipped


def _combination(parts: tuple[tuple[str, dict[str, Any], str | None], ...]) -> Variant:
    values = {name: value for _, part, _ in parts for name, value in part.items()}
    skipped = next((why for _, _, why in parts if why), None)
    return Variant("-".join(label for label, _, _ in parts), values, skipped)


def finish(ends: list[Iterator[Any]]) -> None:
    """Run what stands behind the ``yield`` of fixtures, the last first."""
    while ends:
        next(ends.pop(), None)


def parameters(function: Value) -> list[str]:
    """Return the names of the parameters without defaults, ``self`` left out."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    n_defaults = len(function.__defaults__ or ())
    required = names[: len(names) - n_defaults] if n_defaults else names
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    needed = [*required, *(name for name in keywords if name not in (function.__kwdefaults__ or {}))]
    return needed[1:] if takes_self(function) else needed


def takes_self(function: Value) -> bool:
    """Return whether a function is a method's."""
    code = function.__code__
    return bool(code.co_argcount) and code.co_varnames[0] in {"self", "cls"}
