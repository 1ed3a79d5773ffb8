"""Fine-tuning an encoder on labelled pairs; a step at a time, so that whoever waits can be told how far it is."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from verifiers.entailment.checkpoint import RELATIONS
from verifiers.entailment.network.loading import load_tokenizer
from verifiers.entailment.rows import Row

MAX_TOKENS = 128  # of a pair while learning; a longer premise is cut
BATCH = 16
LEARNING_RATE = 1e-4  # for encoders of some 20 million parameters; larger ones want less
LARGEST_NORM = 1.0
WARM_UP = 0.06
POOL = 20  # batches drawn together and sorted by length, so that little is padding


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where the training is."""

    done: int
    of: int
    loss: float


def train(base: Path, rows: Sequence[Row], out: Path, *, n_epochs: int, seed: int = 0) -> Iterator[Step]:
    """Fine-tune the encoder in ``base`` and leave the classifier in ``out``; yields after every step.

    The embeddings stay as they are: they are half the weights, and words that are not among so few rows would drift
    apart from those that are.

    Args:
        base: Any encoder's folder.
        rows: To learn from.
        out: Is made at the end, by ``save_pretrained``.
        n_epochs: Passes over the rows.
        seed: Of the order of the rows and the new layer's weights.
    """
    torch.manual_seed(seed)
    order = random.Random(seed)  # noqa: S311 - an order, no secret
    tokenizer = load_tokenizer(base)
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        base,
        num_labels=len(RELATIONS),
        id2label=dict(enumerate(RELATIONS)),
        label2id={name: i for i, name in enumerate(RELATIONS)},
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        dtype=torch.float32,
    )
    for parameter in model.get_input_embeddings().parameters():
        parameter.requires_grad = False
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learnt, lr=LEARNING_RATE, weight_decay=0.01)
    n_steps = n_epochs * math.ceil(len(rows) / BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share_of_rate(step, n_steps))
    examples = [_encoded(tokenizer, row) for row in rows]
    halved = _prefers_bfloat16(model, tokenizer, examples[:BATCH])
    model.train()
    for done, batch in enumerate(_batches(examples, n_epochs, order), start=1):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=halved):
            loss = _loss(model, tokenizer, batch)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(learnt, LARGEST_NORM)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        yield Step(done=done, of=n_steps, loss=float(loss.detach()))
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _encoded(tokenizer: Any, row: Row) -> dict[str, Any]:  # noqa: ANN401 - transformers' class depends on the checkpoint
    texts = [text.encode("utf-8", "replace").decode() for text in (row.premise, row.hypothesis)]
    encoded = tokenizer(*texts, truncation="longest_first", max_length=MAX_TOKENS)
    return {**encoded, "labels": RELATIONS.index(row.label)}


def _batches(
    examples: Sequence[dict[str, Any]], n_epochs: int, order: random.Random
) -> Iterator[list[dict[str, Any]]]:
    """Yield every example once an epoch, in batches of like length."""
    for _ in range(n_epochs):
        shuffled = order.sample(examples, len(examples))
        batches = []
        for begin in range(0, len(shuffled), BATCH * POOL):
            pool = sorted(shuffled[begin : begin + BATCH * POOL], key=lambda one: len(one["input_ids"]))
            batches += [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        order.shuffle(batches)
        yield from batches


def _loss(model: Any, tokenizer: Any, batch: list[dict[str, Any]]) -> torch.Tensor:  # noqa: ANN401 - likewise
    padded = tokenizer.pad(
        [{name: value for name, value in one.items() if name != "labels"} for one in batch],
        return_tensors="pt",
    )
    logits = model(**padded).logits.float()
    loss: torch.Tensor = torch.nn.functional.cross_entropy(
        logits, torch.tensor([one["labels"] for one in batch])
    )
    return loss


def _share_of_rate(step: int, n_steps: int) -> float:
    """Return the share of the learning rate: up in a line, then down to 0 in a line."""
    return min(1.0, (step + 1) / max(1.0, WARM_UP * n_steps), max(0.0, 1.0 - step / n_steps))


def _prefers_bfloat16(model: Any, tokenizer: Any, batch: list[dict[str, Any]]) -> bool:  # noqa: ANN401 - likewise
    """Return whether this processor is quicker with half the digits; some only emulate them."""
    taken_s = {}
    for halved in (False, True, False, True):  # the first round warms up and is overwritten by the second
        started = time.perf_counter()
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=halved):
            _loss(model, tokenizer, batch)
        taken_s[halved] = time.perf_counter() - started
    return taken_s[True] < taken_s[False]
