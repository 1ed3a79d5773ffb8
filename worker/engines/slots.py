"""Which prompt lies in which slot of llama.cpp, so that k chains cost one reading of their prompt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from worker.engines.llama_server import LlamaServer, Messages


class Slots:
    """Hands out the slots, each to one chain at a time, with the chain's prompt in it."""

    def __init__(self, server: LlamaServer, n_slots: int) -> None:
        self._server = server
        self._free: dict[int, str | None] = dict.fromkeys(range(n_slots))
        """Rendered prompt that each idle slot holds."""

        self._being_read: set[str] = set()
        self._changed = Condition()

    @contextmanager
    def holding(self, prompt: str, messages: Messages) -> Iterator[int]:
        """Lend a slot that holds the prompt, waiting for a free one.

        Args:
            prompt: As rendered by the model's template; tells prompts apart.
            messages: The same, before rendering.
        """
        slot, held = self._take(prompt)
        now_holds: str | None = None  # when something goes wrong nobody knows
        try:
            if held != prompt:
                self._bring(slot, prompt, messages)
            now_holds = prompt
            yield slot
        finally:
            with self._changed:
                self._free[slot] = now_holds
                self._changed.notify_all()

    def _take(self, prompt: str) -> tuple[int, str | None]:
        with self._changed:
            self._changed.wait_for(lambda: self._free)
            slot = next((slot for slot, held in self._free.items() if held == prompt), next(iter(self._free)))
            return slot, self._free.pop(slot)

    def _bring(self, slot: int, prompt: str, messages: Messages) -> None:
        # The first chain of a task reads the prompt; the others, a moment later, wait for it and copy.
        with self._changed:
            self._changed.wait_for(lambda: prompt not in self._being_read)
            self._being_read.add(prompt)
        try:
            if not self._server.restore_prompt(slot, key=prompt):
                self._server.read_prompt(slot, messages, key=prompt)
        finally:
            with self._changed:
                self._being_read.discard(prompt)
                self._changed.notify_all()
