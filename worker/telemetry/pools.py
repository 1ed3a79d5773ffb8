"""The sandbox of this process in numbers: lanes that are warm or at work, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from verifiers.sandbox.protocol import Pool
from worker.telemetry.metrics import PREFIX, gauge

_COUNTED: dict[str, tuple[str, Callable[[Pool], int]]] = {
    "sandbox_starts": ("Lanes started.", lambda pool: pool.n_started),
    "sandbox_start_failures": ("Lanes that could not be started.", lambda pool: pool.n_not_started),
    "sandbox_broken": ("Lanes given up because a claim ended in an error.", lambda pool: pool.n_broken),
    "sandbox_claims": ("Claims that ended well, whatever the verdict.", lambda pool: pool.n_served),
}


def pool_metric_names() -> set[str]:
    """Return the names of all that the collector can tell."""
    return {f"{PREFIX}_sandbox_lanes", *(f"{PREFIX}_{name}_total" for name in _COUNTED)}


class PoolCollector(Collector):
    """Asks the sandbox whenever the metrics are read."""

    def __init__(self, pool: Callable[[], tuple[str, Pool] | None]) -> None:
        self._pool = pool

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name nothing beforehand, so that registering looks for no sandbox."""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        """Yield the families; none before the first claim, and where no sandbox is kept ready."""
        found = self._pool()
        if found is None:
            return
        kind, pool = found
        lanes = gauge("sandbox_lanes", "Lanes by state.", ["sandbox", "state"])
        lanes.add_metric([kind, "warm"], pool.n_warm)
        lanes.add_metric([kind, "busy"], pool.n_busy)
        yield lanes
        for name, (text, read) in _COUNTED.items():
            family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=["sandbox"])
            family.add_metric([kind], read(pool))
            yield family
