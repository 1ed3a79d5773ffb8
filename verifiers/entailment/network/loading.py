"""Loading a checkpoint from its folder: safetensors only, nothing of anybody's code run, nothing fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

MAX_TOKENS = (
    256  # of one window, hypothesis included: what NLI models are trained on; longer premises get windows
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model in memory with its tokenizer."""

    model: Any
    tokenizer: Any
    device: str
    max_tokens: int
    """Of one input, special tokens included."""


def load(folder: Path) -> Loaded:
    """Return the model in ``folder``, ready to infer, on a GPU where there is one.

    Raises:
        OSError: A file is missing.
        ValueError: It is no sequence classifier, a part of its weights is missing, or its tokenizer is a slow one.
    """
    model, told = AutoModelForSequenceClassification.from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
    )
    missing = sorted(told["missing_keys"])
    if missing:  # transformers would fill the gap with random numbers
        raise ValueError(
            f"the weights lack {', '.join(missing[:3])}: this is a model that was never trained for NLI"
        )
    tokenizer = load_tokenizer(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device).eval()
    return Loaded(model=model, tokenizer=tokenizer, device=device, max_tokens=_max_tokens(model, tokenizer))


def load_tokenizer(folder: Path) -> Any:  # noqa: ANN401 - transformers' class depends on the checkpoint
    """Return the tokenizer in ``folder``, which reads special tokens in a text as the characters they are.

    Raises:
        OSError: A file is missing.
        ValueError: It is a slow one, which can't tell special tokens from text.
    """
    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, split_special_tokens=True
    )
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} has no fast version; take a checkpoint with tokenizer.json"
        )
    return tokenizer


def _max_tokens(model: Any, tokenizer: Any) -> int:  # noqa: ANN401 - likewise
    positions = getattr(model.config, "max_position_embeddings", None) or MAX_TOKENS + 2
    # RoBERTa counts its positions from 2; two tokens less harm no other model.
    return int(min(MAX_TOKENS, positions - 2, tokenizer.model_max_length))
