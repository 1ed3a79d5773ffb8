"""Pairs of texts to probabilities: token ids, windows, batches of like length, one forward pass each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from verifiers.entailment.network.loading import Loaded
from verifiers.entailment.windows import MAX_WINDOWS, together, windows_of
from verifiers.nli import NliScores

BATCH_TOKENS = {"cpu": 4_096, "cuda": 65_536}
"""Padded tokens of one forward pass at most."""


class UnreadableError(Exception):
    """Raised when a pair cannot be read by this model; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """The special tokens around a pair, and the token types, as this tokenizer puts them."""

    before: list[int]
    between: list[int]
    after: list[int]
    types: tuple[int, int, int, int, int]
    """Of before, premise, between, hypothesis, after."""

    @property
    def n_tokens(self) -> int:
        return len(self.before) + len(self.between) + len(self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    pair: int
    ids: list[int]
    types: list[int]


class Scorer:
    """Scores pairs with one model; one thread at a time."""

    def __init__(self, loaded: Loaded, labels: Sequence[str], *, temperature: float) -> None:
        """Prepare to score.

        Args:
            loaded: The model.
            labels: The relation of each of its outputs.
            temperature: Logits are divided by it.
        """
        self._loaded = loaded
        self._order = [list(labels).index(name) for name in ("entailment", "neutral", "contradiction")]
        self._temperature = temperature
        self._frame = _frame_of(loaded.tokenizer)
        tokenizer = loaded.tokenizer
        self._special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[NliScores | UnreadableError]:
        """Return the scores of each pair, or why it can't be read.

        Raises:
            ArithmeticError: The model gave something that is no number.
        """
        windows: list[_Window] = []
        found: list[NliScores | UnreadableError | None] = []
        for i, (premise, hypothesis) in enumerate(pairs):
            try:
                windows += self._windows(i, premise, hypothesis)
                found.append(None)
            except UnreadableError as error:
                found.append(error)
        of_pair: dict[int, list[NliScores]] = {}
        for window, scores in self._forward_all(windows):
            of_pair.setdefault(window.pair, []).append(scores)
        return [together(of_pair[i]) if one is None else one for i, one in enumerate(found)]

    def _windows(self, pair: int, premise: str, hypothesis: str) -> list[_Window]:
        frame = self._frame
        said, claimed = self._ids("premise", premise), self._ids("hypothesis", hypothesis)
        longest = self._loaded.max_tokens // 2
        if len(claimed) > longest:
            raise UnreadableError(
                f"the hypothesis has {len(claimed)} tokens; this model reads {longest} of one"
            )
        room = self._loaded.max_tokens - frame.n_tokens - len(claimed)
        spans = windows_of(len(said), room=room)
        if len(spans) > MAX_WINDOWS:
            raise UnreadableError(
                f"the premise has {len(said)} tokens, which makes {len(spans)} windows; {MAX_WINDOWS} are read"
            )
        before, first, between, second, after = frame.types
        return [
            _Window(
                pair=pair,
                ids=[*frame.before, *said[begin:end], *frame.between, *claimed, *frame.after],
                types=[before] * len(frame.before) + [first] * (end - begin) + [between] * len(frame.between)
                + [second] * len(claimed) + [after] * len(frame.after),
            )
            for begin, end in spans
        ]  # fmt: skip

    def _ids(self, what: str, text: str) -> list[int]:
        """Return the text's tokens, none of which is a special one whatever the text says."""
        legible = text.encode("utf-8", "replace").decode("utf-8")  # unpaired surrogates are no text
        tokenizer = self._loaded.tokenizer
        ids = tokenizer(legible, add_special_tokens=False, verbose=False)["input_ids"]
        ids = [token for token in ids if token not in self._special]
        if not any(token != tokenizer.unk_token_id for token in ids):
            raise UnreadableError(f"the {what} holds no word that this model knows")
        return ids

    def _forward_all(self, windows: list[_Window]) -> list[tuple[_Window, NliScores]]:
        budget = BATCH_TOKENS[self._loaded.device]
        ordered = sorted(windows, key=lambda window: len(window.ids))
        found: list[tuple[_Window, NliScores]] = []
        batch: list[_Window] = []
        for window in ordered:
            if batch and (len(batch) + 1) * len(window.ids) > budget:
                found += zip(batch, self._forward(batch), strict=True)
                batch = []
            batch.append(window)
        if batch:
            found += zip(batch, self._forward(batch), strict=True)
        return found

    def _forward(self, batch: list[_Window]) -> list[NliScores]:
        loaded = self._loaded
        length = max(len(window.ids) for window in batch)
        pad = loaded.tokenizer.pad_token_id or 0
        fields = {
            "input_ids": [window.ids + [pad] * (length - len(window.ids)) for window in batch],
            "attention_mask": [[1] * len(w.ids) + [0] * (length - len(w.ids)) for w in batch],
        }
        if "token_type_ids" in loaded.tokenizer.model_input_names:
            fields["token_type_ids"] = [window.types + [0] * (length - len(window.ids)) for window in batch]
        tensors = {name: torch.tensor(rows, device=loaded.device) for name, rows in fields.items()}
        with torch.inference_mode():
            logits = loaded.model(**tensors).logits.double() / self._temperature
            rows = torch.softmax(logits, dim=-1)[:, self._order].tolist()
        return [_scores(row) for row in rows]


def _scores(row: Sequence[float]) -> NliScores:
    if not all(0.0 <= value <= 1.0 for value in row):
        raise ArithmeticError("the model gave something that is no number")
    return NliScores(entailment=row[0], neutral=row[1], contradiction=row[2])


def _frame_of(tokenizer: Any) -> _Frame:  # noqa: ANN401 - transformers' class depends on the checkpoint
    """Return what the tokenizer puts around a pair, seen on a pair of one-letter texts."""
    seen = tokenizer("a", "b")
    ids, sides = seen["input_ids"], seen.sequence_ids()
    kinds = seen.get("token_type_ids") or [0] * len(ids)
    first, second = sides.index(0), sides.index(1)
    first_end = first + sides.count(0)
    second_end = second + sides.count(1)
    return _Frame(
        before=ids[:first],
        between=ids[first_end:second],
        after=ids[second_end:],
        types=(kinds[0], kinds[first], kinds[first_end], kinds[second], kinds[-1]),
    )
