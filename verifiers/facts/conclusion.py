"""From what inference says of each passage to what the documents say of a statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reasoner.outcomes import Outcome
from verifiers.nli import NliScores
from verifiers.passages import Found, Retrieved

MAX_QUOTE_CHARS = 240  # in a reason, which is one line; the evidence quotes more


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Probabilities from which a relation counts as found, in [0, 1]; one above 1 is never reached."""

    entails: float = 0.95
    contradicts: float = 0.95
    label: str = "uncalibrated"
    """Where they come from; part of the verifier's version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the passages found say of one sentence."""

    sentence: str
    outcome: Outcome
    reason: str
    retrieved: Retrieved
    scores: Sequence[NliScores]
    """Of each passage found, in their order."""

    decisive: tuple[int, ...] = ()
    """Which passages the outcome rests on."""


def conclude(sentence: str, retrieved: Retrieved, scores: Sequence[NliScores], bars: Bars) -> Finding:
    """Return the outcome of one sentence.

    Confirmed when a passage entails it and none contradicts it, refuted when one contradicts it and none entails
    it. Both is an abstention, the documents disagree; neither is one too, and so is having found nothing.
    """
    found = retrieved.found
    supporting = _best([s.entailment for s in scores], bars.entails)
    opposing = _best([s.contradiction for s in scores], bars.contradicts)
    decisive: tuple[int, ...] = ()
    if supporting is not None and opposing is not None:
        outcome, decisive = Outcome.ABSTAINED, (supporting, opposing)
        reason = f"the documents disagree: {_cited(found[supporting])}, but {_cited(found[opposing])}"
    elif supporting is not None:
        outcome, decisive = Outcome.CONFIRMED, (supporting,)
        reason = f"supported by {_cited(found[supporting])}"
    elif opposing is not None:
        outcome, decisive = Outcome.REFUTED, (opposing,)
        reason = f"contradicted by {_cited(found[opposing])}"
    elif found:
        outcome, reason = (
            Outcome.ABSTAINED,
            f"none of the {len(found)} passages found says whether it is so",
        )
    else:
        outcome, reason = Outcome.ABSTAINED, retrieved.problem or "nothing found in the documents"
    return Finding(
        sentence=sentence,
        outcome=outcome,
        reason=reason,
        retrieved=retrieved,
        scores=scores,
        decisive=decisive,
    )


def aggregate(findings: Sequence[Finding]) -> tuple[Outcome, str]:
    """Return what the sentences together come to: a statement is the conjunction of its sentences.

    One refuted sentence refutes it; it is confirmed when every sentence is; anything else abstains.
    """
    for wanted in (Outcome.REFUTED, Outcome.ABSTAINED):
        for place, finding in enumerate(findings, start=1):
            if finding.outcome is wanted:
                return wanted, _told(finding, place, len(findings))
    if len(findings) == 1:
        return Outcome.CONFIRMED, findings[0].reason
    return Outcome.CONFIRMED, f"all {len(findings)} sentences are supported; the first: {findings[0].reason}"


def _told(finding: Finding, place: int, n: int) -> str:
    return finding.reason if n == 1 else f"sentence {place} of {n}: {finding.reason}"


def _best(probabilities: Sequence[float], bar: float) -> int | None:
    """Return the passage with the largest probability that reaches the bar, the first of equals."""
    reaching = [(-p, i) for i, p in enumerate(probabilities) if p >= bar]
    return min(reaching)[1] if reaching else None


def _cited(found: Found) -> str:
    return f'{found.passage.document}: "{quoted(found.passage.text, n_chars=MAX_QUOTE_CHARS)}"'


def quoted(text: str, *, n_chars: int) -> str:
    """Return one line of at most ``n_chars``."""
    line = " ".join(text[: 4 * n_chars].split())
    return line if len(line) <= n_chars else line[: n_chars - 1] + "…"
