"""How the whole queue stands, told to whoever reads the metrics of the worker that sweeps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from worker.errors import StoreUnavailableError
from worker.store.gauges import Waiting, standing
from worker.store.partitions import Sorting, sorting
from worker.store.transactions import Store
from worker.telemetry.metrics import PREFIX, gauge

logger = logging.getLogger(__name__)

_SHOWN: dict[str, Callable[[Waiting], float]] = {
    "waiting": lambda one: one.n,
    "oldest_seconds": lambda one: one.oldest_s,
    "held": lambda one: one.held,
    "leases_lapsed": lambda one: one.lapsed,
    "redelivered": lambda one: one.redelivered,
}
_TEXTS = {
    "waiting": "Tasks that are not done, by state.",
    "oldest_seconds": "Age of the task that has waited longest, by state.",
    "held": "Tasks that a worker holds, by state.",
    "leases_lapsed": "Tasks whose worker died or lost the database, by state.",
    "redelivered": "Tasks that were taken more than once, by state.",
}

_SORTED: dict[str, tuple[str, Callable[[Sorting], float]]] = {
    "partition_unsorted_rows": (
        "Rows that stand in no month's partition, by table.",
        lambda one: one.n_unsorted,
    ),
    "partition_months_ahead": ("Months made beyond the present one, by table.", lambda one: one.n_ahead),
}


def metric_names() -> set[str]:
    """Return the names of all that the collector can tell."""
    told = {f"{PREFIX}_{of}_{name}" for of in ("tasks", "turns") for name in _SHOWN}
    others = ("database_up", "calibration_age_seconds", *_SORTED)
    return told | {f"{PREFIX}_{name}" for name in others}


class QueueCollector(Collector):
    """Reads the queue's numbers from Postgres whenever the metrics are read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name nothing beforehand, so that registering asks no database."""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the families; without a database only that there is none."""
        up = gauge("database_up", "Whether the worker that sweeps reaches its database.")
        try:
            found, tables = standing(self._store), sorting(self._store)
        except StoreUnavailableError as error:
            logger.warning("no numbers of the queue", extra={"error": str(error)})
            up.add_metric([], 0.0)
            yield up
            return
        up.add_metric([], 1.0)
        yield up
        yield from _families("tasks", "state", found.states)
        yield from _families("turns", "verifier", found.verifiers)
        ages = gauge("calibration_age_seconds", "Age of each active calibration.", ["tenant", "domain"])
        for tenant, domain, age_s in found.calibrations:
            ages.add_metric([tenant, domain], age_s)
        yield ages
        for name, (told, read) in _SORTED.items():
            family = gauge(name, told, ["table"])
            for one in tables:
                family.add_metric([one.parent], read(one))
            yield family


def _families(of: str, label: str, all_of_them: Sequence[Waiting]) -> Iterable[GaugeMetricFamily]:
    for name, read in _SHOWN.items():
        family = gauge(f"{of}_{name}", _TEXTS[name].replace("state", label), [label])
        for one in all_of_them:
            family.add_metric([one.name], read(one))
        yield family
