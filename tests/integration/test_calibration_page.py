"""The page and the figures of a run, hostile domains included."""

from __future__ import annotations

import random
import re
import sys
from xml.etree import ElementTree

import pytest

from reasoner.guards import Policy
from tests.integration.bench import Outbox, send
from worker.calibrating import Night, run_night
from worker.errors import PlotsUnavailableError
from worker.figures import FIGURES, draw
from worker.judging.table import Judges
from worker.messages import DECIDE, GENERATE_GIVEN
from worker.plans import Plan
from worker.reporting import run_page
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate_given
from worker.store.nights import calibrations_of_run, history, last_run
from worker.store.transactions import Store

pytestmark = pytest.mark.services

HOSTILE = "<script>alert(1)</script> $x_{ \"'&"


@pytest.fixture
def night(desk: Desk, outbox: Outbox, store: Store, judges: Judges) -> Night:
    rng = random.Random(0)
    lines = []
    for i in range(160):
        n = rng.choice([5, 6, 7])
        right = rng.random() < 0.14 * n
        answers = ["yes" if right else "no"] * n + ["no" if right else "yes"] * (8 - n)
        made = {"custom_id": str(i), "kind": "qa", "candidates": answers, "domain": HOSTILE, "label": "yes"}
        lines.append(made)
    send(desk, *lines)
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    decide(desk, outbox.take(DECIDE))
    plan = Plan(policy=Policy(alpha=0.8, target_risk=0.2))
    return run_night(store, judges, tenant="default", plan=plan, who="test")


def test_the_page_tells_every_number_and_runs_nothing(store: Store, night: Night) -> None:
    run = last_run(store, tenant="default")
    assert run is not None
    rows = calibrations_of_run(store, run["id"])
    histories = {
        row["domain"]: history(store, tenant="default", domain=row["domain"], until=run["finished_at"])
        for row in rows
    }
    page = run_page(run, rows, histories)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert all(target.startswith("#") for target in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert page.count("<svg") == len(FIGURES) * len(rows)
    for row in rows:
        assert f"{row['lambda']:.4g}" in page
        assert str(row["id"]) in page
    assert len(histories[HOSTILE]) == 1
    left_out = {"left_out": {HOSTILE: {"unknown": 2, "conflicting": 1}}}
    page = run_page({**run, "counts": left_out}, [], {})
    assert "<script" not in page
    assert ": 2 unknown; 1 conflicting" in page


def test_the_same_row_draws_the_same_figures(store: Store, night: Night) -> None:
    run = last_run(store, tenant="default")
    assert run is not None
    row = calibrations_of_run(store, run["id"])[-1]
    for name in FIGURES:
        svg = draw(name, row, [], form="svg")
        assert svg == draw(name, row, [], form="svg")
        ElementTree.fromstring(svg)  # well-formed
        assert b"script" not in svg
    assert draw("risk", row, [], form="png").startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(
    store: Store, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = last_run(store, tenant="default")
    assert run is not None
    rows = calibrations_of_run(store, run["id"])
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlotsUnavailableError, match="plots"):
        draw("risk", rows[0], [], form="svg")
    page = run_page(run, rows, {})
    assert "No figures" in page
    assert "<svg" not in page
