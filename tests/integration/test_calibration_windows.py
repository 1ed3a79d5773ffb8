"""What a night reads of its window: columns instead of rows, and ballots instead of chains."""

from __future__ import annotations

import random
from datetime import timedelta

import numpy as np
import pytest

from db.windows import N_LOOKED_AT
from reasoner.decisions import Thresholds
from tests.integration.bench import Outbox, query
from tests.integration.nights import PLAN, decided, night, numbers, results_of, task, tasks
from verifiers.math.verifier import MathVerifier
from worker.calibrating import reproduce
from worker.deciding import decide_task
from worker.judging.math import MathJudge
from worker.judging.table import Judges
from worker.messages import DECIDE, VERIFY
from worker.refitting import fit_weights
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.verify import verify
from worker.store.chains import load_chains
from worker.store.transactions import Store
from worker.store.verdicts import load_verdicts
from worker.store.windows import Window, graded_table
from worker.submission.lines import TaskLine

pytestmark = pytest.mark.services


def pooled(number: int, rng: random.Random) -> dict[str, object]:
    """Three models; the third copies the second, and the first is the best."""
    truth = str(number)
    first = truth if rng.random() < 0.9 else "wrong"
    second = truth if rng.random() < 0.5 else "wrong too"
    chains = [
        {"text": answer, "answer": answer, "model": model}
        for model, answer in (("a", first), ("b", second), ("c", second))
    ]
    return {"custom_id": truth, "kind": "qa", "chains": chains, "domain": "pool", "label": truth}


