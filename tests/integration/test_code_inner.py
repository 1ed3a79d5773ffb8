"""Inner mode: tests that need the program's internals run in its process, say so, and are not easily deceived."""

from __future__ import annotations

import pytest

from reasoner.outcomes import Outcome
from tests.integration.cases import Cases
from verifiers.claims import ProgramClaim
from verifiers.code.verifier import CodeVerifier
from verifiers.verdicts import Verdict

pytestmark = pytest.mark.sandbox

PROGRAM = """
import random
import sys

RATE = 2

class Account:
    def __init__(self):
        self._balance = 0
    def put(self, amount):
        self._balance += convert(amount)

def convert(amount):
    return amount * RATE

def roll():
    return random.randint(1, 6)

def leave():
    sys.exit(3)
"""
CASES = Cases("inner", comment="#")
ASSERTS, CASE = CASES.parts["(asserts)"], CASES.parts["(a case)"]
SPLIT = {name: texts[0] for name, texts in CASES.read("needs").items()}
FORGED = CASES.read("forged")
HONEST = "def f(x):\n    return x * x\n"


@pytest.fixture(scope="module")
def verifier(needs_sandbox: None) -> CodeVerifier:
    return CodeVerifier()


def inner(verifier: CodeVerifier, program: str, tests: str, *, timeout_s: float = 3.0) -> Verdict:
    claim = ProgramClaim(program=program, tests=tests, inner="allowed")
    return verifier.verify(claim, timeout_s=timeout_s)


@pytest.mark.parametrize("tests", SPLIT.values(), ids=SPLIT.keys())
def test_tests_that_need_internals_pass_only_where_they_may_and_the_verdict_says_so(
    verifier: CodeVerifier, tests: str
) -> None:
    apart = verifier.verify(ProgramClaim(program=PROGRAM, tests=tests), timeout_s=3)
    assert apart.outcome is Outcome.ABSTAINED, apart.reason
    assert "`inner`" in apart.reason
    assert apart.evidence["mode"] == "apart"
    verdict = inner(verifier, PROGRAM, tests)
    assert verdict.outcome is Outcome.CONFIRMED, (verdict.reason, verdict.evidence["stderr"])
    assert verdict.evidence["mode"] == "inner"
    assert "could have forged" in verdict.reason


@pytest.mark.parametrize("tests", SPLIT.values(), ids=SPLIT.keys())
def test_a_wrong_program_fails_them(verifier: CodeVerifier, tests: str) -> None:
    wrong = (
        PROGRAM.replace("amount * RATE", "amount * RATE + 1")
        .replace("(1, 6)", "(1, 7)")
        .replace("exit(3)", "exit(4)")
    )
    if "inspect" in tests:
        wrong = wrong.replace("RATE", "rate")
    verdict = inner(verifier, wrong, tests)
    assert verdict.outcome is Outcome.REFUTED, verdict.reason
    assert verdict.evidence["mode"] == "inner"


def test_what_can_be_kept_apart_is(verifier: CodeVerifier) -> None:
    verdict = inner(verifier, HONEST, "assert f(2) == 4")
    assert verdict.outcome is Outcome.CONFIRMED
    assert verdict.evidence["mode"] == "apart"
    assert "forged" not in verdict.reason


def test_a_program_cannot_choose_the_mode(verifier: CodeVerifier) -> None:
    program = "class A:\n    def __sub__(self, other): return 0\n    def __abs__(self): return 0\ndef f(x): return A()"
    verdict = inner(verifier, program, "assert abs(f(1) - 2.5) < 1e-6")
    assert verdict.outcome is Outcome.ABSTAINED
    assert verdict.evidence["mode"] == "apart"


def test_a_proof_is_made_in_the_same_mode(verifier: CodeVerifier) -> None:
    tests = "import inspect\nassert f(2) == 4\nassert f(0) == 0\nassert f(-3) == 9\n"
    claim = ProgramClaim(program=HONEST, tests=tests, known_good=HONEST, inner="allowed")
    verdict = verifier.verify(claim, timeout_s=3)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason
    assert verdict.evidence["tests"].startswith("proved")


LIAR = """
class Liar(BASE):
    def __eq__(self, other): return True
    __hash__ = None
    def __ne__(self, other): return False
"""


@pytest.mark.parametrize(("program", "tests"), FORGED.values(), ids=FORGED.keys())
def test_a_cheap_forgery_is_not_confirmed(verifier: CodeVerifier, program: str, tests: str) -> None:
    verdict = inner(verifier, program, tests, timeout_s=1.0)
    skips = "SkipTest" in program
    assert verdict.outcome is (Outcome.ABSTAINED if skips else Outcome.REFUTED), verdict.reason
    assert verdict.evidence["mode"] == "inner"


@pytest.mark.parametrize("base", ["object", "int", "list"])
@pytest.mark.parametrize(
    "tests", [ASSERTS, CASE, "import inspect\nassert [f(2)] == [4]\n", "import inspect\nassert f(2) in [4]\n"]
)
def test_an_object_that_says_what_it_equals_is_not_believed(
    verifier: CodeVerifier, base: str, tests: str
) -> None:
    verdict = inner(verifier, LIAR.replace("BASE", base) + "def f(x): return Liar()", tests)
    assert verdict.outcome is not Outcome.CONFIRMED
    assert "only it could say" in verdict.reason or "failed" in verdict.reason


def test_a_determined_forgery_succeeds_and_the_verdict_has_warned_of_it(verifier: CodeVerifier) -> None:
    program = """
import gc
def right(recorder):
    return lambda index, value: setattr(recorder.assertions[index], "n_passed", 1) or True
for thing in gc.get_objects():
    if type(thing).__name__ == "InnerRecorder":
        thing.holds = right(thing)
def f(x): return 0
"""
    verdict = inner(verifier, program, ASSERTS)
    assert verdict.outcome is Outcome.CONFIRMED
    assert "could have forged" in verdict.reason
    assert verdict.evidence["mode"] == "inner"
