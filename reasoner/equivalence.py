"""Which answers are the same answer.

A relation is asked about two *distinct normal forms* and may answer yes, no, or ``None``: it cannot tell, and
then the two are not merged. Equal normal forms are the same answer without asking. The relation must be
symmetric; it is asked once a pair at most, the smaller text first, so that no order of chains can show.

Transitivity is *not* assumed of the relation (a cosine above 0.95 has none): what to make of a ~ b ~ c with
a !~ c is the linkage's decision, and it is the task's to choose.

- ``single`` (the paper): connected components. One yes joins; pairs already joined are not asked.
- ``complete``: every pair of a cluster was a yes. Greedy from the heaviest form, so no chain can bridge.
- ``guarded``: the two groups that agree most are joined first, and only while more than half of their pairs
  of chains are the same. A bridging chain joins one side; it cannot carry the other along, because against
  two groups of a and b chains it vouches for at most max(a, b) of about a * b pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from reasoner.decisions import Linkage

Relation = Callable[[str, str], bool | None]
"""Whether two answers are the same; ``None`` is "cannot tell"."""

Normaliser = Callable[[str], str]
"""Maps an answer to its normal form; idempotent."""


def exact(left: str, right: str) -> bool:
    """Return whether two normal forms are the same text: the finest relation."""
    return left == right


class CachedRelation:
    """Asks a relation at most once about each pair, for as long as this object lives."""

    def __init__(self, relation: Relation) -> None:
        self._relation = relation
        self._known: dict[tuple[str, str], bool | None] = {}

    def __call__(self, left: str, right: str) -> bool | None:
        """Return what the relation says of the pair in text order."""
        if left == right:
            return True
        pair = (left, right) if left < right else (right, left)
        if pair not in self._known:
            self._known[pair] = self._relation(*pair)
        return self._known[pair]

    @property
    def n_asked(self) -> int:
        """Distinct pairs the relation was asked about."""
        return len(self._known)


def partition(weights: Mapping[str, int], same: Relation, *, linkage: Linkage = "single") -> list[list[str]]:
    """Return the clusters of distinct normal forms, each in text order, in the order of their first form.

    Args:
        weights: Chains of each normal form; at most m (m - 1) / 2 pairs of its m forms are asked.
        same: Asked only about distinct forms.
        linkage: See the module's text.
    """
    forms = sorted(weights)
    if same is exact or len(forms) < 2:
        return [[form] for form in forms]
    asked = same if isinstance(same, CachedRelation) else CachedRelation(same)
    match linkage:
        case "single":
            groups = _single(forms, asked)
        case "complete":
            groups = _complete(forms, weights, asked)
        case "guarded":
            groups = _guarded(forms, weights, asked)
        case _:
            assert_never(linkage)
    return sorted(sorted(group) for group in groups)


def _single(forms: Sequence[str], same: Relation) -> list[list[str]]:
    groups: list[list[str]] = []
    for form in forms:
        joined, apart = [form], []
        for group in groups:
            if any(same(form, other) is True for other in group):
                joined += group
            else:
                apart.append(group)
        groups = [*apart, joined]
    return groups


def _complete(forms: Sequence[str], weights: Mapping[str, int], same: Relation) -> list[list[str]]:
    groups: list[list[str]] = []
    for form in sorted(forms, key=lambda form: (-weights[form], form)):
        for group in groups:  # the heaviest forms opened the first groups
            if all(same(form, other) is True for other in group):
                group.append(form)
                break
        else:
            groups.append([form])
    return groups


def _guarded(forms: Sequence[str], weights: Mapping[str, int], same: Relation) -> list[list[str]]:
    groups = [[form] for form in forms]
    # Agreeing pairs of chains between groups i and j; kept up to date as groups join.
    agreeing = {
        (i, j): weights[a] * weights[b] if same(a, b) is True else 0
        for j, b in enumerate(forms)
        for i, a in enumerate(forms[:j])
    }
    alive = {i: weights[form] for i, form in enumerate(forms)}
    while True:
        shares = [
            (n / (alive[i] * alive[j]), alive[i] + alive[j], -i, -j)
            for (i, j), n in agreeing.items()
            if 2 * n > alive[i] * alive[j]
        ]
        if not shares:
            return [groups[i] for i in alive]
        _, _, minus_i, minus_j = max(shares)  # ties: the heavier union, then the smaller text
        _join(-minus_i, -minus_j, groups, alive, agreeing)


def _join(
    i: int, j: int, groups: list[list[str]], alive: dict[int, int], agreeing: dict[tuple[int, int], int]
) -> None:
    """Let group i swallow group j."""
    groups[i] += groups[j]
    alive[i] += alive.pop(j)
    del agreeing[i, j]
    for other in alive:
        if other != i:
            moved = agreeing.pop((min(j, other), max(j, other)))
            agreeing[min(i, other), max(i, other)] += moved
