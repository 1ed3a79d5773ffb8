"""Ballots decide as the chains themselves would, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.ballot_table import BallotTable, _distinct
from reasoner.ballots import Ballot, ballot_of
from reasoner.chains import Chain
from reasoner.decisions import AbstainReason, Decision, Judgement, Rules, Thresholds
from reasoner.errors import InsufficientCalibrationDataError
from reasoner.fitted import FittedMerge, LabelledTask, fit_merge
from reasoner.fitted_decision import fitted_merge
from reasoner.labelled_decision import LabelledDecision
from reasoner.labelled_table import LabelledTable
from reasoner.merge import forward_merge
from reasoner.outcomes import Outcome

BY_THRESHOLDS = {AbstainReason.VOTE_MARGIN, AbstainReason.CONFIDENCE, AbstainReason.EMPTY_SET}
TRUE = ("a", "b")

answers = st.sampled_from(["a", "b", "c", None])
models = st.sampled_from(["m", "n", "o"])
logprobs = st.one_of(st.none(), st.sampled_from([-8.0, -2.0, -1.0, -0.1]))
judgements = st.lists(
    st.builds(
        Judgement,
        answer=st.sampled_from(["a", "b", "c"]),
        verifier=st.sampled_from(["math/1", "code/1"]),
        outcome=st.sampled_from(Outcome),
    ),
    max_size=3,
)
rules = st.builds(Rules, min_confirmations=st.integers(0, 1), require_heterogeneous=st.booleans())
weights = st.sampled_from([-1.25, 0.0, 0.3, 0.3000001, 2.5])


@st.composite
def task(draw: st.DrawFn) -> tuple[list[Chain], list[Judgement], Rules]:
    drawn = draw(st.lists(st.tuples(answers, models, logprobs), min_size=1, max_size=9))
    chains = [
        Chain(index=i, answer=answer, model=model, logprob=logprob, n_tokens=4)
        for i, (answer, model, logprob) in enumerate(drawn)
    ]
    return chains, draw(judgements), draw(rules)


@st.composite
def fit(draw: st.DrawFn) -> FittedMerge:
    known = draw(st.sampled_from([("m",), ("m", "n"), ("m", "n", "o")]))
    pairs = [(a, b) for i, a in enumerate(known) for b in known[i + 1 :]]
    return FittedMerge(
        models=known,
        weights={model: draw(weights) for model in known},
        pairs={pair: draw(weights) for pair in pairs},
        none=draw(weights),
    )


Task = tuple[list[Chain], list[Judgement], Rules]


def rights(chains: list[Chain]) -> list[int]:
    return [chain.index for chain in chains if chain.answer in TRUE]


def ballot(one: Task, decision: Decision) -> Ballot:
    chains, _, asked = one
    right = rights(chains)
    wrong = [chain.index for chain in chains if chain.index not in right]
    return ballot_of(decision.clusters, chains, rules=asked, right=right, wrong=wrong)


def under_equal_weights(one: Task) -> Decision:
    chains, judged, asked = one
    return forward_merge(chains, judged, rules=asked, thresholds=Thresholds())


def under(fitted: FittedMerge, one: Task) -> Decision:
    chains, judged, asked = one
    if not {chain.model for chain in chains} <= fitted.weights.keys():
        return under_equal_weights(one)
    return fitted_merge(chains, judged, fitted=fitted, rules=asked, thresholds=Thresholds())


def labelled(one: Task, decision: Decision) -> LabelledDecision:
    right = {*rights(one[0])}
    found = [i for i, cluster in enumerate(decision.clusters) if not right.isdisjoint(cluster.members)]
    posterior = tuple(cluster.posterior for cluster in decision.clusters)
    return LabelledDecision(
        posterior=posterior,
        truth=max(found, key=lambda i: posterior[i], default=None),
        confidence=decision.confidence,
        margin=decision.vote_margin,
        right=decision.best is not None and 0 in found,
        answerable=bool(decision.clusters) and {*decision.abstain_reasons} <= BY_THRESHOLDS,
    )


def columns(table: LabelledTable) -> list[object]:
    return [
        getattr(table, name).tolist()
        for name in ("masses", "starts", "of_truth", "top", "confidence", "margin", "right", "answerable")
    ]


@given(st.lists(task(), max_size=6), fit(), st.data())
def test_a_table_of_ballots_is_decided_as_each_task_would_be(
    tasks: list[Task], fitted: FittedMerge, data: st.DataObject
) -> None:
    # The weights under which a task was decided leave no trace in its ballot.
    made = [data.draw(st.sampled_from([under_equal_weights(one), under(fitted, one)])) for one in tasks]
    table = BallotTable.of([ballot(one, decision) for one, decision in zip(tasks, made, strict=True)])
    for weights_of, again in (
        (None, [under_equal_weights(one) for one in tasks]),
        (fitted, [under(fitted, one) for one in tasks]),
    ):
        wanted = LabelledTable.of([labelled(one, d) for one, d in zip(tasks, again, strict=True)])
        assert columns(table.decided(weights_of)) == columns(wanted)
        stop = len(tasks) // 2
        assert columns(table.part(0, stop).decided(weights_of)) == columns(wanted.part(0, stop))


def test_answers_of_equal_score_come_in_the_order_of_their_best_chain_then_of_their_index() -> None:
    fitted = FittedMerge(models=("m",), weights={"m": 1.0}, pairs={}, none=0.0)
    for logprobs, best in (((-8.0, -2.0), "c"), ((-2.0, -8.0), "a"), ((-2.0, -2.0), "a")):
        chains = [
            Chain(index=i, answer=answer, model="m", logprob=logprob, n_tokens=4)
            for i, (answer, logprob) in enumerate(zip("ac", logprobs, strict=True))
        ]
        one: Task = (chains, [], Rules())
        assert under(fitted, one).answer == best
        table = BallotTable.of([ballot(one, under_equal_weights(one))])
        assert table.decided(fitted).right.tolist() == [best == "a"]


@given(st.lists(task(), min_size=1, max_size=6))
def test_a_table_of_ballots_is_fitted_as_its_tasks_would_be(tasks: list[Task]) -> None:
    decisions = [under_equal_weights(one) for one in tasks]
    table = BallotTable.of([ballot(one, decision) for one, decision in zip(tasks, decisions, strict=True)])
    rows = []
    for (chains, _, _), decision in zip(tasks, decisions, strict=True):
        live = [cluster for cluster in decision.clusters if not cluster.refuted]
        sampled = [chain.model for chain in chains]
        supports = [[chains[i].model for i in cluster.members] for cluster in live]
        found = [i for i, cluster in enumerate(live) if not {*rights(chains)}.isdisjoint(cluster.members)]
        rows.append(
            LabelledTask(
                supports=tuple({m: of.count(m) / sampled.count(m) for m in of} for of in supports),
                right=found[0] if found else None,
            )
        )
    try:
        wanted = fit_merge(rows)
    except InsufficientCalibrationDataError:
        with pytest.raises(InsufficientCalibrationDataError):
            table.fit()
        return
    assert table.fit() == wanted
    counted = {m: [c for chains, _, _ in tasks for c in chains if c.model == m] for m in table.models}
    assert {m: (r.right, r.labelled) for m, r in table.records().items()} == {
        m: (sum(c.answer in TRUE for c in of), len(of)) for m, of in counted.items()
    }


@given(st.integers(1, 12), st.sampled_from([3, 1000, 2**20]), st.integers(0, 2**32 - 1))
def test_equal_rows_are_found_however_wide_they_are(width: int, n_values: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, n_values, (3, width))[rng.integers(0, 3, 30)]
    example, inverse = _distinct(rows)
    assert rows[example][inverse].tolist() == rows.tolist()
    assert len(example) == len({tuple(row) for row in rows.tolist()})
