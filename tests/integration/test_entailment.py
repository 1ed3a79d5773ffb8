"""The entailment verifier with a small trained model: right on text it never saw, in commands, tasks and the queue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from reasoner.outcomes import Outcome
from tests.integration.bench import Outbox, query, send
from tests.nli import ROWS, trained_model
from verifiers.claims import EntailmentClaim
from verifiers.entailment.rows import Row, read_rows
from verifiers.entailment.verifier import EntailmentVerifier
from verifiers.verdicts import Verdict
from worker.judging.entailment import EntailmentJudge
from worker.judging.protocol import Saying
from worker.messages import GENERATE_GIVEN, VERIFY
from worker.stages.desk import Desk
from worker.stages.generate import generate_given
from worker.stages.verify import verify
from worker.store.transactions import Store
from worker.submission.lines import TaskLine

pytestmark = pytest.mark.model

N_HELD_OUT = 300
FRANCE = ("Paris is the capital of France.", "The capital of France is Paris.")
MONEY = ("We have enough money to buy the house.", "We don't have any money.")


@pytest.fixture(scope="module")
def folder() -> Path:
    return trained_model()


@pytest.fixture(scope="module")
def verifier(folder: Path) -> Iterator[EntailmentVerifier]:
    made = EntailmentVerifier.of_folder(folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def held_out(verifier: EntailmentVerifier) -> list[tuple[Row, Verdict]]:
    rows = [row for row in read_rows(ROWS) if row.part == "test"][:N_HELD_OUT]
    claims = [EntailmentClaim(premise=row.premise, hypothesis=row.hypothesis) for row in rows]
    return list(zip(rows, verifier.verify_many(claims, timeout_s=60.0), strict=True))


def task(*answers: str, **fields: object) -> dict[str, Any]:
    return {
        "custom_id": "t",
        "kind": "qa",
        "chains": [{"text": "", "answer": answer} for answer in answers],
        **fields,
    }


def run(folder: Path, *arguments: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    text = "\n".join(json.dumps(line) for line in lines)
    done = CliRunner().invoke(
        app, [*arguments, "-"], input=text, env={"MERGEREASONER_NLI_MODEL": str(folder)}
    )
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_is_far_better_than_chance_on_text_it_never_saw(held_out: list[tuple[Row, Verdict]]) -> None:
    right = 0
    for row, verdict in held_out:
        scores = {k: v for k, v in verdict.evidence["scores"]["forward"].items() if k != "n_windows"}
        right += max(scores, key=lambda name: scores[name]) == row.label
    assert (
        right / len(held_out) > 0.45
    )  # a third of the rows has each label; a guess is that far off once in 10^5


def test_its_verdicts_are_right_more_often_than_its_favourites(held_out: list[tuple[Row, Verdict]]) -> None:
    meant = {Outcome.CONFIRMED: "entailment", Outcome.REFUTED: "contradiction"}
    given = [meant[v.outcome] == row.label for row, v in held_out if v.outcome is not Outcome.ABSTAINED]
    assert len(given) > 30
    assert sum(given) / len(given) > 0.55


def test_evidence_tells_scores_thresholds_and_weights(verifier: EntailmentVerifier, folder: Path) -> None:
    verdict = verifier.verify(EntailmentClaim(premise=MONEY[0], hypothesis=MONEY[1]), timeout_s=60.0)
    assert set(verdict.evidence["scores"]) == {"forward"}
    assert verdict.evidence["scores"]["forward"]["n_windows"] == 1
    assert verdict.evidence["calibrated"]
    assert set(verdict.evidence["thresholds"]) == {"confirm", "refute", "apart"}
    assert verdict.version.startswith(f"{folder.name}@{verdict.evidence['revision']}/")
    assert verifier.availability().ok


def test_the_command_judges_claims_in_order_and_abstains_on_what_it_cannot_read(folder: Path) -> None:
    lines = [
        {"id": 1, "premise": MONEY[0], "hypothesis": MONEY[1]},
        {"id": 2, "premise": "", "hypothesis": "x"},
        {"id": 3, "premise": FRANCE[0], "hypothesis": FRANCE[1], "both_directions": True},
    ]
    found = run(folder, "verify", "entailment", lines=lines)
    assert [line["id"] for line in found] == [1, 2, 3]
    assert [line["outcome"] for line in found] == ["refuted", "abstained", "confirmed"]
    assert set(found[2]["evidence"]["scores"]) == {"forward", "backward"}


def test_answers_are_judged_against_the_premise_of_the_task(folder: Path) -> None:
    spec = {
        "verifier": "entailment",
        "premise": FRANCE[0],
        "hypothesis": "The capital of France is {answer}.",
    }
    (found,) = run(folder, "merge", lines=[task("Paris", "Paris", "{answer}", verify=[spec])])
    assert found["verdicts"]["entailment"].pop("confirmed") >= 1
    assert found["answer"] == "Paris"


def test_answers_that_entail_each_other_are_one_and_other_numbers_never_are(
    verifier: EntailmentVerifier, folder: Path
) -> None:
    answers = [*FRANCE, "he gets 29 dollars", "he gets 35 dollars", "he gets 35.00 dollars"]
    line = task(*answers, options={"equivalence": "entailment"})
    (found,) = run(folder, "merge", lines=[line])
    sizes = [cluster["size"] for cluster in found["clusters"]]
    assert sizes[0] == 2
    (judged,) = EntailmentJudge(verifier).judge(
        TaskLine.model_validate(line), [Saying(answer=answer) for answer in answers], tenant="t"
    )
    pairs = judged.verdict.evidence["pairs"]
    assert len(pairs) == 10
    unasked = [outcome for _, _, outcome, forward, _ in pairs if forward is None]
    assert unasked == [Outcome.REFUTED.value] * len(unasked)
    assert (
        len(unasked) == 8
    )  # all that mention other numbers; 35 and 35.00, and the two on France, are asked about


@pytest.mark.services
def test_a_task_of_the_queue_gets_its_verdicts(
    desk: Desk, outbox: Outbox, store: Store, verifier: EntailmentVerifier
) -> None:
    spec = {"verifier": "entailment", "premise": MONEY[0]}
    send(desk, {"custom_id": "q", "kind": "text", "prompt": "?", "candidates": [MONEY[1]], "verify": [spec]})
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    verify(
        desk, outbox.take(VERIFY["entailment"]), verifier="entailment", judge=EntailmentJudge(verifier).judge
    )
    assert query(store, "SELECT verifier, outcome FROM verdicts") == [("entailment", "refuted")]
