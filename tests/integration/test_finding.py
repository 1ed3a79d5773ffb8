"""What the search finds is what a look at every row would find, in the same order, and never another tenant's."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from sqlalchemy import TextClause, text

from benchmarks.ledger.generate import Plan, generate
from benchmarks.ledger.year import DOMAINS, MODELS, SECOND_MODEL, TENANTS
from db import finding as searching
from db import statistics
from db.entries import DEGREE_EDGES, MARGIN_EDGES, RELABEL
from db.finding import Shape
from db.migrate import downgrade, migrate
from db.session import connect
from worker.errors import QueryError
from worker.store import finding
from worker.store.filters import LABELS, OUTCOMES, REASONS, STATES, Filters, Range
from worker.store.finding import NOBODY, Page, find, find_all, shape_of
from worker.store.transactions import Store

pytestmark = pytest.mark.services

VERSIONS = Path(__file__).parents[2] / "migrations" / "versions"
UNTIL = datetime(2026, 9, 1, tzinfo=UTC)
PLAN = Plan(
    n=1500,
    labelled=0.3,
    chains=3.0,
    whole=1.0,
    events=2,
    unfinished=0,
    seed=5,
    until_ms=int(UNTIL.timestamp() * 1000),
)

# Everything an entry should be found by, read from the record itself.
RECORD = text("""
SELECT d.task_id, d.tenant, d.created_at, t.kind, t.domain, t.mode, t.batch_id::text AS batch, d.answer, d.abstain_flag,
       d.abstain_reasons, d.calibration_id::text AS calibration, d.vote_margin, d.merge_degree,
       d.document #>> '{clusters,0,outcome}' AS outcome,
       ARRAY(SELECT DISTINCT model FROM chains c WHERE c.task_id = d.task_id) AS models,
       ARRAY(SELECT DISTINCT verifier || ':' || outcome FROM verdicts v
             WHERE v.task_id = d.task_id AND candidate <> 'equivalence') AS verdicts,
       g.grade, g.correct
FROM decisions d JOIN tasks t ON t.id = d.task_id LEFT JOIN gradings g ON g.task_id = d.task_id
ORDER BY d.created_at DESC, d.task_id DESC
""")


@pytest.fixture(scope="module")
def ledger(new_database: Callable[[], str]) -> Iterator[Store]:
    """One ledger for the tests of this file: they only read it."""
    url = new_database()
    generate(url, PLAN)
    store = connect(url)
    yield store
    store.dispose()


@pytest.fixture
def short_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the walks along the order of time end early, so that the profiles have their turn."""
    monkeypatch.setattr(finding, "PROBE", 0)  # then the first walk is of four pages
    monkeypatch.setattr(finding, "WALK", 15)
    monkeypatch.setattr(finding, "FEW", 8)
    monkeypatch.setattr(finding, "MOST", 40)
    monkeypatch.setattr(finding, "MANY", 5)  # so that some spans are walked along


def record(store: Store) -> list[Any]:
    with store.connect() as connection:
        return list(connection.execute(RECORD).all())


def label_of(row: Any) -> set[str]:
    if row.grade is None:
        return {"none"}
    told = ("right" if row.correct else "wrong") if row.grade == "graded" else row.grade
    return {told, "any"}


def is_meant(row: Any, filters: Filters) -> bool:
    verdicts = {word for one in row.verdicts for word in (one, *one.split(":"))}
    values = {
        "kind": {row.kind},
        "domain": {row.domain},
        "mode": {row.mode},
        "batch": {row.batch},
        "calibration": {row.calibration},
        "state": {"abstained" if row.abstain_flag else "answered"},
        "why": set(row.abstain_reasons),
        "answer": {row.answer and row.answer.lower()},
        "outcome": {row.outcome or "none"},
        "verdict": verdicts,
        "model": set(row.models),
        "label": label_of(row),
    }
    return (
        all(not getattr(filters, name) or set(getattr(filters, name)) & of for name, of in values.items())
        and filters.margin.low <= row.vote_margin <= filters.margin.high
        and filters.degree.low <= row.merge_degree <= filters.degree.high
        and (filters.since is None or row.created_at >= filters.since)
        and (filters.until is None or row.created_at < filters.until)
    )


