"""Ballots column by column, and the decisions that they come to under any weights of the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reasoner.ballots import Ballot
from reasoner.errors import InsufficientCalibrationDataError
from reasoner.fitted import FittedMerge, LabelledAnswers, fit_answers
from reasoner.labelled_table import LabelledTable
from reasoner.model_weights import Record

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]

NONE = -1
LARGEST = 2**62


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BallotTable:
    """The fields of n ballots over the same m models; task i has the clusters ``starts[i]:starts[i + 1]``."""

    models: tuple[str, ...]
    """Sorted."""

    sampled: Counts  # (n, m)
    right_chains: Counts  # (n, m)
    wrong_chains: Counts  # (n, m)
    starts: Counts  # (n + 1,), the first of them 0
    given: Counts  # (clusters, m)
    tie: Counts
    mass: Floats
    refuted: Flags
    hindered: Flags
    right: Flags

    @classmethod
    def of(cls, ballots: Sequence[Ballot]) -> BallotTable:
        """Return ballots as a table over all of their models."""
        models = tuple(sorted({model for one in ballots for model in one.models}))
        clusters = [(one, cluster) for one in ballots for cluster in one.clusters]

        def placed(one: Ballot, counts: Sequence[int]) -> list[int]:
            known = dict(zip(one.models, counts, strict=True))
            return [known.get(model, 0) for model in models]

        def table(rows: list[list[int]]) -> Counts:
            return np.array(rows, dtype=np.int64).reshape(len(rows), len(models))

        return cls(
            models=models,
            sampled=table([placed(one, one.sampled) for one in ballots]),
            right_chains=table([placed(one, one.right) for one in ballots]),
            wrong_chains=table([placed(one, one.wrong) for one in ballots]),
            starts=np.cumsum([0, *(len(one.clusters) for one in ballots)]).astype(np.int64),
            given=table([placed(one, cluster.given) for one, cluster in clusters]),
            tie=np.array([cluster.tie for _, cluster in clusters], dtype=np.int64),
            mass=np.array([cluster.mass for _, cluster in clusters], dtype=np.float64),
            refuted=np.array([cluster.refuted for _, cluster in clusters], dtype=np.bool_),
            hindered=np.array([cluster.hindered for _, cluster in clusters], dtype=np.bool_),
            right=np.array([cluster.right for _, cluster in clusters], dtype=np.bool_),
        )

    def __len__(self) -> int:
        return len(self.sampled)

    def part(self, start: int, stop: int) -> BallotTable:
        """Return the ballots from ``start`` up to ``stop``, not copied."""
        starts = self.starts[start : stop + 1]
        clusters = slice(starts[0], starts[-1])
        return self._taken(slice(start, stop), clusters, starts=starts - starts[0])

    def chosen(self, wanted: Flags) -> BallotTable:
        """Return the wanted ballots, in their order."""
        sizes = np.diff(self.starts)
        clusters = np.repeat(wanted, sizes)
        starts = np.concatenate([[0], np.cumsum(sizes[wanted])]).astype(np.int64)
        return self._taken(wanted, clusters, starts=starts)

    def _taken(self, tasks: slice | Flags, clusters: slice | Flags, *, starts: Counts) -> BallotTable:
        return BallotTable(
            models=self.models,
            sampled=self.sampled[tasks],
            right_chains=self.right_chains[tasks],
            wrong_chains=self.wrong_chains[tasks],
            starts=starts,
            given=self.given[clusters],
            tie=self.tie[clusters],
            mass=self.mass[clusters],
            refuted=self.refuted[clusters],
            hindered=self.hindered[clusters],
            right=self.right[clusters],
        )

    @property
    def shares(self) -> Floats:
        """s_mc: of each cluster, the share of each model's chains that gave it; (clusters, m)."""
        sampled = self.sampled[self._task]
        return np.divide(self.given, sampled, out=np.zeros(self.given.shape), where=sampled > 0)

    @property
    def _task(self) -> Counts:
        """The task of each cluster."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def records(self) -> dict[str, Record]:
        """Return how often each model was right."""
        right, wrong = self.right_chains.sum(axis=0), self.wrong_chains.sum(axis=0)
        return {
            model: Record(right=int(r), labelled=int(r + w))
            for model, r, w in zip(self.models, right, wrong, strict=True)
        }

    def fit(self) -> FittedMerge:
        """Return the fitted merge of the tasks' candidates; see ``fit_merge``.

        Raises:
            InsufficientCalibrationDataError: No task has a candidate.
        """
        live = ~self.refuted
        used = self.given[live].any(axis=0)
        if not used.any():
            raise InsufficientCalibrationDataError("no labelled task has an answer")
        task = self._task[live]
        first = np.flatnonzero(self.right[live])
        at, where = np.unique(task[first], return_index=True)
        sizes = np.bincount(task, minlength=len(self))
        right = np.full(len(self), NONE, dtype=np.int64)
        right[at] = (first - np.searchsorted(task, task[first]))[
            where
        ]  # positions among the task's candidates
        filled = sizes > 0
        return fit_answers(
            LabelledAnswers(
                models=tuple(np.array(self.models, dtype=object)[used]),
                shares=self.shares[live][:, used],
                sizes=sizes[filled],
                right=right[filled],
            )
        )

    def decided(self, fitted: FittedMerge | None) -> LabelledTable:
        """Return what the decisions are under a fit, to the last bit; under equal weights without one.

        A task with a chain of a model that the fit doesn't know is decided under equal weights.
        """
        task = self._task
        if fitted is None:
            order, posterior = np.arange(len(task)), self.mass
        else:
            order, posterior = self._under(fitted)
        return self._labelled(order, posterior[order], task)

    def _under(self, fitted: FittedMerge) -> tuple[Counts, Floats]:
        """Return the clusters' order, task by task and best first, and their posteriors."""
        task = self._task
        known = np.array([model in fitted.weights for model in self.models], dtype=np.bool_)
        has_unknown = np.asarray((self.sampled[:, ~known] > 0).any(axis=1))
        by_fit = ~has_unknown[task]
        utility, form = self._utilities(fitted)
        first = self.starts[task]
        score = np.where(by_fit, utility, 0.0)
        tie = np.where(by_fit, self.tie, np.arange(len(task)) - first)  # the others have their order
        order = np.lexsort((tie, -score, self.refuted, task))
        posterior = np.where(by_fit, 0.0, self.mass)
        chosen = order[by_fit[order] & ~self.refuted[order]]
        posterior[chosen] = _posteriors(task[chosen], utility[chosen], form[chosen], fitted)
        return order, posterior

    def _utilities(self, fitted: FittedMerge) -> tuple[Floats, Counts]:
        """Return u_c of each cluster, and a number that clusters of equal shares have in common."""
        example, form = _distinct(np.column_stack([self.given, self.sampled[self._task]]))
        utilities = [
            fitted.utility({m: float(s) for m, s in zip(self.models, row, strict=True) if s > 0.0})
            for row in self.shares[example]
        ]
        return np.array(utilities, dtype=np.float64)[form], form

    def _labelled(self, order: Counts, posterior: Floats, task: Counts) -> LabelledTable:
        """Return the decisions; clusters are in ``order``, ``posterior`` is theirs."""
        sizes = np.diff(self.starts)
        right = self.right[order]
        best = np.zeros(len(self), dtype=np.int64)
        best[sizes > 0] = self.starts[:-1][sizes > 0]
        has_best = sizes > 0
        has_best[has_best] = ~self.refuted[order][best[has_best]]
        top = np.where(has_best, best, 0)
        n_chains = self.sampled.sum(axis=1)
        truth = np.full(len(self), NONE, dtype=np.int64)
        # Of several right clusters the heaviest is the truth, which comes first.
        heaviest = np.lexsort((np.arange(len(task)), ~right, task))
        of_task = heaviest[self.starts[:-1][sizes > 0]]
        truth[sizes > 0] = np.where(right[of_task], of_task - self.starts[:-1][sizes > 0], NONE)

        def of_best(values: NDArray[np.generic], otherwise: object) -> NDArray[np.generic]:
            if not len(values):
                return np.full(len(self), otherwise)
            return np.where(has_best, values[top], np.array(otherwise, dtype=values.dtype))

        return LabelledTable.from_columns(
            masses=posterior,
            sizes=sizes,
            truth=truth,
            confidence=of_best(posterior, 0.0).astype(np.float64),
            margin=of_best(self.given[order].sum(axis=1), 0) / np.maximum(n_chains, 1),
            right=of_best(right, False).astype(np.bool_),  # noqa: FBT003 (a value)
            answerable=of_best(~self.hindered[order], False).astype(np.bool_),  # noqa: FBT003 (a value)
        )


