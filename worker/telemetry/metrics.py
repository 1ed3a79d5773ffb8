"""Numbers of this process: the only door to the Prometheus client.

They say what this worker did since it started; what the whole queue looks like is read from Postgres by one worker
(``worker.telemetry.queue``), since every worker would say the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Info, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from worker.errors import ConfigurationError

PREFIX = "merge_reasoner"
# From a decision (ms) to a message of long generations (minutes).
STAGE_BUCKETS_S = (0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
TASK_BUCKETS_S = (1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0)

BUILD = Info(f"{PREFIX}_build", "Version of the code.")
STAGE_SECONDS = Histogram(
    f"{PREFIX}_stage_seconds", "One run of a stage on one message.", ["queue"], buckets=STAGE_BUCKETS_S
)
STAGE_FAILURES = Counter(f"{PREFIX}_stage_failures", "Runs that ended in an error.", ["queue", "error"])
TASKS_RUNNING = Gauge(f"{PREFIX}_stages_running", "Messages that this process is working on.", ["queue"])
PARKED = Counter(f"{PREFIX}_messages_parked", "Messages that are none of ours.", ["queue"])
LEASES_EXPIRED = Counter(f"{PREFIX}_leases_expired", "Leases found run out and handed on.", ["queue"])
REDELIVERIES = Counter(
    f"{PREFIX}_redeliveries", "Tasks taken again, their stage not ended before.", ["queue"]
)
DEAD_LETTERS = Counter(f"{PREFIX}_dead_letters", "Tasks parked since a stage never ended.")
CHAINS = Counter(f"{PREFIX}_chains", "Chains written.", ["model", "finish_reason"])
TOKENS = Counter(f"{PREFIX}_tokens", "Tokens of the chains written.", ["model"])
TOKENS_SAVED = Counter(f"{PREFIX}_tokens_saved", "Tokens that early exit did not spend (estimate).")
VERDICTS = Counter(f"{PREFIX}_verdicts", "Verdicts written.", ["verifier", "outcome"])
VERDICT_SECONDS = Histogram(
    f"{PREFIX}_verdict_seconds", "Time one verdict took.", ["verifier"], buckets=STAGE_BUCKETS_S
)
SANDBOX_LIMITS = Counter(f"{PREFIX}_sandbox_limits", "Programs that a limit ended.", ["sandbox", "limit"])
DECISIONS = Counter(f"{PREFIX}_decisions", "Decisions written.", ["state"])
TASK_SECONDS = Histogram(f"{PREFIX}_task_seconds", "From submission to decision.", buckets=TASK_BUCKETS_S)


def serve(port: int, host: str) -> None:
    """Answer ``GET /metrics`` from a thread of its own until the process ends.

    Raises:
        ConfigurationError: The address can't be had.
    """
    BUILD.info({"version": version("mergereasoner")})
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        raise ConfigurationError(
            f"metrics cannot be served on {host}:{port}: {error.strerror}; set MERGEREASONER_METRICS_PORT"
        ) from error


def collect_from(collector: Collector) -> None:
    """Ask ``collector`` too, whenever somebody reads the metrics."""
    REGISTRY.register(collector)


def gauge(name: str, text: str, labels: Sequence[str] = ()) -> GaugeMetricFamily:
    """Return an empty family of gauges for a collector to fill with ``add_metric``."""
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)


@contextmanager
def stage_run(queue: str) -> Iterator[None]:
    """Time one run of a stage, and count it when it fails."""
    began = time.monotonic()
    with TASKS_RUNNING.labels(queue).track_inprogress():
        try:
            yield
        except Exception as error:
            STAGE_FAILURES.labels(queue, type(error).__name__).inc()
            raise
        finally:
            STAGE_SECONDS.labels(queue).observe(time.monotonic() - began)
