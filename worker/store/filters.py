"""What decisions are searched by, and the facets that stand for it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from uuid import UUID

from reasoner.decisions import AbstainReason
from reasoner.outcomes import Outcome
from worker.errors import QueryError
from worker.kinds import KINDS
from worker.messages import VERIFY
from worker.store.texts import storable

LABELS = ("right", "wrong", "unknown", "conflicting", "none", "any")
STATES = ("answered", "abstained")
REASONS = tuple(reason.value for reason in AbstainReason)
OUTCOMES = tuple(outcome.value for outcome in Outcome)
MODES = ("merge", "spread")
KNOWN = {
    "kind": tuple(KINDS),
    "mode": MODES,
    "state": STATES,
    "why": REASONS,
    "outcome": (*OUTCOMES, "none"),
    "label": LABELS,
}
HIGHEST_BUCKET = 16
"""Merge degrees from here on are one facet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Numbers from ``low`` to ``high``, both included."""

    low: float = 0.0
    high: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What decisions are to be like; several values of one field are alternatives, fields are all to hold.

    Raises:
        QueryError: A value is none of those there are.
    """

    since: datetime | None = None
    until: datetime | None = None
    """Decided before it."""

    kind: Sequence[str] = ()
    domain: Sequence[str] = ()
    mode: Sequence[str] = ()
    batch: Sequence[str] = ()
    calibration: Sequence[str] = ()
    state: Sequence[str] = ()
    why: Sequence[str] = ()
    """Reasons to abstain."""

    answer: Sequence[str] = ()
    """Whole answers; case and blanks around them don't count."""

    outcome: Sequence[str] = ()
    """What the verifiers said together of the answer; ``none`` when none judged it."""

    verdict: Sequence[str] = ()
    """``code:refuted``, ``code`` or ``refuted``: a verdict on any of the task's answers."""

    model: Sequence[str] = ()
    label: Sequence[str] = ()
    margin: Range = field(default_factory=Range)
    degree: Range = field(default_factory=Range)

    def __post_init__(self) -> None:
        for name, known in KNOWN.items():
            for value in getattr(self, name):
                if value not in known:
                    raise QueryError(f"{name} {value!r} is none of {', '.join(known)}")
        for name in ("batch", "calibration"):
            for value in getattr(self, name):
                _as_id(name, value)
        self._check_verdicts()
        self._check_ranges()

    def _check_verdicts(self) -> None:
        for value in self.verdict:
            verifier, colon, outcome = value.partition(":")
            is_known = (
                outcome in OUTCOMES and verifier in VERIFY if colon else verifier in {*OUTCOMES, *VERIFY}
            )
            if not is_known:
                raise QueryError(
                    f"verdict {value!r} is not VERIFIER, OUTCOME or VERIFIER:OUTCOME "
                    f"of {', '.join(VERIFY)} and {', '.join(OUTCOMES)}"
                )

    def _check_ranges(self) -> None:
        for name in ("margin", "degree"):
            wanted = getattr(self, name)
            if not 0 <= wanted.low <= wanted.high:  # also refuses NaN
                raise QueryError(f"{name} goes from a number of at least 0 to one that is no smaller")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise QueryError(f"nothing lies between {self.since.isoformat()} and {self.until.isoformat()}")

    def groups(self) -> list[list[str]]:
        """Return the facets: of each list one at least must be there."""
        groups = [
            [f"{name}={_facet(name, value)}" for value in getattr(self, name)]
            for name in (
                *("kind", "domain", "mode", "batch", "calibration", "state", "why", "answer", "outcome"),
                *("verdict", "model", "label"),
            )
        ]
        groups.append(_buckets("margin", self.margin, scale=10, highest=10))
        groups.append(_buckets("degree", self.degree, scale=1, highest=HIGHEST_BUCKET))
        return [group for group in groups if group]

    def fingerprint(self) -> str:
        """Return what tells these filters from others, but for the times, which may count from now."""
        content = json.dumps([self.groups(), asdict(self.margin), asdict(self.degree)])
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _facet(name: str, value: str) -> str:
    if name in {"batch", "calibration"}:
        return str(_as_id(name, value))
    # As WRITE makes it of the stored answer: Postgres' lower() of the locale C knows ASCII only.
    if name == "answer":
        return "".join(c.lower() if c.isascii() else c for c in storable(value).strip(" \t\r\n"))
    return storable(value)


def _as_id(name: str, value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise QueryError(f"{name} {value!r} is no id") from None


def _buckets(name: str, wanted: Range, *, scale: int, highest: int) -> list[str]:
    """Return the facets that a range touches; none when that is all of them."""
    low, high = math.floor(wanted.low * scale), wanted.high * scale
    last = highest if high >= highest else math.floor(high)
    found = range(min(low, highest), last + 1)
    return [] if len(found) > highest else [f"{name}={i}" for i in found]
