"""What labels say of decisions, and from when until when: the past is graded as it was known then."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from itertools import zip_longest
from typing import Any
from uuid import UUID

from reasoner.ballots import ballot_of
from reasoner.decisions import AbstainReason, cluster_from_json
from reasoner.outcomes import Outcome
from reasoner.verifier_rates import measure_verifier
from verifiers.errors import VerifierError
from worker.claims import normaliser_of
from worker.deciding import rules_of
from worker.errors import UnreadableDecisionError
from worker.judging.table import Judges
from worker.labelling import right_by
from worker.store.ballots import to_numbers
from worker.store.chains import each_explanation
from worker.store.gradings import (
    DecisionRecord,
    DueTask,
    Grade,
    Grading,
    LabelRecord,
    due_tasks,
    save_gradings,
)
from worker.store.texts import digest
from worker.store.transactions import Store

BY_THRESHOLDS = {AbstainReason.VOTE_MARGIN, AbstainReason.CONFIDENCE, AbstainReason.EMPTY_SET}
"""Reasons to abstain that thresholds decide; any other stands whatever they are."""

logger = logging.getLogger(__name__)

SPREAD = Grade(grade="spread")

WHY_NOT_SPREAD = (
    "a label names a truth, and does not say that the other explanations explain nothing; so no error rate of SPREAD "
    "can be told from it. Set tau_score and tau_conf in the tasks' options"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time in which one decision and one label were the newest on record."""

    known_at: datetime
    until_at: datetime | None
    decision: DecisionRecord
    label: LabelRecord
    conflicting: bool


@dataclass(slots=True)
class Pass:
    """What became of one pass over the tasks that were due."""

    graded: int = 0
    ungradable: int = 0
    """Tasks whose answers could not be compared because the comparison broke, or whose decision can't be read; the
    next pass tries them again."""

    pruned: int = 0
    """Looks at tasks whose chains are not on record any more; they keep the grading they had. One with both a new
    label and a new decision is looked at twice."""

    redacted: int = 0
    """Likewise at imported tasks whose truth was redacted before; one that was redacted here isn't looked at."""


def grade_due(store: Store, judges: Judges, *, tenant: str) -> Pass:
    """Grade every task with a new decision or label, a page at a time; what was graded stays if we are stopped."""
    made = Pass()
    for page in due_tasks(store, tenant=tenant):
        done: list[DueTask] = []
        found: list[Grading] = []
        for task in page:
            if not task.chains:
                made.pruned += 1
                continue
            if task.is_redacted:
                made.redacted += 1
                continue
            try:
                of_task = list(gradings_of(task, judges))
            except (VerifierError, UnreadableDecisionError) as error:
                logger.warning("not graded", extra={"task_id": str(task.id), "error": str(error)})
                made.ungradable += 1
                continue
            found += of_task
            done.append(task)
        save_gradings(store, done, found, tenant=tenant)
        made.graded += len(done)
    return made


def conflicting(task: DueTask, decision: DecisionRecord) -> Grade:
    """Return the grade where sources differ: what was answered is known, and whether that is right is not."""
    return replace(grade(task, decision, {}), grade="conflicting", correct=None)


def gradings_of(task: DueTask, judges: Judges) -> Iterator[Grading]:
    """Yield the task's gradings, oldest first.

    Raises:
        VerifierError: What compares answers broke, or is missing.
        UnreadableDecisionError: A decision's document does not go with the task's chains.
    """
    known: dict[tuple[UUID, UUID], Grade] = {}
    for span in spans(task.decisions, task.labels):
        key = (span.decision.id, span.label.id)
        if task.line.mode == "spread":
            found = SPREAD
        elif span.conflicting:
            found = conflicting(task, span.decision)
        else:
            if key not in known:
                right = right_by(task.line, each_explanation(task.chains), span.label.truth, judges)
                known[key] = grade(task, span.decision, right)
            found = known[key]
        yield Grading(
            task=task,
            known_at=span.known_at,
            until_at=span.until_at,
            decision=span.decision,
            label=span.label,
            grade=found,
        )


def spans(decisions: Sequence[DecisionRecord], labels: Sequence[LabelRecord]) -> list[Span]:
    """Return which decision and label counted when: at any time the newest of those on record by then.

    Newest is a decision by its making and a label by the time it speaks of. Labels of the same time that say
    different things conflict, until a newer one comes.
    """
    times = sorted({d.created_at for d in decisions} | {label.recorded_at for label in labels})
    found: list[Span] = []
    for time, until in zip_longest(times, times[1:]):
        made = [d for d in decisions if d.created_at <= time]
        heard = [label for label in labels if label.recorded_at <= time]
        if not made or not heard:
            continue
        newest = max(label.at for label in heard)
        winning = [label for label in heard if label.at == newest]
        found.append(
            Span(
                known_at=time,
                until_at=until,
                decision=max(made, key=lambda d: (d.created_at, d.id)),
                label=max(winning, key=lambda label: label.id),
                conflicting=len({_content(label) for label in winning}) > 1,
            )
        )
    return found


