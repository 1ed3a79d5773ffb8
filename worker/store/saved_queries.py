"""Questions that somebody gave a name; each tenant has its own."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Engine

from db import finding
from worker.errors import QueryError
from worker.store.texts import storable, storable_json
from worker.store.transactions import statements

MAX_NAME_CHARS = 100


def save_query(engine: Engine, name: str, filters: dict[str, Any], *, tenant: str) -> dict[str, Any] | None:
    """Keep filters under a name, and return those it had and lost by it; ``None`` if the name is new.

    Raises:
        QueryError: The name is empty or too long.
    """
    if not 0 < len(name.strip()) <= MAX_NAME_CHARS:
        raise QueryError(f"a query's name has 1 to {MAX_NAME_CHARS} characters")
    values = {"tenant": tenant, "name": storable(name), "filters": json.dumps(storable_json(filters))}
    with statements(engine) as connection:
        before = connection.execute(finding.SAVE_QUERY, values).scalar()
    return None if before is None else dict(before)


def get_query(engine: Engine, name: str, *, tenant: str) -> dict[str, Any]:
    """Return the filters of a name.

    Raises:
        QueryError: The tenant has no such query.
    """
    with statements(engine) as connection:
        found = connection.execute(finding.GET_QUERY, {"tenant": tenant, "name": storable(name)}).scalar()
    if found is None:
        raise QueryError(f"there is no query {name!r}; `merge-reasoner audit queries` lists them")
    return dict(found)


def list_queries(engine: Engine, *, tenant: str) -> list[dict[str, Any]]:
    """Return the tenant's queries by name."""
    with statements(engine) as connection:
        return [dict(row) for row in connection.execute(finding.LIST_QUERIES, {"tenant": tenant}).mappings()]


def remove_query(engine: Engine, name: str, *, tenant: str) -> bool:
    """Forget a query; return whether there was one."""
    with statements(engine) as connection:
        found = connection.execute(finding.REMOVE_QUERY, {"tenant": tenant, "name": storable(name)})
        return found.one_or_none() is not None
