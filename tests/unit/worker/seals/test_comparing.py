"""An entry against the rows on record: every single difference is found and named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import assume, given
from hypothesis import strategies as st

from worker.hashes.headers import utc
from worker.hashes.leaves import GROUPS, Row, Salts, hashed, split
from worker.hashes.merkle import root_of
from worker.seals.comparing import Compared, compare
from worker.seals.findings import What
from worker.store.leave import Leave
from worker.store.seals import Entry

TASK, DECISION = UUID(int=1), UUID(int=2)
TIME = datetime(2026, 1, 1, tzinfo=UTC)
TOO_OLD, PRUNING = Leave(UUID(int=3), TIME), Leave(UUID(int=4), TIME + timedelta(microseconds=1))
SALTS = Salts(seed=b"s" * 32, n_seeds=1)


@st.composite
def records(draw: st.DrawFn) -> list[Row]:
    n_chains, n_verdicts = draw(st.integers(0, 4)), draw(st.integers(0, 2))
    names = ["task", f"decision {DECISION}", *(f"chain {i}" for i in range(n_chains))]
    names += [f"verdict math 1 answer:{i}" for i in range(n_verdicts)]
    rows = [Row(name, tuple(draw(st.text(max_size=5)) for _ in GROUPS[name.split()[0]])) for name in names]
    rows[1] = replace(rows[1], texts=(f'"created_at": "{utc(TIME)}"', *rows[1].texts[1:]))
    return rows


def entry_of(rows: list[Row]) -> Entry:
    made = hashed(rows, SALTS)
    return Entry(
        seal_number=1,
        position=0,
        kind="decision",
        subject_id=DECISION,
        about_id=TASK,
        at=TIME,
        names=made.names,
        leaves=made.leaves,
        marks=made.marks,
    )


def compared(
    entry: Entry, rows: list[Row], pruned: dict[str, Leave] | None = None, *elsewhere: str
) -> Compared:
    return compare(entry, rows, SALTS, pruned or {}, frozenset(elsewhere))


def told(found: Compared) -> list[tuple[What, str, tuple[str, ...]]]:
    return [(one.what, one.row, one.groups) for one in found.findings]


@given(records())
def test_rows_as_they_were_sealed_give_nothing_and_the_same_root(rows: list[Row]) -> None:
    entry = entry_of(rows)
    found = compared(entry, list(reversed(rows)))
    assert found.findings == []
    assert found.root == root_of(split(entry.leaves))


@given(records(), st.data())
def test_one_changed_group_is_named_with_its_row(rows: list[Row], data: st.DataObject) -> None:
    entry = entry_of(rows)
    i = data.draw(st.integers(0, len(rows) - 1))
    g = data.draw(st.integers(0, len(rows[i].texts) - 1))
    new = data.draw(st.text(max_size=5).filter(lambda text: text != rows[i].texts[g]))
    changed = Row(rows[i].name, (*rows[i].texts[:g], new, *rows[i].texts[g + 1 :]))
    found = compared(entry, [*rows[:i], changed, *rows[i + 1 :]])
    assert told(found)[0] == (What.CHANGED, changed.name, (GROUPS[changed.kind][g],))
    assert {one.row for one in found.findings[1:]} <= {"entry"}  # it was the time that changed
    assert found.root != root_of(split(entry.leaves))


@given(records(), st.data())
def test_a_removed_row_is_named_and_told_from_a_pruned_one(rows: list[Row], data: st.DataObject) -> None:
    entry = entry_of(rows)
    i = data.draw(st.integers(0, len(rows) - 1))
    rest = [*rows[:i], *rows[i + 1 :]]
    assert told(compared(entry, rest)) == [(What.REMOVED, rows[i].name, ())]
    assert told(compared(entry, rest, {"task": PRUNING})) == [(What.PRUNED, rows[i].name, ())]
    for what in ("task", "evidence"):  # one that took only what is older
        assert told(compared(entry, rest, {what: TOO_OLD})) == [(What.REMOVED, rows[i].name, ())]
    evidence = What.PRUNED if rows[i].kind in {"chain", "verdict"} else What.REMOVED
    assert told(compared(entry, rest, {"evidence": PRUNING})) == [(evidence, rows[i].name, ())]


@given(records())
def test_an_inserted_row_is_named_unless_a_later_entry_of_the_task_holds_it(rows: list[Row]) -> None:
    entry = entry_of(rows)
    more = [*rows, Row("chain 9", ("a", "b", "c"))]
    assert told(compared(entry, more)) == [(What.INSERTED, "chain 9", ())]
    assert compared(entry, more, None, "chain 9").findings == []


@given(records(), st.data())
def test_two_rows_that_changed_places_are_both_named(rows: list[Row], data: st.DataObject) -> None:
    chains = [row for row in rows if row.kind == "chain"]
    assume(len(chains) > 1 and chains[0].texts != chains[1].texts)
    entry = entry_of(rows)
    one, other = chains[:2]
    swapped = {one.name: replace(one, texts=other.texts), other.name: replace(other, texts=one.texts)}
    found = compared(entry, [swapped.get(row.name, row) for row in rows])
    assert {(finding.what, finding.row) for finding in found.findings} == {
        (What.CHANGED, one.name),
        (What.CHANGED, other.name),
    }


@given(records(), st.data())
def test_kept_hashes_that_changed_name_the_row_they_are_of(rows: list[Row], data: st.DataObject) -> None:
    entry = entry_of(rows)
    i = data.draw(st.integers(0, len(rows) - 1))
    leaves = split(entry.leaves)
    leaves[i] = bytes(32)
    found = compared(replace(entry, leaves=b"".join(leaves)), rows)
    assert told(found) == [(What.CHANGED, rows[i].name, ())]
    assert found.root == root_of(split(entry.leaves))  # the rows still are what was sealed
    marked = compared(replace(entry, marks=bytes(len(entry.marks))), rows)
    assert {one.row for one in marked.findings} == set(entry.names)
    at = compared(replace(entry, at=TIME + timedelta(microseconds=1)), rows)
    assert told(at) == [(What.CHANGED, "entry", ())]
    leaves[i : i + 1] = []
    cut = compared(replace(entry, leaves=b"".join(leaves)), rows)
    assert cut.findings
