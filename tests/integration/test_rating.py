"""Sensitivity and specificity from stored verdicts and labels."""

from __future__ import annotations

from functools import partial

import pytest

from reasoner.verifier_rates import VerifierRates
from tests.integration.bench import Outbox, query, send
from verifiers.math.verifier import MathVerifier
from worker.calibrating import rates_as_recorded, reproduce, run_night
from worker.judging.math import MathJudge
from worker.judging.table import Judges
from worker.messages import DECIDE, GENERATE_GIVEN, VERIFY
from worker.plans import Plan
from worker.rating import rate_verifiers
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate_given
from worker.stages.verify import verify
from worker.store.labelled import labelled_tasks
from worker.store.rates import Measured, latest_rates, save_rates
from worker.store.transactions import Store

pytestmark = pytest.mark.services


def task(
    number: int, *, label: str | None, domain: str = "sums", reference: str = "1/2"
) -> dict[str, object]:
    """Three answers: right in two wordings, and wrong; the reference is the verifier's, the label is the truth."""
    return {
        "custom_id": str(number),
        "kind": "math",
        "prompt": "Half of one?",
        "candidates": ["0.5", "50%", "2"],
        "verify": [{"verifier": "math", "reference": reference}],
        "label": label,
        "domain": domain,
    }


def run(desk: Desk, outbox: Outbox, *lines: object) -> None:
    send(desk, *lines)
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    verifier = MathVerifier()
    verify(desk, outbox.take(VERIFY["math"]), verifier="math", judge=MathJudge(verifier).judge)
    verifier.close()
    decide(desk, outbox.take(DECIDE))


def test_verdicts_are_counted_against_the_label_and_kept(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    misled = task(2, label="0.5", domain="halves", reference="2")  # the verifier was given a wrong reference
    run(desk, outbox, task(0, label="1/2"), task(1, label=None), misled)
    found = rate_verifiers(labelled_tasks(store, tenant="default"), judges)
    by_domain = {of.domain: rates for of, rates in found.items() if of.verifier == "math"}
    assert by_domain["sums"] == VerifierRates(right_confirmed=2, wrong_refuted=1)
    assert by_domain["halves"] == VerifierRates(right_refuted=2, wrong_confirmed=1)
    assert by_domain[""] == VerifierRates(
        right_confirmed=2, right_refuted=2, wrong_refuted=1, wrong_confirmed=1
    )
    assert (by_domain[""].sensitivity, by_domain[""].specificity) == (0.5, 0.5)
    save_rates(store, found, tenant="default")
    save_rates(store, found, tenant="default")
    assert {of: rates for of, (rates, _) in latest_rates(store, tenant="default").items()} == found
    assert query(store, "SELECT count(*) FROM verifier_rates") == [(2 * len(found),)]
    assert latest_rates(store, tenant="somebody else") == {}


def test_the_newest_label_is_the_truth(desk: Desk, outbox: Outbox, store: Store, judges: Judges) -> None:
    run(desk, outbox, task(0, label="0.5"))
    query(
        store,
        "INSERT INTO labels (id, task_id, answers, source, at) SELECT gen_random_uuid(), task_id, "
        "'[\"2\"]'::jsonb, 'later', now() + interval '1 second' FROM labels RETURNING 1",
    )
    found = rate_verifiers(labelled_tasks(store, tenant="default"), judges)
    assert {
        rates
        for of, rates in found.items()
        if of == Measured(verifier="math", version=of.version, domain="sums")
    } == {VerifierRates(right_refuted=1, wrong_confirmed=2)}


def test_a_night_measures_verifiers_and_has_the_same_again(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    misled = task(2, label="0.5", domain="halves", reference="2")
    run(desk, outbox, task(0, label="1/2"), task(1, label=None), misled)
    by_hand = rate_verifiers(labelled_tasks(store, tenant="default"), judges)
    made = run_night(store, judges, tenant="default", plan=Plan(), who="test")
    assert {of: found for of, found in by_hand.items() if found.n_right + found.n_wrong} == made.rates
    assert {of: found for of, (found, _) in latest_rates(store, tenant="default").items()} == made.rates
    query(
        store,
        "INSERT INTO verdicts SELECT task_id, candidate, verifier, 'newer', tenant, 'confirmed', reason, claim,"
        " evidence, limits, elapsed_s, attempt, now() FROM verdicts RETURNING 1",
    )
    again = partial(reproduce, store, judges, tenant="default", plan=Plan(), as_of=made.as_of)
    assert again().rates == made.rates
    assert rates_as_recorded(store, again(), tenant="default") is True
    query(store, "UPDATE verifier_rates SET right_confirmed = right_confirmed + 1 RETURNING 1")
    assert rates_as_recorded(store, again(), tenant="default") is False
    query(store, "DELETE FROM verifier_rates RETURNING 1")
    assert rates_as_recorded(store, again(), tenant="default") is None


def test_what_an_older_version_graded_is_graded_once_more(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    run(desk, outbox, task(0, label="1/2"))
    night = partial(run_night, store, judges, tenant="default", plan=Plan(), who="test")
    first = night()
    query(store, "UPDATE gradings SET form = 1, verdicts = '[]' RETURNING 1")
    query(
        store, "UPDATE calibration_runs SET form = 1, started_at = started_at + interval '2 days' RETURNING 1"
    )
    second = night()
    assert (first.counts["graded"], second.counts["graded"], night().counts["graded"]) == (1, 1, 0)
    assert second.rates == first.rates


def test_a_task_without_chains_keeps_the_grading_it_had(
    desk: Desk, outbox: Outbox, store: Store, judges: Judges
) -> None:
    run(desk, outbox, task(0, label="1/2"))
    night = partial(run_night, store, judges, tenant="default", plan=Plan(), who="test")
    first = night()
    query(store, "DELETE FROM chains RETURNING 1")
    query(
        store,
        "INSERT INTO labels (id, task_id, answers, source, at) SELECT gen_random_uuid(), task_id, "
        "'[\"2\"]'::jsonb, 'later', now() FROM labels RETURNING 1",
    )
    second = night()
    assert second.counts["graded"] == 0
    assert second.counts["pruned"] > 0
    assert second.rates == first.rates
