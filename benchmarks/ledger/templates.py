"""Some hundred tasks that the real method decided, from which a large ledger is made by changing names and answers.

Every decision of the ledger is whole: its chains, verdicts, decision and grading are those of its template with another
number in the answers. The numbers have as many digits and come in the same order, so that nothing the method looks at
changes, and a replay gives the same decision again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from reasoner.decisions import Decision, Thresholds
from reasoner.outcomes import Outcome
from verifiers.verdicts import Verdict
from worker.claims import candidate_key, distinct_answers, normaliser_of, specs_of
from worker.deciding import configuration_of, decide_task, models_of
from worker.grading import SPREAD, conflicting, grade
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.settings import Settings
from worker.store.chains import StoredChain
from worker.store.gradings import DecisionRecord, DueTask, Grade
from worker.store.texts import digest
from worker.store.verdicts import Judged
from worker.submission.lines import CodeVerification, TaskLine

NUMBERS = (7100001, 7100002, 7100003, 7100004)
"""The numbers in a template's answers; none of them is likely to turn up elsewhere in it."""

NOBODY = UUID(int=0)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROUNDS = {1: 2, 2: 6, 4: 5, 8: 9}
"""Per number of chains, how many templates of each sort."""

THRESHOLDS = Thresholds(lambda_=0.25, tau_margin=0.4, tau_conf=0.45, tau_score=0.5)
"""Of every calibration of the ledger; SPREAD stays with the first one's, as in the product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """One sort of task."""

    kind: str
    mode: str
    answers: str
    """How an answer reads, with ``{n}`` for its number."""

    verify: tuple[dict[str, Any], ...] = ()
    n_models: int = 1


MATH = {"verifier": "math", "reference": str(NUMBERS[0])}
TESTS = {"verifier": "code", "entry_point": "f", "tests": "assert f(1) == 2"}
SORTS = (
    Sort(kind="math", mode="merge", answers="{n}", verify=(MATH,)),
    Sort(kind="math", mode="merge", answers="{n}"),
    Sort(kind="math", mode="merge", answers="{n}", verify=(MATH,), n_models=2),
    Sort(kind="code", mode="merge", answers="def f(x):\n    return x + {n}", verify=(TESTS,)),
    Sort(kind="qa", mode="merge", answers="item {n}"),
    Sort(kind="text", mode="merge", answers="the text {n}"),
    Sort(kind="diagnosis", mode="spread", answers="condition {n}"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One decided task; the domain, the custom_id, the models and the numbers are to be replaced."""

    line: TaskLine
    answers: str
    spec: str
    chains: Sequence[StoredChain]
    judged: Sequence[Judged]
    decision: Decision
    document: dict[str, Any]
    configuration: str
    graded: Sequence[tuple[str, Grade]]
    """What a label may say and what it makes of the decision."""

    def form_of(self, number: int) -> str:
        """Return the normal form of the answer with this number."""
        return normaliser_of(self.line)(self.answers.format(n=number))


def make_templates(seed: int, settings: Settings) -> dict[str, dict[int, list[Template]]]:
    """Return templates by kind and number of chains."""
    rng = random.Random(seed)
    made: dict[str, dict[int, list[Template]]] = {}
    with Judges(Surroundings(settings=settings)) as judges:
        for sort in SORTS:
            for k, n in ROUNDS.items():
                if k >= sort.n_models:
                    made.setdefault(sort.kind, {}).setdefault(k, []).extend(
                        _make(sort, k, rng, judges) for _ in range(n)
                    )
    return made