def some(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.one_of(st.just(()), st.lists(st.sampled_from(values), max_size=3, unique=True).map(tuple))


RANGES = st.tuples(
    st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.9, 1.0]),
    st.sampled_from([0.0, 0.5, 0.75, 1.0, 2.0, 4.0, math.inf]),
).map(lambda ends: Range(low=min(ends), high=max(ends)))
TIMES = st.one_of(st.none(), st.integers(0, 360).map(lambda days: UNTIL - timedelta(days=days)))
VERDICTS = ("math", "code", "refuted", "confirmed", "code:refuted", "math:confirmed", "code:abstained")


@st.composite
def filters(draw: st.DrawFn) -> Filters:
    times = sorted({time for time in (draw(TIMES), draw(TIMES)) if time is not None})
    return Filters(
        since=times[0] if times else None,
        until=times[1] if len(times) > 1 else None,
        kind=draw(some("math", "code", "qa", "diagnosis")),
        domain=draw(some(*DOMAINS[::3])),
        state=draw(some(*STATES)),
        why=draw(some(*REASONS)),
        outcome=draw(some(*OUTCOMES, "none")),
        verdict=draw(some(*VERDICTS)),
        model=draw(some(*MODELS, SECOND_MODEL)),
        label=draw(some(*LABELS)),
        margin=draw(RANGES),
        degree=draw(RANGES),
    )


@pytest.mark.usefixtures("short_walk")
def test_a_search_finds_what_reading_everything_finds(ledger: Store) -> None:
    everything = record(ledger)
    sizes = set()

    @limits(max_examples=150, suppress_health_check=list(HealthCheck))
    @given(
        wanted=st.one_of(filters(), st.just(Filters())),
        limit=st.integers(1, 60),
        tenant=st.sampled_from(TENANTS),
        keys=st.dictionaries(
            st.sampled_from(["batch", "calibration", "answer"]),
            st.lists(st.sampled_from([row for row in everything if row.answer]), max_size=3),
            max_size=2,
        ),
    )
    def check(wanted: Filters, limit: int, tenant: str, keys: dict[str, list[Any]]) -> None:
        for name, rows in keys.items():
            values: dict[str, Any] = {name: [getattr(row, name).lower() for row in rows]}
            wanted = replace(wanted, **values)
        expected = [row.task_id for row in everything if row.tenant == tenant and is_meant(row, wanted)]
        page = find(ledger, wanted, tenant=tenant, limit=limit)
        sizes.add(len(expected) > 0)
        assert [row["task_id"] for row in page.rows] == expected[:limit]
        assert (page.cursor is None) == (len(expected) <= limit)

    check()
    assert sizes == {True, False}


