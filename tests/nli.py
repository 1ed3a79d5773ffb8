"""NLI models for tests: tiny untrained ones of every shape, and one small trained one, made once a machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import verifiers.entailment
from verifiers.entailment.checkpoint import missing_libraries
from verifiers.entailment.making import make_model
from verifiers.entailment.rows import Row, read_rows
from worker.errors import ModelFetchError
from worker.models.encoder import encoder_folder
from worker.models.nli import nli_folder
from worker.settings import Settings

ROWS = Path(__file__).parent / "data/mnli/rows.jsonl.gz"
N_EPOCHS = 2
N_ROWS = 3_000  # to train on, and a quarter of that to calibrate on: about two minutes on two cores
PRECISION = 0.6  # so small a model keeps it on half of its rows

TINY = """
import json, sys, torch
from transformers import (BertConfig, BertForSequenceClassification, BertTokenizer, DebertaV2Config,
                          DebertaV2ForSequenceClassification)
kind, folder, texts, labels = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
torch.manual_seed(0)
size = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=3,
            id2label=dict(enumerate(labels)), initializer_range=1.0)
if kind == "bert":
    words = sorted({word for text in texts for word in text.lower().replace(".", " . ").split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "]", "sep", "cls", *words]
    BertTokenizer(vocab={word: i for i, word in enumerate(vocabulary)}).save_pretrained(folder)
    model = BertForSequenceClassification(BertConfig(vocab_size=len(vocabulary), **size))
else:
    import sentencepiece
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=folder + "/spm", vocab_size=60, hard_vocab_limit=False,
        pad_id=0, unk_id=3, bos_id=1, eos_id=2, pad_piece="[PAD]", unk_piece="[UNK]", bos_piece="[CLS]",
        eos_piece="[SEP]", user_defined_symbols="[MASK]", minloglevel=2)
    open(folder + "/tokenizer_config.json", "w").write(json.dumps({"tokenizer_class": "DebertaV2Tokenizer"}))
    model = DebertaV2ForSequenceClassification(DebertaV2Config(
        vocab_size=128, relative_attention=True, max_relative_positions=-1, position_biased_input=False,
        pos_att_type=["p2c", "c2p"], position_buckets=32, norm_rel_ebd="layer_norm", share_att_key=True,
        type_vocab_size=0, **size))
model.save_pretrained(folder)
"""
TEXTS = [f"A {animal} {does} in the {place}." for animal in ("dog", "cat") for does in ("runs", "sleeps")
         for place in ("park", "house", "garden")]  # fmt: skip


def needs_libraries() -> None:
    """Skip where torch and transformers are missing, but fail in CI."""
    why = missing_libraries()
    if why is None:
        return
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(why)
    pytest.skip(why)


def tiny_model(folder: Path, kind: str = "bert", labels: tuple[str, ...] = ()) -> Path:
    """Leave an untrained model of a few thousand weights in ``folder``; torch stays in a child."""
    needs_libraries()
    folder.mkdir()
    names = labels or ("entailment", "neutral", "contradiction")
    made = subprocess.run(
        [sys.executable, "-c", TINY, kind, str(folder), json.dumps(TEXTS), json.dumps(names)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return folder


def trained_model() -> Path:
    """Return the small trained model of this machine, made by the code under test from ``ROWS`` if it isn't here."""
    needs_libraries()
    models_dir = Settings.from_env(os.environ).models_dir
    rows = read_rows(ROWS)
    some = [row for part, n in (("train", N_ROWS), ("calibration", N_ROWS // 4))
            for row in [row for row in rows if row.part == part][:n]]  # fmt: skip
    folder = nli_folder(f"test-{_fingerprint(some)}", models_dir)
    if folder.is_dir():
        return folder
    try:
        with encoder_folder(models_dir) as base:
            make_model(
                base,
                some,
                folder,
                source="a part of tests/data/mnli",
                report=_silent,
                n_epochs=N_EPOCHS,
                target=PRECISION,
            )
    except ModelFetchError as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(str(error))
    return folder


def _fingerprint(rows: list[Row]) -> str:
    """Return what changes when the rows or the code that trains and calibrates do."""
    room = Path(verifiers.entailment.__file__).parent
    digest = hashlib.sha256(repr((rows, N_EPOCHS, PRECISION)).encode("utf-8", "replace"))
    for name in ("fitting.py", "making.py", "network/training.py"):
        digest.update((room / name).read_bytes())
    return digest.hexdigest()[:12]


def _silent(step: str, done: int, of: int) -> None:
    del step, done, of
