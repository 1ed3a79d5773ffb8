"""The forms that tests come in: cases of standard input, unittest files, pytest files; honest and hostile programs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from reasoner.outcomes import Outcome
from verifiers.claims import ProgramClaim
from verifiers.code.verifier import CodeVerifier
from verifiers.sandbox.docker_sandbox import DockerSandbox
from verifiers.verdicts import Verdict

pytestmark = pytest.mark.sandbox

PROGRAM = """
class EmptyError(ValueError):
    pass

class Stack:
    def __init__(self):
        self.items = []
    def push(self, item):
        self.items.append(item)
    def pop(self):
        if not self.items:
            raise EmptyError("the stack is empty")
        return self.items.pop()

def square(x):
    if x is None:
        raise ValueError("no number: None")
    return x * x

def count(n):
    for number in range(n):
        yield number
"""

UNITTEST = """
import math
import unittest
from typing import *
from solution import EmptyError, Stack, count, square

def expected(x: Optional[float]) -> float:
    return x * x

class TestStack(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.first = 1

    def setUp(self):
        self.stack = Stack()
        self.stack.push(self.first)

    def tearDown(self):
        self.stack = None

    def test_what_was_pushed_is_popped(self):
        self.assertEqual(self.stack.pop(), 1)
        with self.assertRaises(EmptyError):
            self.stack.pop()

    def test_it_is_a_stack(self):
        self.assertIsInstance(self.stack, Stack)
        self.assertListEqual(self.stack.items, [1])

class TestSquare(unittest.TestCase):
    def test_numbers(self):
        for number in range(5):
            with self.subTest(number=number):
                self.assertEqual(square(number), expected(number))

    def test_fractions(self):
        self.assertAlmostEqual(square(0.1), 0.01)
        self.assertTrue(math.isclose(square(0.1), 0.01))

    def test_no_number(self):
        with self.assertRaisesRegex(ValueError, "no number"):
            square(None)
        with self.assertRaises(ValueError) as caught:
            square(None)
        self.assertEqual(str(caught.exception), "no number: None")
        self.assertRaises(TypeError, square, "a")

    def test_by_hand(self):
        try:
            square(None)
            self.fail("nothing was raised")
        except ValueError:
            pass

    def test_generator(self):
        self.assertEqual(list(count(3)), [0, 1, 2])
        assert sum(count(4)) == 6

    @unittest.skip("not now")
    def test_left_out(self):
        self.assertEqual(1, 2)

if __name__ == "__main__":
    unittest.main()
"""

PYTEST = """
import pytest
from solution import *

@pytest.fixture
def stack():
    made = Stack()
    made.push(1)
    yield made
    assert made.pop() == 1

@pytest.fixture(params=[2, 3], scope="module")
def number(request):
    return request.param

@pytest.fixture(autouse=True)
def nothing():
    yield

class TestSquare:
    def setup_method(self):
        self.three = 3

    def test_three(self):
        assert square(self.three) == 9

    @pytest.mark.parametrize("x", [1, 2])
    @pytest.mark.parametrize("y, z", [(1, 2), pytest.param(2, 4, marks=pytest.mark.skip(reason="wrong"))])
    def test_combined(self, x, y, z, number):
        assert z == y + 1
        assert square(x * number) == x * x * number * number

def test_the_stack_of_the_fixture(stack):
    assert stack.items == [1]

@pytest.mark.slow
@pytest.mark.parametrize(("x", "y"), [(1, 1), (2, 4)], ids=["one", "two"])
def test_pairs(x, y):
    assert square(x) == y

def test_raises():
    with pytest.raises(ValueError, match=r"no .*None") as info:
        square(None)
    assert "number" in str(info.value)
    with pytest.raises((TypeError, KeyError)):
        square("x")

def test_approx():
    assert square(0.1) == pytest.approx(0.01)
    assert [square(0.1), 1] == pytest.approx([0.01, 1])
    assert {"a": square(0.1)} == pytest.approx({"a": 0.01})
    assert square(2) != pytest.approx(4.1)
    assert square(2) == pytest.approx(4.1, abs=0.2)

@pytest.mark.xfail
def test_not_yet():
    assert square(2) == 5

def test_with_a_helper():
    for value in range(3):
        check_one(value)

def check_one(value):
    assert square(value) == value ** 2, "a message"
"""

CASES = [
    {"stdin": "2 3\n", "stdout": "5\n"},
    {"stdin": "10 -4", "stdout": "6"},
    {"input": "1 1", "output": "2\n\n"},
]


@pytest.fixture(scope="module")
def verifier(needs_sandbox: None) -> CodeVerifier:
    return CodeVerifier()


@pytest.fixture(scope="module", params=["found", pytest.param("docker", marks=pytest.mark.docker)])
def anywhere(request: pytest.FixtureRequest) -> Iterator[CodeVerifier]:
    if request.param == "found":
        yield request.getfixturevalue("verifier")
        return
    made = CodeVerifier(DockerSandbox(request.getfixturevalue("docker_engine")))
    yield made
    made.close()


def judged(verifier: CodeVerifier, program: str, tests: object, timeout_s: float = 5) -> Verdict:
    text = tests if isinstance(tests, str) else json.dumps(tests)
    return verifier.verify(ProgramClaim(program=program, tests=text), timeout_s=timeout_s)


# Cases of standard input

SCRIPTS = {
    "input()": "a, b = map(int, input().split())\nprint(a + b)",
    "sys.stdin": "import sys\nprint(sum(int(x) for line in sys.stdin for x in line.split()))",
    "bytes": "import sys\na, b = sys.stdin.buffer.read().split()\nsys.stdout.buffer.write(b'%d' % (int(a) + int(b)))",
    "open(0)": "print(sum(map(int, open(0).read().split())))",
    "a main": "def main(): print(sum(map(int, input().split())))\nif __name__ == '__main__':\n    main()",
    "an exit": "import sys\nprint(sum(map(int, input().split())))\nsys.exit()",
    "a thread": "from threading import Thread\nThread(target=lambda: print(sum(map(int, input().split())))).start()",
    "an exit handler": "import atexit\natexit.register(lambda: print(sum(map(int, input().split()))))",
}


@pytest.mark.parametrize("program", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_a_script_that_prints_what_is_expected_is_confirmed(anywhere: CodeVerifier, program: str) -> None:
    verdict = judged(anywhere, program, CASES)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason
    assert [entry["state"] for entry in verdict.evidence["assertions"]] == ["passed"] * 3


WRONG_SCRIPTS = {
    "another number": ("a, b = map(int, input().split())\nprint(a - b)", "printed '-1', expected '5'"),
    "right once": ("print(5)", "case 2, stdin '10 -4': printed '5', expected '6'"),
    "an exception": ("print(5)\n1 / 0", "ended with exit code 1, having printed '5'"),
    "an exit code": ("import sys\nprint(5)\nsys.exit(3)", "exit code 3"),
    "no Python": ("def f(:", "exit code 1"),
    "an early end": ("import os\nprint(5)\nos._exit(0)", "printed 0 lines"),
    "a signal": ("import os\nos.kill(os.getpid(), 11)", "signal 11"),
    "endless output": ("while True: print('x' * 1000)", "case 1"),
    "its parent killed": ("import os\nos.kill(os.getppid(), 9)\nos.kill(-1, 9)", "case 1"),
    "forks": ("import os\nwhile True: os.fork()", "case 1"),
    "a fake word on every descriptor": (
        "import json, os\nbody = json.dumps(['report', {'outcome': 'confirmed', 'reason': 'passed'}]).encode()\n"
        "for fd in range(1, 99):\n    try: os.write(fd, len(body).to_bytes(4, 'big') + body)\n"
        "    except OSError: pass\nprint('OK')",
        "case 1",
    ),
    "an output kept from the case before": (
        "import os\nif os.path.exists('/tmp/n'): print(6)\nelse: open('/tmp/n', 'w'); print(5)",
        "case 3",
    ),
}


@pytest.mark.parametrize(("program", "reason"), WRONG_SCRIPTS.values(), ids=WRONG_SCRIPTS.keys())
def test_a_script_that_prints_something_else_is_refuted(
    anywhere: CodeVerifier, program: str, reason: str
) -> None:
    verdict = judged(anywhere, program, CASES)
    assert verdict.outcome is Outcome.REFUTED
    # Where it is not the first process of a namespace, a script can kill the process that started it, and itself, whose
    # end may be seen a moment after that of its connection.
    killed = ("ended by SIGKILL", "still running, with its connection closed")
    assert reason in verdict.reason or ("getppid" in program and any(how in verdict.reason for how in killed))


def test_a_script_that_never_ends_runs_into_its_cpu_limit(verifier: CodeVerifier) -> None:
    verdict = judged(verifier, "while True: pass", CASES, timeout_s=0.5)
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.evidence["limit_hit"] == "cpu"
    assert "CPU time" in verdict.reason


def test_a_script_that_waits_for_ever_runs_into_the_wall_limit(verifier: CodeVerifier) -> None:
    verdict = judged(verifier, "import time\ntime.sleep(1000)", CASES, timeout_s=0.7)
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.evidence["limit_hit"] == "wall"


def test_one_case_knows_nothing_of_the_variables_of_another(anywhere: CodeVerifier) -> None:
    program = "import sys, json\nprint(getattr(json, 'left', 0))\njson.left = 1"
    cases = [{"stdin": "", "stdout": "0"}] * 2
    assert judged(anywhere, program, cases).outcome is Outcome.CONFIRMED


def test_cases_that_cannot_be_read_are_an_abstention(verifier: CodeVerifier) -> None:
    verdict = judged(verifier, "print(1)", [{"stdin": "", "expected": "1"}])
    assert verdict.outcome is Outcome.ABSTAINED
    assert "case 1" in verdict.reason


# unittest and pytest files


@pytest.mark.parametrize("tests", [UNITTEST, PYTEST], ids=["unittest", "pytest"])
def test_a_right_program_is_confirmed(anywhere: CodeVerifier, tests: str) -> None:
    verdict = judged(anywhere, PROGRAM, tests)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason


def test_every_test_has_an_outcome_of_its_own(anywhere: CodeVerifier) -> None:
    verdict = judged(anywhere, PROGRAM.replace("x * x", "x * x + (x == 3)"), UNITTEST)
    assert verdict.outcome is Outcome.REFUTED
    assert "TestSquare.test_numbers (number=3)" in verdict.reason
    assert "failed: 10 != 9" in verdict.reason
    states = {entry["name"]: entry["state"] for entry in verdict.evidence["per_test"]}
    assert states["TestSquare.test_numbers (number=3)"] == "failed"
    assert states["TestSquare.test_left_out"] == "skipped"
    assert states["TestStack.test_it_is_a_stack"] == "passed"
    verdict = judged(anywhere, PROGRAM.replace("x * x", "x * x + (x == 2)"), PYTEST)
    states = {entry["name"]: entry["state"] for entry in verdict.evidence["per_test"]}
    assert (states["test_pairs[0]"], states["test_pairs[1]"]) == ("passed", "failed")
    assert states["test_not_yet"] == "skipped"


BROKEN = {
    "a wrong value": ("return x * x", "return x * x + 1", "test_"),
    "nothing raised": ("raise ValueError", "return 0 or str", "raise"),
    "another exception": ("ValueError(", "KeyError(", "KeyError"),
    "another message": ("no number", "bad", "bad: None"),
    "None": ("return self.items.pop()", "return None", "Stack"),
    "a missing class": ("class Stack", "class Heap", "Stack"),
    "an exit in what setUp calls": (
        "self.items = []",
        "import os; os._exit(0)",
        "ended before it had answered",
    ),
    "an exit in a test": ("return x * x", "import os; os._exit(0)", "ended before it had answered"),
    "SystemExit": ("return x * x", "raise SystemExit(0)", "SystemExit"),
    "a skip": ("return x * x", "import unittest; raise unittest.SkipTest('no')", "SkipTest"),
    "a framework patched": (
        "return x * x",
        "import unittest, sys; unittest.TestCase.assertEqual = unittest.TestCase.assertTrue = "
        "unittest.TestCase.run = lambda *a, **k: None; sys.modules['pytest'] = None; return 77",
        "77",
    ),
    "a fake result printed": (
        "return x * x",
        "print('.....\\n-----\\nRan 9 tests in 0.001s\\n\\nOK\\n===== 9 passed =====', flush=True); return 78",
        "78",
    ),
    "an assertion of its own": (
        "return x * x",
        "raise AssertionError('Failed: DID NOT RAISE')",
        "AssertionError",
    ),
    "a liar": (
        "return x * x",
        "return type('Liar', (), {n: lambda *a: True for n in ('__eq__', '__bool__', '__contains__')})()",
        "liar",
    ),
}


@pytest.mark.parametrize("tests", [UNITTEST, PYTEST], ids=["unittest", "pytest"])
@pytest.mark.parametrize(("old", "new", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_wrong_or_hostile_program_is_refuted(
    verifier: CodeVerifier, tests: str, old: str, new: str, reason: str
) -> None:
    verdict = judged(verifier, PROGRAM.replace(old, new), tests)
    assert verdict.outcome is not Outcome.CONFIRMED
    if (
        verdict.outcome is Outcome.ABSTAINED
    ):  # only where the program alone could say what its object is worth
        assert "only it could say" in verdict.reason
    else:
        assert reason.lower() in verdict.reason.lower()
    assert judged(verifier, PROGRAM, "assert square(2) == 4").outcome is Outcome.CONFIRMED


HOSTILE = {
    "objects that patch whatever is done to them": """
class Trap:
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
    def __setattr__(self, name, value): pass
    def __eq__(self, other): return True
    def __iter__(self): return iter(())
    def __enter__(self): return self
    def __exit__(self, *a): return True
    def __mro_entries__(self, bases): return (object,)
    def __instancecheck__(self, value): return True
square = Stack = count = Trap()
class EmptyError(ValueError): pass
""",
    "an exception that is every exception": """
class Meta(type):
    def __instancecheck__(cls, x): return True
    def __subclasscheck__(cls, x): return True
    def __eq__(cls, other): return True
    __hash__ = type.__hash__
class Any(Exception, metaclass=Meta):
    def __str__(self): return "no number: None"
EmptyError = Any
class Stack:
    def __init__(self): raise Any
def square(x): raise Any
def count(x): raise Any
""",
    "frames of its callers searched": """
import gc, sys
def square(x):
    for thing in gc.get_objects():
        if type(thing).__name__ in ("Recorder", "Judging", "_Result", "Trial", "TestResult"):
            return x * x
    return 0
Stack = list
count = range
EmptyError = IndexError
""",
    "a thread that replies early": """
import os, threading
def shout():
    while True:
        for fd in range(3, 20):
            try: os.write(fd, b'\\0\\0\\0\\x0b[1,"ok",[4]]')
            except OSError: pass
def square(x):
    threading.Thread(target=shout, daemon=True).start()
    return 0
Stack, count, EmptyError = list, range, IndexError
""",
}


@pytest.mark.parametrize("tests", [UNITTEST, PYTEST], ids=["unittest", "pytest"])
@pytest.mark.parametrize("program", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_program_talks_its_way_through_a_framework(
    anywhere: CodeVerifier, tests: str, program: str
) -> None:
    verdict = judged(anywhere, program, tests, timeout_s=2)
    assert verdict.outcome is not Outcome.CONFIRMED, verdict.reason


SQUARE = "def square(x):\n    return x * x\n"
ALSO_CONFIRMED = {
    "classes without an import": "class TestIt:\n    def test_it(self):\n        assert square(2) == 4\n",
    "async": (
        "import unittest\nclass T(unittest.IsolatedAsyncioTestCase):\n"
        "    async def test_it(self):\n        self.assertEqual(square(2), 4)\n"
    ),
    "only a branch that must not be reached": (
        "import pytest\ndef test_it():\n    try:\n        square('a')\n        pytest.fail('no error')\n"
        "    except TypeError:\n        pass\n"
    ),
    "statements beside pytest": (
        "import pytest\nwith pytest.raises(TypeError):\n    square('a')\nassert square(3) == 9\n"
    ),
    "a base class of tests": (
        "import unittest\nclass Base(unittest.TestCase):\n"
        "    def check(self, x, y):\n        self.assertEqual(square(x), y)\n"
        "class TestIt(Base):\n    def test_it(self):\n        self.check(2, 4)\n"
    ),
    "a module of its own": (
        "import solution\nclass TestIt:\n    def test_it(self):\n        assert solution.square(2) == 4\n"
    ),
    "the program's function in a class": (
        "import unittest\nclass T(unittest.TestCase):\n    f = staticmethod(square)\n"
        "    def test_it(self):\n        self.assertEqual(self.f(2), 4)\n        self.assertIn(self.f(1), [1])\n"
    ),
    "a KeyError's text": (
        "import pytest\nLOOK = {}\ndef test_it():\n    with pytest.raises(KeyError) as e:\n        look('a')\n"
        "    assert str(e.value) == \"'a'\"\n"
    ),
    "numbers by chance": (
        "import random\nimport unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n"
        "        for _ in range(20):\n            n = random.randint(-9, 9)\n"
        "            self.assertEqual(square(n), n * n)\n"
    ),
}


@pytest.mark.parametrize("tests", ALSO_CONFIRMED.values(), ids=ALSO_CONFIRMED.keys())
def test_other_ways_to_write_tests_work_too(anywhere: CodeVerifier, tests: str) -> None:
    verdict = judged(anywhere, SQUARE + "def look(key):\n    return {}[key]\n", tests)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason


ABSTAINED = {
    "what it prints, otherwise": ("import pytest\ndef test_it(capfd):\n    assert square(2) == 4", "capfd"),
    "patches": (
        "import unittest\nfrom unittest.mock import patch\nclass T(unittest.TestCase):\n"
        "    def test_it(self):\n        self.assertEqual(square(2), 4)",
        "unittest.mock",
    ),
    "sys.stdout replaced": ("import sys\nsys.stdout = None\nassert square(2) == 4", "sys.stdout"),
    "the program's module changed": ("import solution\nsolution.x = 1\nassert square(2) == 4", "solution.x"),
    "an exit": ("import pytest\nwith pytest.raises(SystemExit):\n    square(2)", "SystemExit"),
    "threads": ("import threading\nassert square(2) == 4", "threads"),
    "an unknown fixture": ("import pytest\ndef test_it(client):\n    assert square(2) == 4", "'client'"),
    "an unknown name of pytest": (
        "import pytest\ndef test_it():\n    pytest.warns(E)\n    assert square(2)",
        "pytest.warns",
    ),
    "hypothesis": ("from hypothesis import given\ndef test_it():\n    assert square(2) == 4", "hypothesis"),
    "a class derived from the program's": ("class Mine(Thing): pass\nassert Mine()", "derive"),
    "an object copied": ("import copy\nassert copy.copy(Thing()) == 1", "copy"),
    "more of an exception than its text": (
        "try:\n    odd()\nexcept Odd as e:\n    assert e.code == 3",
        ".code of an exception",
    ),
    "a skip that depends on the program": (
        "import pytest\ndef test_it():\n    if square(2) == 4:\n        pytest.skip('hm')\ndef test_two():\n"
        "    assert square(1) == 1",
        "depending on the program",
    ),
    "no test at all": ("import pytest\ndef check():\n    assert square(2) == 4", "no assertion"),
    "tests that don't use it": ("import pytest\ndef test_it():\n    assert 1 + 1 == 2", "never used"),
    "only tests expected to fail": (
        "import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert square(2)",
        "no assertion",
    ),
}


@pytest.mark.parametrize(("tests", "reason"), ABSTAINED.values(), ids=ABSTAINED.keys())
def test_what_a_judge_elsewhere_cannot_see_is_an_abstention_with_the_reason(
    verifier: CodeVerifier, tests: str, reason: str
) -> None:
    program = (
        SQUARE + "class Thing: pass\nclass Odd(Exception):\n    code = 3\ndef odd():\n    raise Odd('odd')\n"
    )
    verdict = judged(verifier, program, tests)
    assert verdict.outcome is Outcome.ABSTAINED, verdict.reason
    assert reason in verdict.reason


# Tests that nobody vouches for, several files, languages, seeds

CLAMP = "def clamp(x, low, high):\n    if x < low:\n        return low\n    return high if x > high else x\n"
GOOD_TESTS = (
    "assert clamp(5, 1, 10) == 5\nassert clamp(0, 1, 10) == 1\nassert clamp(11, 1, 10) == 10\n"
    "assert clamp(1, 1, 10) == 1\nassert clamp(10, 1, 10) == 10\n"
)


def test_tests_that_kill_mutants_of_a_right_program_are_proved(verifier: CodeVerifier) -> None:
    other = "def clamp(x, low, high):\n    return max(low, min(x, high))\n"
    for program, outcome in ((other, Outcome.CONFIRMED), ("def clamp(x, a, b): return x", Outcome.REFUTED)):
        claim = ProgramClaim(program=program, tests=GOOD_TESTS, known_good=CLAMP)
        verdict = verifier.verify(claim, timeout_s=5)
        assert verdict.outcome is outcome, verdict.reason
        assert verdict.evidence["tests"].startswith("proved (")
        assert "mutants killed)" in verdict.evidence["tests"]


UNPROVED = {
    "wrong": ("assert clamp(5, 1, 10) == 6", "does not pass them"),
    "blind to results": ("assert clamp(5, 1, 10) is not None", "mutants of the right program"),
    "empty": ("def test_it(): clamp(1, 2, 3)\nassert clamp", "0 of "),
    "never used": ("assert 1 + 1 == 2", "never used"),
}


@pytest.mark.parametrize(("tests", "reason"), UNPROVED.values(), ids=UNPROVED.keys())
def test_tests_that_tell_nothing_do_not_count(verifier: CodeVerifier, tests: str, reason: str) -> None:
    verdict = verifier.verify(ProgramClaim(program=CLAMP, tests=tests, known_good=CLAMP), timeout_s=5)
    assert verdict.outcome is Outcome.ABSTAINED, verdict.reason
    assert verdict.evidence["tests"].startswith("unproved: ")
    assert reason in verdict.reason


def test_without_a_right_program_the_evidence_says_unproved(verifier: CodeVerifier) -> None:
    assert judged(verifier, CLAMP, GOOD_TESTS).evidence["tests"] == "unproved"


FILES = {
    "helpers.py": "def add(a, b):\n    return a + b\n",
    "shapes/__init__.py": "from shapes.circle import area\n",
    "shapes/circle.py": "def area(r):\n    return 3 * r * r\n",
    "data.txt": "7",
}
USES_FILES = """
from helpers import add
import shapes
def f(x):
    return add(x, int(open("data.txt").read())) + shapes.area(1)
"""


def in_files(verifier: CodeVerifier, program: str, tests: str, files: dict[str, str]) -> Verdict:
    return verifier.verify(ProgramClaim(program=program, tests=tests, files=files), timeout_s=5)


def test_a_program_of_several_files_is_judged_as_one(anywhere: CodeVerifier) -> None:
    tests = (
        "import shapes.circle\nfrom helpers import add\nfrom shapes import area\n"
        "assert f(1) == 11\nassert add(1, 2) == 3\nassert shapes.circle.area(1) == area(1) == 3\n"
    )
    verdict = in_files(anywhere, USES_FILES, tests, FILES)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason
    assert "helpers" in verdict.evidence["own_helpers"]
    wrong = in_files(anywhere, USES_FILES, tests, {**FILES, "shapes/circle.py": "def area(r): return 1"})
    assert wrong.outcome is Outcome.REFUTED
    script = "from helpers import add\nprint(add(int(input()), 1))"
    assert in_files(anywhere, script, '[{"stdin": "3", "stdout": "4"}]', FILES).outcome is Outcome.CONFIRMED


@pytest.mark.parametrize("module", ["math", "unittest", "numpy", "pytest", "statistics"])
def test_no_file_of_the_program_stands_for_what_the_tests_mean(verifier: CodeVerifier, module: str) -> None:
    fake = (
        "def __getattr__(name): return lambda *a, **k: 1\napprox = isclose = raises = lambda *a, **k: True\n"
    )
    tests = f"import {module}\nassert {module}.isclose(f(1), 12)"
    verdict = in_files(verifier, USES_FILES, tests, {**FILES, f"{module}.py": fake, f"{module}/x.py": fake})
    assert verdict.outcome is not Outcome.CONFIRMED, verdict.reason


@pytest.mark.parametrize(
    "path", ["../x.py", "/tmp/x.py", "a//b.py", "", "a/../b.py", ".x", "a b.py", "x\0.py"]
)
def test_a_path_out_of_the_scratch_folder_is_refused(verifier: CodeVerifier, path: str) -> None:
    verdict = in_files(verifier, USES_FILES, "assert f(1) == 11", {**FILES, path: ""})
    assert verdict.outcome is Outcome.ABSTAINED
    assert "not the relative path" in verdict.reason


def test_hypothesis_is_an_abstention_that_says_what_to_use_instead(verifier: CodeVerifier) -> None:
    tests = "from hypothesis import given, strategies as st\n@given(st.integers())\ndef test(x): assert f(x) == x\n"
    verdict = verifier.verify(ProgramClaim(program="def f(x): return x", tests=tests), timeout_s=5)
    assert verdict.outcome is Outcome.ABSTAINED
    assert "`random`" in verdict.reason


def test_the_first_failure_is_in_the_evidence_however_many_pass_before_it(verifier: CodeVerifier) -> None:
    tests = "\n".join(f"assert f({x}) == {x}" for x in range(100))
    claim = ProgramClaim(program="def f(x): return x if x != 77 else -1", tests=tests)
    evidence = verifier.verify(claim, timeout_s=5).evidence
    assert len(evidence["assertions"]) == 50
    assert evidence["first_failure"] == {
        "line": 78,
        "text": "assert f(77) == 77",
        "detail": "left -1, right 77",
    }
    suite = "import unittest\nclass T(unittest.TestCase):\n" + "".join(
        f"    def test_{x:03}(self): self.assertEqual(f({x}), {x})\n" for x in range(100)
    )
    claim = ProgramClaim(program="def f(x): return x if x != 77 else -1", tests=suite)
    evidence = verifier.verify(claim, timeout_s=5).evidence
    assert [one["name"] for one in evidence["per_test"] if one["state"] == "failed"] == ["T.test_077"]
    assert evidence["n_tests"] == 100
    assert evidence["first_failure"]["text"] == "self.assertEqual(f(77), 77)"


def test_another_language_is_an_abstention(verifier: CodeVerifier) -> None:
    claim = ProgramClaim(program="f = |x| x", tests="assert f(1) == 1", language="rust")
    verdict = verifier.verify(claim, timeout_s=5)
    assert verdict.outcome is Outcome.ABSTAINED
    assert "'rust'" in verdict.reason


def test_the_seed_decides_what_random_tests_draw(anywhere: CodeVerifier) -> None:
    tests = "import random\nassert f(random.randint(0, 10**9)) == 0"
    claims = [ProgramClaim(program="def f(x): return x", tests=tests, seed=seed) for seed in (1, 1, 2)]
    one, again, other = (anywhere.verify(claim, timeout_s=5).reason for claim in claims)
    assert one == again != other


SWALLOWS = """
class Anything:
    def __enter__(self): return self
    def __exit__(self, *a): return True
    def __call__(self, *a, **k): return self
    def __getattr__(self, name): return self
    def __eq__(self, other): return True
pytest = raises = approx = TestCase = unittest = Timer = Anything()
def f(x): return 0
"""
FORGETFUL = [
    "assert f(2) == pytest.approx(4)",
    "with pytest.raises(ValueError):\n    f(-1)\nassert f(1) == 0",
    "with raises(ValueError):\n    f(-1)\nassert f(1) == 0",
    "assert f(2) == approx(4)",
    "class TestIt(unittest.TestCase):\n    def test_it(self):\n        self.assertEqual(f(2), 4)",
    "class Mine(TestCase):\n    def test_it(self):\n        self.assertEqual(f(2), 4)",
    "with Timer():\n    assert f(2) == 4\nassert f(1) == 0",
    "from solution import Timer\nclass TestIt:\n    def test_it(self):\n        with Timer:\n"
    "            assert f(2) == 4\n"
    "        assert f(1) == 0",
]


@pytest.mark.parametrize("tests", FORGETFUL)
def test_a_program_does_not_stand_for_what_the_tests_forgot_to_import(
    verifier: CodeVerifier, tests: str
) -> None:
    assert judged(verifier, SWALLOWS, tests).outcome is not Outcome.CONFIRMED
    right = SWALLOWS.partition("pytest =")[0] + (
        "Timer = Anything()\ndef f(x):\n    if x < 0: raise ValueError\n    return {1: 0}.get(x, x * x)\n"
    )
    verdict = judged(verifier, right, tests)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason


def test_a_failure_beside_a_skipped_sub_test_is_seen(verifier: CodeVerifier) -> None:
    tests = (
        "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n        with self.subTest(1):\n"
        "            self.skipTest('no')\n        self.assertEqual(square(2), 5)\n"
        "    def test_two(self):\n        self.assertEqual(square(2), 4)\n"
    )
    assert judged(verifier, SQUARE, tests).outcome is Outcome.REFUTED


def test_a_number_of_a_million_digits_is_compared_at_once(verifier: CodeVerifier) -> None:
    verdict = judged(verifier, "print('1' * 1_000_000 + 'x')", [{"stdin": "", "stdout": "0.5"}])
    assert verdict.outcome is Outcome.REFUTED
    assert "printed" in verdict.reason


PRINTING = [
    "def test_it(capsys):\n    greet('you')\n    assert capsys.readouterr().out == 'hello you\\n'\n    greet('me')\n"
    "    out, err = capsys.readouterr()\n    assert (out, err) == ('hello me\\n', '')\nimport pytest",
    "import io\nfrom contextlib import redirect_stdout\nbuffer = io.StringIO()\nwith redirect_stdout(buffer):\n"
    "    greet('you')\nassert buffer.getvalue() == 'hello you\\n'",
    "import contextlib, io, unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n        f = io.StringIO()\n"
    "        with contextlib.redirect_stdout(f):\n            greet('you')\n"
    "        self.assertEqual(f.getvalue().strip(), 'hello you')",
]


@pytest.mark.parametrize("tests", PRINTING)
def test_what_the_program_prints_can_be_tested(anywhere: CodeVerifier, tests: str) -> None:
    right = judged(anywhere, "def greet(name): print('hello', name)", tests)
    assert right.outcome is Outcome.CONFIRMED, right.reason
    for wrong in (
        "def greet(name): print('hallo', name)",
        "def greet(name): return 'hello ' + name",
        "import os\ndef greet(name):\n    print('hello', name, flush=True)\n    os._exit(0)",
        "import sys\nclass Out:\n    def getvalue(self): return 7\n    def write(self, text): pass\n"
        "    def flush(self): pass\ndef greet(name): sys.stdout = Out()",
    ):
        assert judged(anywhere, wrong, tests).outcome is Outcome.REFUTED
