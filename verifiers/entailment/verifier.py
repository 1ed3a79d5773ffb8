"""The ``entailment`` verifier: does a premise support a hypothesis, contradict it, or neither?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verifiers.claims import EntailmentClaim
from verifiers.entailment.calibration import Calibration
from verifiers.entailment.checkpoint import missing_libraries, open_checkpoint
from verifiers.entailment.nli import TransformersNli, Unread
from verifiers.errors import ModelUnavailableError
from verifiers.nli import NliScores
from verifiers.verdicts import Outcome, Verdict, Verifier

__all__ = ["Availability", "EntailmentVerifier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """Whether the verifier can work here, and if not, what would help."""

    ok: bool
    reason: str


class EntailmentVerifier:
    """Judges pairs of texts by an NLI model; safe from any thread, and batched over all that ask at once.

    What the model is not certain enough of is an abstention, and so is a text that it can't read.
    """

    name = "entailment"

    def __init__(self, model: TransformersNli) -> None:
        """Load nothing yet.

        Args:
            model: What scores the pairs; closed with the verifier.
        """
        self._model = model

    @classmethod
    def of_folder(cls, folder: Path) -> EntailmentVerifier:
        """Return a verifier with the checkpoint in ``folder``, which is looked at with the first claim."""
        return cls(TransformersNli(lambda: open_checkpoint(folder)))

    @property
    def version(self) -> str:
        """Model, weights and thresholds: whatever can change a verdict.

        Raises:
            ModelUnavailableError: There is no usable checkpoint.
        """
        checkpoint = self._model.checkpoint
        return f"{checkpoint.name}@{checkpoint.revision}/{checkpoint.calibration.label}"

    def availability(self) -> Availability:
        """Return whether libraries and weights are here, without loading either."""
        why = missing_libraries()
        if why is not None:
            return Availability(ok=False, reason=why)
        try:
            return Availability(ok=True, reason=f"ready with {self.version}")
        except ModelUnavailableError as error:
            return Availability(ok=False, reason=str(error))

    def verify(self, claim: EntailmentClaim, *, timeout_s: float) -> Verdict:
        """Judge one claim.

        Args:
            claim: The two texts.
            timeout_s: Wall seconds for each direction once the model works on it.

        Raises:
            ModelUnavailableError: The extra or the weights are missing; the message says the fix.
            VerifierError: The model broke.
        """
        return self.verify_many([claim], timeout_s=timeout_s)[0]

    def verify_many(self, claims: Sequence[EntailmentClaim], *, timeout_s: float) -> list[Verdict]:
        """Judge many claims, in their order.

        Args:
            claims: The claims.
            timeout_s: As for one claim, for each of them.

        Raises:
            ModelUnavailableError: See ``verify``.
            VerifierError: See ``verify``; no claim gets a verdict then.
        """
        started = time.perf_counter()
        pairs: list[tuple[str, str]] = []
        for claim in claims:
            pairs.append((claim.premise, claim.hypothesis))
            if claim.both_directions:
                pairs.append((claim.hypothesis, claim.premise))
        found = iter(self._model.score_within(pairs, timeout_s=timeout_s))
        elapsed_s = time.perf_counter() - started
        version, calibration = self.version, self._model.checkpoint.calibration
        verdicts = []
        for claim in claims:
            read = [next(found) for _ in range(1 + claim.both_directions)]
            outcome, reason = conclude(read, calibration, same=claim.both_directions)
            verdicts.append(
                Verdict(
                    verifier=self.name,
                    version=version,
                    outcome=outcome,
                    reason=reason,
                    elapsed_s=elapsed_s / len(claims),
                    evidence=self._evidence(read, calibration),
                )
            )
        return verdicts

    def close(self) -> None:
        """Let go of the model."""
        self._model.close()

    def _evidence(self, read: Sequence[NliScores | Unread], calibration: Calibration) -> dict[str, Any]:
        directions = ("forward", "backward")
        scores = {
            direction: asdict(one)
            for direction, one in zip(directions, read, strict=False)
            if isinstance(one, NliScores)
        }
        return {
            "scores": scores,
            "thresholds": {
                "confirm": calibration.confirm,
                "refute": calibration.refute,
                "apart": calibration.apart,
            },
            "calibrated": calibration.is_fitted,
            "target_precision": calibration.target_precision,
            "model": self._model.name,
            "revision": self._model.revision,
        }


def conclude(
    read: Sequence[NliScores | Unread], calibration: Calibration, *, same: bool
) -> tuple[Outcome, str]:
    """Return the outcome and its reason.

    Args:
        read: The scores forward, and backward where the claim is that the two texts say the same.
        calibration: The thresholds.
        same: Whether that is the claim. It is confirmed when each text entails the other, and refuted when they
            contradict each other or one clearly doesn't entail the other.
    """
    scores = [one for one in read if isinstance(one, NliScores)]
    if len(scores) < len(read):
        return Outcome.ABSTAINED, next(one.reason for one in read if isinstance(one, Unread))
    note = "" if calibration.is_fitted else " (uncalibrated: the thresholds are the defaults)"
    least = min(one.entailment for one in scores)
    contradiction = max(one.contradiction for one in scores)
    if contradiction >= calibration.refute:
        return Outcome.REFUTED, f"the texts contradict each other: P = {contradiction:.3f}{note}"
    if same and least <= calibration.apart:
        return Outcome.REFUTED, f"one text does not entail the other: P(entailment) = {least:.3f}{note}"
    if least >= calibration.confirm:
        what = "each text entails the other" if same else "the premise entails the hypothesis"
        return Outcome.CONFIRMED, f"{what}: P = {least:.3f}{note}"
    return (
        Outcome.ABSTAINED,
        f"not certain enough: P(entailment) = {least:.3f}, P(contradiction) = {contradiction:.3f}{note}",
    )


if TYPE_CHECKING:
    _conforms: type[Verifier[EntailmentClaim]] = EntailmentVerifier
