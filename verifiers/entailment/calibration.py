"""From scores to verdicts: a temperature and three thresholds, kept as a small JSON file beside the weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from verifiers.errors import ModelUnavailableError

FILE_NAME = "nli_calibration.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """When a score counts; the defaults are for a model of which nothing was measured.

    A threshold that no score can reach says that no such verdict could be given at the target precision.
    """

    temperature: float = 1.0
    """Logits are divided by it before the softmax (Guo et al. 2017)."""

    confirm: float = 0.95
    """Least P(entailment) that confirms."""

    refute: float = 0.95
    """Least P(contradiction) that refutes."""

    apart: float = 0.05
    """Largest P(entailment) at which a premise is said *not* to entail, which is how equivalence is refused."""

    target_precision: float | None = None
    """What the thresholds were chosen for; ``None`` when they were not chosen but are the defaults."""

    n_rows: int = 0
    """Labelled rows they were fitted to, none of which the model was trained on."""

    revision: str = ""
    """Of the weights they belong to."""

    source: str = ""
    """Where those rows came from."""

    @property
    def is_fitted(self) -> bool:
        """Whether they were fitted to labelled rows."""
        return self.target_precision is not None

    @property
    def label(self) -> str:
        """What tells two calibrations of the same weights apart; part of the verifier's version."""
        if not self.is_fitted:
            return "uncalibrated"
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]


def read_calibration(path: Path, *, revision: str) -> Calibration:
    """Return what ``path`` holds, or the defaults when it is missing or belongs to other weights.

    Raises:
        ModelUnavailableError: It is there but is no calibration.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Calibration()
    except OSError as error:
        raise ModelUnavailableError(f"cannot read {path}: {error.strerror}") from error
    try:
        found = Calibration(**json.loads(text))
        _check(found)
    except (TypeError, ValueError) as error:
        raise ModelUnavailableError(
            f"{path} is no calibration ({error}); remove it or calibrate the model again"
        ) from error
    return found if found.revision == revision else Calibration()


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Store it, whole or not at all."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(asdict(calibration), indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)


def _check(calibration: Calibration) -> None:
    for field in fields(calibration):
        value = getattr(calibration, field.name)
        if field.name in {"temperature", "confirm", "refute", "apart"} and (
            isinstance(value, bool) or not isinstance(value, int | float)
        ):
            raise ValueError(f"{field.name} must be a number")
    if not 0.0 < calibration.temperature < 1000.0:
        raise ValueError("temperature must be above 0")
    if not calibration.apart < calibration.confirm:
        raise ValueError("apart must lie below confirm")
