"""Finds and runs the tests of a unittest or pytest file, in the judge; each gets an outcome of its own.

The real unittest runs here, and a small part of pytest made for the purpose (``pytest_names``, ``fixtures``). The
program is in another process and can reach neither.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import types
import unittest
from collections.abc import Callable, Iterator
from typing import Any

from verifiers.sandbox.inside import pytest_names
from verifiers.sandbox.inside.asserts import Ended, Recorder
from verifiers.sandbox.inside.codec import Value
from verifiers.sandbox.inside.fixtures import Fixtures, Variant, finish
from verifiers.sandbox.inside.link import Link
from verifiers.sandbox.inside.pytest_names import Mark, marks_of, reason_to_skip

MODULE = "tests"  # the name under which the tests' module is known while they run
_MAX_TESTS = 10_000


class Judging:
    """What the suite needs of the judge: to note results, and to have what a test raised explained."""

    def __init__(
        self,
        link: Link,
        recorder: Recorder,
        explain: Callable[[BaseException | None], Any],
    ) -> None:
        self.link = link
        self.recorder = recorder
        self.results: list[Ended] = []
        self.fatal: Any = None
        """The conclusion that ended the whole suite, if one did."""
        self.failed: Any = None
        """The conclusion of the first test that failed."""
        self.explain = explain
        """Says what follows from what a test raised: a conclusion, or None."""
        self._n_requests = 0

    def begin(self) -> None:
        """Note that a test begins."""
        self.recorder.forget()
        self._n_requests = self.link.n_requests

    def end(self, name: str, error: BaseException | None) -> None:
        """Note how a test ended; some ends are the end of all tests."""
        if isinstance(error, unittest.SkipTest):
            self.skip(name, str(error))
            return
        conclusion = self.explain(error)
        if conclusion is None:
            self.results.append(Ended(name, "passed"))
            return
        self.results.append(Ended(name, "failed", conclusion.reason))
        if "failed" not in conclusion.facts:
            self.fatal = self.fatal or conclusion
        elif self.failed is None:
            conclusion.reason = f"{name}: {conclusion.reason}"
            self.failed = conclusion

    def skip(self, name: str, reason: str) -> None:
        """Note that a test was not run, or ended itself."""
        if self.link.n_requests != self._n_requests:
            # It asked the program something first: a program must not choose which tests it has to pass.
            reason = f"{reason}; skipped after it had used the program"
            self.fatal = self.fatal or self.explain(
                self.link.cannot(f"{name} skips itself depending on the program")
            )
        self.results.append(Ended(name, "skipped", reason))


def prepare(link: Link) -> types.ModuleType:
    """Make pytest importable and unittest harmless; return the module in which the tests are to run."""
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    sys.modules["pytest"] = pytest_names.module(link)
    # The tests are collected and run here, not by themselves; and no time is spent on long differences.
    unittest.main = lambda *_, **__: None  # type: ignore[assignment]
    unittest.TextTestRunner.run = lambda *_, **__: unittest.TestResult()  # type: ignore[method-assign,assignment]
    difflib.ndiff = lambda *_, **__: iter(())
    return module


def run(namespace: dict[str, Any], judging: Judging) -> None:
    """Run all tests of the namespace, in the order of their classes and functions, until one ends it all."""
    fixtures = Fixtures(namespace, judging.link)
    _call_if_there(namespace, "setup_module", judging)
    for name, thing in list(namespace.items()):
        if judging.fatal is not None:
            break
        if isinstance(thing, type) and issubclass(thing, unittest.TestCase):
            if thing.__module__ == MODULE:
                _run_case_class(thing, judging)
        elif isinstance(thing, types.FunctionType) and name.startswith("test"):
            _run_function(namespace, name, thing, fixtures, judging)
        elif isinstance(thing, type) and name.startswith("Test") and thing.__module__ == MODULE:
            _run_class(namespace, thing, fixtures, judging)
    if judging.fatal is None:
        judging.begin()
        _attempt(fixtures.close, "the end of a fixture", judging)
        _call_if_there(namespace, "teardown_module", judging)


def _call_if_there(namespace: dict[str, Any], name: str, judging: Judging) -> None:
    function = namespace.get(name)
    if isinstance(function, types.FunctionType):
        judging.begin()
        with_module = (types.SimpleNamespace(**namespace),) * function.__code__.co_argcount
        _attempt(lambda: function(*with_module), name, judging)


def _attempt(action: Callable[[], Any], name: str, judging: Judging) -> bool:
    """Run what is no test; it is heard of only when it fails."""
    try:
        action()
    except BaseException as error:  # noqa: BLE001 - the judge says what it means
        judging.end(name, error)
        return False
    return True


# unittest


class _Result(unittest.TestResult):
    """Hands what unittest says to the judge, test by test."""

    def __init__(self, judging: Judging) -> None:
        super().__init__()
        self._judging = judging
        self._error: BaseException | None = None
        self._heard = False
        self._running = False

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: ARG002, N802 - unittest's
        self._error, self._heard, self._running = None, False, True
        self._judging.begin()

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        if self._error is not None or not self._heard:
            self._judging.end(_name_of(test), self._error)
        self._running = False
        self.shouldStop = self.shouldStop or self._judging.fatal is not None

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802, ANN401
        if isinstance(test, unittest.TestCase):
            self._error = self._error or err[1]
        else:  # setUpClass and its like, outside of any test
            self._judging.end(_name_of(test), err[1])

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802, ANN401
        self.addError(test, err)

    def addSubTest(self, _: Any, subtest: Any, err: Any) -> None:  # noqa: N802, ANN401
        if err is not None:
            self._heard = True
            self._judging.end(_name_of(subtest), err[1])
            self._judging.recorder.forget()

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802, ANN401
        self._heard = True
        if not self._running and isinstance(test, unittest.TestCase):
            self._judging.begin()  # Python 3.12.1 does not start what is marked to be skipped
        self._judging.skip(_name_of(test), reason)

    def addExpectedFailure(self, test: Any, _: Any) -> None:  # noqa: N802, ANN401
        self._not_counted(test)

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802, ANN401
        self._not_counted(test)

    def _not_counted(self, test: unittest.TestCase) -> None:
        self._heard = True
        if self._judging.link.fatal is not None:
            self._judging.end(_name_of(test), self._judging.link.fatal)
        else:
            self._judging.results.append(Ended(_name_of(test), "skipped", "expected to fail"))


def _name_of(test: Any) -> str:  # noqa: ANN401
    return str(test.id()).removeprefix(f"{MODULE}.")


def _run_case_class(kind: type[unittest.TestCase], judging: Judging) -> None:
    if any(isinstance(value, pytest_names.Fixture) for base in kind.__mro__ for value in vars(base).values()):
        judging.fatal = judging.explain(judging.link.cannot("the tests mix fixtures with a TestCase"))
        return
    result = _Result(judging)
    try:
        unittest.TestLoader().loadTestsFromTestCase(kind).run(result)
    except BaseException as error:  # noqa: BLE001 - the end of the program, in what unittest doesn't guard
        judging.end(kind.__name__, error)


# pytest


def _run_class(namespace: dict[str, Any], kind: type, fixtures: Fixtures, judging: Judging) -> None:
    methods = {
        name: value
        for base in reversed(kind.__mro__)
        for name, value in vars(base).items()
        if name.startswith("test")
    }
    judging.begin()
    if not methods or not _attempt(
        lambda: _hook(kind, "setup_class", kind), f"{kind.__name__}.setup_class", judging
    ):
        return
    for name, method in methods.items():
        function = method.__func__ if isinstance(method, staticmethod | classmethod) else method
        if isinstance(function, types.FunctionType):
            _run_function(namespace, name, function, fixtures, judging, owner=kind)
        if judging.fatal is not None:
            return
    judging.begin()
    _attempt(lambda: _hook(kind, "teardown_class", kind), f"{kind.__name__}.teardown_class", judging)


def _hook(owner: Any, name: str, *optional: Value) -> None:  # noqa: ANN401
    hook = getattr(owner, name, None)
    if hook is None:
        return
    function = getattr(hook, "__func__", hook)
    n_bound = 1 if hasattr(hook, "__self__") else 0
    hook(*optional[: function.__code__.co_argcount - n_bound])


def _run_function(
    namespace: dict[str, Any],
    name: str,
    function: Value,
    fixtures: Fixtures,
    judging: Judging,
    *,
    owner: type | None = None,
) -> None:
    """Run one test function in all of its variants."""
    label = f"{owner.__name__}.{name}" if owner else name
    marks = marks_of(function, *([owner] if owner else []), types.SimpleNamespace(**_marks(namespace)))
    judging.begin()
    skipped = reason_to_skip(marks)
    if skipped is not None:
        judging.skip(label, skipped)
        return
    found: list[Variant] = []
    if not _attempt(lambda: found.extend(fixtures.variants(function, owner, marks)), label, judging):
        return
    for variant in found:
        if judging.fatal is not None or len(judging.results) > _MAX_TESTS:
            return
        full = f"{label}[{variant.label}]" if variant.label else label
        judging.begin()
        if variant.skipped is not None:
            judging.skip(full, variant.skipped)
            continue
        error = _error_of(function, owner, variant, marks, fixtures)
        judging.end(full, error)


def _marks(namespace: dict[str, Any]) -> dict[str, Any]:
    return {name: namespace[name] for name in (pytest_names.MARKS,) if name in namespace}


def _error_of(
    function: Value, owner: type | None, variant: Variant, marks: list[Mark], fixtures: Fixtures
) -> BaseException | None:
    """Run one variant with its fixtures; return what it raised, if it did."""
    ends: list[Iterator[Any]] = []
    error: BaseException | None = None
    try:
        instance = owner() if owner else None
        _hook(instance, "setup_method", function)
        arguments, ends = fixtures.arguments(function, owner, instance, variant, marks)
        bound = getattr(instance, function.__name__, None) if owner else function
        result = bound(**arguments) if bound is not None else None
        if isinstance(result, types.CoroutineType):
            importlib.import_module("asyncio").run(result)
    except BaseException as raised:  # noqa: BLE001 - the judge says what it means
        error = raised
    try:
        finish(ends)
        if owner:
            _hook(instance, "teardown_method", function)
    except BaseException as raised:  # noqa: BLE001
        error = error or raised
    return error
