"""Decisions made again from what is on record, and compared with what was stored, field by field.

A decision is made again with the calibration it names and with the chains and verdicts it rested on, whatever came
later. No verifier runs: which answers are the same is what the stored verdict said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

from pydantic import ValidationError

from reasoner.chains import Chain
from reasoner.decisions import Decision
from reasoner.errors import ReasonerError
from worker.claims import EQUIVALENCE, RELATING, answers_of, equivalence_of, verifiers_needed
from worker.comparing import Difference, differences
from worker.deciding import (
    METHOD_VERSION,
    configuration_of,
    decide_task,
    inputs_of,
    keys_of,
    models_of,
    weights_for,
)
from worker.store.calibrations import FIRST_TENANT, Calibration
from worker.store.decisions import cluster_columns, decision_columns
from worker.store.replays import BARE, OnRecord
from worker.store.texts import REDACTED
from worker.store.verdicts import Judged
from worker.submission.lines import TaskLine

Result = Literal["same", "different", "unreplayable"]

T = TypeVar("T")

COLUMNS = (
    "answer",
    "abstain_flag",
    "abstain_reasons",
    "confidence",
    "vote_margin",
    "merge_degree",
    "set_size",
    "best_cluster",
    "document",
)
"""What the method decides."""

FACTS = ("configuration", "tenant", "is_current", "inputs")
"""What follows from other rows. The rest can't be recomputed, being facts: ids, times, attempt, code version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of one decision."""

    task_id: UUID
    decision_id: UUID
    custom_id: str
    result: Result
    differences: list[Difference]
    why: str = ""
    """Why it can't be replayed."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only."""
        return {
            "task_id": str(self.task_id),
            "decision_id": str(self.decision_id),
            "custom_id": self.custom_id,
            "result": self.result,
            "differences": [one.to_json() for one in self.differences],
            "why": self.why,
        }


