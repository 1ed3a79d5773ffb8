"""The ``facts`` verifier: do the reference documents support a statement?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from verifiers.claims import SupportClaim
from verifiers.facts.conclusion import Bars, Finding, aggregate, conclude
from verifiers.facts.evidence import evidence_of
from verifiers.facts.memory import MemoryRetriever
from verifiers.facts.premises import premises_of, together
from verifiers.facts.ranking import SentenceModel
from verifiers.facts.sentences import readable, sentences
from verifiers.nli import NliModel, NliScores
from verifiers.passages import Retrieved, Retriever
from verifiers.verdicts import Outcome, Verdict, Verifier

__all__ = ["FactsVerifier"]

MAX_STATEMENT_CHARS = 20_000
MAX_SENTENCES = 32
N_PASSAGES = 5
SLICE = 64  # pairs scored between two looks at the clock; enough to keep a model's batch full


@dataclass(slots=True)
class _Reading:
    """One claim on its way: its sentences, what was found for each, and what inference said of that."""

    sentences: list[str] = field(default_factory=list)
    retrieved: list[Retrieved] = field(default_factory=list)
    premises: list[list[list[str]]] = field(default_factory=list)
    """What the model reads of each passage found for each sentence."""

    scores: list[NliScores] = field(default_factory=list)
    refusal: str = ""
    """Why it is not judged; empty when it is."""

    elapsed_s: float = 0.0

    def pairs(self) -> list[tuple[str, str]]:
        return [
            (premise, sentence)
            for sentence, passages in zip(self.sentences, self.premises, strict=True)
            for premises in passages
            for premise in premises
        ]


class FactsVerifier:
    """Judges statements by retrieval and inference; safe from any thread.

    Every sentence of a statement is searched for and judged by itself, and the statement is their conjunction
    (``conclusion.aggregate``). Inference is over one passage at a time (``premises``): what follows only from two
    passages together, or from what a sentence before said, is not found, and abstains.

    Args:
        nli: Stays the caller's to close.
        embedder: For claims that bring their passages; ``None`` searches those by words alone.
        bars: Returns what counts as entailed and contradicted; asked with every batch, since it may come from a
            file beside the weights.
        n_passages: Passages judged for each sentence; each costs a run of the model.
        why_no_embedder: Stands in the evidence when there is none.
    """

    name = "facts"

    def __init__(
        self,
        nli: NliModel,
        *,
        embedder: SentenceModel | None = None,
        bars: Callable[[], Bars] = Bars,
        n_passages: int = N_PASSAGES,
        why_no_embedder: str = "no sentence model was given",
    ) -> None:
        self._nli = nli
        self._embedder = embedder
        self._bars = bars
        self._n_passages = n_passages
        self._why_no_embedder = why_no_embedder

    @property
    def version(self) -> str:
        """Ours, the model's and the bars': whatever can change a verdict about the same passages.

        Raises:
            VerifierError: The model is not there.
        """
        return f"1+{self._nli.name}@{self._nli.revision}/{self._bars().label}"

    def verify(self, claim: SupportClaim, *, timeout_s: float) -> Verdict:
        """Judge whether the documents support the statement; what they don't settle is an abstention.

        Args:
            claim: The statement, and the passages or what searches them.
            timeout_s: Wall seconds after which no further passage is read. Statements are bounded in length and
                sentences, so this stands behind a bound on the work.

        Raises:
            VerifierError: The model or the documents could not be reached.
        """
        return self.verify_many([claim], timeout_s=timeout_s)[0]

    def verify_many(self, claims: Sequence[SupportClaim], *, timeout_s: float) -> list[Verdict]:
        """Judge many claims, in their order; their passages go to the model together.

        Args:
            claims: The claims.
            timeout_s: As for one claim; of all of them together, so many times that.
        """
        deadline = time.monotonic() + timeout_s * max(1, len(claims))
        version, bars = (
            self.version,
            self._bars(),
        )  # asked first: without a model there is nothing to search for
        prepared: dict[int, Retriever] = {}
        readings = [self._read(claim, prepared, deadline) for claim in claims]
        self._score([reading for reading in readings if not reading.refusal], deadline)
        return [self._verdict(reading, bars, version) for reading in readings]

    def close(self) -> None:
        """Let go of nothing: the models are the caller's."""

    def _read(self, claim: SupportClaim, prepared: dict[int, Retriever], deadline: float) -> _Reading:
        """Return the claim's sentences with the passages found for each, or why it is not judged."""
        started = time.monotonic()
        reading = _Reading()
        found = _judgeable(claim.statement, reading)
        for sentence in found:
            if time.monotonic() > deadline:
                reading.refusal = "out of time while searching the documents"
                break
            retrieved = self._retriever(claim, prepared).retrieve(sentence, n=self._n_passages)
            reading.retrieved.append(retrieved)
            reading.premises.append(premises_of(sentence, [one.passage for one in retrieved.found]))
            reading.sentences.append(sentence)
        reading.elapsed_s = time.monotonic() - started
        return reading

    def _retriever(self, claim: SupportClaim, prepared: dict[int, Retriever]) -> Retriever:
        """Return what searches the claim's source; passages that claims of a batch share are prepared once."""
        source = claim.source
        if not isinstance(source, Sequence):
            return source
        if id(source) not in prepared:
            prepared[id(source)] = MemoryRetriever(
                source, model=self._embedder, why_no_model=self._why_no_embedder
            )
        return prepared[id(source)]

    def _score(self, readings: Sequence[_Reading], deadline: float) -> None:
        """Fill in what the model says of every pair; readings whose turn comes too late are refused."""
        pairs = [(reading, pair) for reading in readings for pair in reading.pairs()]
        for start in range(0, len(pairs), SLICE):
            piece = pairs[start : start + SLICE]
            began = time.monotonic()
            if began > deadline:
                for reading, _ in pairs[start:]:
                    reading.refusal = "out of time before every passage was read"
                return
            scores = self._nli.score([pair for _, pair in piece])
            each_s = (time.monotonic() - began) / len(piece)
            for (reading, _), score in zip(piece, scores, strict=True):
                reading.scores.append(score)
                reading.elapsed_s += each_s

    def _verdict(self, reading: _Reading, bars: Bars, version: str) -> Verdict:
        evidence: dict[str, Any] = {
            "nli": {"model": self._nli.name, "revision": self._nli.revision},
            "bars": asdict(bars),
        }
        if reading.refusal:
            outcome, reason = Outcome.ABSTAINED, reading.refusal
        else:
            findings = _findings(reading, bars)
            outcome, reason = aggregate(findings)
            first = reading.retrieved[0]
            evidence |= {"retrieval": {"method": first.method, **first.source}, **evidence_of(findings)}
        return Verdict(
            verifier=self.name,
            version=version,
            outcome=outcome,
            reason=reason,
            elapsed_s=reading.elapsed_s,
            evidence=evidence,
        )


def _findings(reading: _Reading, bars: Bars) -> list[Finding]:
    scores = iter(reading.scores)
    return [
        conclude(sentence, retrieved, [together([next(scores) for _ in one]) for one in premises], bars)
        for sentence, retrieved, premises in zip(
            reading.sentences, reading.retrieved, reading.premises, strict=True
        )
    ]


def _judgeable(statement: str, reading: _Reading) -> list[str]:
    """Return the sentences to judge; none, and the refusal filled in, when it can't be done."""
    if len(statement) > MAX_STATEMENT_CHARS:
        reading.refusal = f"the statement is longer than {MAX_STATEMENT_CHARS} characters"
        return []
    found = [one for one in sentences(readable(statement)) if any(c.isalnum() for c in one)]
    if not found:
        reading.refusal = "the statement says nothing"
    elif len(found) > MAX_SENTENCES:
        reading.refusal = f"the statement has {len(found)} sentences; up to {MAX_SENTENCES} are judged"
        return []
    return found


if TYPE_CHECKING:
    _conforms: type[Verifier[SupportClaim]] = FactsVerifier
