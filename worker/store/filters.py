"""What decisions are searched by, and the facets that stand for it."""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from uuid import UUID

from db.entries import DEGREE_EDGES, MARGIN_EDGES
from db.finding import KEYS
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
EDGES: Mapping[str, Sequence[float]] = {"margin": MARGIN_EDGES, "degree": DEGREE_EDGES}
"""Where the buckets of numbers begin, but the first."""


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
        """Return the facets of the profile: of each list one at least must be there."""
        groups = [
            [f"{name}={storable(value)}" for value in getattr(self, name)]
            for name in ("kind", "domain", "mode", "state", "why", "outcome", "verdict", "model", "label")
        ]
        for name, edges in EDGES.items():
            groups.append([f"{name}={i}" for i in _buckets(getattr(self, name), edges)])
        return [group for group in groups if group]

    def keys(self) -> dict[str, list[str]]:
        """Return what is kept as a key: of each list one must be it."""
        found = {name: [_key(name, value) for value in getattr(self, name)] for name in KEYS}
        return {name: values for name, values in found.items() if values}

    def are_told_by_facets(self) -> bool:
        """Return whether the ranges of numbers begin and end where buckets do."""
        return all(_is_whole(getattr(self, name), edges) for name, edges in EDGES.items())

    def fingerprint(self) -> str:
        """Return what tells these filters from others, but for the times, which may count from now."""
        content = json.dumps([self.groups(), self.keys(), asdict(self.margin), asdict(self.degree)])
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _key(name: str, value: str) -> str:
    if name != "answer":
        return str(_as_id(name, value))
    # As WRITE makes it of the stored answer: Postgres' lower() of the locale C knows ASCII only.
    return "".join(c.lower() if c.isascii() else c for c in storable(value).strip(" \t\r\n"))


def _as_id(name: str, value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise QueryError(f"{name} {value!r} is no id") from None


def _buckets(wanted: Range, edges: Sequence[float]) -> range:
    """Return the buckets that a range touches; none when that is all of them."""
    first, last = bisect_right(edges, wanted.low), bisect_right(edges, wanted.high)
    return range(0) if (first, last) == (0, len(edges)) else range(first, last + 1)


def _is_whole(wanted: Range, edges: Sequence[float]) -> bool:
    """Return whether a range is all of the buckets it touches; its end is in it, so only the last bucket can end it."""
    return wanted.low in (0.0, *edges) and wanted.high == math.inf
