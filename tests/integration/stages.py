"""What tests of stages share: a question with recorded chains, and a run through all stages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text

from tests.integration.bench import Outbox
from verifiers.math.verifier import MathVerifier
from worker.engines.replay import RecordedChain, ReplayEngine
from worker.judging.math import MathJudge
from worker.messages import DECIDE, GENERATE, GENERATE_GIVEN, VERIFY
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate, generate_given
from worker.stages.verify import verify
from worker.store.transactions import Store

PROMPT = "What is 1 + 1?"
CHAINS = [
    RecordedChain(text=rf"It is \boxed{{{answer}}}", logprob=-2.0, n_tokens=4)
    for answer in ("2", "2.0", "3", r"\frac{4}{2}", "2", "2", "2", "2")
]
MATH_LINE = {"custom_id": "m", "kind": "math", "prompt": PROMPT, "options": {"early_exit": "none"}}


def age_leases(store: Store) -> None:
    """Let every lease run out, as if its worker had been dead for an hour."""
    for table in ("tasks", "verifications"):
        with store.begin() as connection:
            connection.execute(
                text(
                    f"UPDATE {table} SET lease_until = now() - interval '1 hour' WHERE lease_until IS NOT NULL"
                )
            )


def run_all(desk: Desk, outbox: Outbox, pool: ThreadPoolExecutor, math: MathVerifier) -> None:
    generate(desk, outbox.take(GENERATE), engine=ReplayEngine({PROMPT: CHAINS}), pool=pool)
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    verify(desk, outbox.take(VERIFY["math"]), verifier="math", judge=MathJudge(math).judge)
    decide(desk, outbox.take(DECIDE))
