"""Inner mode: the tests run in the program's own process, since they need its internals. A pass can be forged here.

The judge is elsewhere, under another uid, and hears of every test as it ends (``witness``). What is done here makes a
forgery hard, not impossible: the machinery is loaded before the program and looked over after it, an object of the
program is not believed when it says that it equals a plain value, and what a test skips itself over is not a pass.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
import types
import unittest
from collections.abc import Callable, Iterator
from typing import Any

from verifiers.sandbox.inside import asserts, codec, fixtures, judge, kernel, names, pytest_names, suite, wire
from verifiers.sandbox.inside.asserts import Ended, Recorder
from verifiers.sandbox.inside.codec import Value
from verifiers.sandbox.inside.conclusion import Conclusion
from verifiers.sandbox.inside.inner_fixtures import FIXTURES
from verifiers.sandbox.inside.judge import Trial
from verifiers.sandbox.inside.link import ProgramFatal, UnsupportedTestError

_MAX_DEPTH = 20
_MAX_LOOKED_AT = 10_000  # objects of one value
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by Python code, or as if it were
_COMPARING = (
    "__eq__",
    "__ne__",
    "__lt__",
    "__le__",
    "__gt__",
    "__ge__",
    "__contains__",
    "__bool__",
    "__len__",
)
_WATCHED = (  # what a pass depends on
    *(
        asserts,
        codec,
        fixtures,
        judge,
        names,
        pytest_names,
        suite,
        wire,
        unittest,
        unittest.case,
        unittest.suite,
    ),
    *(unittest.loader, unittest.result, os),
)


class InnerLink:
    """What the machinery asks of a ``Link``, answered by this process itself."""

    fatal: ProgramFatal | None = None
    last_raised: BaseException | None = None
    n_trusted = 0
    n_requests = 0
    n_uses = 1
    own_fixtures = FIXTURES

    def __init__(self, judged: Any) -> None:  # noqa: ANN401 - the module that defines it imports this one
        self._judged = judged
        self.unsupported: UnsupportedTestError | None = None

    def cannot(self, why: str, *, inside: bool = False) -> UnsupportedTestError:
        """Return the exception for tests that cannot be judged here either."""
        self.unsupported = UnsupportedTestError(why, inside=inside)
        return self.unsupported

    def prepare(self, operation: str, *arguments: Value) -> None:
        """Do something that has no value."""
        if operation == "files":
            self._judged.files(*arguments)

    def load(self, program: str, *, seed: int | None) -> None:
        """Run the program's top level; its text is where ``inspect`` looks for it."""
        self._judged.files({"solution.py": program})
        self._judged.load(program, seed)

    def get(self, name: str, module: str = names.PROGRAM) -> tuple[bool, Any]:
        """Return whether the program, or another file of it, has a global of that name, and its value."""
        own = self._judged.module if module == names.PROGRAM else importlib.import_module(module)
        return name in own.__dict__, own.__dict__.get(name)

    def functions(self) -> list[str]:
        """Return the names of the functions that the program defines."""
        found: list[str] = self._judged.functions()[0]
        return found

    def printed(self, *, capture: bool) -> tuple[str, str]:
        """Return what was printed while it was captured, and capture from now on or not."""
        out, err = self._judged.printed(capture)
        return out, err


class InnerRecorder(Recorder):
    """Believes no object of the program that says what it equals."""

    def __init__(self, require_plain: Callable[..., None]) -> None:
        super().__init__()
        self._require_plain = require_plain

    def holds(self, index: int, value: Value) -> bool:
        """Note and return whether the assertion holds."""
        if value:
            self._require_plain(*self._seen.values())
        return super().holds(index, value)


class InnerJudging(suite.Judging):
    """Tells the witness of every test, and takes no test's word that it need not be run."""

    step: Callable[[str, str], None]

    def end(self, name: str, error: BaseException | None) -> None:
        """Note how a test ended."""
        if isinstance(error, unittest.SkipTest):
            error = self._skips_itself(name)
        super().end(name, error)
        self.step(name, self.results[-1].state)

    def skip(self, name: str, reason: str) -> None:
        """Note that a test was not run."""
        if isinstance(sys.exc_info()[1], unittest.SkipTest):
            self.end(name, self._skips_itself(name))
            return
        self.results.append(Ended(name, "skipped", reason))
        self.step(name, "skipped")

    def _skips_itself(self, name: str) -> BaseException:
        return self.link.cannot(f"{name} skips itself, perhaps because the program wants it to")


