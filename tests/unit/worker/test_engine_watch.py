"""An engine in the health report: one that is away is waited for, one that is lost is a fault."""

from __future__ import annotations

from benchmarks.waiting import until
from worker.engine_watch import EngineWatch
from worker.engines.protocol import Health

AWAY = Health(ok=False, detail="the endpoint cannot be reached")
LOST = Health(ok=False, detail="the decoding thread has ended", lost=True)
WELL = Health(ok=True)


def looked(*healths: Health, lost_after_s: float = 60.0) -> tuple[EngineWatch, list[str], list[int]]:
    """Look once every 50 s; return the faults of each look, and how often the process was to be ended."""
    answers, ended = iter(healths), list[int]()
    watch, faults = EngineWatch(lambda: next(answers), lost_after_s=lost_after_s), []
    for number in range(len(healths)):
        watch.look(now_s=1000.0 + 50.0 * number)
        faults.append(watch.check(on_lost=lambda: ended.append(1)))
    return watch, faults, ended


def test_an_engine_that_is_away_is_waited_for_however_long() -> None:
    watch, faults, ended = looked(*[AWAY] * 100)
    assert (set(faults), ended) == ({""}, [])
    assert watch.waits() == "waits for its engine: the endpoint cannot be reached"


def test_an_engine_that_is_well_again_is_not_told_of() -> None:
    watch, _, _ = looked(AWAY, LOST, WELL)
    assert watch.waits() == watch.fault() == ""


def test_a_part_that_is_away_is_told_of_though_the_engine_answers() -> None:
    watch, _, _ = looked(Health(ok=True, detail="big: gone"))
    assert watch.waits() == "waits for its engine: big: gone"


def test_an_engine_that_is_lost_for_a_while_is_a_fault_and_ends_the_process_after_twice_that() -> None:
    watch, faults, ended = looked(LOST, LOST, LOST)
    assert faults == ["", "", "the engine is lost: the decoding thread has ended"]
    assert (ended, watch.waits()) == ([], "")
    assert looked(LOST, LOST, LOST, LOST)[2] == [1]


def test_an_engine_that_came_back_between_is_not_lost() -> None:
    assert set(looked(LOST, LOST, WELL, LOST, LOST)[1]) == {""}


def test_an_engine_that_cannot_even_tell_is_waited_for_and_asked_again() -> None:
    answers: list[Health | Exception] = [OSError("no way in"), WELL]

    def ask() -> Health:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = EngineWatch(ask)
    watch.look(now_s=0.0)
    assert "OSError: no way in" in watch.waits()
    watch.look(now_s=10.0)
    assert watch.waits() == ""


def test_it_looks_by_itself() -> None:
    watch = EngineWatch(lambda: AWAY)
    watch.start()
    until(watch.waits, "the first look")
    watch.stop()
