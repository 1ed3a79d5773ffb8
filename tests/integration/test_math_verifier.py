"""The math verifier with its real child processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.waiting import until
from reasoner.outcomes import Outcome
from verifiers.claims import EqualityClaim
from verifiers.errors import VerifierError
from verifiers.math.verifier import MathVerifier
from verifiers.verdicts import Verdict

DATA = Path(__file__).parents[1] / "data" / "math"
ROOT = Path(__file__).parents[2]
OUTCOMES = {"same": Outcome.CONFIRMED, "different": Outcome.REFUTED, "unclear": Outcome.ABSTAINED}
WALL_S = 30.0  # generous: the machine may be busy
CPU_S = 20.0  # a slow machine needs more of it; only what is endless takes all


def _pairs() -> list[tuple[str, str, str, str]]:
    pairs, group = [], ""
    for line in (DATA / "pairs.txt").read_text().splitlines():
        if line.startswith("["):
            group = line.strip("[]")
        elif line and not line.startswith("#"):
            says, left, right = (part.strip() for part in line.split(" ‖ "))
            pairs.append((group, says, left, right))
    return pairs


PAIRS = _pairs()
ANSWERS = sorted({answer for _, _, left, right in PAIRS for answer in (left, right)})


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    verifier = MathVerifier(cpu_limit_s=CPU_S)
    yield verifier
    verifier.close()


@pytest.fixture(scope="module")
def usual() -> Iterator[MathVerifier]:
    """With the usual limit of CPU time, for what is endless."""
    usual = MathVerifier()
    yield usual
    usual.close()


def _verdict(verifier: MathVerifier, gold: str, answer: str) -> Verdict:
    return verifier.verify(EqualityClaim(gold=gold, answer=answer), timeout_s=WALL_S)


@pytest.mark.parametrize("group", sorted({group for group, *_ in PAIRS}))
def test_judged_pairs_of_every_class_are_judged_so_in_both_orders(verifier: MathVerifier, group: str) -> None:
    wrong = []
    for of, says, left, right in PAIRS:
        if of == group:
            outcomes = [_verdict(verifier, *pair).outcome for pair in ((left, right), (right, left))]
            if outcomes != [OUTCOMES[says]] * 2:
                wrong.append((says, left, right, outcomes))
    assert wrong == []


def test_the_cases_of_math_verify_are_judged_as_their_authors_say_but_for_one(verifier: MathVerifier) -> None:
    rows = [json.loads(line) for line in (DATA / "math_verify.jsonl").read_text().splitlines()]
    claims = [EqualityClaim(gold=row["gold"], answer=row["pred"]) for row in rows]
    turned = [EqualityClaim(gold=row["pred"], answer=row["gold"]) for row in rows]
    verdicts = verifier.verify_many(claims, timeout_s=WALL_S)
    assert [v.outcome for v in verdicts] == [
        v.outcome for v in verifier.verify_many(turned, timeout_s=WALL_S)
    ]
    differing = [
        r["id"]
        for r, v in zip(rows, verdicts, strict=True)
        if (v.outcome == Outcome.CONFIRMED) != r["expected"]
    ]
    assert differing == ["test_yujianll::test_string_extraction[9]"]  # they say that 1 - 1/e is 1 + 1/e


def test_every_answer_of_math_equals_itself_in_another_dress(verifier: MathVerifier) -> None:
    answers = (DATA / "math_answers.txt").read_text().splitlines()
    for dressed in ("${}$", r"Therefore \boxed{{{}}}.", "The answer is: ${}$. I hope it is correct."):
        claims = [EqualityClaim(gold=a, answer=dressed.format(a)) for a in answers]
        verdicts = verifier.verify_many(claims, timeout_s=WALL_S)
        assert [
            (v.reason, a) for v, a in zip(verdicts, answers, strict=True) if v.outcome != Outcome.CONFIRMED
        ] == []


@given(st.sampled_from(ANSWERS))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_reflexive(verifier: MathVerifier, answer: str) -> None:
    assert _verdict(verifier, answer, f" {answer} ").outcome == Outcome.CONFIRMED


@given(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS))
@settings(max_examples=300, deadline=None)
def test_it_is_symmetric(verifier: MathVerifier, left: str, right: str) -> None:
    assert _verdict(verifier, left, right).outcome == _verdict(verifier, right, left).outcome


@given(st.text(alphabet="0123456789xyi+-*/^().,=<>{}[]|!%$\\ ", max_size=25), st.sampled_from(ANSWERS))
@settings(max_examples=200, deadline=None)
def test_it_is_symmetric_on_noise(usual: MathVerifier, noise: str, answer: str) -> None:
    assert _verdict(usual, noise, answer).outcome == _verdict(usual, answer, noise).outcome


@given(st.fractions(-1000, 1000, max_denominator=1000), st.fractions(-1000, 1000, max_denominator=1000))
@settings(max_examples=100, deadline=None)
def test_fractions_are_the_same_exactly_when_they_are_equal(
    verifier: MathVerifier, a: object, b: object
) -> None:
    expected = Outcome.CONFIRMED if a == b else Outcome.REFUTED
    assert _verdict(verifier, str(a), str(b)).outcome == expected


HOSTILE = {
    "python": "__import__('os').system('touch hostile_was_here')",
    "tower": "9**9**9**9",
    "latex tower": "9^{9^{9^{9}}}",
    "million brackets": "(" * 10**6,
    "megabyte of digits": "1" * 10**6,
    "nested brackets": "(" * 5_000 + "1" + ")" * 5_000,
    "factorial": "99999999!",
    "factorial of factorials": "((9!)!)!",
    "many factorials": "3" + "!" * 500,
    "exponent": "1e999999999",
    "sum without end": r"\sum_{k=1}^{\infty} \frac{\sin k}{k^2}",
    "long sum": r"\sum_{k=1}^{10^{12}} \frac{1}{k}",
    "integral": r"\int_0^1 e^{x^2} \sin(x^3) dx",
    "nul": "1\0002",
    "unicode soup": "".join(map(chr, range(0x300, 0x2000))),
    "zalgo": "1" + "\u0301" * 10**5,
    "deep fractions": r"\frac{1}{" * 500 + "2" + "}" * 500,
    "unclosed": r"\frac{" * 10**5,
    "binomial": r"\binom{10^9}{5\cdot10^8}",
    "exponentials": "e^{e^{e^{e^{e^{e}}}}}",
    "power": "7^{123456789}",
    "lone surrogate": "1\ud800",
    "huge matrix": r"\begin{pmatrix}" + "1&" * 5_000 + r"1\end{pmatrix}",
    "format": "%s%n{0.__class__}",
    "functions": r"\sin" * 300 + "x",
    "zero": "1/0",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_never_judged_different(usual: MathVerifier, name: str, tmp_path: Path) -> None:
    used = os.times()
    for other in ("2", r"\sqrt{2}"):
        for pair in ((HOSTILE[name], other), (other, HOSTILE[name])):
            verdict = _verdict(usual, *pair)
            assert verdict.outcome == Outcome.ABSTAINED, verdict
            assert verdict.reason
    now = os.times()
    assert (
        now.user + now.system - used.user - used.system < 4.0
    )  # CPU seconds of this process, for four claims
    assert not Path("hostile_was_here").exists()


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - {"format"}))
def test_a_hostile_answer_equals_itself(verifier: MathVerifier, name: str) -> None:
    assert _verdict(verifier, HOSTILE[name], HOSTILE[name]).outcome == Outcome.CONFIRMED


def test_the_evidence_says_what_was_read_and_how_it_was_compared(verifier: MathVerifier) -> None:
    verdict = _verdict(verifier, r"so $x=\boxed{\frac{1}{\sqrt2}}$", "sqrt(2)/2")
    assert verdict.verifier == "math"
    assert verdict.evidence["gold"] == r"\frac{1}{\sqrt2}"
    assert verdict.evidence["gold_read_as"] == "(1)/(sqrt(2))"
    assert verdict.evidence["method"] in ("symbolic", "numeric")
    assert len(json.dumps(_verdict(verifier, "1" * 900, "2" * 900).evidence)) < 2_000


def test_it_works_from_many_threads_at_once(verifier: MathVerifier) -> None:
    outcomes: list[Outcome] = []

    def judge(n: int) -> None:
        outcomes.append(_verdict(verifier, rf"\sqrt{{{n * n * 2}}}", rf"{n}\sqrt2").outcome)

    threads = [threading.Thread(target=judge, args=(n,)) for n in range(1, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [Outcome.CONFIRMED] * 19


def test_verify_many_keeps_the_order(verifier: MathVerifier) -> None:
    claims = [EqualityClaim(gold="3", answer=rf"\sqrt{{{n}}}") for n in range(20)]
    verdicts = verifier.verify_many(claims, timeout_s=WALL_S)
    assert [n for n, v in enumerate(verdicts) if v.outcome == Outcome.CONFIRMED] == [9]


def test_a_child_killed_between_claims_is_replaced() -> None:
    verifier = MathVerifier(n_children=1, cpu_limit_s=20)
    try:
        assert _verdict(verifier, r"\sqrt8", r"2\sqrt2").outcome == Outcome.CONFIRMED
        child = verifier._pool._idle[0]
        child.end()
        child._process.wait()
        assert _verdict(verifier, r"\sqrt8", r"2\sqrt2").outcome == Outcome.CONFIRMED
    finally:
        verifier.close()


def test_a_child_killed_in_the_middle_abstains() -> None:
    verifier = MathVerifier(n_children=1, cpu_limit_s=20)
    verdicts: list[Verdict] = []
    try:
        _verdict(verifier, r"\sqrt8", r"2\sqrt2")
        child = verifier._pool._idle[0]
        n_served = child.served
        slow = threading.Thread(
            target=lambda: verdicts.append(_verdict(verifier, HOSTILE["exponentials"], "2"))
        )
        slow.start()
        until(lambda: child.served > n_served, "the child has the claim")
        child.end()
        slow.join()
        assert _verdict(verifier, r"\sqrt8", r"2\sqrt2").outcome == Outcome.CONFIRMED
    finally:
        verifier.close()
    assert verdicts[0].outcome == Outcome.ABSTAINED
    assert "died" in verdicts[0].reason


def test_a_claim_that_outlives_the_wall_limit_abstains() -> None:
    verifier = MathVerifier(n_children=1, cpu_limit_s=100)
    try:
        verdict = verifier.verify(EqualityClaim(gold=HOSTILE["exponentials"], answer="2"), timeout_s=0.5)
    finally:
        verifier.close()
    assert verdict.outcome == Outcome.ABSTAINED


def test_a_closed_verifier_says_so() -> None:
    verifier = MathVerifier()
    verifier.close()
    with pytest.raises(VerifierError):
        _verdict(verifier, r"\sqrt8", r"2\sqrt2")


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see which processes run")
def test_children_die_with_a_parent_that_was_killed() -> None:
    program = textwrap.dedent(
        r"""
        import subprocess, os
        from verifiers.claims import EqualityClaim
        from verifiers.math.verifier import MathVerifier
        verifier = MathVerifier(n_children=1, cpu_limit_s=60)
        verifier.verify(EqualityClaim(gold="\\sqrt8", answer="2\\sqrt2"), timeout_s=60)
        print(verifier._pool._idle[0]._process.pid, flush=True)
        verifier.verify(EqualityClaim(gold="e^{e^{e^{e^{e^{e}}}}}", answer="2"), timeout_s=60)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _is_running(child)
        parent.kill()
    until(lambda: not _is_running(child), "the child has ended")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_starts_children_of_its_own() -> None:
    program = textwrap.dedent(
        r"""
        import os, sys
        from verifiers.claims import EqualityClaim
        from verifiers.math.verifier import MathVerifier
        claim = EqualityClaim(gold="\\sqrt8", answer="2\\sqrt2")
        verifier = MathVerifier(n_children=1, cpu_limit_s=20)
        first = verifier.verify(claim, timeout_s=60).outcome
        pid = os.fork()
        if pid == 0:
            forked = verifier.verify(claim, timeout_s=60).outcome
            verifier.close()
            os._exit(0 if forked == "confirmed" else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        again = verifier.verify(claim, timeout_s=60).outcome
        print(first, status, again)
        """
    )
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT, timeout=600
    )
    assert run.stdout.split() == ["confirmed", "0", "confirmed"]
