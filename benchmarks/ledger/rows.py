"""Rows as COPY reads them: what stays the same in all tasks of a template is written once, the rest is filled in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.ledger.templates import NUMBERS, Template, as_json
from worker.deciding import CODE_VERSION
from worker.store.gradings import Grade
from worker.store.texts import DIGEST_CHARS, digest

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "tasks": (
        *(
            "id",
            "batch_id",
            "tenant",
            "custom_id",
            "kind",
            "mode",
            "domain",
            "spec",
            "state",
            "model",
            "attempt",
        ),
        *("published_at", "tokens_spent", "error", "created_at", "finished_at"),
    ),
    "task_events": ("task_id", "from_state", "to_state", "who", "why", "attempt", "at"),
    "chains": (
        *("task_id", "index", "tenant", "text", "answer", "logprob", "n_tokens", "finish_reason", "model"),
        *(
            "revision",
            "seed",
            "temperature",
            "prompt_variant",
            "engine",
            "latency_s",
            "attempt",
            "created_at",
        ),
    ),
    "verifications": ("task_id", "verifier", "done", "attempt", "published_at"),
    "verdicts": (
        *("task_id", "candidate", "verifier", "version", "tenant", "outcome", "reason", "claim", "evidence"),
        *("limits", "elapsed_s", "attempt", "created_at"),
    ),
    "decisions": (
        *(
            "id",
            "task_id",
            "tenant",
            "answer",
            "abstain_flag",
            "abstain_reasons",
            "confidence",
            "vote_margin",
        ),
        *("merge_degree", "set_size", "best_cluster", "document", "calibration_id", "configuration"),
        *("code_version", "attempt", "created_at"),
    ),
    "clusters": ("decision_id", "number", "members", "answer", "score", "posterior", "in_set", "outcome"),
    "labels": ("id", "task_id", "tenant", "answers", "source", "at", "recorded_at"),
    "gradings": (
        *(
            "task_id",
            "known_at",
            "tenant",
            "domain",
            "decision_id",
            "label_id",
            "decided_at",
            "grade",
            "correct",
        ),
        *(
            "answerable",
            "confidence",
            "vote_margin",
            "truth",
            "masses",
            "right_chains",
            "wrong_chains",
            "models",
        ),
        *("weighted", "n_decisions", "n_labels", "ballot", "ballot_masses"),
    ),
}
"""Per table, the columns that are written; the others keep their defaults."""

PLACE = re.compile("|".join(["@custom@", "@domain@", r"@model-\d@", *map(str, NUMBERS)]))
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


class Raw(str):
    """A value that is to be filled in, e.g. ``%(task)s``."""

    __slots__ = ()


TASK, TENANT, DECISION = Raw("%(task)s"), Raw("%(tenant)s"), Raw("%(decision)s")
CREATED, DECIDED, LABELLED = Raw("%(created)s"), Raw("%(decided)s"), Raw("%(labelled)s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A template as texts to be filled in with ``%``."""

    tables: Mapping[str, str]
    """Per table, the rows that every task has: its own and its decision's."""

    whole: Mapping[str, str]
    """Per table, the rows behind them: chains, verdicts, clusters, events."""

    labelled: Sequence[Mapping[str, str]]
    """Per label that may come back, the rows of ``labels`` and ``gradings``; SPREAD is not graded."""

    digests: Sequence[tuple[str, str]]
    """Under which name the digest of which text is to be filled in."""

    def fill(self, values: dict[str, str]) -> None:
        """Add the digests to ``values``."""
        for name, text in self.digests:
            filled = (text % values).encode()
            values[name] = hashlib.sha256(filled).hexdigest()[:DIGEST_CHARS]


def line(values: Iterable[object]) -> str:
    """Return one row of COPY's text format, to be filled in."""
    return "\t".join(map(_cell, values)) + "\n"


def _cell(value: object) -> str:
    match value:
        case None:
            return r"\N"
        case Raw():
            return value
        case bool():
            return "t" if value else "f"
        case list() | tuple():
            return "{" + ",".join(map(repr, value)) + "}"
        case str():
            return value.translate(_ESCAPES).replace("%", "%%")
        case _:
            return repr(value)


