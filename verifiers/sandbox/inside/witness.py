"""The judge's part of inner mode: it hears of every test as it ends, and knows from the text which there must be.

A frame that is written without waiting for ours is noticed: the answer to each step is a number drawn only then.
"""

from __future__ import annotations

import ast
import os
from typing import Any

from verifiers.sandbox.inside import names, wire
from verifiers.sandbox.inside.asserts import MAX_TEXT

_OUTCOMES = ("confirmed", "refuted", "abstained")
_MAX_STEPS = 20_000
WARNING = "inner mode: a hostile program could have forged this"


def attend(fd: int, job: dict[str, Any]) -> dict[str, Any]:
    """Have the tests run in the program's process; return the report, or what its absence means."""
    try:
        wire.send(fd, [1, "inner", job])
        steps, report = _hear(fd)
    except wire.PeerGoneError:
        return _refuted("ended before its tests had ended", stopped="gone", where="the tests")
    except (wire.WireError, _ForgedError) as error:
        return _refuted(f"sent {error}", stopped="protocol", where="the tests")
    if report["outcome"] != "confirmed":
        return report
    missing = sorted(_needed(job["tests"]) - {name.partition("[")[0] for name, state in steps if state})
    failed = [name for name, state in steps if state == "failed"]
    n_asserts = sum(isinstance(statement, ast.Assert) for statement in ast.parse(job["tests"]).body)
    if missing or failed or not steps or report["n_passed"] < n_asserts:
        return _refuted(f"did not let {(failed or missing or ['any test'])[0]} pass, and reported success")
    report["reason"] = f"{report['reason']} ({WARNING})"
    return report


class _ForgedError(Exception):
    """Raised when what came is not what the machinery over there sends."""


def _hear(fd: int) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    steps: list[tuple[str, str]] = []
    while len(steps) < _MAX_STEPS:
        match wire.receive(fd):
            case ["step", int(number), str(name), str(state)] if number == len(steps) + 1:
                nonce = os.urandom(16).hex()
                wire.send(fd, ["nonce", nonce])
                if wire.receive(fd) != ["seen", nonce]:
                    raise _ForgedError("something that was not asked")
                steps.append((name, state))
            case [1, "ok", dict(report)]:
                return steps, _checked(report)
            case [1, "exit", str(name)]:
                raise _ForgedError(f"an exit in the middle of a test ({name[:MAX_TEXT]})")
            case _:
                raise _ForgedError("something that was not asked")
    raise _ForgedError("more steps than there can be")


def _checked(report: dict[str, Any]) -> dict[str, Any]:
    """Return the report if it is one, with nothing in it that the worker could not keep."""
    shapes: dict[str, type] = {
        "outcome": str,
        "reason": str,
        "assertions": list,
        "tests": list,
        "n_assertions": int,
        "n_passed": int,
    }
    if any(type(report.get(name)) is not kind for name, kind in shapes.items()):
        raise _ForgedError("an ill-formed report")
    rows = [(row, 4) for row in report["assertions"]] + [(row, 3) for row in report["tests"]]
    if report["outcome"] not in _OUTCOMES or any(
        not isinstance(row, list) or len(row) != n_fields for row, n_fields in rows
    ):
        raise _ForgedError("an ill-formed report")
    first = report.get("first_failure")
    if first is not None and not (isinstance(first, list) and len(first) == 3):
        raise _ForgedError("an ill-formed report")
    return {**report, "reason": report["reason"][: 4 * MAX_TEXT]}


def _refuted(what: str, **facts: str) -> dict[str, Any]:
    return {"outcome": "refuted", "reason": f"the program {what}", **facts}


def _needed(tests: str) -> set[str]:
    """Return the labels of the tests that a suite must have reported."""
    tree = ast.parse(tests)
    if not names.is_suite(tree, names.free_names(tests)):
        return set()
    found = set(_functions(tree.body))
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef) and _is_collected(statement):
            found |= {f"{statement.name}.{name}" for name in _functions(statement.body)}
    return found


def _functions(body: list[ast.stmt]) -> list[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [one.name for one in body if isinstance(one, kinds) and one.name.startswith("test")]


def _is_collected(statement: ast.ClassDef) -> bool:
    bases = [ast.unparse(base).rpartition(".")[2] for base in statement.bases]
    return any(base.endswith("TestCase") for base in bases) or statement.name.startswith("Test")
