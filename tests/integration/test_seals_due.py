"""What is sealed when: nothing that ends late is missed, nothing is sealed twice, and the clock asks in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.integration.bench import query
from tests.integration.sealed import attack, decided, differences, id_of, seal
from worker.app import make_app
from worker.errors import SealBusyError
from worker.health import Ears
from worker.messages import CALIBRATE, SEAL
from worker.roles import open_workplace, register
from worker.seals import checking, sealing
from worker.settings import Settings
from worker.stages import seal as stage
from worker.stages.desk import Desk
from worker.store.seals import horizon, last_seal, only_sealer
from worker.store.transactions import Store

pytestmark = pytest.mark.services


def test_a_decision_whose_transaction_ends_late_is_not_missed(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a", "b")
    with store.connect() as late, late.begin():
        # Its rows will bear the time of its start.
        late.execute(text("SELECT now()"))
        began = horizon(store)
        decided(desk, "c")
        made = seal(store)
        assert [one.n_entries for one in made] == [5]  # not c: the open transaction began before it
        late.execute(
            text(
                "INSERT INTO decisions SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), "
                "'created_at', now(), 'is_current', false))).* FROM decisions d WHERE task_id = :id"
            ),
            {"id": id_of(store, "a")},
        )
        assert began <= made[0].until_at
    assert [one.n_entries for one in seal(store)] == [3]  # the late one, c and its label
    assert differences(store) == []


def test_a_large_backlog_becomes_seals_of_bounded_size(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "MAX_ENTRIES", 4)
    monkeypatch.setattr(sealing, "PIECE", 3)
    monkeypatch.setattr(checking, "FEW", 0)
    decided(desk, *(f"t{i}" for i in range(9)))
    made = seal(desk.store)
    assert [one.n_entries for one in made] == [4, 4, 4, 4, 3]
    assert [one.number for one in made] == [1, 2, 3, 4, 5]
    assert differences(desk.store) == []
    attack(desk.store, "chains", "UPDATE chains SET text = 'x' WHERE index = 0")
    assert len(differences(desk.store, processes=2)) == 9


def test_an_import_of_old_decisions_is_sealed_when_the_whole_record_is_looked_through(desk: Desk) -> None:
    store = desk.store
    decided(desk, "a")
    seal(store)
    query(
        store,
        "INSERT INTO decisions SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), "
        "'is_current', false, 'created_at', now() - interval '90 days'))).* FROM decisions d RETURNING 1",
    )
    assert seal(store) == []
    assert [one.n_entries for one in seal(store, everything=True)] == [1]
    assert [what for what, _, _ in differences(store)] == ["backdated"]


def test_two_never_seal_at_once(desk: Desk) -> None:
    decided(desk, "a")
    with only_sealer(desk.store), pytest.raises(SealBusyError):
        seal(desk.store)
    assert len(seal(desk.store)) == 1


def test_the_clock_seals_when_decisions_have_waited_long_enough(desk: Desk) -> None:
    assert stage.seal(desk) == 0  # nothing is decided
    decided(desk, "a")
    assert stage.seal(desk) == 1
    decided(desk, "b")
    assert stage.seal(desk) == 0  # the last seal is young
    old = "UPDATE seals SET sealed_at = sealed_at - interval '2 hours'"
    attack(desk.store, "seals", old)
    assert stage.seal(desk) == 1
    assert stage.seal(desk) == 0
    attack(desk.store, "seals", old)
    assert stage.seal(desk) == 0  # nothing has come since
    query(
        desk.store,
        "INSERT INTO labels (id, task_id, answers, source) "
        "SELECT gen_random_uuid(), id, '[\"x\"]', 'late' FROM tasks WHERE custom_id = 'a' RETURNING 1",
    )
    assert stage.seal(desk) == 1  # a label alone is worth one, too


def test_the_clocks_message_is_heard_by_the_workers_of_calibrate(desk: Desk, settings: Settings) -> None:
    decided(desk, "a")
    app = make_app(str(settings.broker_url))
    entry = app.conf.beat_schedule["seal"]
    assert (entry["task"], entry["options"]["queue"]) == (SEAL, CALIBRATE)
    place = open_workplace(app, settings, queues=[CALIBRATE], ears=Ears(1))
    with place.closing:
        register(place, [CALIBRATE])
        app.tasks[entry["task"]]()
    assert last_seal(desk.store) is not None


def test_a_seal_reaches_no_further_than_what_is_surely_on_record(store: Store) -> None:
    assert horizon(store) <= datetime.now(UTC) + timedelta(seconds=1)
    assert last_seal(store) is None