@pytest.mark.usefixtures("short_walk")
def test_pages_and_the_whole_export_tell_the_same(ledger: Store) -> None:
    wanted = Filters(kind=["math"], label=["any"])
    whole = [row["task_id"] for row in find_all(ledger, wanted, tenant="default")]
    paged, cursor = [], None
    while True:
        page = find(ledger, wanted, tenant="default", limit=7, after=cursor)
        paged += [row["task_id"] for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            break
    assert paged == whole
    assert len(whole) == len(set(whole)) > 50


def test_answers_batches_and_calibrations_are_found_by_what_they_are(ledger: Store) -> None:
    row = next(one for one in record(ledger) if one.tenant == "default" and one.answer and one.kind == "qa")
    for wanted in (
        Filters(answer=[f"  {row.answer.upper()} \n", row.answer]),
        Filters(batch=[row.batch], domain=[row.domain]),
        Filters(calibration=[row.calibration], answer=[row.answer]),
    ):
        found = [one["task_id"] for one in find_all(ledger, wanted, tenant="default")]
        assert found.count(row.task_id) == 1
        assert all(
            is_meant(one, replace(wanted, answer=())) for one in record(ledger) if one.task_id in found
        )
        assert list(find_all(ledger, wanted, tenant="acme")) == []


def test_what_a_caller_writes_is_data_to_the_database(ledger: Store) -> None:
    for text_ in (
        "'; DROP TABLE tasks; --",
        "kind=math",
        "default\nkind=math",
        "\x00",
        "%",
        "{a,b}",
        "\ud800",
    ):
        for wanted in (Filters(domain=[text_]), Filters(model=[text_]), Filters(answer=[text_])):
            assert find(ledger, wanted, tenant="default", limit=5).rows == []
        assert (
            find(ledger, Filters(), tenant=text_.replace("\x00", "").replace("\ud800", ""), limit=5).rows
            == []
        )
    assert len(find(ledger, Filters(), tenant="default", limit=5).rows) == 5


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "1.2", "1.2.3", "g.0.0", "-1.0.0", "f" * 40, f"{'f' * 30}.{'0' * 32}.00000000", "é.é.é"],
)
def test_a_bad_cursor_is_told(ledger: Store, cursor: str) -> None:
    with pytest.raises(QueryError, match="cursor"):
        find(ledger, Filters(), tenant="default", limit=5, after=cursor)


def test_a_cursor_of_other_filters_is_refused(ledger: Store) -> None:
    page: Page = find(ledger, Filters(), tenant="default", limit=5)
    with pytest.raises(QueryError, match="other filters"):
        find(ledger, Filters(kind=["math"]), tenant="default", limit=5, after=page.cursor)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"kind": ["maths"]}, "math, code"),
        ({"mode": ["kind=math"]}, "merge, spread"),
        ({"state": ["failed"]}, "answered, abstained"),
        ({"why": ["tired"]}, "vote_margin"),
        ({"label": ["maybe"]}, "right, wrong"),
        ({"outcome": ["passed"]}, "confirmed"),
        ({"verdict": ["code:passed"]}, "VERIFIER:OUTCOME"),
        ({"verdict": [":refuted"]}, "VERIFIER:OUTCOME"),
        ({"verdict": ["'; DROP TABLE tasks; --"]}, "VERIFIER:OUTCOME"),
        ({"batch": ["7"]}, "no id"),
        ({"margin": Range(low=0.5, high=0.1)}, "margin"),
        ({"degree": Range(low=math.nan)}, "degree"),
        ({"since": UNTIL, "until": UNTIL}, "nothing lies between"),
    ],
)
def test_a_value_that_cannot_be_is_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(QueryError, match=told):
        Filters(**values)


SHAPE = Shape(n_groups=2, keys=("batch", "calibration"), by_numbers=True)


def test_every_statement_names_the_tenant() -> None:
    of_time = replace(SHAPE, keys=())
    made = [searching.walk(of_time), searching.spans(SHAPE), searching.by_profile(SHAPE)]
    made += [statistics.decided(SHAPE, every="week", by="kind"), statistics.failed(every=None, by="model")]
    fixed = [
        one
        for one in vars(searching).values()
        if isinstance(one, TextClause) and one is not searching.PLANNING
    ]
    assert len(fixed) >= 5
    for statement in [*made, *fixed]:
        assert "tenant = :tenant" in statement.text or "VALUES (:tenant" in statement.text
    # What is read by a key alone is a key of the tenant's.
    by_key = searching.walk(replace(SHAPE, by_profile=False)).text
    assert by_key.count(r"hashtextextended(:tenant || E'\n") == by_key.count("hashtextextended(") == 2


