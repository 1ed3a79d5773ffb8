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
import random
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
from tests.integration.bench import Outbox, query, send
from verifiers.verdicts import Verdict
from worker.calibrating import Plan, run_night
from worker.deciding import METHOD_VERSION
from worker.documents.importing import import_documents
from worker.embedded.services import Services
from worker.engines.pool import PoolEngine
from worker.engines.replay import RecordedChain, ReplayEngine
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.keeper import LeaseKeeper
from worker.messages import DECIDE, GENERATE, GENERATE_GIVEN, VERIFY
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
RECORDING = LEDGER.with_name("chains.jsonl.gz")

FLU = "Influenza starts suddenly. Fever is common in influenza. A rash is not common in influenza."
RIGHT = "def double(x):\n    return 2 * x"
SAME = "def double(x):\n    return x + x"
WRONG = "def double(x):\n    return x * x"
BROKEN = "def double(x):\n    while True: pass"
TESTS = "assert double(3) == 6\nassert double(0) == 0"


def drawn_lines(n: int, *, seed: int) -> Iterator[dict[str, Any]]:
    """Yield tasks drawn at random: every rule and both modes, with and without logprobs."""
    rng = random.Random(seed)
    for i in range(n):
        weighed = rng.random() < 0.7
        chains = [
            {
                "text": "",
                "answer": rng.choice(["flu", "Flu.", "cold", "the cold", "angina", "measles", None]),
                "model": rng.choice(["one", "other"]),
                **({"logprob": -rng.randint(1, 400) / 8, "n_tokens": rng.randint(1, 64)} if weighed else {}),
            }
            for _ in range(rng.randint(1, 10))
        ]
        options: dict[str, Any] = {
            "set_rule": rng.choice([None, "threshold", "top_k", "coverage", "score"]),
            "set_k": rng.choice([None, 2]),
            "linkage": rng.choice(["single", "complete", "guarded"]),
        }
        if rng.random() < 0.5:
            options |= {"lambda": rng.choice([0.0, 0.2, 0.5]), "tau_conf": rng.choice([0.0, 0.25, 0.6])}
            options |= {"tau_margin": rng.choice([0.0, 0.3, 0.6]), "tau_score": rng.choice([0.1, 0.6])}
        yield {
            "custom_id": f"drawn-{seed}-{i}",
            "kind": rng.choice(["qa", "diagnosis", "text"]),
            "mode": rng.choice(["merge", "merge", "spread"]),
            "chains": chains,
            "options": options,
        }


def edge_lines() -> Iterator[dict[str, Any]]:
    """Yield tasks whose numbers meet their thresholds exactly."""
    halves = [{"text": "", "answer": answer} for answer in ("flu", "flu", "cold", "angina")]
    sure = [{**chain, "logprob": 0.0, "n_tokens": 3} for chain in halves]
    for name, edge in (
        ("lambda", {"lambda": 0.5}),
        ("lambda of the rest", {"lambda": 0.25}),
        ("tau_margin", {"tau_margin": 0.5}),
        ("tau_conf", {"tau_conf": 0.5}),
        ("alpha", {"set_rule": "coverage", "set_alpha": 0.75}),
        ("tau_score", {"set_rule": "score", "tau_score": 1.0}),
        ("tau_conf of a score", {"tau_conf": 1.0}),
        ("set_k", {"set_rule": "top_k", "set_k": 2}),
    ):
        for mode in ("merge", "spread"):
            for chains in (halves, sure):
                yield {
                    "custom_id": f"edge-{name}-{mode}-{chains is sure}",
                    "kind": "qa",
                    "mode": mode,
                    "chains": chains,
                    "options": {"tau_margin": 0.0, "tau_conf": 0.0, **edge},
                }


