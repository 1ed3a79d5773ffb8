"""A small sealed record for tests, and the ways in which somebody with all rights could change it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text

from db.seals import WORKER_ROLE
from db.session import connect
from db.tables import METADATA
from tests.integration.bench import Outbox, query, send
from worker.messages import DECIDE, GENERATE_GIVEN
from worker.seals.checking import Tally, verify
from worker.seals.findings import Finding
from worker.seals.sealing import seal_due
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate_given
from worker.store.seals import Seal
from worker.store.transactions import Store

VERDICT = """
INSERT INTO verdicts (task_id, candidate, verifier, version, outcome, reason, claim, evidence, limits, elapsed_s,
                      attempt)
SELECT id, 'answer:0:abc', 'math', '1', 'confirmed', 'Anna is 4', '{"answer": "abc"}', '{"quoted": "Anna"}',
       '{"timeout_s": 5}', 0.25, 1 FROM tasks WHERE state = 'deciding' RETURNING 1
"""

EXPLANATIONS = """
UPDATE chains SET explanations = '[{"answer": "Anna is 4", "logprob": -0.1, "n_tokens": 3, "by": "list"}]'
WHERE index = 0 AND task_id IN (SELECT id FROM tasks WHERE custom_id = ANY(:names)) RETURNING 1
"""

MAKE_LOGIN = """
DO $$ BEGIN CREATE ROLE {name} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
"""


def task(name: str) -> dict[str, object]:
    return {
        "custom_id": name,
        "kind": "qa",
        "prompt": "How old is Anna?",
        "chains": [
            {"text": "Anna is 4", "answer": "4", "logprob": -0.1, "n_tokens": 3},
            {"text": "Anna may be 5", "answer": "5"},
        ],
        "label": "4",
        "metadata": {"patient": "Anna"},
    }


def decided(desk: Desk, *names: str) -> None:
    """Have tasks decided, each with two chains, a verdict and a label."""
    outbox = desk.publisher
    assert isinstance(outbox, Outbox)
    send(desk, *map(task, names))
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    query(desk.store, VERDICT)
    decide(desk, outbox.take(DECIDE))
    query(desk.store, EXPLANATIONS, names=list(names))  # as if this chain had listed some


def seal(store: Store, **options: Any) -> list[Seal]:
    return list(seal_due(store, who="test", **options))


def found_by(store: Store, **options: Any) -> tuple[list[Finding], Tally]:
    tally = Tally()
    return list(verify(store, tally, **options)), tally


def differences(store: Store, **options: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    found, _ = found_by(store, **options)
    return [(one.what.value, one.row, one.groups) for one in found if one.is_difference]


def attack(store: Store, table: str, *statements: str, **values: object) -> None:
    """Do as a superuser can who stops at nothing: switch the triggers off, change rows, switch them on again."""
    with store.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        for statement in statements:
            connection.execute(text(statement), values)
        connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


@contextmanager
def restored(store: Store, table: str) -> Iterator[None]:
    """Put a table's rows back as they were, at the end of the block."""
    columns = METADATA.tables[table]
    rows: Sequence[Any]
    with store.begin() as connection:
        rows = connection.execute(columns.select()).mappings().all()
    yield
    with store.begin() as connection:
        # A replica's triggers are off, and so are the foreign keys; ours fire always.
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(columns.delete())
        if rows:
            connection.execute(insert(columns), [dict(row) for row in rows])
        connection.execute(text("SET LOCAL session_replication_role = origin"))
        connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


def id_of(store: Store, name: str) -> UUID:
    found: UUID = query(store, "SELECT id FROM tasks WHERE custom_id = :name", name=name)[0][0]
    return found


def login(store: Store, name: str, *, role: str = WORKER_ROLE) -> Store:
    """Return the database as a login of its own sees it, which is a member of ``role`` and nothing else."""
    with store.begin() as connection:
        connection.execute(text(MAKE_LOGIN.format(name=name)))
        connection.execute(text(f"GRANT {role} TO {name}"))
    return connect(store.url.set(username=name).render_as_string(hide_password=False))
