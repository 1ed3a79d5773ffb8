"""The encoder that small NLI models are trained from, laid out as transformers wants it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.models.progress import Reporter
from worker.models.shelf import pull_model

ENCODER = "all-minilm-l6-v2-encoder"
TOKENIZER = "all-minilm-l6-v2-tokenizer"
CONFIG = {
    "architectures": ["BertModel"],
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 384,
    "initializer_range": 0.02,
    "intermediate_size": 1536,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 6,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}
"""As published with the weights."""


@contextmanager
def encoder_folder(models_dir: Path, *, progress: Reporter | None = None) -> Iterator[Path]:
    """Give a folder with the encoder, its files fetched if they aren't here; it is gone afterwards.

    Raises:
        ModelFetchError: They can't be fetched.
    """
    weights = pull_model(ENCODER, models_dir, progress=progress)
    vocabulary = pull_model(TOKENIZER, models_dir, progress=progress)
    with tempfile.TemporaryDirectory(prefix="merge-reasoner-encoder.") as folder:
        base = Path(folder)
        (base / "config.json").write_text(json.dumps(CONFIG), encoding="ascii")
        (base / "model.safetensors").symlink_to(weights.absolute())
        shutil.copyfile(vocabulary, base / "tokenizer.json")
        yield base