def _posteriors(task: Counts, utility: Floats, form: Counts, fitted: FittedMerge) -> Floats:
    """Return P(c) of candidates, which come task by task and best first.

    Tasks whose candidates have the same shares have the same posteriors, and there are few such patterns; each is
    computed as a single decision would, so that a threshold that equals a posterior here equals it there.
    """
    if not len(task):
        return np.zeros(0)
    begins = np.flatnonzero(np.diff(task, prepend=NONE))
    sizes = np.diff(begins, append=len(task))
    nth = np.arange(len(task)) - np.repeat(begins, sizes)
    row = np.repeat(np.arange(len(begins)), sizes)
    patterns = np.full((len(begins), sizes.max()), NONE, dtype=np.int64)
    patterns[row, nth] = form
    example, pattern = _distinct(patterns - NONE)
    found = np.zeros(patterns.shape)
    for i, at in enumerate(example):
        utilities = utility[begins[at] : begins[at] + sizes[at]]
        found[i, : sizes[at]] = fitted.shares_of(utilities.tolist())
    values: Floats = found[pattern[row], nth]
    return values


def _distinct(rows: Counts) -> tuple[Counts, Counts]:
    """Return where each distinct row of small whole numbers first stands, and of each row which of those it is."""
    code, n_codes = np.zeros(len(rows), dtype=np.int64), 1
    for column in rows.T:  # numbers are far quicker to sort than rows
        n_values = int(column.max(initial=0)) + 1
        if n_codes * n_values > LARGEST:
            _, code = np.unique(code, return_inverse=True)
            n_codes = len(rows)
        code, n_codes = code * n_values + column, n_codes * n_values
    _, example, inverse = np.unique(code, return_index=True, return_inverse=True)
    return example, inverse
