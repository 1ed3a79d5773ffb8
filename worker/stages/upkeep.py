"""The upkeep of the record: months made ahead, and what a policy lets go taken away."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from db.retention import WHAT
from worker.errors import KeeperRefusedError, StoreBusyError, StoreRightsError
from worker.pruning import prune, rules_of
from worker.stages.desk import Desk
from worker.store.clock import claim_run
from worker.store.partitions import make_partitions
from worker.store.retention import policies

logger = logging.getLogger(__name__)

PRUNE_EVERY_S = 20 * 3600.0  # about once a day


def upkeep(desk: Desk) -> int:
    """Do what is due; return how many partitions were made.

    What cannot be done now is told in the log and tried again: a long reader stands in the way, or the login is not
    the owner's, whose commands `db partitions --make` and `db prune` do the same.
    """
    now = datetime.now(UTC)
    try:
        made = make_partitions(desk.store, now=now)
        if made.partitions:
            logger.info(
                "partitions made", extra={"partitions": list(made.partitions), "n_moved": made.n_moved}
            )
        of_all = policies(desk.store)
        if of_all and claim_run(desk.store, "prune", gap_s=PRUNE_EVERY_S, who=desk.holder):
            rules = {what: rules_of(of_all, what=what, now=now) for what in WHAT}
            for done in prune(desk.store, rules, who=desk.holder):
                logger.info("pruned", extra={"what": done.what, "n_tasks": done.n_tasks, **done.rows})
    except (StoreBusyError, StoreRightsError, KeeperRefusedError) as error:
        logger.warning("no upkeep of the record", extra={"error": str(error)})
        return 0
    return len(made.partitions)
