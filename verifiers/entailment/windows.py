"""Long premises: read in overlapping windows, and what the windows say taken together."""

from __future__ import annotations

from collections.abc import Sequence

from verifiers.nli import NliScores

OVERLAP_TOKENS = 64  # two or three sentences: what is cut at one window's end stands whole in the next
MAX_WINDOWS = 64  # some fifteen pages; beyond that the facts verifier looks for the passages first


def windows_of(n_tokens: int, *, room: int, overlap: int = OVERLAP_TOKENS) -> list[tuple[int, int]]:
    """Return the (begin, end) of each window of a text of ``n_tokens``, in order.

    Together they cover every token; neighbours share ``overlap`` tokens, or half of ``room`` if that is less.

    Args:
        n_tokens: At least 1.
        room: Tokens of the premise that one window holds, at least 1.
        overlap: Tokens shared.
    """
    step = room - min(overlap, room // 2)
    begins = range(0, max(1, n_tokens - room + step), step)
    return [(begin, min(begin + room, n_tokens)) for begin in begins]


def together(windows: Sequence[NliScores]) -> NliScores:
    """Return what the windows of one premise say taken together.

    A premise entails what any part of it entails, and contradicts what any part contradicts; so each of the two gets
    its largest value over the windows and neutral what is left of 1. (A mean would let much beside the point drown the
    one sentence that matters.) Where one window entails and another contradicts, the two sum to more than 1 and are
    scaled to 1: neither is then near certain, and a premise at odds with itself decides nothing.

    Args:
        windows: At least one.
    """
    entailment = max(window.entailment for window in windows)
    contradiction = max(window.contradiction for window in windows)
    total = max(1.0, entailment + contradiction)
    entailment, contradiction = entailment / total, contradiction / total
    return NliScores(
        entailment=entailment,
        neutral=max(0.0, 1.0 - entailment - contradiction),
        contradiction=contradiction,
        n_windows=len(windows),
    )