def _content(label: LabelRecord) -> tuple[frozenset[str], bool | None]:
    return frozenset(label.truth.answers), label.truth.correct


def grade(task: DueTask, decision: DecisionRecord, right: Mapping[str, bool | None]) -> Grade:
    """Return the grade of a decision.

    Args:
        task: Whose chains the decision's clusters are made of.
        decision: As it was stored.
        right: Of each answer's normal form whether it is right.

    Raises:
        UnreadableDecisionError: Its document lacks something, or does not go with the chains.
    """
    try:
        return _grade(task, decision, right)
    except (LookupError, TypeError, ValueError) as error:
        raise UnreadableDecisionError(f"decision {decision.id}: {error!r}") from error


def _grade(task: DueTask, decision: DecisionRecord, right: Mapping[str, bool | None]) -> Grade:
    document, normal_form = decision.document, normaliser_of(task.line)
    said: dict[int, list[bool | None]] = {}
    for one in each_explanation(task.chains):
        said.setdefault(one.index, []).append(
            None if one.answer is None else right.get(normal_form(one.answer))
        )
    told = {index: _known(found) for index, found in said.items()}
    clusters = document["clusters"]
    # Of a chain that lists several explanations it is not known which of them is the cluster's.
    alone = {index: found[0] for index, found in said.items() if len(found) == 1}
    rights = [
        _cluster_right(right.get(normal_form(cluster["answer"])), [alone.get(i) for i in cluster["members"]])
        for cluster in clusters
    ]
    best = rights[0] if clusters and not clusters[0]["refuted"] else False
    masses = [float(cluster["posterior"]) for cluster in clusters]
    reasons = {AbstainReason(reason) for reason in document["abstain_reasons"]}
    right_chains = sorted(i for i, is_right in told.items() if is_right)
    wrong_chains = sorted(
        chain.index for chain in task.chains if chain.answer is None or told[chain.index] is False
    )
    ballot = ballot_of(
        [cluster_from_json(cluster) for cluster in clusters],
        [chain.as_chain() for chain in each_explanation(task.chains)],
        rules=rules_of(task.line),
        right=right_chains,
        wrong=wrong_chains,
    )
    ballot_masses = [cluster.mass for cluster in ballot.clusters]
    return Grade(
        grade="unknown" if best is None else "graded",
        correct=best,
        answerable=bool(clusters) and reasons <= BY_THRESHOLDS,
        confidence=document["confidence"],
        vote_margin=document["vote_margin"],
        truth=max(
            (i for i, is_right in enumerate(rights) if is_right), key=lambda i: masses[i], default=None
        ),
        masses=masses,
        right_chains=right_chains,
        wrong_chains=wrong_chains,
        models=list(ballot.models),
        weighted=document["weights"] == "fitted",
        verdicts=_verdicts(task, decision, right),
        ballot=to_numbers(ballot),
        ballot_masses=[] if ballot_masses == masses else ballot_masses,
    )


def _verdicts(task: DueTask, decision: DecisionRecord, right: Mapping[str, bool | None]) -> list[list[Any]]:
    """Return per verifier its name, version and counts, of the verdicts that were there when it was decided."""
    by_digest = {digest(form): is_right for form, is_right in right.items()}
    found: dict[tuple[str, str], list[tuple[Outcome, bool]]] = defaultdict(list)
    for one in task.verdicts:
        is_right = by_digest.get(one.form)
        if is_right is not None and one.created_at <= decision.created_at:
            found[one.verifier, one.version].append((one.outcome, is_right))
    return [[*key, *astuple(measure_verifier(said))] for key, said in sorted(found.items())]


def _known(said: Sequence[bool | None]) -> bool | None:
    """Return whether a chain is right: when one of its explanations is, and wrong when all of them are."""
    if True in said:
        return True
    return None if None in said else False


def _cluster_right(own: bool | None, members: Sequence[bool | None]) -> bool | None:  # noqa: FBT001 (a value, no switch)
    """Return whether a cluster is right: as its own wording is, else as a member's of which it is known."""
    known = {own} if own is not None else {*members} - {None}
    return True in known if known else None
