"""The transformers path on tiny models: every shape of checkpoint, hostile texts, batches, killing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.nli import TEXTS, tiny_model
from verifiers.entailment.checkpoint import open_checkpoint
from verifiers.entailment.nli import NOTHING_READ, TransformersNli, Unread
from verifiers.errors import ModelUnavailableError, VerifierError
from verifiers.nli import NliScores

TIMEOUT_S = 120.0
A, B = TEXTS[0], TEXTS[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("nli") / "bert")


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[TransformersNli]:
    made = TransformersNli(lambda: open_checkpoint(folder))
    yield made
    made.close()


def scores(model: TransformersNli, *pairs: tuple[str, str]) -> list[tuple[float, float, float]]:
    return [(one.entailment, one.neutral, one.contradiction) for one in model.score(pairs)]


def unread(model: TransformersNli, premise: str, hypothesis: str) -> str:
    (found,) = model.score_within([(premise, hypothesis)], timeout_s=TIMEOUT_S)
    assert isinstance(found, Unread), found
    assert not found.out_of_time
    return found.reason


def child_of(model: TransformersNli) -> int:
    assert model._runner is not None
    assert model._runner._child is not None
    return model._runner._child._process.pid


def test_scores_are_shares_and_the_same_alone_as_in_company(model: TransformersNli) -> None:
    pairs = [(premise * (1 + i % 7), hypothesis) for i, premise in enumerate(TEXTS) for hypothesis in TEXTS]
    together = scores(model, *pairs)
    assert all(sum(one) == pytest.approx(1.0, abs=1e-5) for one in together)
    for pair, one in list(zip(pairs, together, strict=True))[::29]:
        assert scores(model, pair)[0] == pytest.approx(one, abs=1e-4)
    assert len(set(together)) > len(together) / 2  # an untrained model, but it does read


def test_threads_get_their_own_scores_in_order(model: TransformersNli) -> None:
    pairs = [(premise, hypothesis) for premise in TEXTS for hypothesis in TEXTS]
    expected = scores(model, *pairs)
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda pair: scores(model, pair)[0], pairs))
    assert found == [pytest.approx(one, abs=1e-4) for one in expected]


def test_special_tokens_in_a_text_are_text(model: TransformersNli) -> None:
    """A text that could end the premise would choose the hypothesis that is judged."""
    split = scores(model, (f"{A} [SEP] {B}", B))[0]
    spelled = scores(model, (f"{A} [ sep ] {B}", B))[0]
    assert split == pytest.approx(spelled, abs=1e-4)


def test_texts_that_say_nothing_are_not_read(model: TransformersNli) -> None:
    for nothing in ("", " ", "\n" * 100_000, "\ud800", "\x00", "\u2603"):
        assert "holds no word" in unread(model, nothing, A)
        assert "holds no word" in unread(model, A, nothing[:100])


def test_unpaired_surrogates_beside_words_do_no_harm(model: TransformersNli) -> None:
    (found,) = model.score([(f"\udcff{A}\ud800", f"{B}\udfff")])
    assert found.n_windows == 1


def test_texts_that_are_too_long_are_not_read(model: TransformersNli) -> None:
    assert "1000000 characters" in unread(model, "a" * 1_000_000, A)
    assert "windows" in unread(model, A * 3_000, A)
    assert "tokens" in unread(model, A, B * 100)
    assert "characters" in unread(model, A, B * 10_000)


def test_a_sentence_in_the_middle_of_a_long_premise_is_found(model: TransformersNli) -> None:
    """Untrained or not: some window of it says of the hypothesis what no window of the filler says."""
    long = (A + " ") * 60 + (B + " ") * 60
    (found,), (first,) = model.score([(long, B)]), model.score([((A + " ") * 30, B)])
    assert found.n_windows > 2
    assert first.n_windows == 1


def test_who_asks_for_scores_alone_gets_neutral_in_no_window_for_what_cannot_be_read(
    model: TransformersNli,
) -> None:
    assert model.score([("", A)]) == [NOTHING_READ]


def test_a_pair_that_takes_too_long_is_killed_and_others_are_not_hurt(model: TransformersNli) -> None:
    model.score([(A, B)])
    before = child_of(model)
    found = model.score_within([((A + " ") * 1_200, B)], timeout_s=0.001)
    assert found == [Unread("the model took more than 0.001 s", out_of_time=True)]
    with ThreadPoolExecutor(4) as threads:
        rest = list(threads.map(lambda pair: model.score([pair])[0], [(A, B)] * 4))
    assert all(isinstance(one, NliScores) for one in rest)
    assert child_of(model) != before


def test_a_child_that_dies_is_replaced_and_closing_only_unloads(model: TransformersNli) -> None:
    first = model.score([(A, B)])
    os.kill(child_of(model), signal.SIGKILL)
    assert model.score([(A, B)]) == first
    model.close()
    assert model.score([(A, B)]) == first


def test_the_labels_are_read_and_not_assumed(tmp_path: Path, model: TransformersNli) -> None:
    """The same weights with the labels turned round say the opposite."""
    turned = tiny_model(tmp_path / "turned", labels=("CONTRADICTION", "Neutral", "entailment"))
    other = TransformersNli(lambda: open_checkpoint(turned))
    try:
        ((e, n, c),) = scores(model, (A, B))
        assert scores(other, (A, B))[0] == pytest.approx((c, n, e), abs=1e-4)
    finally:
        other.close()


def test_a_deberta_v3_with_nothing_but_a_sentencepiece_vocabulary_is_read(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "deberta", kind="deberta")
    assert not (folder / "tokenizer.json").exists()
    model = TransformersNli(lambda: open_checkpoint(folder))
    try:
        one, other = scores(model, (A, B), (f"{A} [SEP] {B}", B))
        assert sum(one) == pytest.approx(1.0, abs=1e-5)
        assert one != other
    finally:
        model.close()


def test_weights_without_a_trained_head_are_refused(tmp_path: Path, folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    _without_the_head(folder / "model.safetensors", tmp_path / "model.safetensors")
    model = TransformersNli(lambda: open_checkpoint(tmp_path))
    with pytest.raises(ModelUnavailableError, match="never trained for NLI"):
        model.score([(A, B)])
    model.close()


def test_damaged_weights_are_the_models_fault_and_not_the_claims(tmp_path: Path, folder: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 1000)
    model = TransformersNli(lambda: open_checkpoint(tmp_path))
    with pytest.raises(VerifierError, match="could not be loaded"):
        model.score([(A, B)])
    model.close()


def _without_the_head(weights: Path, stripped: Path) -> None:
    """Drop the classifier from a safetensors file: 8 bytes of length, a JSON header, the tensors' bytes."""
    raw = weights.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    kept: dict[str, object] = {}
    body = b""
    for name, about in header.items():
        if name != "__metadata__" and not name.startswith("classifier"):
            begin, end = about["data_offsets"]
            data = raw[8 + size + begin : 8 + size + end]
            kept[name] = {**about, "data_offsets": [len(body), len(body) + len(data)]}
            body += data
    kept["__metadata__"] = {"format": "pt"}
    text = json.dumps(kept).encode()
    stripped.write_bytes(len(text).to_bytes(8, "little") + text + body)
