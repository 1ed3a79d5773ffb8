"""Every decision of the golden ledger is made again, and whatever is changed in one is named."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.chains import Chain
from reasoner.decisions import AbstainReason
from reasoner.outcomes import Outcome
from tests.golden import read
from verifiers.verdicts import Verdict
from worker.claims import EQUIVALENCE
from worker.comparing import ABSENT, differences
from worker.deciding import METHOD_VERSION
from worker.replaying import COLUMNS, FACTS, Replayed, replay
from worker.store.replays import BARE, OnRecord
from worker.store.texts import REDACTED
from worker.store.verdicts import Judged

GOLDEN = read()
RECORDS = GOLDEN.records
LAST_BIT = 1e-12  # the C library's exp and log may differ in the last bit between machines

records = st.sampled_from(RECORDS)


def named(custom_id: str) -> OnRecord:
    return next(one for one in RECORDS if one.row["custom_id"] == custom_id)


def made_again(record: OnRecord) -> Replayed:
    return replay(record, tolerance=LAST_BIT)


def with_row(record: OnRecord, **changes: object) -> OnRecord:
    return replace(record, row={**record.row, **changes})


def test_old_decisions_are_made_again() -> None:
    """If the change is wanted: raise METHOD_VERSION, then write the ledger anew, `python -m tests.golden`."""
    assert GOLDEN.method_version == METHOD_VERSION
    others = [one.to_json() for one in map(made_again, RECORDS) if one.result != "same"]
    assert others == []


def test_the_ledger_holds_every_kind_of_decision() -> None:
    rows = [one.row for one in RECORDS]
    assert {(row["kind"], row["mode"]) for row in rows} == {
        (kind, mode) for kind in ("math", "code", "diagnosis", "qa", "text") for mode in ("merge", "spread")
    }
    assert {row["document"]["weights"] for row in rows} == {"votes", "logprobs", "fitted"}
    reasons = Counter(reason for row in rows for reason in row["abstain_reasons"])
    assert set(reasons) == set(AbstainReason)
    said = {(v.verdict.verifier, v.verdict.outcome) for one in RECORDS for v, _ in one.verdicts}
    assert said >= {
        (name, Outcome.CONFIRMED) for name in ("math", "code", "facts", "entailment", "embedding")
    }
    assert said >= {(name, Outcome.REFUTED) for name in ("math", "code", "entailment")}
    assert any("models" in row["document"] for row in rows)
    assert any("early_exit" in row["spec"] and row["document"]["n_chains"] < 8 for row in rows)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield every leaf with the way to it."""
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    )
    if inner is None or not value:
        yield path, value
        return
    for key, one in inner:
        yield from leaves(one, (*path, key))


