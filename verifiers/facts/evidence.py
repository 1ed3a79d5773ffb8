"""Findings as the JSON that stands on a verdict, bounded whatever the documents hold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from verifiers.facts.conclusion import Finding, quoted
from verifiers.nli import NliScores
from verifiers.passages import Found

ALL_QUOTES_CHARS = 15_000  # shared by everything that is quoted; audits read verdicts by the thousand
MAX_QUOTE_CHARS = 800
MAX_ID_CHARS = 100


def evidence_of(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return each sentence with its outcome and every passage that was judged, best first.

    The quote of a passage is shortened where there are many; ``sha256`` is that of its whole text.
    """
    n_quotes = sum(len(finding.scores) for finding in findings) + len(findings)
    n_chars = max(40, min(MAX_QUOTE_CHARS, ALL_QUOTES_CHARS // max(1, n_quotes)))
    return {"sentences": [_sentence(finding, n_chars=n_chars) for finding in findings]}


def _sentence(finding: Finding, *, n_chars: int) -> dict[str, Any]:
    pairs = zip(finding.retrieved.found, finding.scores, strict=True)
    return {
        "text": quoted(finding.sentence, n_chars=n_chars),
        "outcome": finding.outcome.value,
        "decisive": list(finding.decisive),
        "passages": [_passage(found, scores, n_chars=n_chars) for found, scores in pairs],
    }


def _passage(found: Found, scores: NliScores, *, n_chars: int) -> dict[str, Any]:
    passage = found.passage
    return {
        "document": passage.document[:MAX_ID_CHARS],
        "passage": passage.ordinal,
        "start": passage.start,
        **({} if passage.revision is None else {"revision": passage.revision}),
        "quote": quoted(passage.text, n_chars=n_chars),
        "sha256": hashlib.sha256(passage.content.encode()).hexdigest(),
        "bm25": _rounded(found.bm25),
        "bm25_rank": found.bm25_rank,
        "cosine": _rounded(found.cosine),
        "cosine_rank": found.cosine_rank,
        "fused": _rounded(found.fused),
        "entailment": _rounded(scores.entailment),
        "neutral": _rounded(scores.neutral),
        "contradiction": _rounded(scores.contradiction),
        "n_windows": scores.n_windows,
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(float(number), 6)
