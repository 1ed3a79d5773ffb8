"""Policies and prunings as they stand on record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from db import pruning
from worker.store.keeping import as_keeper
from worker.store.transactions import statements, transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long a tenant's record is kept."""

    tenant: str
    evidence_months: int | None = None
    """Age from which chains and verdicts may go; None keeps them as long as their task."""

    task_months: int | None = None
    """Age from which whole tasks may go; None keeps them for ever."""

    keep_labelled: bool = False
    who: str = ""
    at: datetime | None = None


def policies(engine: Engine) -> list[Policy]:
    """Return the policy of every tenant that has one."""
    with statements(engine) as connection:
        return [Policy(**row) for row in connection.execute(pruning.POLICIES).mappings()]


def set_policy(engine: Engine, policy: Policy) -> None:
    """Put a tenant's policy in the place of what it had.

    Raises:
        KeeperRefusedError: This login may not prune, and so may not say what is pruned.
    """
    with transaction(engine) as connection, as_keeper(connection):
        connection.execute(
            pruning.SET_POLICY,
            {
                "tenant": policy.tenant,
                "evidence_months": policy.evidence_months,
                "task_months": policy.task_months,
                "keep_labelled": policy.keep_labelled,
                "who": policy.who,
            },
        )


def clear_policy(engine: Engine, *, tenant: str) -> None:
    """Keep a tenant's record for ever.

    Raises:
        KeeperRefusedError: As for ``set_policy``.
    """
    with transaction(engine) as connection, as_keeper(connection):
        connection.execute(pruning.CLEAR_POLICY, {"tenant": tenant})


def prunings(engine: Engine, *, tenant: str, n: int) -> list[dict[str, Any]]:
    """Return the tenant's last ``n`` prunings, the newest first."""
    with statements(engine) as connection:
        found = connection.execute(pruning.PRUNINGS, {"tenant": tenant, "n": n})
        return [dict(row) for row in found.mappings()]


def pruned_under(engine: Engine, ids: Iterable[UUID], *, tenant: str) -> dict[UUID, dict[str, UUID]]:
    """Return for each of ``ids`` that lost something what went (``evidence``, ``task``) and under which pruning."""
    found: dict[UUID, dict[str, UUID]] = {}
    with statements(engine) as connection:
        for row in connection.execute(pruning.PRUNED_UNDER, {"ids": list(ids), "tenant": tenant}):
            found.setdefault(row.task_id, {})[row.what] = row.pruning_id
    return found


def tenants(engine: Engine) -> list[str]:
    """Return every tenant that ever submitted something."""
    with statements(engine) as connection:
        return list(connection.execute(pruning.TENANTS).scalars())
