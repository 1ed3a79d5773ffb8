"""Recorded chains of several models, with labels where they are known: what the pool's report is made of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import model_validator

from reasoner.bounds import ConsensusBound, consensus_bound, measure
from reasoner.chains import Chain
from reasoner.equivalence import partition
from reasoner.errors import InsufficientCalibrationDataError
from reasoner.fitted import FittedMerge, LabelledTask, fit_merge
from reasoner.model_weights import Record, fit_model_weights
from reasoner.pool import PoolReport, PoolTask, effective_rivals, pool_report
from worker.claims import normaliser_of, relation
from worker.judging.protocol import Saying
from worker.judging.table import Judges
from worker.merging import MergeLine
from worker.sampling import recorded_chains


class PoolLine(MergeLine):
    """A task line that brings chains of several models; a label makes it one to learn from."""

    @model_validator(mode="after")
    def _has_comparable_answers(self) -> PoolLine:
        if self.kind == "code":
            raise ValueError("kind code has no answers a label could be compared with: leave code tasks out")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledTask:
    """One task: every answer stands for its whole cluster, the label's cluster included."""

    domain: str
    chains: tuple[tuple[str, str | None], ...]
    """Model and answer of each chain."""

    truth: str | None
    """The cluster of the label; ``None`` without a label."""

    def as_pool_task(self) -> PoolTask:
        """Return the task with one answer per model: that of most of its chains (ties: the first)."""
        said: dict[str, Counter[str | None]] = defaultdict(Counter)
        for model, answer in self.chains:
            said[model][answer] += 1
        return PoolTask(
            answers={model: _favourite(answers) for model, answers in said.items()}, truth=self.truth
        )

    def as_labelled(self) -> LabelledTask:
        """Return the task as a fit sees it, every chain counted by its share of its model's."""
        sampled = Counter(model for model, _ in self.chains)
        supports: dict[str, dict[str, float]] = {}
        for (model, answer), n in Counter(self.chains).items():
            if answer is not None:
                supports.setdefault(answer, {})[model] = n / sampled[model]
        ordered = sorted(supports)
        return LabelledTask(
            supports=tuple(supports[answer] for answer in ordered),
            right=ordered.index(self.truth) if self.truth in supports else None,
        )

    @property
    def correct(self) -> list[bool]:
        """Of each chain, whether it was right."""
        return [answer == self.truth for _, answer in self.chains]


def pooled_task(line: PoolLine, judges: Judges) -> PooledTask:
    """Return the task with its answers and labels told apart by the task's equivalence.

    Raises:
        VerifierError: What tells them apart broke, or is missing.
    """
    chains = recorded_chains(line)
    normal_form = normaliser_of(line)
    forms = [None if chain.answer is None else normal_form(chain.answer) for chain in chains]
    labels = [normal_form(label) for label in line.labels]
    cluster_of = _clusters(line, chains, forms, labels, judges)
    truths = {cluster_of[label] for label in labels}
    truth = min(truths, default=None)

    def answer(form: str | None) -> str | None:
        if form is None:
            return None
        return truth if cluster_of[form] in truths else cluster_of[form]

    return PooledTask(
        domain=line.domain or line.kind,
        chains=tuple((chain.model, answer(form)) for chain, form in zip(chains, forms, strict=True)),
        truth=truth,
    )


def _clusters(
    line: PoolLine,
    chains: Sequence[Chain],
    forms: Sequence[str | None],
    labels: Sequence[str],
    judges: Judges,
) -> dict[str, str]:
    """Return of each normal form the first of its cluster."""
    weights = Counter([form for form in (*forms, *labels) if form is not None])
    unverified = line.model_copy(update={"verify": []})  # the label judges here, no verifier does
    answers = [*(chain.answer for chain in chains), *line.labels]
    judged = judges.judge(unverified, [Saying(answer=answer) for answer in answers])
    groups = partition(weights, relation(unverified, judged), linkage=line.options.linkage)
    return {form: group[0] for group in groups for form in group}


def _favourite(answers: Counter[str | None]) -> str | None:
    spoken = [(answer, n) for answer, n in answers.items() if answer is not None]
    return max(spoken, key=lambda one: one[1])[0] if spoken else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What the records of a pool come to."""

    report: PoolReport
    bounds: Mapping[str, ConsensusBound]
    """Per domain, what a majority of its chains can be promised (Theorem 11)."""

    fitted: FittedMerge | None
    """``None`` without labels."""

    model_weights: Mapping[str, float] | None

    @property
    def consensus_gain(self) -> float | None:
        """Mean agreement over the pairs of models (Definition 2); ``None`` for a model alone."""
        matrix = self.report.agreement
        cells = [matrix[i][j] for j in range(len(matrix)) for i in range(j)]
        return sum(cells) / len(cells) if cells else None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only."""
        return {
            **self.report.to_json(),
            "consensus_gain": self.consensus_gain,
            "domains": {name: _bound_json(bound) for name, bound in self.bounds.items()},
            "model_weights": None if self.model_weights is None else dict(self.model_weights),
        }


def pool(tasks: Sequence[PooledTask]) -> Pool:
    """Return the report, the bounds and the fits.

    Raises:
        InsufficientCalibrationDataError: There is no task.
    """
    labelled = [task for task in tasks if task.truth is not None]
    report = pool_report([task.as_pool_task() for task in tasks])
    return Pool(
        report=report,
        bounds={name: _bound(of_domain) for name, of_domain in _by_domain(labelled).items()},
        fitted=_fit(labelled),
        model_weights=_model_weights(report, [task.as_pool_task() for task in labelled]),
    )


def _by_domain(tasks: Sequence[PooledTask]) -> dict[str, list[PooledTask]]:
    found: dict[str, list[PooledTask]] = {}
    for task in tasks:
        found.setdefault(task.domain, []).append(task)
    return dict(sorted(found.items()))


def _bound(tasks: Sequence[PooledTask]) -> ConsensusBound:
    """Return the bound for as many chains as most tasks of the domain have."""
    measured = measure([task.correct for task in tasks])
    n = Counter(len(task.chains) for task in tasks).most_common(1)[0][0]
    return consensus_bound(n, p=measured.p, rho=measured.rho)


def _bound_json(bound: ConsensusBound) -> dict[str, Any]:
    return {
        "n_chains": bound.n,
        "p": bound.p,
        "rho": bound.rho,
        "n_effective": bound.n_effective,
        "helps": bound.helps,
        "hoeffding": bound.hoeffding,
        "cantelli": bound.cantelli,
        "verdict": bound.verdict,
    }


def _fit(labelled: Sequence[PooledTask]) -> FittedMerge | None:
    try:
        return fit_merge([task.as_labelled() for task in labelled])
    except InsufficientCalibrationDataError:
        return None


def _model_weights(report: PoolReport, labelled: Sequence[PoolTask]) -> dict[str, float] | None:
    records = {
        one.model: Record(right=one.right, labelled=one.labelled) for one in report.models if one.labelled
    }
    if not records:
        return None
    # A question has two answers at least; without two wrong answers to compare nothing says that it has more.
    return fit_model_weights(records, n_rivals=max(2.0, effective_rivals(labelled)))
