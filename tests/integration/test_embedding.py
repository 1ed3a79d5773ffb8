"""The sentence model, real: paraphrases are one answer, other numbers and bridges are not."""

from __future__ import annotations

import importlib.util
import json
import os
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from reasoner.outcomes import Outcome
from worker.embedders.minilm import DIMENSIONS, MODEL, MiniLM
from worker.embedders.protocol import Embedder
from worker.errors import ModelFetchError
from worker.judging.embedding import EmbeddingJudge
from worker.judging.protocol import Saying
from worker.models.shelf import locate, pull_model
from worker.settings import Settings
from worker.submission.lines import TaskLine

pytestmark = pytest.mark.model

MONDAY, TUESDAY = "The meeting is on Monday", "The meeting is on Tuesday"
BRIDGE = "The meeting is on Monday Tuesday"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    required = os.environ.get("REQUIRE_SERVICES") == "1"
    if not required and not all(importlib.util.find_spec(name) for name in ("onnxruntime", "tokenizers")):
        pytest.skip("the extra `embedding` is not installed; `make embedding` installs it")
    models_dir = Settings.from_env(os.environ).models_dir
    try:
        locate(MODEL, models_dir)
    except ModelFetchError as error:
        if not required:
            pytest.skip(str(error))
        pull_model(MODEL, models_dir)
    return MiniLM.load(models_dir)


def cosine(embedder: Embedder, left: str, right: str) -> float:
    one, other = embedder.embed([left, right])
    return float(one @ other)


def task(*answers: str, **options: object) -> dict[str, Any]:
    return {
        "custom_id": "t",
        "kind": "qa",
        "options": {"equivalence": "embedding", **options},
        "chains": [{"text": "", "answer": answer} for answer in answers],
    }


def sizes(embedder: Embedder, line: dict[str, Any]) -> list[int]:
    """Decide through the command line; the embedder is asked for so that the model is there."""
    done = CliRunner().invoke(app, ["merge", "-"], input=json.dumps(line))
    assert done.exit_code == 0, done.stderr
    return [cluster["size"] for cluster in json.loads(done.stdout)["clusters"]]


def test_a_row_has_length_one_and_depends_on_its_text_alone(embedder: Embedder) -> None:
    alone = embedder.embed(["A short text."])
    in_company = embedder.embed(["A much longer text that would need padding beside it.", "A short text."])
    assert alone.shape == (1, DIMENSIONS)
    assert np.linalg.norm(alone[0]) == pytest.approx(1.0)
    assert (alone[0] == in_company[1]).all()


def test_nothing_is_told_of_a_text_that_cannot_be_read_whole_or_says_nothing(embedder: Embedder) -> None:
    rows = embedder.embed(["word " * 300, "x" * 1_000_000, "", "a word"])
    assert np.isnan(rows[:3]).all()
    assert not np.isnan(rows[3]).any()
    assert embedder.embed([]).shape == (0, DIMENSIONS)


def test_the_vectors_are_those_of_the_published_model(embedder: Embedder) -> None:
    """The float32 model's cosines for the examples on its page of the model hub, which int8 may miss by a little."""
    assert cosine(embedder, "That is a happy person", "That is a happy dog") == pytest.approx(0.695, abs=0.02)
    assert cosine(embedder, "That is a happy person", "That is a very happy person") == pytest.approx(
        0.943, abs=0.02
    )
    assert cosine(embedder, "That is a happy person", "Today is a sunny day") == pytest.approx(
        0.257, abs=0.02
    )


def test_paraphrases_are_one_answer(embedder: Embedder) -> None:
    line = task("Paris is the capital of France", "The capital of France is Paris", "It rains in Rome")
    assert sizes(embedder, line) == [2, 1]


def test_close_texts_with_other_numbers_are_never_one_answer(embedder: Embedder) -> None:
    line = task("gets 29 dollars", "gets 35 dollars", "gets 35.00 dollars", cosine=0.5)
    assert cosine(embedder, "gets 29 dollars", "gets 35 dollars") > 0.5
    assert sizes(embedder, line) == [2, 1]


def test_numbers_are_compared_by_value_and_nobody_embeds_them(embedder: Embedder) -> None:
    assert sizes(embedder, task("29", "29.0", "$29", "35")) == [3, 1]


def test_one_bridging_chain_joins_two_answers_under_single_linkage_only(embedder: Embedder) -> None:
    assert cosine(embedder, MONDAY, TUESDAY) < 0.95
    assert min(cosine(embedder, MONDAY, BRIDGE), cosine(embedder, BRIDGE, TUESDAY)) >= 0.95
    attack = [MONDAY] * 4 + [TUESDAY] * 3 + [BRIDGE]
    assert sizes(embedder, task(*attack)) == [8]
    assert sizes(embedder, task(*attack, linkage="guarded")) == [5, 3]
    assert sizes(embedder, task(*attack, linkage="complete")) == [5, 3]


def sayings(*answers: str) -> list[Saying]:
    return [Saying(answer=answer) for answer in answers]


def test_the_verdict_keeps_every_pair_with_its_cosine(embedder: Embedder) -> None:
    line = TaskLine.model_validate(task(MONDAY, TUESDAY, "at 9"))
    (judged,) = EmbeddingJudge(embedder).judge(line, sayings(MONDAY, TUESDAY, "at 9"), tenant="t")
    assert judged.verdict.version == f"{MODEL}@8199be6f699a395f"
    assert judged.limits == {"cosine": 0.95}
    pairs = judged.verdict.evidence["pairs"]
    assert [outcome for _, _, outcome, _ in pairs] == [Outcome.REFUTED.value] * 3
    assert sorted(cosine is None for *_, cosine in pairs) == [False, True, True]


def test_a_text_too_long_for_the_model_stays_alone_and_the_verdict_says_so(embedder: Embedder) -> None:
    long = "the same long beginning " * 80
    line = TaskLine.model_validate(task(long + "yes", long + "no"))
    (judged,) = EmbeddingJudge(embedder).judge(line, sayings(long + "yes", long + "no"), tenant="t")
    assert judged.verdict.outcome is Outcome.ABSTAINED
    assert "too long" in judged.verdict.reason
    assert sizes(embedder, task(long + "yes", long + "no")) == [1, 1]
