"""Chains: what generation writes and what every later stage reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import cast
from uuid import UUID

from sqlalchemy import Connection, Engine, Table, select, text

from db.bulk import insert_all
from db.models import ChainRow
from reasoner.chains import Chain
from worker.store.leases import HeldTask, Move, Moved, move
from worker.store.texts import storable
from worker.store.transactions import statements, transaction

CHAINS = cast("Table", ChainRow.__table__)

ADD_TURNS = text("""
INSERT INTO verifications (task_id, verifier, published_at)
SELECT turn.task_id, turn.verifier, now()
FROM unnest(CAST(:ids AS uuid[]), CAST(:verifiers AS text[])) AS turn (task_id, verifier)
""")

SET_TOKENS = text("""
UPDATE tasks SET tokens_spent = spent.n, tokens_saved = spent.saved
FROM unnest(CAST(:ids AS uuid[]), CAST(:spent AS int[]), CAST(:saved AS int[])) AS spent (id, n, saved)
WHERE tasks.id = spent.id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One explanation that a chain of SPREAD names, with its M.Score: exp(logprob / n_tokens)."""

    answer: str
    logprob: float | None
    """Sum over the tokens it was weighed by, in nats, before temperature."""

    n_tokens: int | None
    by: str
    """What weighed it: ``score``, the model asked for its probability given the observation; ``list``, its own
    tokens within the chain, after those that the chain lists before it; ``chain``, all tokens of the chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChain:
    """One chain with everything the audit wants to know of it."""

    index: int
    text: str
    answer: str | None
    logprob: float | None
    n_tokens: int | None
    finish_reason: str
    model: str
    revision: str
    seed: int | None
    temperature: float | None
    prompt_variant: str
    engine: str
    latency_s: float | None
    explanations: tuple[Explanation, ...] | None = None
    """Those that it names, in SPREAD; ``None`` where nothing was listed or scored, and the answer is all there is."""

    part: int = 0
    """Which of its explanations this is, after ``each_explanation``."""

    def as_chain(self) -> Chain:
        """Return what the method needs of it; of a chain with explanations, after ``each_explanation``."""
        return as_chain(
            index=self.index,
            part=self.part,
            answer=self.answer,
            logprob=self.logprob,
            n_tokens=self.n_tokens,
            model=self.model,
        )


def as_chain(
    *, index: int, part: int, answer: str | None, logprob: float | None, n_tokens: int | None, model: str
) -> Chain:
    """Return a row's columns as the method sees them: a logprob over no known tokens is none."""
    has_logprob = logprob is not None and bool(n_tokens)
    return Chain(
        index=index,
        part=part,
        answer=answer,
        logprob=logprob if has_logprob else None,
        n_tokens=n_tokens if has_logprob else None,
        model=model,
    )


def each_explanation(chains: Iterable[StoredChain]) -> list[StoredChain]:
    """Return the chains as claims and decisions see them: one for each explanation that a chain names, else itself."""
    found: list[StoredChain] = []
    for chain in chains:
        found += [
            replace(
                chain,
                answer=one.answer,
                logprob=one.logprob,
                n_tokens=one.n_tokens,
                part=part,
                explanations=None,
            )
            for part, one in enumerate(chain.explanations or ())
        ] or [chain]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What the generate stage made of one task."""

    task: HeldTask
    chains: Sequence[StoredChain]
    verifiers: Sequence[str]
    """Whose turn is next; none means that the task can be decided at once."""

    tokens_saved: int = 0


def save_generated(engine: Engine, generated: Sequence[Generated], *, who: str) -> list[Moved]:
    """Write chains and the verifiers' turns of tasks whose claim still counts; return which moved on."""
    with transaction(engine) as connection:
        moved = move(
            connection,
            [
                Move(
                    task=g.task,
                    to_state="verifying" if g.verifiers else "deciding",
                    why=f"{len(g.chains)} chains",
                )
                for g in generated
            ],
            from_state="generating",
            who=who,
        )
        accepted = {m.id for m in moved}
        _write(connection, [g for g in generated if g.task.id in accepted])
    return moved


def _write(connection: Connection, generated: Sequence[Generated]) -> None:
    if not generated:
        return
    chains = [_values(g.task, chain) for g in generated for chain in g.chains]
    insert_all(connection, CHAINS, chains)
    turns = [(g.task.id, v) for g in generated for v in g.verifiers]
    if turns:
        connection.execute(ADD_TURNS, {"ids": [i for i, _ in turns], "verifiers": [v for _, v in turns]})
    connection.execute(
        SET_TOKENS,
        {
            "ids": [g.task.id for g in generated],
            "spent": [sum(c.n_tokens or 0 for c in g.chains) for g in generated],
            "saved": [g.tokens_saved for g in generated],
        },
    )


def _values(task: HeldTask, chain: StoredChain) -> dict[str, object]:
    return {
        "task_id": task.id,
        "index": chain.index,
        "tenant": task.tenant,
        "text": storable(chain.text),
        "answer": None if chain.answer is None else storable(chain.answer),
        "logprob": chain.logprob,
        "n_tokens": chain.n_tokens,
        "finish_reason": chain.finish_reason,
        "model": storable(chain.model),
        "revision": storable(chain.revision),
        "seed": chain.seed,
        "temperature": chain.temperature,
        "prompt_variant": chain.prompt_variant,
        "engine": chain.engine,
        "latency_s": chain.latency_s,
        "explanations": _explanations_json(chain),
        "attempt": task.attempt,
    }


def _explanations_json(chain: StoredChain) -> list[dict[str, object]] | None:
    if chain.explanations is None:
        return None
    return [asdict(one) | {"answer": storable(one.answer)} for one in chain.explanations]


def load_chains(engine: Engine, ids: Iterable[UUID]) -> dict[UUID, list[StoredChain]]:
    """Return each task's chains in the order of their indices; every id has an entry."""
    wanted = list(ids)
    found: dict[UUID, list[StoredChain]] = {task_id: [] for task_id in wanted}
    columns = ChainRow.__table__.c
    statement = (
        select(ChainRow.__table__).where(columns.task_id.in_(wanted)).order_by(columns.task_id, columns.index)
    )
    names = [field.name for field in fields(StoredChain) if field.name not in {"explanations", "part"}]
    with statements(engine) as connection:
        for row in connection.execute(statement).mappings():  # a Row's own .index is the tuple's method
            listed = row["explanations"]
            found[row["task_id"]].append(
                StoredChain(
                    **{name: row[name] for name in names},
                    explanations=None if listed is None else tuple(Explanation(**one) for one in listed),
                )
            )
    return found
