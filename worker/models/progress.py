"""How a long step tells that it is alive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.models.catalogue import KnownModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a fetch is."""

    step: str
    """A few words for the user."""

    done_bytes: int
    total_bytes: int


Reporter = Callable[[Progress], None]


def progress_of(step: str, done_bytes: int, model: KnownModel) -> Progress:
    """Return the progress of a step on this model's file."""
    return Progress(step=step, done_bytes=min(done_bytes, model.n_bytes), total_bytes=model.n_bytes)


def silent(progress: Progress) -> None:
    """Report to nobody."""
    del progress