class _CannotTellError(Exception):
    """Raised when what a decision rested on is not on record any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    """What a decision rested on."""

    line: TaskLine
    chains: list[Chain]
    verdicts: list[Judged]
    calibration: Calibration
    fingerprint: str | None
    """Of the rows; ``None`` where the decision stored none."""

    is_as_then: bool
    """Whether the fingerprint is known and the stored one."""


def replay(record: OnRecord, *, tolerance: float = 0.0) -> Replayed:
    """Return whether a decision comes out as it was stored.

    Args:
        record: The decision and everything on record about its task.
        tolerance: Numbers that differ by less, relatively, are the same: the exp of another machine's C library may
            differ in the last bit.
    """
    row = record.row
    found: list[Difference] = []
    why = ""
    try:
        inputs = _inputs(record)
        found = list(differences(_stored(record), _made_again(record, inputs), tolerance=tolerance))
        if found:
            _require_texts(record, inputs)
    except _CannotTellError as error:
        found, why = [], str(error)
    except (ReasonerError, LookupError, TypeError, ValueError) as error:
        # What is stored is not what we write: one broken record must not end the replay of the others.
        told = f"{type(error).__name__}: {error}"
        found = [Difference(field="record", stored="a decision", again=f"it can't be decided: {told}")]
    result: Result = "unreplayable" if why else "different" if found else "same"
    return Replayed(
        task_id=row["task_id"],
        decision_id=row["id"],
        custom_id=row["custom_id"],
        result=result,
        differences=found,
        why=why,
    )


def _inputs(record: OnRecord) -> _Inputs:
    row = record.row
    if row["method_version"] != METHOD_VERSION:
        raise _CannotTellError(
            f"decided by version {row['method_version']} of the method, and this code has version {METHOD_VERSION}: "
            f"replay it with the code that it names, {row['code_version']}"
        )
    try:
        line = TaskLine.model_validate_json(row["spec"])
    except ValidationError as error:
        raise _CannotTellError(
            f"the task's line can't be read: {error.errors()[0]['msg']}, at {error.errors()[0]['loc']}"
        ) from error
    if record.calibration is None:
        raise _CannotTellError("the calibration it names is not on record, or not as we write it")
    chains, verdicts, fingerprint = _rows_then(record)
    _require_chains(record, chains)
    inputs = _Inputs(
        line=line,
        chains=chains,
        verdicts=verdicts,
        calibration=record.calibration,
        fingerprint=fingerprint,
        is_as_then=fingerprint is not None and fingerprint == row["inputs"],
    )
    _require_verdicts(record, inputs)
    return inputs


def _rows_then(record: OnRecord) -> tuple[list[Chain], list[Judged], str | None]:
    """Return the chains and verdicts that the decision rested on: those that were there when it was made.

    The database's clock may have been set back in between, so where the stored fingerprint names other rows than the
    clock does, it is believed if it fits all that there are.
    """
    wanted, at = record.row["inputs"], record.row["created_at"]
    then = _written_by(record.chains, at), _written_by(record.verdicts, at)
    everything = [one for one, _ in record.chains], [one for one, _ in record.verdicts]
    for chains, verdicts in (then, everything):
        fingerprint = inputs_of((chain.index for chain in chains), keys_of(verdicts))
        if fingerprint == wanted:
            return chains, verdicts, fingerprint
    if wanted is None:
        return (*then, None)
    return (*then, inputs_of((chain.index for chain in then[0]), keys_of(then[1])))


def _written_by(rows: Sequence[tuple[T, datetime]], at: datetime) -> list[T]:
    return [one for one, written_at in rows if written_at <= at]


def _require_chains(record: OnRecord, chains: Sequence[Chain]) -> None:
    n_chains = record.row["document"].get("n_chains")
    if n_chains and not chains:
        raise _CannotTellError(f"none of its {n_chains} chains is on record any more")


def _require_verdicts(record: OnRecord, inputs: _Inputs) -> None:
    """See that what told answers apart, or judged them, is still there; some that are missing are a difference."""
    relating = RELATING.get(equivalence_of(inputs.line))
    told = [one for one in inputs.verdicts if one.candidate == EQUIVALENCE]
    if any("pairs" not in one.verdict.evidence for one in told):
        raise _CannotTellError(
            f"the evidence by which {relating} told its answers apart is not on record any more"
        )
    if inputs.is_as_then:
        return
    if relating in verifiers_needed(inputs.line, answers_of(inputs.chains)) and not told:
        raise _CannotTellError(f"the verdict by which {relating} told its answers apart is not on record")
    judged = any(cluster.get("outcome") for cluster in record.row["document"].get("clusters", []))
    if judged and not any(one.candidate != EQUIVALENCE for one in inputs.verdicts):
        raise _CannotTellError("none of the verdicts on its answers is on record any more")


def _require_texts(record: OnRecord, inputs: _Inputs) -> None:
    """See that a difference does not come from texts that a redaction took: it leaves a mark, or bare verdicts."""
    answers = {chain.answer for chain in inputs.chains if chain.answer is not None}
    if answers == {REDACTED} and record.row["answer"] in {REDACTED, None}:
        raise _CannotTellError("its answers were redacted")
    bare = any(BARE in one.verdict.evidence for one in inputs.verdicts)
    if bare and equivalence_of(inputs.line) == "behavioural":
        raise _CannotTellError("the evidence by which its programs were told apart is not on record any more")


def _stored(record: OnRecord) -> dict[str, Any]:
    row = record.row
    return {
        **{name: row[name] for name in (*COLUMNS, *FACTS)},
        "calibration_id": str(row["calibration_id"]),
        "task.state": row["state"],
        "clusters": record.clusters,
    }


def _made_again(record: OnRecord, inputs: _Inputs) -> dict[str, Any]:
    row, calibration = record.row, inputs.calibration
    weights = weights_for(inputs.chains, calibration.weights)
    decision = decide_task(
        inputs.line,
        inputs.chains,
        inputs.verdicts,
        calibrated=calibration.thresholds,
        fitted=weights.fitted,
        model_weights=weights.model_weights,
    )
    models = None if inputs.line.is_given else models_of(inputs.line, inputs.chains)
    return {
        **decision_columns(decision, models),
        "configuration": configuration_of(
            inputs.line, calibration.thresholds, weights, code_version=row["code_version"]
        ),
        "tenant": row["task_tenant"],
        "is_current": row["is_newest"],
        "inputs": inputs.fingerprint,
        "calibration_id": _calibration_of(record, calibration),
        "task.state": _state(decision) if row["is_current"] else row["state"],
        "clusters": [cluster_columns(cluster) for cluster in decision.clusters],
    }


def _calibration_of(record: OnRecord, calibration: Calibration) -> str:
    """Return the calibration it names, if a task of its tenant and domain can have been decided by it."""
    row = record.row
    # The first one's tenant: there it was seeded, and its fallback was everybody's in older versions.
    is_ours = record.calibration_tenant in {row["task_tenant"], FIRST_TENANT}
    is_of_domain = calibration.domain in {"", row["domain"]}
    return str(calibration.id) if is_ours and is_of_domain else "one of the task's tenant and domain"


def _state(decision: Decision) -> str:
    return "abstained" if decision.abstain else "answered"
