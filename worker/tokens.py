"""Who may spend the tokens of a rate limit: nobody takes them all because they came first, or is the most urgent.

Where a limit is what tasks wait for, hardly any is in the broker, so how many a tenant has there tells nothing about
its share. A model's tokens therefore go round among the tenants that ask it, from sweep to sweep; a tenant's own go to
its tasks in the order of its line, whichever queue they wait in.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from worker.line import Waiting

Bucket = tuple[str, str]
"""A rate limit: ``("tenant", name)`` or ``("model", name)``."""

Claim = tuple[Bucket, str]
"""A bucket, and who wants of it: a tenant of a model's, a route of a tenant's."""


def claims_of(task: Waiting) -> list[Claim]:
    """Return of which buckets a task needs a token, and on whose behalf."""
    of_models: list[Claim] = [(("model", name), task.tenant) for name in task.model.split(",") if name]
    return [(("tenant", task.tenant), task.route), *of_models]


class Purse:
    """The tokens of one sweep."""

    def __init__(self, tokens: Mapping[Bucket, float], turns: Mapping[tuple[str, str], int]) -> None:
        """Fill it.

        Args:
            tokens: What the rate limits allow now; a bucket that is not named has no limit.
            turns: The number of each model's last turn that went to a tenant, by (tenant, model).
        """
        self.tokens = dict(tokens)
        self.spent = Counter[Bucket]()
        self.turns: dict[tuple[str, str], int] = {}
        """The numbers of the turns that were had now."""

        self._before = turns
        self._last: dict[str, int] = {}
        for (_, model), number in turns.items():
            self._last[model] = max(number, self._last.get(model, 0))
        self._granted: Counter[Claim] | None = None
        self._sequences: dict[Bucket, list[str]] = {}
        self._unable: set[Claim] = set()

    def allows(self, task: Waiting) -> bool:
        """Return whether there is a token for a task in each bucket, whoever wants it, too."""
        return all(self.tokens.get(bucket, 1.0) >= 1.0 for bucket, _ in claims_of(task))

    def may_go(self, task: Waiting) -> bool:
        """Return whether a task may spend what it needs: of its own share, or of all that is left after ``open``."""
        if not self.allows(task):
            return False
        granted = self._granted
        return granted is None or all(
            granted[claim] > 0 for claim in claims_of(task) if claim[0] in self.tokens
        )

    def spend(self, task: Waiting) -> None:
        """Take what a task needs."""
        for claim in claims_of(task):
            bucket, claimant = claim
            if bucket not in self.tokens:
                continue
            self.tokens[bucket] -= 1
            self.spent[bucket] += 1
            if self._granted is None:
                self._number(bucket, claimant)
            else:
                self._granted[claim] -= 1

    def is_able(self, bucket: Bucket, who: str) -> bool:
        """Return whether whoever wants of a bucket had a use for all that it was given."""
        return (bucket, who) not in self._unable

    def share(self, wanted: Mapping[Bucket, Mapping[str, int]], lines: Mapping[str, Iterable[str]]) -> None:
        """Part what is left among those that want it.

        Args:
            wanted: How many tokens of each model's bucket each tenant could spend.
            lines: The routes of each limited tenant's next tasks, in their order; of routes that ``is_able`` says only.
        """
        for bucket, n in self.tokens.items():
            kind, name = bucket
            order = lines.get(name, ())
            if kind == "model":
                wants = {who: k for who, k in wanted.get(bucket, {}).items() if self.is_able(bucket, who)}
                order = _in_turn(wants, sorted(wants, key=lambda who: (self._number_of(who, name), who)))
            self._sequences[bucket] = list(islice(order, max(int(n), 0)))
        self._granted = Counter(
            (bucket, who) for bucket, sequence in self._sequences.items() for who in sequence
        )

    def settle(self) -> bool:
        """Note whose turns were had; return whether shares are left that their owners had no use for."""
        left, is_left = Counter(self._granted), False
        for bucket, sequence in self._sequences.items():
            used = Counter(sequence)
            for who in used:
                if left[bucket, who] > 0:
                    self._unable.add((bucket, who))
                    is_left = True
                used[who] -= left[bucket, who]
            for who in sequence:
                if used[who] > 0:
                    used[who] -= 1
                    self._number(bucket, who)
        self._sequences.clear()
        return is_left

    def open(self) -> None:
        """Let whoever is next take what nobody had a use for."""
        self._granted = None

    def _number_of(self, tenant: str, model: str) -> int:
        return self.turns.get((tenant, model), self._before.get((tenant, model), 0))

    def _number(self, bucket: Bucket, claimant: str) -> None:
        kind, model = bucket
        if kind == "model":
            self._last[model] = self._last.get(model, 0) + 1
            self.turns[claimant, model] = self._last[model]


def wanted_of(
    lefts: Iterable[tuple[Iterable[tuple[Waiting, int]], int]], purse: Purse
) -> dict[Bucket, dict[str, int]]:
    """Return how many tokens of each model's bucket each tenant could spend.

    Args:
        lefts: Of each line, the heads of its groups with how many are in each, and how many tasks of it may go.
        purse: Says which have a limit, and which may not go whatever their share.
    """
    wanted: dict[Bucket, Counter[str]] = defaultdict(Counter)
    for heads, most in lefts:
        asked: Counter[Claim] = Counter()
        for head, n in heads:
            if purse.allows(head):
                for claim in claims_of(head):
                    if claim[0] in purse.tokens and claim[0][0] == "model":
                        asked[claim] += n
        for (bucket, tenant), n in asked.items():
            own = purse.tokens.get(("tenant", tenant))
            wanted[bucket][tenant] += min(n, most) if own is None else min(n, most, int(own))
    return {bucket: dict(wants) for bucket, wants in wanted.items()}


def _in_turn(wants: Mapping[str, int], order: Sequence[str]) -> Iterator[str]:
    """Yield everybody once, then everybody who wants another, and so on."""
    waiting = deque((who, wants[who]) for who in order if wants[who] > 0)
    while waiting:
        who, n = waiting.popleft()
        yield who
        if n > 1:
            waiting.append((who, n - 1))
