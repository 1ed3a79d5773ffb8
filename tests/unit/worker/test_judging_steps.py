from __future__ import annotations

from collections.abc import Iterator

import pytest

from reasoner.outcomes import Outcome
from verifiers.math.verifier import MathVerifier
from worker.claims import candidate_key
from worker.judging.math import MathJudge
from worker.judging.protocol import Saying
from worker.judging.steps import groups_of
from worker.store.verdicts import Judged
from worker.submission.lines import TaskLine


@pytest.fixture(scope="module")
def judge() -> Iterator[MathJudge]:
    judge = MathJudge(MathVerifier())
    yield judge
    judge.close()


def _line(*specs: dict[str, object]) -> TaskLine:
    verify = [{"verifier": "math", **spec} for spec in specs]
    return TaskLine.model_validate({"custom_id": "a", "kind": "math", "prompt": "?", "verify": verify})


def _outcome(judged: list[Judged], form: str, spec: int = 0) -> Outcome:
    return next(one.verdict.outcome for one in judged if one.candidate == candidate_key(spec, form))


def test_one_sound_chain_keeps_its_answer_from_being_refuted(judge: MathJudge) -> None:
    said = [
        Saying(answer="7", text="3 + 4 = 8, no, the answer is 7"),
        Saying(answer="7", text="3 + 4 = 7"),
        Saying(answer="9", text="3 + 4 = 9"),
        Saying(answer="5", text="It is five."),
        Saying(answer=None, text="1 = 2 + 5"),
    ]
    judged = judge.judge(_line({"steps": True}), said, tenant="default")
    assert _outcome(judged, "7") == Outcome.CONFIRMED
    assert _outcome(judged, "9") == Outcome.REFUTED
    assert _outcome(judged, "5") == Outcome.ABSTAINED
    evidence = next(one for one in judged if one.candidate == candidate_key(0, "9")).verdict.evidence
    assert evidence["chains"][0]["chain"] == 2
    assert evidence["chains"][0]["false"][0]["right_value"] == "7"


def test_a_chain_that_says_nothing_keeps_its_answer_from_being_refuted(judge: MathJudge) -> None:
    said = [Saying(answer="9", text="3 + 4 = 9"), Saying(answer="9", text="Clearly nine.")]
    assert _outcome(judge.judge(_line({"steps": True}), said, tenant="default"), "9") == Outcome.ABSTAINED


def test_two_wordings_of_one_answer_share_the_verdict_on_their_chains(judge: MathJudge) -> None:
    said = [Saying(answer="0.5", text="1 / 4 = 0.5"), Saying(answer="1/2", text="1 - 1/2 = 1/2")]
    judged = judge.judge(_line({"steps": True}), said, tenant="default")
    assert {_outcome(judged, "0.5"), _outcome(judged, "1/2")} == {Outcome.CONFIRMED}


def test_each_verification_asks_its_own_question(judge: MathJudge) -> None:
    line = _line(
        {"reference": "6"}, {"conditions": ["n^2 = 36"], "unknowns": ["n"]}, {"steps": True},
        {"reference": "6, 6", "collection": "multiset"},
    )  # fmt: skip
    judged = judge.judge(line, [Saying(answer="-6", text="2 * 3 = 6")], tenant="default")
    outcomes = [_outcome(judged, "-6", spec) for spec in range(4)]
    assert outcomes == [Outcome.REFUTED, Outcome.CONFIRMED, Outcome.CONFIRMED, Outcome.REFUTED]
    assert [one.claim["kind"] for one in judged] == ["equality", "satisfies", "steps", "equality"]


def test_groups_join_what_is_equal_through_others() -> None:
    assert groups_of("abcde", [("a", "c"), ("d", "e"), ("c", "d")]) == [["a", "c", "d", "e"], ["b"]]