class InnerTrial(Trial):
    """One program and its tests, in one process."""

    def __init__(self, job: dict[str, Any], judged: Any, step: Callable[[str, str], None]) -> None:  # noqa: ANN401
        link: Any = InnerLink(judged)
        super().__init__(job, link)
        self._recorder = InnerRecorder(self._require_plain)
        self._namespace[asserts.RECORDER] = self._recorder
        self._module: types.ModuleType = judged.module
        self._step = step
        self._known = set(_heap_types())
        self._machinery = _fingerprint()

    def _needs_inside(self, tree: ast.Module) -> str | None:  # noqa: ARG002 - here nothing does
        return None

    def _watch_output(self) -> None:
        return  # what the program prints is printed here

    def _load(self) -> None:
        super()._load()
        self._require_unchanged()
        for name in (
            "Equal",
            "AlmostEqual",
            "ListEqual",
            "DictEqual",
            "SetEqual",
            "TupleEqual",
            "CountEqual",
        ):
            self._watch(f"assert{name}")
        for name in (
            "In",
            "NotEqual",
            "NotIn",
            "Less",
            "LessEqual",
            "Greater",
            "GreaterEqual",
            "True",
            "False",
        ):
            self._watch(f"assert{name}")

    def _offer_names(self, tree: ast.Module) -> None:
        self._machinery = (
            _fingerprint()
        )  # with what has been prepared for the tests since the program was loaded
        super()._offer_names(tree)

    def _watch(self, name: str) -> None:
        original = getattr(unittest.TestCase, name)

        def watched(case: unittest.TestCase, *args: Value, **kwargs: Value) -> None:
            original(case, *args, **kwargs)
            self._require_plain(*args[:2])

        setattr(unittest.TestCase, name, watched)

    def _require_unchanged(self) -> None:
        now = _fingerprint()
        changed = [name for name, value in self._machinery.items() if now.get(name) != value]
        if changed:
            raise Conclusion("refuted", f"the program changes {changed[0]}, which its tests rely on")

    def _require_plain(self, *operands: Value) -> None:
        """Refuse a comparison that only an object of the program has decided."""
        own = [self._decides_itself(operand) for operand in operands]
        if any(own) and not all(own):
            kind = next(kind for kind in own if kind)
            raise self._link.cannot(
                f"the program gave a {codec.safe_name(kind)} object of its own, and only it could say what that and a "
                "plain value give"
            )
        self._link.n_trusted += bool(own) and all(own)

    def _decides_itself(self, value: Value) -> str:
        """Return the name of a class of the program in ``value`` that compares in its own way; empty if none does."""
        left = [(value, 0)]
        for n_seen in range(_MAX_LOOKED_AT):
            if not left:
                return ""
            thing, depth = left.pop()
            kind = type(thing)
            if self._is_own(kind):
                return kind.__name__
            if depth < _MAX_DEPTH and n_seen + len(left) < _MAX_LOOKED_AT:
                left += [(part, depth + 1) for part in _parts(thing)]
        return ""

    def _is_own(self, kind: type) -> bool:
        if not kind.__flags__ & _HEAP_TYPE or kind in self._known or _of_standard_library(kind):
            return False
        if any(value is kind for value in self._namespace.values()):
            return False  # a class of the tests
        dicts = [
            vars(base) for base in kind.__mro__ if base.__flags__ & _HEAP_TYPE and base not in self._known
        ]
        return any(name in own for own in dicts for name in _COMPARING)

    def _judging(self) -> suite.Judging:
        judging = InnerJudging(self._link, self._recorder, self._explained)
        judging.step = self._step_unchanged
        return judging

    def _guard(self, code: types.CodeType) -> None:
        try:
            super()._guard(code)
        finally:
            self._step_unchanged("", "")

    def _step_unchanged(self, name: str, state: str) -> None:
        self._require_unchanged()
        self._step(name, state)

    def _make_importable(self) -> None:
        for name, own in self._own_modules.items():
            if own == names.PROGRAM:
                sys.modules.setdefault(name, self._module)


def run(judged: Any, fd: int, job: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    """Return the report; the witness at ``fd`` has heard of every test by then."""
    kernel.hide_memory()
    number = 0

    def step(name: str, state: str) -> None:
        """Tell the witness that a test has ended, and show that we hear what it answers."""
        nonlocal number
        number += 1
        wire.send(fd, ["step", number, name[: asserts.MAX_TEXT], state])
        word, nonce = wire.receive(fd)
        wire.send(fd, ["seen", nonce if word == "nonce" else None])

    return InnerTrial(job, judged, step).run()


def _heap_types() -> Iterator[type]:
    left: list[type] = [object]
    while left:
        kind = left.pop()
        yield kind
        left += type.__subclasses__(kind) if kind is not type else []


def _of_standard_library(kind: type) -> bool:
    module = sys.modules.get(str(kind.__module__))
    top = str(kind.__module__).partition(".")[0]
    return top in sys.stdlib_module_names and getattr(module, kind.__name__, None) is kind


def _parts(thing: Value) -> list[Any]:
    """Return what a plain container holds, without asking it."""
    kinds: tuple[Any, ...] = (list, tuple, set, frozenset)
    for kind in kinds:
        if isinstance(thing, kind):
            return list(kind.__iter__(thing))
    if isinstance(thing, dict):
        return [part for pair in dict.items(thing) for part in pair]
    return []


def _fingerprint() -> dict[str, Any]:
    """Return what identifies every function and class of the machinery."""
    found: dict[str, Any] = {}
    for module in _WATCHED:
        for name, value in list(vars(module).items()):
            where = f"{module.__name__}.{name}"
            found[where] = _identity(value)
            if isinstance(value, type) and value.__module__ == module.__name__:
                for inner, member in list(vars(value).items()):
                    found[f"{where}.{inner}"] = _identity(member)
    for name in (
        "isinstance",
        "type",
        "len",
        "getattr",
        "list",
        "dict",
        "AssertionError",
        "Exception",
        "all",
        "any",
        "exec",
    ):
        found[f"builtins.{name}"] = id(vars(sys.modules["builtins"])[name])
    return found


def _identity(value: Value) -> Value:
    function = getattr(value, "__func__", value)
    code = function.__code__ if isinstance(function, types.FunctionType) else None
    return (id(value), id(code)) if isinstance(value, types.FunctionType | type) or code else 0
