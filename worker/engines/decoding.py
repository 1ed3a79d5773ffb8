"""Decoding a batch with the transformers library: every row with its own seed, temperature and end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import torch

from worker.engines.prompts import Prompts
from worker.engines.protocol import ChainRequest, FinishReason
from worker.engines.sampler import MIN_P, TOP_K, TOP_P


@dataclass(slots=True, kw_only=True)
class Row:
    """One chain on its way."""

    request: ChainRequest
    prompt: tuple[int, ...]
    deliver: Callable[[Row | Exception], None]
    """Is given the row when it is finished, or what ended it."""

    cancelled: Event
    uniforms: torch.Tensor
    """One number in [0, 1) for each token, drawn from the seed alone: neighbours in the batch don't matter."""

    ids: list[int] = field(default_factory=list)
    logprob: float = 0.0
    text: str | None = None
    """Decided when the chain ends; may be empty, when a stop word comes first."""

    finish_reason: FinishReason | None = None
    is_delivered: bool = False


def uniforms_of(request: ChainRequest) -> torch.Tensor:
    """Return the chain's random numbers; shape (max_tokens,), float64."""
    generator = torch.Generator().manual_seed(request.seed)
    return torch.rand(request.max_tokens, generator=generator, dtype=torch.float64)


def choose(
    logits: torch.Tensor, temperatures: torch.Tensor, uniforms: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one token per row, and its logprob under the model itself.

    The tail is cut by top-k, top-p and min-p at temperature 1; what is left is sampled at the row's temperature by
    inverting its distribution function at the row's uniform number. Temperature 0 takes the most likely token.

    Args:
        logits: Shape (rows, vocabulary).
        temperatures: Shape (rows,), at least 0.
        uniforms: Shape (rows,), in [0, 1).
    """
    logprobs = logits.float().log_softmax(dim=-1)
    top, tokens = logprobs.topk(min(TOP_K, logprobs.shape[-1]), dim=-1)  # (rows, k), descending
    mass = top.exp()
    kept = (mass.cumsum(dim=-1) - mass < TOP_P) & (mass >= MIN_P * mass[:, :1])
    sharpened = top.double() / temperatures.double().clamp(min=1e-4)[:, None]
    reached = sharpened.masked_fill(~kept, -torch.inf).softmax(dim=-1).cumsum(dim=-1)
    reached = reached / reached[:, -1:]
    place = (reached <= uniforms[:, None]).sum(dim=-1, keepdim=True)
    place = torch.where(temperatures[:, None] == 0.0, 0, place)
    return tokens.gather(1, place)[:, 0], top.gather(1, place)[:, 0]


class Decoder:
    """Runs batches on one model; used by one thread at a time.

    Args:
        model: A causal language model of the transformers library, in evaluation mode.
        prompts: Of its tokenizer.
        ends: Tokens that end a turn.
        pad: Token that fills rows; masked, so any will do.
    """

    def __init__(self, model: Any, prompts: Prompts, *, ends: Sequence[int], pad: int) -> None:  # noqa: ANN401 - untyped library
        self._model = model
        self._prompts = prompts
        self._ends = frozenset(ends)
        self._pad = pad

    def run(self, rows: list[Row], closed: Event) -> None:
        """Decode until every row is delivered or cancelled; a finished row leaves the batch at once."""
        with torch.inference_mode():
            self._run(rows, closed)

    def _run(self, rows: list[Row], closed: Event) -> None:
        logits, cache, mask = self._read_prompts(rows)
        while True:
            tokens = self._advance(rows, logits)
            alive = [i for i, row in enumerate(rows) if not (row.finish_reason or row.cancelled.is_set())]
            for row in rows:
                if row.finish_reason:
                    row.is_delivered = True
                    row.deliver(row)
            if not alive or closed.is_set():
                break
            if len(alive) < len(rows):
                kept = torch.tensor(alive, device=mask.device)
                cache.batch_select_indices(kept)
                rows, tokens, mask = [rows[i] for i in alive], tokens[kept], mask[kept]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            reply = self._model(
                input_ids=tokens[:, None],
                attention_mask=mask,
                position_ids=mask.sum(dim=1, keepdim=True) - 1,
                past_key_values=cache,
                use_cache=True,
            )
            logits, cache = reply.logits[:, -1], reply.past_key_values

    def score(self, prompt: Sequence[int], text: Sequence[int]) -> float:
        """Return the sum of the text's token logprobs after the prompt, in nats."""
        ids = torch.tensor([[*prompt, *text]], device=self._model.device)
        with torch.inference_mode():
            logits = self._model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
        logprobs = logits.float().log_softmax(dim=-1)
        return float(logprobs.gather(1, ids[0, len(prompt) :, None]).sum())

    def _read_prompts(self, rows: Sequence[Row]) -> tuple[torch.Tensor, Any, torch.Tensor]:
        """Return the last logits, the cache and the mask, a row each; every distinct prompt is read once."""
        distinct = list(dict.fromkeys(row.prompt for row in rows))
        longest = max(map(len, distinct))
        device = self._model.device
        ids = torch.tensor([[self._pad] * (longest - len(p)) + list(p) for p in distinct], device=device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in distinct], device=device)
        reply = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
        )
        place = {prompt: i for i, prompt in enumerate(distinct)}
        spread = torch.tensor([place[row.prompt] for row in rows], device=device)
        reply.past_key_values.batch_select_indices(spread)
        return reply.logits[spread, -1], reply.past_key_values, mask[spread]

    def _advance(self, rows: Sequence[Row], logits: torch.Tensor) -> torch.Tensor:
        """Give every row its next token, and mark those that this ends."""
        device = logits.device
        temperatures = torch.tensor([row.request.temperature for row in rows], device=device)
        uniforms = torch.stack([row.uniforms[len(row.ids)] for row in rows]).to(device)
        tokens, logprobs = choose(logits, temperatures, uniforms)
        for row, token, logprob in zip(rows, tokens.tolist(), logprobs.tolist(), strict=True):
            if token in self._ends:  # no text, so neither summed nor counted
                row.finish_reason = FinishReason.STOP
            else:
                row.ids.append(token)
                row.logprob += min(0.0, logprob)
                self._end_by_rule(row)
            if row.finish_reason and row.text is None:
                row.text = self._prompts.decode(row.ids)
        return tokens

    def _end_by_rule(self, row: Row) -> None:
        if row.request.stop:
            text = self._prompts.decode(row.ids)
            at = min((found for word in row.request.stop if (found := text.find(word)) >= 0), default=-1)
            if at >= 0:
                row.finish_reason, row.text = FinishReason.STOP, text[:at]
                return
        if len(row.ids) >= row.request.max_tokens:
            row.finish_reason = FinishReason.LENGTH