def verified_lines() -> Iterator[dict[str, Any]]:
    """Yield tasks with each verifier, each equivalence, and several at once."""
    code = {"verifier": "code", "tests": TESTS, "entry_point": "double", "timeout_s": 0.5}
    programs = [RIGHT, SAME, SAME, WRONG, BROKEN, "no program"]
    for i, options in enumerate(
        [{}, {"equivalence": "exact"}, {"min_confirmations": 2}, {"require_heterogeneous": True}]
    ):
        yield {
            "custom_id": f"code-{i}",
            "kind": "code",
            "candidates": programs,
            "verify": [code],
            "options": options,
        }
    yield {"custom_id": "code-refuted", "kind": "code", "candidates": [WRONG, WRONG], "verify": [code]}
    yield {"custom_id": "code-twice", "kind": "code", "candidates": programs, "verify": [code, code]}
    yield {
        "custom_id": "code-spread",
        "kind": "code",
        "mode": "spread",
        "candidates": programs,
        "verify": [code],
    }
    halves = ["1/2", "0.5", "50%", "2", r"\frac{1}{3}", "??"]
    reference = {"verifier": "math", "reference": "0.5"}
    condition = {"verifier": "math", "conditions": ["2x = 1"], "unknowns": ["x"]}
    for i, (verifications, options) in enumerate(
        [
            ([], {}),
            ([reference], {"min_confirmations": 1}),
            ([condition], {}),
            ([{"verifier": "math", "reference": "7"}], {}),
            ([reference, condition], {"min_confirmations": 2, "require_heterogeneous": True}),
            ([{"verifier": "math", "steps": True}], {"linkage": "guarded"}),
            ([reference, {"verifier": "entailment", "premise": "It is 2."}], {"require_heterogeneous": True}),
        ]
    ):
        for mode in ("merge", "spread"):
            yield {
                "custom_id": f"math-{mode}-{i}",
                "kind": "math",
                "mode": mode,
                "chains": [{"text": f"1 + 1 = 2, so {half}.", "answer": half} for half in halves],
                "verify": verifications,
                "options": options,
            }
    said = [
        "Fever is common in influenza.",
        "A rash is common in influenza.",
        "Fever is not common in influenza.",
    ]
    facts = {"verifier": "facts", "documents": [{"id": "flu", "text": FLU}]}
    entailment = {"verifier": "entailment", "premise": FLU}
    for i, verifications in enumerate(
        [[facts], [entailment], [facts, entailment], [{"verifier": "facts", "collection": "handbook"}]]
    ):
        yield {
            "custom_id": f"text-{i}",
            "kind": "text",
            "candidates": [*said, said[0]],
            "verify": verifications,
            "options": {"min_confirmations": i % 2},
        }
    for equivalence in ("entailment", "embedding"):
        for linkage in ("single", "complete", "guarded"):
            yield {
                "custom_id": f"{equivalence}-{linkage}",
                "kind": "text",
                "candidates": [*said, "In influenza fever is common.", "With influenza, fever often comes."],
                "options": {"equivalence": equivalence, "linkage": linkage},
            }
    hostile = ["[red]x[/] \u202e", "=1+1", "9**9**9**9", "{" * 200, "", " "]
    yield {"custom_id": "hostile", "kind": "qa", "candidates": hostile}
    yield {"custom_id": "silent", "kind": "qa", "chains": [{"text": "", "answer": None}] * 3}


def sampled_lines() -> tuple[list[dict[str, Any]], dict[str, list[RecordedChain]]]:
    """Return tasks that are sampled, and what the model says: real chains where we have them."""
    sums = {f"What is {i} + {i}?": f"It is {2 * i}." for i in (1, 2)}  # all chains agree: an early exit
    said = {prompt: [RecordedChain(text=text, logprob=-2.0, n_tokens=4)] * 8 for prompt, text in sums.items()}
    lines = [
        {
            "custom_id": f"sum-{policy}-{i}",
            "kind": "math",
            "prompt": prompt,
            "options": {"early_exit": policy},
        }
        for i, prompt in enumerate(sums)
        for policy in ("paper", "lossless", "adaptive")
    ]
    for raw in gzip.decompress(RECORDING.read_bytes()).decode().splitlines():
        row = json.loads(raw)
        task = row["task"]
        prompt = task["prompt"]
        said[prompt] = [
            RecordedChain(text=chain["text"][-400:], logprob=chain["logprob"], n_tokens=chain["n_tokens"])
            for chain in row["chains"]
        ]
        if task["kind"] != "math":
            continue
        lines += [
            {
                "custom_id": f"{task['custom_id']}-{policy}",
                "kind": "math",
                "prompt": prompt,
                "mode": "spread" if policy == "none" else "merge",
                "options": {"early_exit": policy},
            }
            for policy in ("none", "paper", "lossless", "adaptive")
        ]
        lines.append(
            {
                "custom_id": f"{task['custom_id']}-pool",
                "kind": "math",
                "prompt": prompt,
                "options": {"models": ["default", "big"], "early_exit": "none"},
            }
        )
    return lines, said


def labelled_lines(n: int, *, seed: int) -> Iterator[dict[str, Any]]:
    """Yield tasks of three models of different worth, with their truth: a night learns weights from them."""
    rng = random.Random(seed)
    for i in range(n):
        truth = rng.choice(["yes", "no"])
        other = "no" if truth == "yes" else "yes"
        chains = [
            {"text": "", "answer": truth if rng.random() < skill else other, "model": model}
            for model, skill in (("poor", 0.55), ("fair", 0.7), ("good", 0.9))
            for _ in range(rng.randint(1, 2))
        ]
        yield {
            "custom_id": f"pool-{seed}-{i}",
            "kind": "qa",
            "domain": "pool",
            "chains": chains,
            "label": truth,
        }


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
