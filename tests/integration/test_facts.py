"""Facts through the queue: submitted, judged by a collection or by the task's own documents, decided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.integration.bench import Outbox, query, send
from verifiers.errors import DocumentsUnavailableError
from verifiers.facts.overlap import OverlapNli
from verifiers.facts.verifier import FactsVerifier
from worker.documents.importing import import_documents
from worker.judging.facts import FactsJudge
from worker.judging.protocol import Surroundings
from worker.judging.table import JUDGES
from worker.messages import DECIDE, GENERATE_GIVEN, VERIFY
from worker.settings import Settings
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate_given
from worker.stages.verify import verify
from worker.store.batches import results
from worker.store.transactions import Store
from worker.submission.lines import ReferenceDocument, TaskLine

pytestmark = pytest.mark.services

FLU = "Influenza starts suddenly. Fever is common in influenza. A rash is not common in influenza."


def line(spec: dict[str, Any], *answers: str, custom_id: str = "t") -> dict[str, Any]:
    return {
        "custom_id": custom_id,
        "kind": "qa",
        "chains": [{"text": "", "answer": answer} for answer in answers],
        "verify": [{"verifier": "facts", "statement": "{answer} is common in influenza.", **spec}],
    }


OWN = {"documents": [{"id": "flu", "text": FLU}]}


def judge_of(store: Store | None) -> FactsJudge:
    nli = OverlapNli()
    return FactsJudge(FactsVerifier(nli), nli, store=store, embedder=None)


def put(store: Store, *, tenant: str, text: str = FLU, name: str = "handbook") -> None:
    document = ReferenceDocument(id="flu", text=text)
    import_documents(store, name, [document], tenant=tenant, embedder=None)


def run(desk: Desk, outbox: Outbox) -> None:
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    verify(desk, outbox.take(VERIFY["facts"]), verifier="facts", judge=judge_of(desk.store).judge)
    decide(desk, outbox.take(DECIDE))


def test_answers_are_judged_by_the_tasks_own_documents(desk: Desk, outbox: Outbox, store: Store) -> None:
    made = send(desk, line(OWN, "A rash", "A rash", "Fever", "Headache"))
    run(desk, outbox)
    (decided,) = results(store, made.batch_id)
    assert decided["answer"] == "Fever"  # the majority was refuted
    assert decided["verdicts"] == {"facts": {"confirmed": 1, "refuted": 1, "abstained": 1}}


def test_a_verdict_on_record_quotes_its_passage_and_names_the_collections_revision(
    desk: Desk, outbox: Outbox, store: Store
) -> None:
    put(store, tenant=desk.settings.tenant)
    send(desk, line({"collection": "handbook"}, "Fever"))
    run(desk, outbox)
    ((evidence, claim, reason),) = query(store, "SELECT evidence, claim, reason FROM verdicts")
    assert reason.startswith('supported by flu: "Influenza starts')
    assert (evidence["retrieval"]["collection"], evidence["retrieval"]["revision"]) == ("handbook", 1)
    (passage, *_) = evidence["sentences"][0]["passages"]
    assert (passage["document"], passage["revision"], passage["quote"]) == ("flu", 1, FLU)
    assert claim["collection"] == "handbook"


def test_an_unknown_collection_is_an_error_of_its_line_and_the_others_run(
    desk: Desk, outbox: Outbox, store: Store, tmp_path: Path
) -> None:
    put(store, tenant="somebody else")
    made = send(
        desk,
        line({"collection": "handbook"}, "Fever", custom_id="bad"),
        line(OWN, "Fever", custom_id="good"),
        tmp_path=tmp_path,
    )
    assert (made.n_tasks, made.n_rejected) == (1, 1)
    (problem,) = made.problems
    assert (problem.field, problem.code, problem.custom_id) == (
        "verify.0.collection",
        "unknown_collection",
        "bad",
    )
    run(desk, outbox)
    (decided,) = results(store, made.batch_id)
    assert decided["custom_id"] == "good"


def test_a_task_is_judged_by_its_own_tenants_collection(desk: Desk, outbox: Outbox, store: Store) -> None:
    put(store, tenant=desk.settings.tenant)
    put(store, tenant="other", text="Fever is not common in influenza.")
    judge = judge_of(store)
    task = TaskLine.model_validate(line({"collection": "handbook"}, "Fever"))
    said = task.chains or []
    outcomes = {
        tenant: judge.judge(task, said, tenant=tenant)[0].verdict
        for tenant in (desk.settings.tenant, "other", "third")
    }
    assert [one.outcome.value for one in outcomes.values()] == ["confirmed", "refuted", "abstained"]
    assert outcomes["third"].reason == 'there is no collection "handbook"'


def test_an_answer_is_put_into_the_statement_as_it_is(store: Store) -> None:
    task = TaskLine.model_validate(line(OWN, "{answer} {0} %s {custom_id}"))
    (judged,) = judge_of(None).judge(task, task.chains or [], tenant="t")
    text = judged.verdict.evidence["sentences"][0]["text"]
    assert text == "{answer} {0} %s {custom_id} is common in influenza."


def test_without_a_database_a_collection_is_an_error_that_says_why() -> None:
    task = TaskLine.model_validate(line({"collection": "handbook"}, "Fever"))
    with pytest.raises(DocumentsUnavailableError, match="in the database"):
        judge_of(None).judge(task, task.chains or [], tenant="t")


def test_without_the_nli_model_a_task_fails_and_says_how_to_get_it(
    desk: Desk, outbox: Outbox, store: Store
) -> None:
    made = send(desk, line(OWN, "Fever"))
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    ids = outbox.take(VERIFY["facts"])
    judge = JUDGES["facts"](Surroundings(settings=desk.settings, store=store))  # its state folder is empty
    for _ in range(desk.settings.max_deliveries):
        verify(desk, ids, verifier="facts", judge=judge.judge)
        query(store, "UPDATE verifications SET not_before = NULL RETURNING 1")
    (failed,) = results(store, made.batch_id)
    assert (failed["state"], failed["error"]["type"]) == ("failed", "ModelUnavailableError")
    assert "make entailment" in failed["error"]["message"]


def test_collections_are_kept_by_commands(settings: Settings, store: Store, tmp_path: Path) -> None:
    assert settings.database_url is not None
    environment = {
        "DATABASE_URL": settings.database_url,
        "MERGEREASONER_STATE_DIR": str(settings.state_dir),
        "MERGEREASONER_TENANT": "acme",
    }

    def run(*arguments: object, tenant: str = "acme") -> tuple[int, list[dict[str, Any]], str]:
        done = CliRunner().invoke(
            app, ["docs", *map(str, arguments), "--json"], env={**environment, "MERGEREASONER_TENANT": tenant}
        )
        return done.exit_code, [json.loads(text) for text in done.stdout.splitlines()], done.stderr

    file = tmp_path / "d.jsonl"
    file.write_text(json.dumps({"id": "flu", "text": FLU}) + '\n{"id": "bad"}\n', encoding="utf-8")
    code, (made,), told = run("add", "handbook", file)
    assert (code, made["n_added"], made["n_rejected_lines"]) == (1, 1, 1)
    assert "d.jsonl:2: text: is missing" in told
    assert (tmp_path / "d.jsonl.errors.jsonl").exists()
    note = tmp_path / "note.md"
    note.write_text("# Snow\n\nSnow is white.", encoding="utf-8")
    assert run("add", "handbook", note)[0] == 0
    assert [one["n_documents"] for one in run("list")[1]] == [2]
    assert {one["title"] for one in run("list", "handbook")[1]} == {"", "Snow"}
    _, found, _ = run("search", "handbook", "What colour is snow?")
    assert found[0]["text"].endswith("Snow is white.")
    code, _, told = run("search", "handbook", "snow", tenant="other")
    assert (code, "there is no collection" in told) == (2, True)
    assert run("remove", "handbook")[0] == 2
    assert run("remove", "handbook", "flu", "unknown")[0:2] == (
        1,
        [{"collection": "handbook", "removed": 1, "dropped": False}],
    )
    assert run("remove", "handbook", "--all")[0] == 0
    assert run("list")[1] == []
