"""Relations and linkages."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoner.chains import Chain
from reasoner.decisions import Linkage, Rules
from reasoner.equivalence import CachedRelation, exact, partition
from reasoner.merge import forward_merge

LINKAGES: list[Linkage] = ["single", "complete", "guarded"]
FORMS = "abcdef"
PAIRS = list(combinations(FORMS, 2))

relations = st.fixed_dictionaries({pair: st.sampled_from([True, False, None]) for pair in PAIRS})
weights = st.dictionaries(st.sampled_from(FORMS), st.integers(1, 5), max_size=6)


class Table:
    """A relation from a table, which counts how often it is asked."""

    def __init__(self, table: dict[tuple[str, str], bool | None]) -> None:
        self.table = table
        self.asked: list[tuple[str, str]] = []

    def __call__(self, left: str, right: str) -> bool | None:
        self.asked.append((left, right))
        return self.table[left, right]


@given(relations, weights)
def test_single_linkage_is_the_connected_components(
    table: dict[tuple[str, str], bool | None], counts: dict[str, int]
) -> None:
    groups = partition(counts, Table(table))
    reachable = {form: {form} for form in counts}
    for _ in counts:
        for (a, b), same in table.items():
            if same and a in counts and b in counts:
                union = reachable[a] | reachable[b]
                for form in union:
                    reachable[form] = union
    assert {frozenset(group) for group in groups} == {frozenset(r) for r in reachable.values()}


@given(relations, weights, st.sampled_from(LINKAGES))
def test_every_form_is_in_one_cluster_under_any_linkage(
    table: dict[tuple[str, str], bool | None], counts: dict[str, int], linkage: Linkage
) -> None:
    groups = partition(counts, Table(table), linkage=linkage)
    assert sorted(form for group in groups for form in group) == sorted(counts)


@given(relations, weights, st.sampled_from(LINKAGES), st.randoms())
def test_the_order_of_forms_changes_no_cluster(
    table: dict[tuple[str, str], bool | None], counts: dict[str, int], linkage: Linkage, random: object
) -> None:
    items = list(counts.items())
    random.shuffle(items)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert partition(dict(items), Table(table), linkage=linkage) == partition(
        counts, Table(table), linkage=linkage
    )


@given(relations, weights, st.sampled_from(LINKAGES))
def test_a_pair_is_asked_once_at_most_in_text_order(
    table: dict[tuple[str, str], bool | None], counts: dict[str, int], linkage: Linkage
) -> None:
    relation = Table(table)
    partition(counts, relation, linkage=linkage)
    assert len(relation.asked) == len(set(relation.asked)) <= len(counts) * (len(counts) - 1) / 2
    assert all(left < right for left, right in relation.asked)


@given(relations, weights)
def test_complete_linkage_joins_only_what_is_same_pair_by_pair(
    table: dict[tuple[str, str], bool | None], counts: dict[str, int]
) -> None:
    for group in partition(counts, Table(table), linkage="complete"):
        assert all(table[pair] is True for pair in combinations(group, 2))


@given(st.dictionaries(st.sampled_from(FORMS), st.integers(0, 2), max_size=6), st.sampled_from(LINKAGES))
def test_all_linkages_agree_on_a_true_equivalence(classes: dict[str, int], linkage: Linkage) -> None:
    groups = partition(dict.fromkeys(classes, 1), lambda a, b: classes[a] == classes[b], linkage=linkage)
    expected = {frozenset(f for f in classes if classes[f] == c) for c in classes.values()}
    assert {frozenset(group) for group in groups} == expected


def test_forms_already_joined_are_not_asked_under_single_linkage() -> None:
    relation = Table(dict.fromkeys(PAIRS, True))
    partition(dict.fromkeys(FORMS, 1), relation)
    assert len(relation.asked) == len(FORMS) - 1


def test_equal_forms_cost_nothing() -> None:
    relation = Table({})
    forward_merge([Chain(index=i, answer=" a" if i % 2 else "a") for i in range(64)], same=relation)
    assert relation.asked == []


def test_a_cache_outlives_the_task() -> None:
    relation = Table(dict.fromkeys(PAIRS, False))
    cached = CachedRelation(relation)
    for _ in range(3):
        partition(dict.fromkeys("abc", 1), cached)
    assert cached("b", "a") is False
    assert cached("a", "a") is True
    assert len(relation.asked) == cached.n_asked == 3


def test_exact_is_equality() -> None:
    assert exact("a", "a")
    assert not exact("a", "A")


# One adversarial chain x that any fuzzy relation finds close to both of two different answers.
POISON = {("a", "x"): True, ("b", "x"): True, ("a", "b"): False}


def poisoned(linkage: Linkage) -> list[tuple[int, ...]]:
    chains = [Chain(index=i, answer=answer) for i, answer in enumerate("aaabbbbx")]
    decision = forward_merge(chains, rules=Rules(linkage=linkage), same=lambda a, b: POISON[a, b])
    return sorted(cluster.members for cluster in decision.clusters)


def test_one_adversarial_chain_poisons_single_linkage() -> None:
    assert poisoned("single") == [(0, 1, 2, 3, 4, 5, 6, 7)]


@pytest.mark.parametrize("linkage", ["complete", "guarded"])
def test_one_adversarial_chain_cannot_bridge_two_answers(linkage: Linkage) -> None:
    assert poisoned(linkage) == [(0, 1, 2), (3, 4, 5, 6, 7)]


@given(st.integers(1, 9), st.integers(1, 9))
def test_the_guard_holds_for_groups_of_any_size(n_a: int, n_b: int) -> None:
    groups = partition({"a": n_a, "b": n_b, "x": 1}, lambda a, b: POISON[a, b], linkage="guarded")
    assert not any({"a", "b"} <= set(group) for group in groups)


def test_the_guard_still_joins_honest_paraphrases_that_complete_linkage_tears_apart() -> None:
    # Five wordings, one pair of which the relation misses.
    def same(left: str, right: str) -> bool:
        return (left, right) != ("a", "e")

    counts = dict.fromkeys("abcde", 1)
    assert partition(counts, same, linkage="guarded") == [list("abcde")]
    assert len(partition(counts, same, linkage="complete")) == 2
