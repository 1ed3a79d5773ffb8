"""Tasks whose truth is known, read page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, text

from worker.store.chains import StoredChain, load_chains
from worker.store.transactions import statements
from worker.store.verdicts import Judged, load_verdicts
from worker.submission.lines import TaskLine

PAGE = 200  # tasks of one read

# The newest label wins; ids are uuid7, so the order of ids is the order of time.
LABELLED = text("""
SELECT t.id, t.domain, t.spec, l.answers, l.correct, d.answer AS decided
FROM tasks t
JOIN LATERAL (SELECT answers, correct, decision_id FROM labels WHERE task_id = t.id
              ORDER BY at DESC, id DESC LIMIT 1) l ON true
LEFT JOIN decisions d ON d.id = l.decision_id
WHERE t.tenant = :tenant AND t.id > :after AND EXISTS (SELECT FROM labels WHERE task_id = t.id)
  AND t.state IN ('answered', 'abstained')
ORDER BY t.id LIMIT :n
""")

NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a label says."""

    answers: tuple[str, ...] = ()
    """Every answer that counts as right."""

    correct: bool | None = None
    """Where no answers are given: whether ``decided`` is right."""

    decided: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledLine:
    """One task with everything that was said of it."""

    id: UUID
    domain: str
    line: TaskLine
    chains: list[StoredChain]
    verdicts: list[Judged]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRecord(LabelledLine):
    """One decided task and the newest truth."""

    truth: Truth


def labelled_tasks(engine: Engine, *, tenant: str) -> Iterator[LabelledRecord]:
    """Yield the tenant's decided tasks that have a label, oldest first."""
    after = NOBODY
    while True:
        with statements(engine) as connection:
            rows = connection.execute(LABELLED, {"tenant": tenant, "after": after, "n": PAGE}).all()
        if not rows:
            return
        ids = [row.id for row in rows]
        chains, verdicts = load_chains(engine, ids), load_verdicts(engine, ids)
        for row in rows:
            yield LabelledRecord(
                id=row.id,
                domain=row.domain,
                line=TaskLine.model_validate(row.spec),
                truth=Truth(
                    answers=tuple(str(answer) for answer in row.answers),
                    correct=row.correct,
                    decided=row.decided,
                ),
                chains=chains[row.id],
                verdicts=verdicts[row.id],
            )
        after = ids[-1]
