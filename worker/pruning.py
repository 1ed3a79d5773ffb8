"""Pruning: evidence first, whole tasks later, by a policy or by a command's word."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from uuid import UUID

from uuid_utils.compat import uuid7

from db.retention import EVIDENCE, TASK
from worker.errors import StoreBusyError
from worker.months import months_before
from worker.store.partitions import only_one
from worker.store.pruning import (
    GOES,
    Progress,
    Rule,
    Tally,
    Window,
    begin,
    finish,
    finish_stopped,
    plan_windows,
    take_evidence,
    take_tasks,
)
from worker.store.retention import Policy
from worker.store.transactions import Store

N_TRIES = 5
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What one pass took away, or would take."""

    what: str
    """``evidence`` or ``task``."""

    windows: Sequence[Window]
    pruning_ids: Mapping[str, UUID] = field(default_factory=dict)
    """By tenant; none when nothing went."""

    rows: Mapping[str, int] = field(default_factory=dict)
    """By table, of all tenants; empty in a rehearsal."""

    months: Sequence[str] = ()
    """Dropped whole."""

    @property
    def n_tasks(self) -> int:
        """Tasks that lost something."""
        return sum(window.fates.get(GOES, 0) for window in self.windows)


def rules_of(
    policies: Sequence[Policy], *, what: str, now: datetime, keep_labelled: bool = False
) -> list[Rule]:
    """Return what policies say of evidence or of tasks; tenants of whom they say nothing are left out."""
    rules = []
    for policy in policies:
        n_months = policy.evidence_months if what == EVIDENCE else policy.task_months
        if n_months is None and what == EVIDENCE:
            n_months = policy.task_months  # what goes with its task need not wait for it
        if n_months is not None:
            rules.append(
                Rule(
                    tenant=policy.tenant,
                    older_than=months_before(now, n_months),
                    keep_labelled=policy.keep_labelled or keep_labelled,
                    pruning_id=uuid7(),
                )
            )
    return rules


def prune(
    store: Store,
    rules: Mapping[str, Sequence[Rule]],
    *,
    who: str,
    unsealed: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> list[Pruned]:
    """Take away what the rules allow; return a pass of evidence and one of tasks, as far as there are rules for them.

    Args:
        store: The database, as the owner of its tables.
        rules: By ``evidence`` and ``task``.
        who: Goes on record.
        unsealed: Whether decisions may go that no seal holds yet.
        dry_run: Only tell.
        progress: Gets a line for every month.

    Raises:
        StoreBusyError: Another process is at the partitions, or a table was in use for too long.
        StoreRightsError: The login is not the owner's.
        KeeperRefusedError: It may not act as the keeper.
    """
    with only_one(store):
        if not dry_run:
            finish_stopped(store)
        return [
            _pass(
                store, rules[what], what=what, who=who, unsealed=unsealed, dry_run=dry_run, progress=progress
            )
            for what in (EVIDENCE, TASK)
            if rules.get(what)
        ]


def _pass(
    store: Store,
    rules: Sequence[Rule],
    *,
    what: str,
    who: str,
    unsealed: bool,
    dry_run: bool,
    progress: Progress,
) -> Pruned:
    windows = plan_windows(store, rules, what=what, unsealed=unsealed)
    planned = Pruned(what=what, windows=windows)
    if dry_run or planned.n_tasks == 0:
        return planned
    concerned = frozenset[str]().union(*(window.tenants for window in windows))
    rules = [rule for rule in rules if rule.tenant in concerned]
    begin(store, rules, what=what, policy={"unsealed": unsealed}, who=who)
    tally = Tally()
    take = take_evidence if what == EVIDENCE else take_tasks
    for window in windows:
        if window.fates.get(GOES, 0):
            progress(f"{what} of {window.month or 'no month of its own'}: {window.fates[GOES]} tasks")
            _patiently(partial(take, store, rules, window, tally, unsealed=unsealed))
    finish(store, rules, tally)
    rows: dict[str, int] = {}
    for of_tenant in tally.rows.values():
        for table, n in of_tenant.items():
            rows[table] = rows.get(table, 0) + n
    ids = {rule.tenant: rule.pruning_id for rule in rules}
    return replace(planned, pruning_ids=ids, rows=rows, months=tuple(tally.months))


def _patiently(step: Callable[[], None]) -> None:
    """Try a step some times: a month is dropped in a moment in which nobody reads it."""
    for attempt in range(N_TRIES):
        try:
            step()
        except StoreBusyError:
            if attempt == N_TRIES - 1:
                raise
            time.sleep(PAUSE_S)
        else:
            return
