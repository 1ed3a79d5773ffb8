"""The code verifier's promises: what it confirms, refutes, abstains from, and what it tells."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.waiting import until
from reasoner.outcomes import Outcome
from verifiers.claims import ProgramClaim
from verifiers.code.verifier import CodeVerifier
from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.bubblewrap import BubblewrapSandbox
from verifiers.sandbox.choice import SandboxFinder
from verifiers.verdicts import Verdict

pytestmark = pytest.mark.sandbox

SQUARE = "def square(x):\n    return x * x\n"


@pytest.fixture(scope="module")
def verifier(needs_sandbox: None) -> CodeVerifier:
    return CodeVerifier()


def judged(verifier: CodeVerifier, program: str, tests: str, entry_point: str | None = None) -> Verdict:
    return verifier.verify(ProgramClaim(program=program, tests=tests, entry_point=entry_point), timeout_s=5)


CONFIRMED = {
    "plain asserts": (SQUARE, "assert square(3) == 9\nassert square(-1) == 1"),
    "a list sorted in place": (
        "def order(x): x.sort()",
        "a = [3, 1]\nassert order(a) is None\nassert a == [1, 3]",
    ),
    "rows changed in place": (
        "def zero(m):\n    for row in m:\n        row[:] = [0] * len(row)",
        "row = [1, 2]\nm = [row, [3]]\nzero(m)\nassert m == [[0, 0], [0]]\nassert row == [0, 0]",
    ),
    "an argument returned": ("def same(x): return x", "a = [1]\nassert same(a) is a"),
    "a generator": ("def count(n):\n    yield from range(n)", "assert list(count(3)) == [0, 1, 2]"),
    "membership in a generator": ("def count(n):\n    yield from range(n)", "assert 2 in count(3)"),
    "a class": (
        "class Stack:\n    def __init__(self): self.items = []\n"
        "    def push(self, x): self.items.append(x); return self\n"
        "    def __len__(self): return len(self.items)\n    def __getitem__(self, i): return self.items[i]\n"
        "    def __eq__(self, other): return self.items == other.items\n    __hash__ = None\n",
        "s = Stack()\ns.push(1).push('b')\nassert len(s) == 2 and s[1] == 'b'\nassert s.items == [1, 'b']\n"
        "assert isinstance(s, Stack)\nassert s == Stack().push(1).push('b')\nassert [x for x in s] == [1, 'b']",
    ),
    "attributes set by the tests": (
        "class Node:\n    def __init__(self, x): self.x, self.next = x, None\n"
        "def total(node): return node.x + total(node.next) if node else 0",
        "first = Node(1)\nfirst.next = Node(2)\nassert total(first) == 3",
    ),
    "an exception of the program": (
        "class Odd(ValueError): pass\ndef f(x): raise Odd('no ' + str(x))",
        "try:\n    f(1)\n    assert False\nexcept Odd as error:\n    assert str(error) == 'no 1'",
    ),
    "a builtin exception": (
        "def f(x): return [][x]",
        "try:\n    f(1)\n    assert False\nexcept IndexError:\n    assert True",
    ),
    "a function of the tests": ("def twice(g, x): return g(g(x))", "assert twice(lambda n: n + 1, 1) == 3"),
    "a function of the library": (
        "def apply(g, x): return g(x)",
        "import math\nassert apply(math.sqrt, 4) == 2",
    ),
    "a constant": ("LIMIT = 3\n", "assert LIMIT == 3"),
    "a builtin redefined as the task": ("def sum(a, b): return a + b", "assert sum(10, 15) == 25"),
    "math by the program's import": (
        "import math\ndef half(x): return x / 2",
        "assert math.isclose(half(1), 0.5)",
    ),
    "an import of the solution": (SQUARE, "from solution import square\nassert square(2) == 4"),
    "functions named test": (SQUARE, "def test_two():\n    assert square(2) == 4\n"),
    "large and strange values": (
        "def f(x): return x",
        "for v in (10**5000, {1: (2, [3])}, {'a'}, b'x', 1j, float('inf'), None, ...):\n    assert f(v) == v",
    ),
    "a program that has a main": (
        SQUARE + "if __name__ == '__main__':\n    raise SystemExit\n",
        "assert square(2) == 4",
    ),
    "a coroutine": (
        "import asyncio\nasync def slow(x):\n    await asyncio.sleep(0)\n    return x + 1",
        "import asyncio\nasync def both():\n    assert await slow(1) == 2\nasyncio.run(both())\n"
        "assert asyncio.run(slow(2)) == 3",
    ),
    "large tests": (SQUARE, "assert square(2) == 4\n" + "# padding\n" * 90_000),
    "output on the side": (SQUARE + "print('loaded')\n", "assert square(2) == 4"),
}


@pytest.mark.parametrize(("program", "tests"), CONFIRMED.values(), ids=CONFIRMED.keys())
def test_a_right_program_is_confirmed(verifier: CodeVerifier, program: str, tests: str) -> None:
    verdict = judged(verifier, program, tests)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason


REFUTED = {
    "a wrong value": (SQUARE, "assert square(3) == 8", "square(3) == 8 failed: left 9, right 8"),
    "an exception": (SQUARE, "assert square('a') == 1", "raised TypeError"),
    "a syntax error": ("def square(:", "assert square(1) == 1", "not valid Python"),
    "an error at import": ("1 / 0", "assert square(1) == 1", "ZeroDivisionError"),
    "a module that is not there": ("import numpy_is_not_here", "assert f(1) == 1", "ModuleNotFoundError"),
    "a missing function": ("x = 1", "assert square(1) == 1", "'square' is not defined"),
    "endless recursion": ("def f(x): return f(x)", "assert f(1) == 1", "RecursionError"),
    "a wrong type": ("def f(x): return None", "assert f(1)[0] == 1", "NoneType"),
}


@pytest.mark.parametrize(("program", "tests", "reason"), REFUTED.values(), ids=REFUTED.keys())
def test_a_wrong_program_is_refuted_with_the_reason(
    verifier: CodeVerifier, program: str, tests: str, reason: str
) -> None:
    verdict = judged(verifier, program, tests)
    assert verdict.outcome is Outcome.REFUTED
    assert reason in verdict.reason


ABSTAINED = {
    "no assertion": ("square(3)", "contain no assertion"),
    "nothing": ("  \n", "no tests"),
    "not Python": ("assert square(", "not valid Python"),
    "never calls the program": ("assert 1 + 1 == 2", "never used the program"),
    "assertion never reached": (
        "if square(2) == 5:\n    assert True",
        "no assertion of the tests was reached",
    ),
    "hypothesis": ("import hypothesis\ndef test(): assert square(2) == 4", "hypothesis"),
    "a library that is not there": ("import numpy_is_not_here\nassert square(2) == 4", "does not have"),
    "an object of the tests": ("class A: pass\nassert square(A()) == 4", "not plain data"),
    "check without entry point": ("def check(candidate):\n    assert candidate(2) == 4", "no entry_point"),
}


@pytest.mark.parametrize(("tests", "reason"), ABSTAINED.values(), ids=ABSTAINED.keys())
def test_tests_that_cannot_judge_lead_to_an_abstention(
    verifier: CodeVerifier, tests: str, reason: str
) -> None:
    verdict = judged(verifier, SQUARE + "def other(): pass\n", tests)
    assert verdict.outcome is Outcome.ABSTAINED
    assert reason in verdict.reason


def test_check_gets_the_entry_point_as_its_candidate(verifier: CodeVerifier) -> None:
    tests = "def check(candidate):\n    assert candidate(2) == 4\n"
    assert judged(verifier, SQUARE, tests, "square").outcome is Outcome.CONFIRMED
    assert judged(verifier, SQUARE, "assert candidate(2) == 4", "square").outcome is Outcome.CONFIRMED
    missing = judged(verifier, SQUARE, tests, "cube")
    assert missing.outcome is Outcome.REFUTED
    assert "does not define 'cube'" in missing.reason


def test_every_assertion_is_reported_even_after_one_failed(verifier: CodeVerifier) -> None:
    verdict = judged(verifier, SQUARE, "assert square(1) == 1\nassert square(2) == 5\nassert square(3) == 9")
    assert [entry["state"] for entry in verdict.evidence["assertions"]] == ["passed", "failed", "passed"]
    assert verdict.reason.startswith("line 2:")
    assert (verdict.evidence["n_passed"], verdict.evidence["n_assertions"]) == (2, 3)


def test_the_evidence_says_what_was_not_proved(verifier: CodeVerifier) -> None:
    verdict = judged(verifier, SQUARE + "print('hello')\n", "assert square(1) == 1")
    assert verdict.evidence["tests"] == "unproved"
    assert verdict.evidence["sandbox"]["kind"] == "bubblewrap"
    assert verdict.evidence["limits"]["cpu_s"] == 5
    assert verdict.evidence["stdout"] == "hello\n"


def test_two_programs_that_do_the_same_have_the_same_behaviour(verifier: CodeVerifier) -> None:
    tests = "assert square(3) == 9\nassert square(4) == 16"
    other = "def square(number):\n    return number ** 2\n"
    wrong = "def square(x):\n    return x * x if x in (3, 4) else x\n"
    one, two, three = (
        judged(verifier, program, tests).evidence["behaviour"] for program in (SQUARE, other, wrong)
    )
    assert one == two
    assert one["inputs"] == three["inputs"]
    assert one["outputs"] != three["outputs"]


def test_an_endless_loop_on_a_generated_input_does_not_change_the_verdict(verifier: CodeVerifier) -> None:
    program = "def square(x):\n    while x != 3:\n        pass\n    return x * x\n"
    verdict = judged(verifier, program, "assert square(3) == 9")
    assert verdict.outcome is Outcome.CONFIRMED
    assert verdict.evidence["limit_hit"] is None


def test_an_exit_on_a_generated_input_does_not_change_the_verdict(verifier: CodeVerifier) -> None:
    program = "import os\ndef square(x):\n    return 9 if x == 3 else os._exit(0)\n"
    assert judged(verifier, program, "assert square(3) == 9").outcome is Outcome.CONFIRMED
    assert judged(verifier, program, "assert square(3) == 8").outcome is Outcome.REFUTED


def test_verdicts_come_in_the_order_of_the_claims(verifier: CodeVerifier) -> None:
    claims = [ProgramClaim(program=SQUARE, tests=f"assert square({n}) == {n * n + n % 2}") for n in range(8)]
    outcomes = [verdict.outcome for verdict in verifier.verify_many(claims, timeout_s=5)]
    assert outcomes == [Outcome.CONFIRMED, Outcome.REFUTED] * 4


def test_the_same_claim_gets_the_same_verdict(verifier: CodeVerifier) -> None:
    program = (
        "import random\ndef draw(): return [random.random() for _ in range(3)], list({'a', 'b', 'c', 'd'})"
    )
    tests = "import random\nassert draw() == random.random()"
    first, second = judged(verifier, program, tests), judged(verifier, program, tests)
    assert (first.outcome, first.reason) == (second.outcome, second.reason)


def test_claims_can_be_judged_from_any_thread(verifier: CodeVerifier) -> None:
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(
            target=lambda: outcomes.append(judged(verifier, SQUARE, "assert square(2) == 4").outcome)
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [Outcome.CONFIRMED] * 4


def test_nothing_is_left_open_after_a_claim(verifier: CodeVerifier) -> None:
    judged(verifier, SQUARE, "assert square(2) == 4")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        judged(verifier, SQUARE, "assert square(2) == 5")
    # A place for claims that has just grown too old is closed a moment later.
    until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before, "nothing more is open than before")


def test_evidence_holds_nothing_that_a_database_would_refuse(verifier: CodeVerifier) -> None:
    program = "def f(x):\n    print('a\\0b')\n    raise ValueError('\\0 \\ud800')"
    verdict = judged(verifier, program, "assert f(1) == 1")
    text = json.dumps([verdict.reason, verdict.evidence], ensure_ascii=False)
    assert "\\u0000" not in text
    assert text.encode()


def test_nothing_outlives_a_worker_that_is_killed(verifier: CodeVerifier) -> None:
    name = f"orphan{uuid.uuid4().hex[:8]}"
    program = (
        f"import ctypes, time\nctypes.CDLL(None).prctl(15, {name.encode()!r}, 0, 0, 0)\ntime.sleep(1000)"
    )
    script = (
        "from verifiers.claims import ProgramClaim\nfrom verifiers.code.verifier import CodeVerifier\n"
        f"CodeVerifier().verify(ProgramClaim(program={program!r}, tests='assert f(1)'), timeout_s=100)"
    )
    worker = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    until(lambda: name in _process_names(), "the judge is at work")
    worker.kill()
    worker.wait()
    until(lambda: name not in _process_names(), "the judge has ended")


def _process_names() -> set[str]:
    names = set()
    for file in Path("/proc").glob("[0-9]*/comm"):
        try:
            names.add(file.read_text().strip())
        except OSError:
            continue
    return names


def test_a_time_limit_that_is_not_positive_is_refused(verifier: CodeVerifier) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        verifier.verify(ProgramClaim(program=SQUARE, tests="assert square(2) == 4"), timeout_s=0)


def test_without_a_bubblewrap_there_is_a_reason_with_a_fix() -> None:
    sandbox, availability = SandboxFinder(binaries=list, wanted="bubblewrap").find()
    assert sandbox is None
    assert "no bubblewrap" in availability.reason
    assert "apt-get install bubblewrap" in availability.fix


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the uid root drops to may enter; pytest's own are closed, and its parents are not ours to open."""
    with tempfile.TemporaryDirectory(prefix="mr-open-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_bubblewrap_that_does_not_work_is_not_used(open_folder: Path) -> None:
    broken = open_folder / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    sandbox, availability = SandboxFinder(binaries=lambda: [broken], wanted="bubblewrap").find()
    assert sandbox is None
    assert "No permissions to create new namespace" in availability.reason
    assert availability.fix


def test_a_sandbox_that_stopped_working_is_an_error_and_not_a_verdict(
    verifier: CodeVerifier, tmp_path: Path
) -> None:
    gone = CodeVerifier(BubblewrapSandbox(tmp_path / "bwrap"))
    with pytest.raises(SandboxUnavailableError):
        judged(gone, SQUARE, "assert square(2) == 4")


def test_the_confined_process_has_no_rights(verifier: CodeVerifier) -> None:
    """Seen from outside: not root, no capabilities, a system call filter, nothing to gain by exec."""
    found: dict[str, str] = {}

    def look() -> None:
        while not found and running.is_set():
            for status in Path("/proc").glob("[0-9]*/status"):
                try:
                    if b"inside.forker" in (status.parent / "cmdline").read_bytes().split(b"bwrap")[0]:
                        lines = (line.split(":", 1) for line in status.read_text().splitlines())
                        facts = {name: value.strip() for name, value in lines}
                        if facts["Seccomp"] == "2":
                            found.update(facts)
                except OSError:
                    continue

    running = threading.Event()
    running.set()
    watcher = threading.Thread(target=look)
    watcher.start()

    def seen() -> object:
        judged(verifier, "import time\ndef f(x):\n    time.sleep(0.5)\n    return x", "assert f(1) == 1")
        return found

    until(
        seen, "a look at it while it ran"
    )  # a look through all processes may take longer than one of them lives
    running.clear()
    watcher.join()
    assert set(found["Uid"].split()) != {"0"}
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == int(found["CapBnd"], 16) == 0
    assert found["NoNewPrivs"] == "1"