def form_of(template: Template, *, n_events: int) -> Form:
    """Return a template as texts; of each task's changes of state ``n_events`` are kept, the last among them."""
    names = {str(number): f"n{i}" for i, number in enumerate(NUMBERS)}
    forms = [template.form_of(number) for number in NUMBERS]
    digests = {digest(form): f"d{i}" for i, form in enumerate(forms)}

    def opened(text: str) -> str:
        for known, name in digests.items():
            text = text.replace(known, f"%({name})s")
        return PLACE.sub(lambda found: f"%({names.get(found[0], found[0].strip('@'))})s", text)

    tables: dict[str, list[tuple[object, ...]]] = {
        "tasks": [_task(template)],
        "task_events": _events(template, n_events),
        "chains": _chains(template),
        "verifications": [(TASK, v, True, 1, CREATED) for v in _verifiers(template)],
        "verdicts": _verdicts(template),
        "decisions": [_decision(template)],
        "clusters": _clusters(template),
    }
    texts = {name: opened("".join(map(line, rows))) for name, rows in tables.items() if rows}
    return Form(
        tables={name: texts.pop(name) for name in ("tasks", "decisions")},
        whole=texts,
        labelled=[
            {"labels": opened(line(_label(label))), "gradings": opened(line(_grading(grade)))}
            for label, grade in template.graded
        ],
        digests=[(f"d{i}", opened(form.replace("%", "%%"))) for i, form in enumerate(forms)],
    )


def _verifiers(template: Template) -> list[str]:
    return sorted({one.verdict.verifier for one in template.judged})


def _task(template: Template) -> tuple[object, ...]:
    task, state = template.line, "abstained" if template.decision.abstain else "answered"
    spent = sum(chain.n_tokens or 0 for chain in template.chains)
    models = ",".join(task.options.models)
    return (
        *(TASK, Raw("%(batch)s"), TENANT, "@custom@", task.kind, task.mode, "@domain@", template.spec, state),
        *(models, 2, CREATED, spent, None, CREATED, DECIDED),
    )


def _events(template: Template, n_events: int) -> list[tuple[object, ...]]:
    last = "abstained" if template.decision.abstain else "answered"
    verified = bool(template.judged)
    steps: list[tuple[str | None, str, str, str]] = [
        (None, "queued", "submit", "submitted"),
        ("queued", "generating", "generate@gpu", ""),
        (
            "generating",
            "verifying" if verified else "deciding",
            "generate@gpu",
            f"{len(template.chains)} chains",
        ),
        *([("verifying", "deciding", "verify@cpu", "last verdict arrived")] if verified else []),
        ("deciding", last, "decide@cpu", ", ".join(template.decision.abstain_reasons)),
    ]
    kept = steps if n_events >= len(steps) else [*steps[: n_events - 1], steps[-1]]
    return [(TASK, *step, 1, CREATED if step[0] is None else DECIDED) for step in kept]


def _chains(template: Template) -> list[tuple[object, ...]]:
    return [
        (
            *(TASK, one.index, TENANT, one.text, one.answer, one.logprob, one.n_tokens, one.finish_reason),
            *(
                one.model,
                one.revision,
                one.seed,
                one.temperature,
                one.prompt_variant,
                one.engine,
                one.latency_s,
            ),
            *(1, DECIDED),
        )
        for one in template.chains
    ]


def _verdicts(template: Template) -> list[tuple[object, ...]]:
    return [
        (
            *(
                TASK,
                one.candidate,
                one.verdict.verifier,
                one.verdict.version,
                TENANT,
                one.verdict.outcome.value,
            ),
            *(one.verdict.reason, as_json(one.claim), as_json(one.verdict.evidence), as_json(one.limits)),
            *(one.verdict.elapsed_s, 1, DECIDED),
        )
        for one in template.judged
    ]


def _decision(template: Template) -> tuple[object, ...]:
    one = template.decision
    set_size = sum(cluster.in_set for cluster in one.clusters)
    reasons = as_json([reason.value for reason in one.abstain_reasons])
    return (
        *(DECISION, TASK, TENANT, one.answer, one.abstain, reasons, one.confidence, one.vote_margin),
        *(one.merge_degree, set_size, None if one.best is None else one.best.id, as_json(template.document)),
        *(Raw("%(calibration)s"), template.configuration, CODE_VERSION, 2, DECIDED),
    )


def _clusters(template: Template) -> list[tuple[object, ...]]:
    return [
        (
            *(DECISION, one.id, one.members, one.answer, one.score, one.posterior, one.in_set),
            None if one.outcome is None else one.outcome.value,
        )
        for one in template.decision.clusters
    ]


def _label(label: str) -> tuple[object, ...]:
    return (Raw("%(label)s"), TASK, TENANT, as_json([label]), "ledger", LABELLED, LABELLED)


def _grading(grade: Grade) -> tuple[object, ...]:
    return (
        *(
            TASK,
            LABELLED,
            TENANT,
            "@domain@",
            DECISION,
            Raw("%(label)s"),
            DECIDED,
            grade.grade,
            grade.correct,
        ),
        *(
            grade.answerable,
            grade.confidence,
            grade.vote_margin,
            grade.truth,
            grade.masses,
            grade.right_chains,
        ),
        *(grade.wrong_chains, as_json(grade.models), grade.weighted, 1, 1, grade.ballot, grade.ballot_masses),
    )
