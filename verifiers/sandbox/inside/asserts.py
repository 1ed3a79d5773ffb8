"""Rewrites the tests' asserts so that each reports what it compared; the tests themselves stay as they are."""

from __future__ import annotations

import ast
from typing import Any

from verifiers.sandbox.inside.codec import Value
from verifiers.sandbox.inside.names import is_assertion_call

MAX_TEXT = 300  # characters of a value or of an assertion in a report
RECORDER = "__judge__"  # the name under which the rewritten tests find the recorder


class Assertion:
    """One assert statement of the tests, and how it went."""

    # Not a dataclass: importing those would be a fifth of the time that a trivial claim takes.
    __slots__ = ("failure", "line", "n_passed", "text")

    def __init__(self, line: int, text: str) -> None:
        self.line = line
        self.text = text
        self.n_passed = 0
        self.failure: str | None = None
        """The values that were compared, when it failed."""

    @property
    def passed(self) -> bool:
        """Whether it was reached and never failed."""
        return self.failure is None and self.n_passed > 0


class Ended:
    """One test of a suite, and how it ended: passed, failed or skipped."""

    __slots__ = ("detail", "name", "state")

    def __init__(self, name: str, state: str, detail: str | None = None) -> None:
        self.name = name
        self.state = state
        self.detail = detail


class Recorder:
    """What the rewritten asserts call."""

    def __init__(self) -> None:
        self.assertions: list[Assertion] = []
        self.current: Assertion | None = None
        """The one being evaluated, to be named when something else goes wrong in it."""
        self.last_failed: Assertion | None = None
        """The one that failed last; what raised an AssertionError, if nothing else did."""
        self._seen: dict[str, Any] = {}

    def forget(self) -> None:
        """Begin something new, which no earlier assertion has to do with."""
        self.current = self.last_failed = None

    def enter(self, index: int) -> bool:
        """Note that an assertion begins."""
        self.current = self.assertions[index]
        self._seen = {}
        return True

    def see(self, side: str, value: Value) -> Value:
        """Note and return one operand."""
        self._seen[side] = value
        return value

    def holds(self, index: int, value: Value) -> bool:
        """Note and return whether the assertion holds."""
        assertion = self.assertions[index]
        if value:
            assertion.n_passed += 1
            self.current = None
            return True
        if assertion.failure is None:
            assertion.failure = ", ".join(f"{side} {describe(seen)}" for side, seen in self._seen.items())
        self.current = None
        self.last_failed = assertion
        return False

    def passed(self, index: int) -> None:
        """Note that an assertion that is a call, or a ``with``, came to its end."""
        self.assertions[index].n_passed += 1
        self.current = None


def describe(value: Value) -> str:
    """Return a short text for any value, never failing."""
    try:
        text = repr(value)
    except BaseException as error:  # noqa: BLE001 - the program answers for its own objects, or dies over it
        return f"<a {type(value).__name__} whose repr failed with {type(error).__name__}>"
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"


class Rewriter(ast.NodeTransformer):
    """Turns ``assert left == right, message`` into a check that the recorder can watch."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        """Rewrite one assert statement.

        It becomes ``if not (enter(i) and holds(i, left == right)): raise AssertionError(message)``.
        """
        number = self._number(node, ast.unparse(node))
        check = ast.BoolOp(ast.And(), [_ask("enter", number), _ask("holds", number, _watched(node.test))])
        error = ast.Call(ast.Name("AssertionError", ast.Load()), [node.msg] if node.msg else [], [])
        new = ast.If(ast.UnaryOp(ast.Not(), check), [ast.Raise(error)], [])
        return ast.fix_missing_locations(ast.copy_location(new, node))

    def visit_Expr(self, node: ast.Expr) -> Value:
        """Watch ``self.assertEqual(...)`` and ``pytest.raises(E, f)``, between ``enter(i)`` and ``passed(i)``."""
        if not is_assertion_call(node.value):
            return self.generic_visit(node)
        return self._surrounded(node, self._number(node, ast.unparse(node)))

    def visit_With(self, node: ast.With) -> Value:
        """Watch ``with pytest.raises(...)`` and its like."""
        self.generic_visit(node)
        watched = [item for item in node.items if is_assertion_call(item.context_expr)]
        if not watched:
            return node
        text = f"with {', '.join(ast.unparse(item) for item in node.items)}"
        return self._surrounded(node, self._number(node, text))

    def _number(self, node: ast.stmt, text: str) -> ast.Constant:
        """Give an assertion its number."""
        text = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "..."
        self._recorder.assertions.append(Assertion(node.lineno, text))
        return ast.Constant(len(self._recorder.assertions) - 1)

    def _surrounded(self, node: ast.stmt, number: ast.Constant) -> list[ast.stmt]:
        around = [ast.Expr(_ask("enter", number)), ast.Expr(_ask("passed", number))]
        before, after = (ast.fix_missing_locations(ast.copy_location(one, node)) for one in around)
        return [before, node, after]


def _watched(test: ast.expr) -> ast.expr:
    match test:
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return ast.Compare(_see("left", left), [op], [_see("right", right)])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ast.UnaryOp(ast.Not(), _see("value", operand))
    return _see("value", test)


def _see(side: str, value: ast.expr) -> ast.expr:
    return _ask("see", ast.Constant(side), value)


def _ask(method: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Attribute(ast.Name(RECORDER, ast.Load()), method, ast.Load()), list(arguments), [])