def test_weights_of_models_are_fitted_apart_and_used_by_the_queue(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    rng = random.Random(5)
    decided(desk, outbox, *(pooled(i, rng) for i in range(300)))
    made = night(store, judges)
    of_pool = next(one for one in made.calibrations if one.domain == "pool")
    assert of_pool.why == ""
    assert of_pool.report["n_for_weights"] == 100
    weights = of_pool.model_weights["fitted"]["weights"]
    assert weights["a"] > weights["b"]
    chains = [
        {"text": x, "answer": x, "model": m} for m, x in (("a", "left"), ("b", "right"), ("c", "right"))
    ]
    line = {"custom_id": "new", "kind": "qa", "chains": chains, "domain": "pool"}
    (found,) = results_of(store, decided(desk, outbox, line))
    assert (found["answer"], found["weights"]) == ("left", "fitted")  # the best model outweighs two that copy
    chains[2]["model"] = "unheard of"
    (found,) = results_of(store, decided(desk, outbox, {**line, "custom_id": "newer"}))
    assert found["weights"] == "votes"  # a fit says nothing of a model that it has not seen
    again = reproduce(store, judges, tenant="default", plan=PLAN, as_of=made.as_of)
    assert numbers(again) == numbers(made)


NEWEST = """
SELECT * FROM gradings WHERE grade = 'graded' AND until_at IS NULL AND (:domain = '' OR domain = :domain)
ORDER BY decided_at DESC, decision_id DESC LIMIT :n
"""


def test_the_columns_of_a_window_say_what_its_rows_say(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    silent = {**task(0, random.Random(0), domain="d"), "custom_id": "silent", "candidates": ["?", "??"]}
    decided(desk, outbox, *tasks(30), *tasks(5, domain="other", seed=1), silent)
    made = night(store, judges)
    for domain, n in (("", 36), ("d", 31), ("other", 5), ("none", 0)):
        for most in (4, 100):
            window = Window(
                tenant="default", as_of=made.as_of, starts_at=made.as_of - timedelta(days=1), max_labels=most
            )
            rows = query(store, NEWEST, domain=domain, n=most)[::-1]
            table = graded_table(store, window, domain=domain)
            labelled = table.labelled
            assert len(table) == len(rows) == min(n, most)
            assert labelled.masses.tolist() == [p for row in rows for p in row.masses]
            assert np.diff(labelled.starts).tolist() == [len(row.masses) for row in rows]
            assert labelled.confidence.tolist() == [row.confidence for row in rows]
            assert labelled.margin.tolist() == [row.vote_margin for row in rows]
            assert labelled.right.tolist() == [row.correct for row in rows]
            assert labelled.answerable.tolist() == [row.answerable for row in rows]
            of_truth = [0.0 if row.truth is None else row.masses[row.truth] for row in rows]
            assert labelled.of_truth.tolist() == of_truth
            assert table.n_right.tolist() == [len(row.right_chains) for row in rows]
            assert table.n_wrong.tolist() == [len(row.wrong_chains) for row in rows]
            assert table.ids == b"".join(row.decision_id.bytes + row.label_id.bytes for row in rows)


def test_ballots_of_older_tasks_are_found_below_newer_ones_without(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    rng = random.Random(8)
    decided(desk, outbox, *(pooled(i, rng) for i in range(30)))
    decided(desk, outbox, *tasks(N_LOOKED_AT + 5, domain="one model"))
    made = night(store, judges)
    window = Window(
        tenant="default", as_of=made.as_of, starts_at=made.as_of - timedelta(days=1), max_labels=200
    )
    assert graded_table(store, window, domain="one model").ballots is None
    ballots = graded_table(store, window, domain="").ballots
    assert ballots is not None
    assert len(ballots) == 30 + N_LOOKED_AT + 5
    assert {"a", "b", "c"} < set(ballots.models)


def test_ballots_in_the_database_decide_as_the_chains_do(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    rng = random.Random(6)
    decided(desk, outbox, *(pooled(i, rng) for i in range(300)))
    night(store, judges)
    mixed = [
        {**one, "custom_id": f"later-{i}", "verify": [{"verifier": "math", "reference": "7"}], "kind": "math"}
        for i, one in enumerate(pooled(i, rng) for i in range(40))
    ]
    decided(desk, outbox, *mixed, *tasks(20, domain="one model"))
    verifier = MathVerifier()
    verify(desk, outbox.take(VERIFY["math"]), verifier="math", judge=MathJudge(verifier).judge)
    verifier.close()
    decide(desk, outbox.take(DECIDE))
    made = night(store, judges)
    window = Window(
        tenant="default", as_of=made.as_of, starts_at=made.as_of - timedelta(days=1), max_labels=200
    )
    of_pool = graded_table(store, window, domain="pool").ballots
    assert of_pool is not None
    fitted = fit_weights(of_pool).fitted
    newest = query(store, NEWEST, domain="", n=200)[::-1]
    assert {row.weighted for row in newest} == {True, False}
    ids = [row.task_id for row in newest]
    chains, verdicts = load_chains(store, ids), load_verdicts(store, ids)
    lines = {
        row.id: TaskLine.model_validate(row.spec)
        for row in query(store, "SELECT id, spec FROM tasks WHERE id = ANY(:ids)", ids=ids)
    }
    for weights in (None, fitted):
        ballots = graded_table(store, window, domain="").ballots
        assert ballots is not None
        table = ballots.decided(weights)
        again = []
        for id_ in ids:
            sampled = [chain.as_chain() for chain in chains[id_]]
            known = weights if {chain.model for chain in sampled} <= {"a", "b", "c"} else None
            again.append(
                decide_task(lines[id_], sampled, verdicts[id_], calibrated=Thresholds(), fitted=known)
            )
        assert table.masses.tolist() == [one.posterior for decision in again for one in decision.clusters]
        assert table.confidence.tolist() == [decision.confidence for decision in again]
        assert table.margin.tolist() == [decision.vote_margin for decision in again]
    assert any(cluster.refuted for decision in again for cluster in decision.clusters)
    fitted_before = [one.model_weights for one in made.calibrations]
    assert any(fitted_before)
    assert query(store, "DELETE FROM chains RETURNING 1")  # as retention does
    again_fitted = night(store, judges, dry_run=True).calibrations
    assert [one.model_weights for one in again_fitted] == fitted_before