def changed(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case float():
            return value + 1e-6
        case int():
            return value + 1
        case str():
            return value + "x"
        case None:
            return "something"
        case list():
            return ["something"]
        case _:
            return {"something": 1}


def as_path(path: tuple[Any, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


@given(records, st.data())
def test_one_changed_field_is_the_one_that_is_named(record: OnRecord, data: st.DataObject) -> None:
    stored = {name: record.row[name] for name in (*COLUMNS, *FACTS)} | {"clusters": record.clusters}
    path, value = data.draw(st.sampled_from(list(leaves(stored))))
    broken: Any = copy.deepcopy(stored)
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = changed(value)
    clusters = broken.pop("clusters")
    found = made_again(replace(with_row(record, **broken), clusters=clusters))
    assert found.result == "different"
    fields = {one.field for one in found.differences}
    assert as_path(path) in fields
    # A decision that is not current says nothing of the task's state; otherwise nothing else is blamed.
    assert fields - {as_path(path)} <= {"task.state"}


@given(records, st.sampled_from(["logprob", "answer", "model"]))
def test_a_changed_chain_is_no_longer_the_decision_on_record(record: OnRecord, what: str) -> None:
    (chain, at), *rest = record.chains
    if chain.answer is None or (what == "logprob" and chain.logprob is None):
        return
    values: dict[str, Any] = {"logprob": -99.0, "answer": "another answer", "model": chain.model}
    found = made_again(replace(record, chains=[(replace(chain, **{what: values[what]}), at), *rest]))
    assert found.result == ("same" if what == "model" else "different") or record.row["mode"] == "spread"


@given(records, st.integers(1, 3))
def test_what_came_later_leaves_no_trace(record: OnRecord, seconds: int) -> None:
    later = record.row["created_at"] + timedelta(seconds=seconds)
    chain = Chain(index=60, answer="something else", logprob=-1.0, n_tokens=1)
    verdicts = [
        (
            replace(one, verdict=replace(one.verdict, version="newer", outcome=Outcome.REFUTED, evidence={})),
            later,
        )
        for one, _ in record.verdicts
    ]
    grown = replace(record, chains=[*record.chains, (chain, later)], verdicts=[*record.verdicts, *verdicts])
    assert made_again(grown).result == "same"
    assert made_again(with_row(grown, inputs=None)).result in {"same", "different"}
    assert [one.field for one in made_again(with_row(grown, inputs=None)).differences] == []


@given(records)
def test_rows_older_than_the_fingerprint_are_told_apart_by_time(record: OnRecord) -> None:
    assert made_again(with_row(record, inputs=None)).result == "same"


@given(records)
def test_a_clock_that_was_set_back_is_no_difference(record: OnRecord) -> None:
    long_before = record.row["created_at"] - timedelta(hours=1)
    assert made_again(with_row(record, created_at=long_before)).result == "same"


def test_a_removed_chain_or_verdict_is_a_difference() -> None:
    record = named("code-0")
    found = made_again(replace(record, chains=record.chains[1:]))
    assert {"inputs", "document.n_chains"} <= {one.field for one in found.differences}
    found = made_again(replace(record, verdicts=record.verdicts[1:]))
    assert "inputs" in {one.field for one in found.differences}


def verdict_without_evidence(one: Judged) -> Judged:
    return replace(one, verdict=replace(one.verdict, evidence={}))


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (replace(named("drawn-0-0"), chains=[]), "chains is on record any more"),
        (replace(named("code-0"), verdicts=[]), "verdicts on its answers"),
        (
            replace(
                named("math-merge-0"),
                verdicts=[one for one in named("math-merge-0").verdicts if one[0].candidate != EQUIVALENCE],
            ),
            "the verdict by which math told its answers apart",
        ),
        (
            replace(
                named("math-merge-0"),
                verdicts=[(verdict_without_evidence(one), at) for one, at in named("math-merge-0").verdicts],
            ),
            "the evidence by which math told its answers apart",
        ),
        (with_row(named("code-0"), method_version=METHOD_VERSION + 1), "version 2 of the method"),
        (with_row(named("code-0"), spec='{"kind": "poem"}'), "the task's line can't be read"),
        (replace(named("code-0"), calibration=None), "the calibration it names"),
    ],
)
def test_what_cannot_be_replayed_says_why_and_is_no_difference(record: OnRecord, why: str) -> None:
    found = made_again(record)
    assert (found.result, found.differences) == ("unreplayable", [])
    assert why in found.why


def test_redacted_texts_are_told_apart_from_differences() -> None:
    record = next(one for one in RECORDS if len(one.clusters) > 2 and one.row["mode"] == "merge")
    chains = [(replace(c, answer=c.answer and REDACTED), at) for c, at in record.chains]
    document = copy.deepcopy(record.row["document"])
    for place in (document, *document["clusters"], *document["alt_explanations"]):
        place["answer"] = REDACTED
    clusters = [{**one, "answer": REDACTED} for one in record.clusters]
    gone = with_row(replace(record, chains=chains, clusters=clusters), answer=REDACTED, document=document)
    assert (made_again(gone).result, made_again(gone).why) == ("unreplayable", "its answers were redacted")
    code = named("code-0")
    bare = [
        (replace(one, verdict=replace(one.verdict, evidence={BARE: True})), at) for one, at in code.verdicts
    ]
    assert "told apart" in made_again(replace(code, verdicts=bare)).why


def test_a_calibration_of_somebody_else_is_named() -> None:
    record = named("code-0")
    for foreign in (replace(record, calibration_tenant="other"), with_row(record, domain="python")):
        fields = {one.field for one in made_again(foreign).differences}
        assert fields == ({"calibration_id"} if foreign.calibration_tenant == "other" else set())


def test_a_broken_record_is_a_difference_and_no_crash() -> None:
    record = named("math-merge-0")
    (chain, at), *rest = record.chains
    impossible = replace(record, chains=[(replace(chain, logprob=1.0, n_tokens=3), at), *rest])
    assert [one.field for one in made_again(impossible).differences] == ["record"]
    odd = [
        (replace(one, verdict=replace(one.verdict, evidence={"pairs": [1]})), at)
        for one, at in record.verdicts
    ]
    assert [one.field for one in made_again(replace(record, verdicts=odd)).differences] == ["record"]


def test_differences_are_named_by_their_path() -> None:
    stored = {"a": 1, "b": [1, {"c": True}], "d": {"e": 1.0}, "f": [1]}
    again = {"a": 1.0, "b": [1, {"c": 1}], "d": {"e": 1.0 + 1e-15}, "f": [1, 2], "g": None}
    found = {one.field: (one.stored, one.again) for one in differences(stored, again)}
    assert found == {
        "b[1].c": (True, 1),
        "d.e": (1.0, 1.0 + 1e-15),
        "f": ([1], [1, 2]),
        "g": (ABSENT, None),
    }
    assert {one.field for one in differences(stored, again, tolerance=1e-12)} == {"b[1].c", "f", "g"}


def test_a_verdict_is_part_of_the_record() -> None:
    record = named("code-0")
    flipped = [
        (replace(one, verdict=replace(one.verdict, outcome=_other(one.verdict))), at)
        for one, at in record.verdicts
    ]
    found = made_again(replace(record, verdicts=flipped))
    assert {"answer", "document.answer"} <= {one.field for one in found.differences}


def _other(verdict: Verdict) -> Outcome:
    return Outcome.REFUTED if verdict.outcome is Outcome.CONFIRMED else Outcome.CONFIRMED
