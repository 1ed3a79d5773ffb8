"""What it takes to be a row of the table of judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.settings import Settings
from worker.store.transactions import Store
from worker.store.verdicts import Judged
from worker.submission.lines import TaskLine


class Said(Protocol):
    """What a chain says."""

    @property
    def answer(self) -> str | None:
        """Its answer."""
        ...

    @property
    def text(self) -> str:
        """All of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What a chain says, where there is no stored chain."""

    answer: str | None
    text: str = ""


class Judge(Protocol):
    """One verifier, asked about tasks; safe to call from several threads."""

    def judge(self, line: TaskLine, said: Sequence[Said], *, tenant: str) -> list[Judged]:
        """Return a verdict on every claim of its kind that the task's chains give rise to.

        Args:
            line: The task.
            said: What its chains say.
            tenant: Whose task it is; whatever is looked up for it is this tenant's.

        Raises:
            VerifierError: The verifier broke and concluded nothing.
        """
        ...

    def close(self) -> None:
        """Stop what is kept running between tasks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a judge may need beside the task."""

    settings: Settings
    store: Store | None = None
    """The database; ``None`` where commands judge without one."""
