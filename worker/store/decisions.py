"""Decisions: the contract of each task, written once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, insert
from uuid_utils.compat import uuid7

from db.ledger import ClusterRow, DecisionRow
from reasoner.decisions import Cluster, Decision
from worker.store.entries import write_entries
from worker.store.leases import HeldTask, Move, Moved, move
from worker.store.texts import storable
from worker.store.transactions import transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One task's decision and what it rests on."""

    task: HeldTask
    decision: Decision
    calibration_id: UUID
    configuration: str
    code_version: str
    method_version: int
    inputs: str
    """Fingerprint of which chains and verdicts it rests on."""

    models: dict[str, Any] | None = None
    """Of a pool's task: which models were asked, and which were missing."""


def save_decided(engine: Engine, decided: Sequence[Decided], *, who: str) -> list[Moved]:
    """Write the decisions of tasks whose claim still counts; return those tasks, now in their final state."""
    with transaction(engine) as connection:
        moved = move(
            connection,
            [
                Move(
                    task=d.task,
                    to_state="abstained" if d.decision.abstain else "answered",
                    why=", ".join(d.decision.abstain_reasons),
                )
                for d in decided
            ],
            from_state="deciding",
            who=who,
        )
        accepted = {m.id for m in moved}
        _write(connection, [(uuid7(), d) for d in decided if d.task.id in accepted])
    return moved


def _write(connection: Connection, decided: Sequence[tuple[UUID, Decided]]) -> None:
    if not decided:
        return
    connection.execute(insert(DecisionRow), [_decision_values(id_, d) for id_, d in decided])
    clusters = [
        {"decision_id": id_, **cluster_columns(cluster)}
        for id_, d in decided
        for cluster in d.decision.clusters
    ]
    if clusters:
        connection.execute(insert(ClusterRow), clusters)
    write_entries(connection, [id_ for id_, _ in decided])


def cluster_columns(cluster: Cluster) -> dict[str, Any]:
    """Return a cluster as its row has it."""
    return {
        "number": cluster.id,
        "members": list(cluster.members),
        "answer": storable(cluster.answer),
        "score": cluster.score,
        "posterior": cluster.posterior,
        "in_set": cluster.in_set,
        "outcome": None if cluster.outcome is None else cluster.outcome.value,
    }


def decision_columns(decision: Decision, models: dict[str, Any] | None) -> dict[str, Any]:
    """Return those columns of a decision's row that the method decides."""
    return {
        "answer": decision.answer,
        "abstain_flag": decision.abstain,
        "abstain_reasons": [reason.value for reason in decision.abstain_reasons],
        "confidence": decision.confidence,
        "vote_margin": decision.vote_margin,
        "merge_degree": decision.merge_degree,
        "set_size": sum(cluster.in_set for cluster in decision.clusters),
        "best_cluster": decision.best.id if decision.best is not None else None,
        "document": decision.to_json() | ({} if models is None else {"models": models}),
    }


def _decision_values(id_: UUID, decided: Decided) -> dict[str, object]:
    return {
        "id": id_,
        "task_id": decided.task.id,
        "tenant": decided.task.tenant,
        **decision_columns(decided.decision, decided.models),
        "calibration_id": decided.calibration_id,
        "configuration": decided.configuration,
        "code_version": decided.code_version,
        "method_version": decided.method_version,
        "inputs": decided.inputs,
        "attempt": decided.task.attempt,
    }
