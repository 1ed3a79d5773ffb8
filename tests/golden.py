"""The golden ledger: decisions that the real system made, kept so that code which changes one of them is found out.

    python -m tests.golden

makes the file anew: on the embedded Postgres, with the real stages and judges (a sandbox, the sentence model and an NLI
model are needed; `merge-reasoner models pull` and `pull-nli` fetch them). Where the new decisions differ from those on
file, ``worker.deciding.METHOD_VERSION`` must have been raised first, or nothing is written.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from db.migrate import migrate
from db.session import connect
from reasoner.chains import Chain
from reasoner.guards import Policy
from reasoner.outcomes import Outcome
from tests.golden_lines import FLU, drawn_lines, edge_lines, labelled_lines, sampled_lines, verified_lines
from tests.integration.bench import Outbox, query, send
from verifiers.verdicts import Verdict
from worker.calibrating import run_night
from worker.deciding import METHOD_VERSION
from worker.documents.importing import import_documents
from worker.embedded.services import Services
from worker.engines.pool import PoolEngine
from worker.engines.replay import ReplayEngine
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.keeper import LeaseKeeper
from worker.messages import DECIDE, GENERATE, GENERATE_GIVEN, VERIFY
from worker.plans import Plan
from worker.replaying import replay
from worker.settings import Settings
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate, generate_given
from worker.stages.reconcile import reconcile
from worker.stages.verify import verify
from worker.store.calibrations import as_calibration
from worker.store.replays import OnRecord, Selection, decision_pages, load_page
from worker.store.verdicts import Judged
from worker.submission.lines import ReferenceDocument

LEDGER = Path(__file__).parent / "data" / "golden" / "decisions.jsonl.gz"


class System:
    """The stages, driven by hand until nothing is left to do."""

    def __init__(self, desk: Desk, outbox: Outbox, judges: Judges) -> None:
        self.desk, self.outbox, self.judges = desk, outbox, judges
        _, said = sampled_lines()
        self.engine = PoolEngine({"default": lambda: ReplayEngine(said), "big": lambda: ReplayEngine(said)})

    def run(self, *lines: dict[str, Any]) -> None:
        """Submit tasks and see them decided."""
        send(self.desk, *lines)
        with ThreadPoolExecutor(4) as pool:
            while self._step(pool):
                reconcile(self.desk, self.outbox)

    def _step(self, pool: ThreadPoolExecutor) -> bool:
        worked = False
        for queue in (GENERATE, GENERATE_GIVEN, *VERIFY.values(), DECIDE):
            ids = self.outbox.take(queue)
            worked = worked or bool(ids)
            if queue == GENERATE:
                generate(self.desk, ids, engine=self.engine, pool=pool)
            elif queue == GENERATE_GIVEN:
                generate_given(self.desk, ids)
            elif queue == DECIDE:
                decide(self.desk, ids)
            else:
                name = next(name for name, of in VERIFY.items() if of == queue)
                verify(self.desk, ids, verifier=name, judge=self._judge(name))
        return worked

    def _judge(self, name: str) -> Any:  # a judge's method
        return self.judges._judge_of(name).judge  # the table's own way in


def fill(system: System) -> None:
    """Have the system decide everything, before and after a night."""
    desk = system.desk
    document = ReferenceDocument(id="flu", text=FLU)
    import_documents(desk.store, "handbook", [document], tenant="default", embedder=None)
    system.run(*drawn_lines(60, seed=0), *edge_lines(), *verified_lines(), *sampled_lines()[0])
    system.run(*labelled_lines(300, seed=1))
    plan = Plan(policy=Policy(alpha=0.8, target_risk=0.3, max_change=1.0))
    made = run_night(desk.store, system.judges, tenant="default", plan=plan, who="golden")
    assert all(not one.why for one in made.calibrations), [one.why for one in made.calibrations]
    stranger = {"custom_id": "stranger", "kind": "qa", "domain": "pool"}
    chains = [{"text": "", "answer": "yes", "model": name} for name in ("good", "unheard of")]
    system.run(*labelled_lines(30, seed=2), *drawn_lines(30, seed=3), {**stranger, "chains": chains})


CALIBRATION = (
    "id",
    "tenant",
    "domain",
    "lambda",
    "tau_margin",
    "tau_conf",
    "tau_score",
    "model_weights",
    "method",
)


def written(system: System) -> list[dict[str, Any]]:
    """Return the lines of the file: the method and the calibrations first, then a decision each."""
    store = system.desk.store
    lost = query(store, "SELECT custom_id, error FROM tasks WHERE state NOT IN ('answered', 'abstained')")
    assert not lost, lost
    names = ", ".join(f'"{name}"' for name in CALIBRATION)
    calibrations = [
        dict(row._mapping) for row in query(store, f"SELECT {names} FROM calibrations ORDER BY id")
    ]
    pages = decision_pages(store, Selection(tenant="default"))
    records = [one for ids in pages for one in load_page(store, ids, tenant="default")]
    named = {one.row["calibration_id"] for one in records}
    head = {
        "method_version": METHOD_VERSION,
        "calibrations": [_plain(row) for row in calibrations if row["id"] in named],
    }
    return [head, *sorted((_line(one) for one in records), key=lambda line: line["row"]["id"])]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, (UUID, datetime)) else value for name, value in row.items()}


def _line(record: OnRecord) -> dict[str, Any]:
    return {
        "row": _plain(record.row),
        "clusters": record.clusters,
        "chains": [[asdict(chain), str(at)] for chain, at in record.chains],
        "verdicts": [
            [
                v.candidate,
                v.verdict.verifier,
                v.verdict.version,
                v.verdict.outcome,
                v.verdict.evidence,
                str(at),
            ]
            for v, at in record.verdicts
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """The file's content."""

    method_version: int
    records: list[OnRecord]


