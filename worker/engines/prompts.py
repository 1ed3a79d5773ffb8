"""Conversations as token ids, by the chat template of a tokenizer of the transformers library."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from worker.engines.protocol import ChainRequest, Message, ScoreRequest
from worker.errors import ConfigurationError, PromptTooLongError, RequestRefusedError


class Prompts:
    """Encodes prompts within a context; safe to call from any thread.

    Args:
        tokenizer: Of the transformers library, with a chat template.
        context_tokens: Room for prompt and answer together.

    Raises:
        ConfigurationError: The model has no chat template.
    """

    def __init__(self, tokenizer: Any, *, context_tokens: int) -> None:  # noqa: ANN401 - untyped library
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigurationError(
                "the model has no chat template; choose one that was tuned for instructions"
            )
        self._tokenizer = tokenizer
        self._context_tokens = context_tokens
        self._lock = threading.Lock()  # the library's tokenizers are not made for several threads

    def of_chains(self, requests: Sequence[ChainRequest]) -> list[tuple[ChainRequest, tuple[int, ...]]]:
        """Return each request with its prompt; every distinct one is encoded once.

        Raises:
            PromptTooLongError: See ``encode``.
            RequestRefusedError: Likewise.
        """
        wanted = {(request.messages, request.max_tokens) for request in requests}
        prompts = {
            (messages, max_tokens): tuple(self.encode(messages, max_tokens=max_tokens))
            for messages, max_tokens in wanted
        }
        return [(request, prompts[request.messages, request.max_tokens]) for request in requests]

    def of_scores(self, requests: Sequence[ScoreRequest], *, spare: int) -> list[tuple[list[int], list[int]]]:
        """Return each request's prompt and text.

        Args:
            requests: What is to be scored.
            spare: Tokens of room that the engine needs behind the text.

        Raises:
            PromptTooLongError: See ``encode``.
            RequestRefusedError: Likewise, or a text is empty.
        """
        texts = [self.encode_text(request.text) for request in requests]
        return [
            (self.encode(request.messages, max_tokens=len(text) + spare), text)
            for request, text in zip(requests, texts, strict=True)
        ]

    def encode(self, messages: Sequence[Message], *, max_tokens: int) -> list[int]:
        """Return the prompt up to where the answer begins.

        Raises:
            PromptTooLongError: The prompt with ``max_tokens`` exceeds the context.
            RequestRefusedError: The model's template refuses the messages.
        """
        turns = [{"role": message.role, "content": message.content} for message in messages]
        with self._lock:
            try:
                ids = self._tokenizer.apply_chat_template(
                    turns, add_generation_prompt=True, tokenize=True, return_dict=False
                )
            except Exception as error:
                if type(error).__module__.split(".")[0] != "jinja2":  # templates raise that library's errors
                    raise
                raise RequestRefusedError(
                    f"the model's chat template refuses the messages: {error}"
                ) from error
        return self._checked(list(ids), max_tokens)

    def encode_text(self, text: str) -> list[int]:
        """Return the tokens of an answer.

        Raises:
            RequestRefusedError: It has none.
        """
        with self._lock:
            ids = list(self._tokenizer.encode(text, add_special_tokens=False))
        if not ids:
            raise RequestRefusedError("an empty text has no score")
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, without the special ones."""
        with self._lock:
            return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def _checked(self, ids: list[int], max_tokens: int) -> list[int]:
        if len(ids) + max_tokens > self._context_tokens:
            raise PromptTooLongError(
                f"the prompt has {len(ids)} tokens and may be answered with {max_tokens}, "
                f"but the context holds {self._context_tokens}; shorten the prompt or lower max_tokens"
            )
        return ids
