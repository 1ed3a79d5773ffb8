r"""Tests that are pairs of an input and an output: ``[{"stdin": "2 3\n", "stdout": "5\n"}, ...]``, as JSON text.

The program runs as a script, once for each case. The expected outputs never leave the judge.
"""

from __future__ import annotations

import json
import signal

from verifiers.sandbox.inside.asserts import MAX_TEXT, Assertion
from verifiers.sandbox.inside.link import Link
from verifiers.sandbox.inside.outputs import difference
from verifiers.sandbox.inside.script import MAX_OUTPUT_BYTES

MAX_CASES = 1000
_NAMES = (("stdin", "stdout"), ("input", "output"))
_CPU_SIGNALS = {-signal.SIGXCPU, -signal.SIGKILL}
_LEAST_CPU_LIMIT_S = 0.9  # the kernel counts whole seconds; a kill before that is somebody else's


class IllFormedCasesError(Exception):
    """Raised when the tests are JSON, but not cases."""


def read_cases(tests: str) -> list[tuple[str, str]] | None:
    """Return the inputs and outputs, or None when the tests are not JSON and so something else.

    Raises:
        IllFormedCasesError: They are JSON but not a list of cases.
    """
    try:
        found = json.loads(tests)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(case, dict) for case in found):
        raise IllFormedCasesError('cases are a list of {"stdin": text, "stdout": text}')
    if not 0 < len(found) <= MAX_CASES:
        raise IllFormedCasesError(f"there must be between 1 and {MAX_CASES} cases, not {len(found)}")
    return [_case(number, case) for number, case in enumerate(found, 1)]


def _case(number: int, case: dict[str, object]) -> tuple[str, str]:
    for given, expected in _NAMES:
        match case.get(given, ""), case.get(expected):
            case str(stdin), str(stdout) if case.keys() <= {given, expected}:
                return stdin, stdout
    raise IllFormedCasesError(f'case {number} is not {{"stdin": text, "stdout": text}}')


def run_case(
    link: Link, program: str, number: int, stdin: str, expected: str, *, language: str
) -> tuple[Assertion, str | None]:
    """Run one case; return how it went, and the name of the limit that ended the script, if one did."""
    text = f"case {number}, stdin {stdin!r}"
    case = Assertion(number, text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "...")
    limit = None
    try:
        status, cpu_s, printed = link.run_script(program, stdin, language)
    except Exception as error:  # noqa: BLE001 - the program has left nothing to run it with: no processes, no memory
        case.failure = f"could not be run any more: {type(error).__name__}"
        return case, None
    if status in _CPU_SIGNALS and cpu_s >= _LEAST_CPU_LIMIT_S:
        case.failure, limit = "used more CPU time than was left of its limit", "cpu"
    elif len(printed) > MAX_OUTPUT_BYTES:
        case.failure, limit = f"printed more than {MAX_OUTPUT_BYTES // 2**20} MiB", "output"
    elif status:
        how = f"exit code {status}" if status > 0 else f"signal {-status}"
        seen = printed.decode(errors="replace").rstrip()[-MAX_TEXT:]
        case.failure = f"ended with {how}, having printed {seen!r}"
    else:
        case.failure = difference(expected, printed.decode(errors="replace"))
    case.n_passed = int(case.failure is None)
    return case, limit