def _make(sort: Sort, k: int, rng: random.Random, judges: Judges) -> Template:
    models = [f"@model-{i}@" for i in range(sort.n_models)]
    spec: dict[str, Any] = {
        "custom_id": "@custom@",
        "kind": sort.kind,
        **({} if sort.mode == "merge" else {"mode": sort.mode}),
        "prompt": "Question @custom@",
        "options": {"k": k, "models": models},
    }
    if sort.verify:
        spec["verify"] = list(sort.verify)
        spec["options"]["min_confirmations"] = rng.randint(0, 1)
    line = TaskLine.model_validate(spec)
    chains = _chains(sort, k, models, rng)
    judged = _code_verdicts(line, chains, rng) if sort.kind == "code" else judges.judge(line, chains)
    sampled = [chain.as_chain() for chain in chains]
    thresholds = THRESHOLDS if sort.mode == "merge" else Thresholds()
    decision = decide_task(line, sampled, judged, calibrated=thresholds)
    asked = models_of(line, sampled)
    document = decision.to_json() | ({} if asked is None else {"models": asked})
    return Template(
        line=line,
        answers=sort.answers,
        spec=line.model_dump_json(exclude={"label"}, exclude_unset=True, by_alias=True),
        chains=chains,
        judged=judged,
        decision=decision,
        document=document,
        configuration=configuration_of(line, thresholds),
        graded=_graded(sort, line, chains, document),
    )


def _chains(sort: Sort, k: int, models: Sequence[str], rng: random.Random) -> list[StoredChain]:
    sure, silent = rng.uniform(0.2, 1.0), rng.choice((0.0, 0.0, 0.1, 0.4))
    chains = []
    for i in range(k):
        number = NUMBERS[0] if rng.random() < sure else rng.choice(NUMBERS)
        answer = None if rng.random() < silent else sort.answers.format(n=number)
        n_tokens = rng.randint(20, 400)
        chains.append(
            StoredChain(
                index=i,
                text=f"So it is {answer}" if answer else "I cannot say",
                answer=answer,
                logprob=-n_tokens * rng.uniform(0.05, 0.9),
                n_tokens=n_tokens,
                finish_reason="stop" if answer else "length",
                model=models[i % len(models)],
                revision="r1",
                seed=i,
                temperature=0.7,
                prompt_variant="plain",
                engine="replay",
                latency_s=round(n_tokens / 50, 2),
            )
        )
    return chains


def _code_verdicts(line: TaskLine, chains: Sequence[StoredChain], rng: random.Random) -> list[Judged]:
    """Return verdicts in the form of the code verifier's: a sandbox is not needed to make a ledger."""
    found = []
    for i, spec in specs_of(line, CodeVerification):
        for n, form in enumerate(distinct_answers(line, [chain.answer for chain in chains])):
            outcome = rng.choice((Outcome.CONFIRMED, Outcome.CONFIRMED, Outcome.REFUTED, Outcome.ABSTAINED))
            verdict = Verdict(
                verifier="code",
                version="1",
                outcome=outcome,
                reason={"confirmed": "1 test passed", "refuted": "f(1) == 2 failed"}.get(
                    outcome, "no sandbox"
                ),
                elapsed_s=0.02,
                evidence={"behaviour": {"inputs": "[1]", "outputs": [n]}, "sandbox": "bubblewrap"},
            )
            claim = {"kind": "program", "spec": i, "program": digest(form)}
            limits = {"timeout_s": spec.timeout_s}
            found.append(
                Judged(candidate=candidate_key(i, form), claim=claim, verdict=verdict, limits=limits)
            )
    return found


def _graded(
    sort: Sort, line: TaskLine, chains: Sequence[StoredChain], document: dict[str, Any]
) -> list[tuple[str, Grade]]:
    """Return the grades that the product gives for a few labels; the first number is the truth most often."""
    forms = list(distinct_answers(line, [chain.answer for chain in chains]))
    task = DueTask(id=NOBODY, domain="", line=line, chains=list(chains), decisions=[], labels=[], verdicts=[])
    decided = DecisionRecord(id=NOBODY, created_at=EPOCH, answer=document["answer"], document=document)
    labels: list[tuple[str, Grade]] = []
    for number in (NUMBERS[0], NUMBERS[0], NUMBERS[1], 7199999):
        label = sort.answers.format(n=number)
        truth = normaliser_of(line)(label)
        # Programs are right or wrong for certain only where they are the label's, word for word.
        other = None if sort.kind == "code" else False
        right = {form: True if form == truth else other for form in forms}
        labels.append((label, grade(task, decided, right) if sort.mode == "merge" else SPREAD))
    differing = conflicting(task, decided) if sort.mode == "merge" else SPREAD
    return [*labels, (labels[0][0], differing)]


def as_json(value: object) -> str:
    """Return JSON in its shortest form."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