def read() -> Golden:
    """Return the ledger on file."""
    head, *lines = [json.loads(line) for line in gzip.decompress(LEDGER.read_bytes()).decode().splitlines()]
    calibrations = {row["id"]: row for row in head["calibrations"]}
    return Golden(
        method_version=head["method_version"], records=[_record(line, calibrations) for line in lines]
    )


def _record(line: Mapping[str, Any], calibrations: Mapping[str, Mapping[str, Any]]) -> OnRecord:
    row = dict(line["row"])
    calibration = calibrations[row["calibration_id"]]
    for name in ("id", "task_id", "calibration_id"):
        row[name] = UUID(row[name])
    row["created_at"] = datetime.fromisoformat(row["created_at"])
    return OnRecord(
        row=row,
        clusters=line["clusters"],
        chains=[(Chain(**values), datetime.fromisoformat(at)) for values, at in line["chains"]],
        verdicts=[_judged(values) for values in line["verdicts"]],
        calibration=as_calibration({**calibration, "id": UUID(calibration["id"])}),
        calibration_tenant=calibration["tenant"],
    )


def _judged(values: list[Any]) -> tuple[Judged, datetime]:
    candidate, verifier, version, outcome, evidence, at = values
    verdict = Verdict(
        verifier=verifier,
        version=version,
        outcome=Outcome(outcome),
        reason="",
        elapsed_s=0.0,
        evidence=evidence,
    )
    return Judged(candidate=candidate, claim={}, verdict=verdict), datetime.fromisoformat(at)


@contextmanager
def system(folder: Path) -> Iterator[System]:
    """Run the real thing in a folder: Postgres, stages and judges; the broker is us."""
    services = Services(folder / "state", broker_url="redis://none")
    services.start()
    try:
        migrate(services.database_url)
        store = connect(services.database_url)
        ours = Settings.from_env(os.environ)  # names the user's models
        roster = folder / "pool.json"
        big = {"engine": "openai", "model": "m", "base_url": "http://127.0.0.1:9"}
        roster.write_text(json.dumps({"models": {"big": big}}))
        settings = replace(ours, database_url=services.database_url, pool_file=roster, tenant="default")
        keeper = LeaseKeeper(store, lease_s=60.0)
        keeper.start()
        outbox = Outbox()
        desk = Desk(store=store, publisher=outbox, keeper=keeper, settings=settings, holder="golden")
        with Judges(Surroundings(settings=ours, store=store)) as judges:
            yield System(desk, outbox, judges)
        keeper.stop()
        store.dispose()
    finally:
        services.stop()


def main() -> None:
    """Write the ledger anew, unless that would hide a change of the method."""
    if LEDGER.exists():
        golden = read()
        changed = [one for one in map(replay, golden.records) if one.result == "different"]
        if changed and golden.method_version == METHOD_VERSION:
            sys.exit(
                f"{len(changed)} decisions on file come out otherwise: raise METHOD_VERSION in worker/deciding.py first"
            )
    with tempfile.TemporaryDirectory() as folder, system(Path(folder)) as running:
        fill(running)
        lines = written(running)
    content = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
    LEDGER.write_bytes(gzip.compress(content.encode(), 9, mtime=0))
    sys.stdout.write(f"{len(lines) - 1} decisions, {LEDGER.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
