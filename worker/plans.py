"""What a night is asked for, as it stands on its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from reasoner.errors import InvalidRuleError
from reasoner.guards import Policy
from worker.settings import Settings

FIRST_RULES = 1
"""Of nights that don't say which; their record is left as it is, since a calibration's id is made of it."""

MAX_WINDOW_DAYS = 36_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is to do; with what was on record at its time, it decides every number."""

    policy: Policy = field(default_factory=Policy)
    window_days: float = 90.0
    max_labels: int = 5_000
    """Of one domain, the newest: more make no threshold better that anybody could see."""

    def __post_init__(self) -> None:
        if not 0.0 < self.window_days <= MAX_WINDOW_DAYS:
            raise InvalidRuleError(
                f"window_days must lie above 0 and not above {MAX_WINDOW_DAYS}, not {self.window_days:g}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only."""
        found = {**asdict(self.policy), "window_days": self.window_days, "max_labels": self.max_labels}
        return {name: value for name, value in found.items() if (name, value) != ("rules", FIRST_RULES)}

    @property
    def counts_untold(self) -> bool:
        """Whether what can't be told right or wrong counts as wrong."""
        return self.policy.rules > FIRST_RULES

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """Return the plan of ``to_json``."""
        names = {one.name for one in fields(Policy)}
        known = {"rules": FIRST_RULES, **value}
        return cls(
            policy=Policy(**{name: number for name, number in known.items() if name in names}),
            window_days=value["window_days"],
            max_labels=value["max_labels"],
        )


def plan_of(settings: Settings) -> Plan:
    """Return the plan that the settings describe.

    Raises:
        InvalidRuleError: A number lies outside its range.
    """
    return Plan(
        policy=Policy(
            alpha=settings.calibrate_alpha,
            target_risk=settings.calibrate_target_risk,
            delta=settings.calibrate_delta,
            max_change=settings.calibrate_max_change,
        ),
        window_days=settings.calibrate_window_days,
        max_labels=settings.calibrate_max_labels,
    )
