"""Stages with pools of models, sentence models and chains that list explanations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.integration.bench import Outbox, query, send
from tests.integration.stages import CHAINS, MATH_LINE, PROMPT
from verifiers.math.verifier import MathVerifier
from worker.embedders.shelf import LazyEmbedder
from worker.engines.pool import PoolEngine
from worker.engines.protocol import Capabilities, ChainRequest, Score, ScoreRequest
from worker.engines.replay import RecordedChain, ReplayEngine
from worker.errors import EngineUnavailableError
from worker.judging.embedding import EmbeddingJudge
from worker.judging.math import MathJudge
from worker.messages import DECIDE, GENERATE, GENERATE_GIVEN, VERIFY
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate, generate_given
from worker.stages.verify import verify
from worker.store.batches import results
from worker.store.transactions import Store

pytestmark = pytest.mark.services


def test_what_no_engine_can_honour_is_refused_at_submission_line_by_line(
    desk: Desk, outbox: Outbox, store: Store, tmp_path: Path
) -> None:
    endpoint = replace(desk, settings=replace(desk.settings, engine="openai", logprobs="never"))
    made = send(
        endpoint,
        MATH_LINE,
        {**MATH_LINE, "custom_id": "dear", "options": {"k": 40, "max_tokens": 300}},
        {**MATH_LINE, "custom_id": "long", "options": {"k": 1, "max_tokens": 4096}},
        {**MATH_LINE, "custom_id": "many", "mode": "spread"},
        tmp_path=tmp_path,
    )
    assert (made.n_tasks, made.n_rejected) == (1, 3)
    assert [(p.line, p.field, p.code, p.custom_id) for p in made.problems] == [
        (2, "options.token_budget", "over_budget", "dear"),
        (3, "options.max_tokens", "over_context", "long"),
        (4, "mode", "no_logprobs", "many"),
    ]
    assert len((tmp_path / "errors.jsonl").read_text().splitlines()) == 3


def test_a_pool_that_lost_a_model_says_so_in_the_decision(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, store: Store
) -> None:
    class Away(ReplayEngine):
        def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
            raise EngineUnavailableError("no GPU today")

    roster = {"models": {"big": {"engine": "openai", "model": "m", "base_url": "http://127.0.0.1:9"}}}
    file = desk.settings.state_dir.parent / "pool.json"
    file.write_text(json.dumps(roster))
    pooled = replace(desk, settings=replace(desk.settings, pool_file=file))
    options = {"models": ["default", "big"], "early_exit": "none", "equivalence": "exact"}
    made = send(pooled, {**MATH_LINE, "options": options})
    engine = PoolEngine({"default": lambda: ReplayEngine({PROMPT: CHAINS}), "big": lambda: Away({})})
    generate(pooled, outbox.take(GENERATE), engine=engine, pool=pool)
    decide(pooled, outbox.take(DECIDE))
    (line,) = results(store, made.batch_id)
    assert line["models"] == {"asked": ["default", "big"], "chains": {"recorded": 8}, "missing": ["big"]}
    engine.close()


def test_a_model_that_is_not_in_the_pool_is_refused_at_submission(desk: Desk, tmp_path: Path) -> None:
    lines = [MATH_LINE, {**MATH_LINE, "custom_id": "n", "options": {"models": ["gpt"]}}]
    made = send(desk, *lines, tmp_path=tmp_path)
    assert [(p.field, p.code) for p in made.problems] == [("options.models", "unknown_model")]


def given_line(*answers: str) -> dict[str, Any]:
    return {
        "custom_id": "e",
        "kind": "qa",
        "options": {"equivalence": "embedding", "cosine": 0.9},
        "chains": [{"text": "", "answer": answer} for answer in answers],
    }


class Compass:
    """An embedder of two dimensions; the real one has tests of its own."""

    name = "compass"
    revision = "1"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        points = {"north": (0.0, 1.0), "north by east": (0.2, 0.98), "east": (1.0, 0.0)}
        return np.array([points[text] for text in texts])


def test_cosines_are_asked_for_once_and_the_decision_reads_them_from_the_record(
    desk: Desk, outbox: Outbox, store: Store
) -> None:
    made = send(desk, given_line("North", "north by east", "east", "north"))
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    verify(
        desk,
        outbox.take(VERIFY["embedding"]),
        verifier="embedding",
        judge=EmbeddingJudge(Compass()).judge,
    )
    decide(desk, outbox.take(DECIDE))
    (line,) = results(store, made.batch_id)
    assert (line["state"], line["answer"], line["vote_margin"]) == ("answered", "North", 3 / 4)
    ((evidence, limits),) = query(store, "SELECT evidence, limits FROM verdicts")
    assert limits == {"cosine": 0.9}
    assert sorted(outcome for _, _, outcome, _ in evidence["pairs"]) == ["confirmed", "refuted", "refuted"]


def test_without_the_sentence_model_a_task_fails_and_says_how_to_get_it(
    desk: Desk, outbox: Outbox, store: Store, tmp_path: Path
) -> None:
    made = send(desk, given_line("north", "east"))
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    ids = outbox.take(VERIFY["embedding"])
    for _ in range(desk.settings.max_deliveries):
        judge = EmbeddingJudge(LazyEmbedder(tmp_path / "no models")).judge
        verify(desk, ids, verifier="embedding", judge=judge)
        query(store, "UPDATE verifications SET not_before = NULL RETURNING 1")
    (line,) = results(store, made.batch_id)
    assert (line["state"], line["error"]["type"]) == ("failed", "ModelUnavailableError")
    message = line["error"]["message"]
    assert "make embedding" in message or "models pull all-minilm-l6-v2" in message


def test_explanations_that_a_chain_lists_are_kept_with_their_scores_judged_and_decided(
    desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, math: MathVerifier, store: Store
) -> None:
    class Listing(ReplayEngine):
        """Lists roots, and scores a longer text lower."""

        @property
        def capabilities(self) -> Capabilities:
            return replace(super().capabilities, structured=True, scores=True)

        def sample(self, task_id: str, requests: list[ChainRequest]) -> Any:
            return super().sample(task_id, [replace(request, json_schema=None) for request in requests])

        def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
            return [Score(logprob=-0.1 * len(request.text), n_tokens=1) for request in requests]

    texts = ('{"explanations": ["-3", "3", "9"]}', '{"explanations": ["3"]}', "It is 3.")
    chains = [RecordedChain(text=text, logprob=-9.0, n_tokens=3) for text in texts]
    spec = {"verifier": "math", "conditions": ["x^2 = 9"], "unknowns": ["x"]}
    made = send(
        desk,
        {**MATH_LINE, "mode": "spread", "options": {"k": 3, "early_exit": "none"}, "verify": [spec]},
    )
    generate(desk, outbox.take(GENERATE), engine=Listing({PROMPT: chains}), pool=pool)
    verify(desk, outbox.take(VERIFY["math"]), verifier="math", judge=MathJudge(math).judge)
    decide(desk, outbox.take(DECIDE))
    (line,) = results(store, made.batch_id)
    assert (line["answer"], [one["answer"] for one in line["alt_explanations"]]) == ("3", ["-3"])
    clusters = query(store, "SELECT document FROM decisions")[0].document["clusters"]
    found = {c["answer"]: (c["members"], c["outcome"]) for c in clusters}
    assert found == {"3": ([0, 1], "confirmed"), "-3": ([0], "confirmed"), "9": ([0], "refuted")}
    assert (line["n_chains"], line["n_answered"], line["tokens"]["spent"]) == (3, 2, 9)
    kept = query(store, "SELECT explanations FROM chains ORDER BY index")
    assert [[(e["answer"], e["by"]) for e in row.explanations] for row in kept] == [
        [("-3", "score"), ("3", "score"), ("9", "score")],
        [("3", "score")],
        [],
    ]
    assert kept[1].explanations[0]["logprob"] == pytest.approx(-0.1)
