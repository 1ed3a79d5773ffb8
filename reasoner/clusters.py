"""Clusters of a task's chains, ranked, with what verifiers refuted set apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reasoner.chains import Chain
from reasoner.decisions import Judgement, Linkage, Mode, Weights
from reasoner.equivalence import Normaliser, Relation, partition
from reasoner.masses import log_sum_exp
from reasoner.outcomes import Outcome
from reasoner.standings import UNJUDGED, Standing, judgements_by_form, split_contested, standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The chains of a task with what each weighs; lists are parallel and by ascending chain index."""

    chains: list[Chain]
    mean_logprobs: list[float]
    """The paper's l_i: logprob_i / length_i, or all 0."""

    log_mass: list[float]
    """l_i plus the log weight of the chain's model."""

    weights: Weights

    @property
    def answered(self) -> list[int]:
        """Positions of chains with an answer."""
        return [i for i, chain in enumerate(self.chains) if chain.answer is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One cluster before it has a posterior."""

    positions: list[int]
    answer: str
    score: float
    """In nats in MERGE, in (0, 1] in SPREAD."""

    log_mass: float
    best_l: float
    standing: Standing


def bundle(
    weighed: Weighed,
    judgements: Sequence[Judgement],
    *,
    same: Relation,
    normalise: Normaliser,
    linkage: Linkage,
    mode: Mode,
) -> list[Bundle]:
    """Return all clusters: candidates best first, then refuted ones best first.

    Best is the highest score; ties go to the larger mass, then the higher l of any member, then the lowest
    chain index, in every mode and for every set.
    """
    by_form: dict[str, list[int]] = {}
    for i in weighed.answered:
        by_form.setdefault(normalise(weighed.chains[i].answer or ""), []).append(i)
    table = judgements_by_form(judgements, normalise)
    groups = partition({form: len(at) for form, at in by_form.items()}, same, linkage=linkage)
    bundles = []
    for group in groups:
        for forms in split_contested(group, table):
            judged = standing([j for form in forms for j in table.get(form, ())]) if table else UNJUDGED
            confirmed = [by_form[form] for form in forms if judged.confirmed_by and _confirmed(form, table)]
            bundles.append(
                _bundle(weighed, [by_form[form] for form in forms], confirmed, judged=judged, mode=mode)
            )
    return sorted(bundles, key=_rank)


def _rank(one: Bundle) -> tuple[bool, float, float, float, int]:
    return (one.standing.refuted, -one.score, -one.log_mass, -one.best_l, one.positions[0])


def _confirmed(form: str, table: dict[str, list[Judgement]]) -> bool:
    return standing(table.get(form, [])).outcome is Outcome.CONFIRMED


def _bundle(
    weighed: Weighed, forms: list[list[int]], confirmed: list[list[int]], *, judged: Standing, mode: Mode
) -> Bundle:
    positions = sorted(i for at in forms for i in at)
    best_l = max(weighed.mean_logprobs[i] for i in positions)
    log_mass = log_sum_exp([weighed.log_mass[i] for i in positions])
    return Bundle(
        positions=positions,
        # Where a verifier confirmed some wordings and was silent about others (a program it had no time for),
        # what we hand out is one that it confirmed.
        answer=_representative(weighed, confirmed or forms),
        score=log_mass if mode == "merge" else math.exp(best_l),
        log_mass=log_mass,
        best_l=best_l,
        standing=judged,
    )


def _representative(weighed: Weighed, forms: list[list[int]]) -> str:
    """Return the wording of the majority: first among normal forms, then among the winner's wordings."""
    at = _majority(forms, weighed.mean_logprobs)
    wordings: dict[str, list[int]] = {}
    for i in at:
        wordings.setdefault(weighed.chains[i].answer or "", []).append(i)
    return weighed.chains[_majority(list(wordings.values()), weighed.mean_logprobs)[0]].answer or ""


def _majority(groups: list[list[int]], mean_logprobs: list[float]) -> list[int]:
    """Return the largest group; ties: the higher l, then the lower index (groups are ascending)."""
    if len(groups) == 1:
        return groups[0]
    return min(groups, key=lambda at: (-len(at), -max(mean_logprobs[i] for i in at), at[0]))