def test_each_way_of_searching_reads_its_index_and_nothing_else(ledger: Store) -> None:
    shape, asked = shape_of(Filters(kind=["math"], label=["right", "wrong"], batch=[str(NOBODY)]))
    values = {
        **asked,
        "tenant": "default",
        "since": UNTIL - timedelta(days=90),
        "before": UNTIL,
        "before_id": NOBODY,
        "n": 50,
        "walk": 2000,
        "first": 0,
        "last": 1000,
    }
    with ledger.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE search_entries"))
    for statement, index in (
        (searching.walk(replace(shape, keys=())), "Index Only Scan Backward using ix_search_entries_newest"),
        (searching.spans(shape), "ix_search_profiles_facets"),
        (searching.by_profile(shape), "ix_search_profiles_facets"),
        (searching.by_profile(shape), "Index Only Scan Backward using ix_search_entries_profile"),
        (searching.walk(shape), "Index Only Scan Backward using ix_search_entries_batch"),
    ):
        with ledger.begin() as connection:
            connection.execute(searching.PLANNING)
            plan = "\n".join(connection.execute(text("EXPLAIN " + statement.text), values).scalars())
        assert index in plan
        assert "Seq Scan" not in plan


def test_buckets_begin_where_the_database_says_they_do(ledger: Store) -> None:
    query = text("SELECT width_bucket(CAST(:number AS float8), CAST(:edges AS float8[]))")
    with ledger.connect() as connection:
        for name, edges in (("margin", MARGIN_EDGES), ("degree", DEGREE_EDGES)):
            for edge in (0.0, *edges):
                for number in (math.nextafter(edge, 0), edge, math.nextafter(edge, math.inf)):
                    bucket = connection.execute(query, {"number": number, "edges": list(edges)}).scalar_one()
                    wanted = Filters(**{name: Range(low=edge)})  # type: ignore[arg-type]
                    assert wanted.are_told_by_facets()
                    found = [f"{name}={bucket}"] in [
                        [one] for group in wanted.groups() for one in group
                    ] or not wanted.groups()
                    assert found == (number >= edge)
    assert not Filters(margin=Range(low=0.05)).are_told_by_facets()
    assert not Filters(margin=Range(low=0.5, high=0.6)).are_told_by_facets()


ENTRIES = text("SELECT to_jsonb(e)::text FROM search_entries e ORDER BY 1")
PROFILES = text(
    "SELECT to_jsonb(p)::text FROM search_profiles p WHERE id IN (SELECT profile FROM search_entries) ORDER BY 1"
)


@pytest.mark.parametrize("name", ["profiles", "search"])
def test_the_migrations_make_the_entries_that_the_decide_stage_writes(ledger: Store, name: str) -> None:
    """Made from the record where there are none, and from the entries of another form where verdicts are gone."""
    with ledger.begin() as connection:
        if name == "search":  # who goes back so far loses the gradings of SPREAD, until the next night
            gone = connection.execute(text("DELETE FROM gradings WHERE grade = 'spread' RETURNING task_id"))
            connection.execute(RELABEL, {"ids": list(gone.scalars())})
        written = [connection.execute(all_of_it).scalars().all() for all_of_it in (ENTRIES, PROFILES)]
        assert len(written[0]) == PLAN.n
        if name == "profiles":
            connection.execute(text("CREATE TABLE kept AS SELECT * FROM verdicts"))
            connection.execute(text("DELETE FROM verdicts"))
    ledger.dispose()
    url = ledger.url.render_as_string(hide_password=False)
    (migration,) = VERSIONS.glob(f"*_{name}.py")
    before = re.search(r'^down_revision = "(.+)"$', migration.read_text(), re.MULTILINE)
    assert before is not None
    downgrade(url, revision=before[1])
    migrate(url)
    with ledger.begin() as connection:
        if name == "profiles":
            connection.execute(text("INSERT INTO verdicts SELECT * FROM kept"))
            connection.execute(text("DROP TABLE kept"))
        assert [connection.execute(all_of_it).scalars().all() for all_of_it in (ENTRIES, PROFILES)] == written
        lying = connection.execute(text("SELECT task_id FROM search_entries ORDER BY ctid")).scalars().all()
        assert lying == sorted(lying)  # so that those of one day are read together
