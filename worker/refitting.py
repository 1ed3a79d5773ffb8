"""Weights of the models of a domain, and its window decided again under them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from reasoner.decisions import AbstainReason, Cluster, Decision, Thresholds
from reasoner.errors import InsufficientCalibrationDataError
from reasoner.fitted import FittedMerge, LabelledTask, fit_merge
from reasoner.labelled_decision import LabelledDecision
from reasoner.labelled_table import LabelledTable
from reasoner.model_weights import Record, fit_model_weights
from worker.deciding import decide_task, weights_for
from worker.grading import BY_THRESHOLDS
from worker.store.chains import each_explanation
from worker.store.gradings import GradedRow, GradedTable, Window, graded_rows, labelled_lines
from worker.store.labelled import LabelledLine
from worker.store.transactions import Store
from worker.weights import EQUAL, PoolWeights

FIRST_PART = 1 / 3
"""The oldest part of a window of several models is for their weights; thresholds are chosen on the rest, since on what
the weights were fitted to, the posterior looks better than it is."""

DIGITS = 6
"""Weights are rounded, so that a sum taken in another order leaves no trace in any decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refitted:
    """A domain's window as the thresholds are to see it."""

    weights: PoolWeights
    decisions: LabelledTable
    n_for_weights: int
    """Tasks, the oldest ones, that went into the weights."""


def refit(store: Store, window: Window, table: GradedTable, *, domain: str, min_labels: int) -> Refitted:
    """Return the weights and the rest of the window decided under them.

    A window of one model keeps the decisions as they were made: no weight can change them.

    Args:
        store: The database.
        window: Which gradings ``table`` was read from.
        table: In the order of decision.
        domain: Whose they are.
        min_labels: Fewer tasks of several models teach no weights.

    Raises:
        StoreUnavailableError: The database is away.
    """
    several = table.n_models > 1
    if not several and not table.weighted:
        return Refitted(weights=EQUAL, decisions=table.labelled, n_for_weights=0)
    rows = graded_rows(store, window, domain=domain)
    cut = int(len(rows) * FIRST_PART)
    weights = fit_weights(store, rows[:cut]) if several and cut >= min_labels else EQUAL
    if weights is EQUAL:
        cut = 0
    decisions = [_labelled(row, _decided(line, weights)) for row, line in labelled_lines(store, rows[cut:])]
    return Refitted(weights=weights, decisions=LabelledTable.of(decisions), n_for_weights=cut)


def fit_weights(store: Store, rows: Sequence[GradedRow]) -> PoolWeights:
    """Return the fitted merge and the factor of each model, or equal weights where the labels teach nothing."""
    tasks, right, labelled = [], Counter[str](), Counter[str]()
    for row, line in labelled_lines(store, rows):
        sampled = Counter(chain.model for chain in line.chains)
        candidates = [c for c in _decided(line, EQUAL).clusters if not c.refuted]
        rights = [i for i, cluster in enumerate(candidates) if _is_right(cluster, row)]
        tasks.append(
            LabelledTask(
                supports=tuple(_support(cluster, line, sampled) for cluster in candidates),
                right=rights[0] if rights else None,
            )
        )
        for chain in line.chains:
            right[chain.model] += chain.index in row.right_chains
            labelled[chain.model] += chain.index in row.right_chains or chain.index in row.wrong_chains
    records = {model: Record(right=right[model], labelled=n) for model, n in sorted(labelled.items())}
    try:
        return PoolWeights(
            fitted=_rounded(fit_merge(tasks)),
            model_weights={m: round(w, DIGITS) for m, w in fit_model_weights(records).items()},
        )
    except InsufficientCalibrationDataError:
        return EQUAL


def _decided(line: LabelledLine, weights: PoolWeights) -> Decision:
    chains = [chain.as_chain() for chain in each_explanation(line.chains)]
    return decide_task(
        line.line,
        chains,
        line.verdicts,
        calibrated=Thresholds(),
        fitted=weights_for(chains, weights).fitted,
    )


def _labelled(row: GradedRow, decision: Decision) -> LabelledDecision:
    clusters = decision.clusters
    rights = [_is_right(cluster, row) for cluster in clusters]
    best = decision.best
    return LabelledDecision(
        posterior=tuple(cluster.posterior for cluster in clusters),
        truth=max(
            (i for i, is_right in enumerate(rights) if is_right),
            key=lambda i: clusters[i].posterior,
            default=None,
        ),
        confidence=decision.confidence,
        margin=decision.vote_margin,
        right=best is not None and rights[0],
        answerable=bool(clusters)
        and {AbstainReason(reason) for reason in decision.abstain_reasons} <= BY_THRESHOLDS,
    )


def _is_right(cluster: Cluster, row: GradedRow) -> bool:
    """Return whether it holds a chain known to be right; of what can't be told, the worse is assumed."""
    return not set(cluster.members).isdisjoint(row.right_chains)


def _support(cluster: Cluster, line: LabelledLine, sampled: Counter[str]) -> dict[str, float]:
    members = set(cluster.members)
    given = Counter(chain.model for chain in line.chains if chain.index in members)
    return {model: n / sampled[model] for model, n in sorted(given.items())}


def _rounded(fitted: FittedMerge) -> FittedMerge:
    return FittedMerge(
        models=fitted.models,
        weights={model: round(weight, DIGITS) for model, weight in fitted.weights.items()},
        pairs={pair: round(weight, DIGITS) for pair, weight in fitted.pairs.items()},
        none=round(fitted.none, DIGITS),
    )
