"""One OpenTelemetry trace per task, from submission to decision: the only door to OpenTelemetry.

A task's id has the 128 bits of a trace id, so workers that know nothing of each other write into one trace and
nothing travels with the messages. Its root span reaches from the submission (the time in the uuid7) to the decision
and is written with the decision; each run of a stage is a child.

Off unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set; OpenTelemetry's own variables set up the exporter and the sampler.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from worker.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
NS = 1_000_000_000
_planned: contextvars.ContextVar[tuple[int, int] | None] = contextvars.ContextVar("planned", default=None)


class Tracer:
    """Writes spans of tasks."""

    def __init__(self, processor: SpanProcessor, *, service: str) -> None:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 (an optional extra)
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 (likewise)

        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service}), id_generator=_make_ids()
        )
        self._provider.add_span_processor(processor)
        self._tracer: Any = self._provider.get_tracer("merge-reasoner")

    def ran(self, stage: str, tasks: Iterable[UUID], *, began_ns: int, error: Exception | None) -> None:
        """Write a span of one run of a stage into the trace of each of its tasks.

        Args:
            stage: The queue's name.
            tasks: Those of the message.
            began_ns: When it began, in nanoseconds since the epoch.
            error: What ended it, if it failed.
        """
        ended_ns = time.time_ns()
        for task in tasks:
            span = self._tracer.start_span(
                stage, context=_under_root(task), start_time=began_ns, attributes={"task.id": str(task)}
            )
            if error is not None:
                span.set_attribute("error.type", type(error).__name__)
            span.end(ended_ns)

    def decided(self, task: UUID, attributes: Mapping[str, str | float | bool]) -> None:
        """Write the root span of a task that has its decision."""
        token = _planned.set((task.int, _root_span_id(task)))
        try:
            span = self._tracer.start_span(
                "task", context=_no_context(), start_time=submitted_ns(task), attributes=dict(attributes)
            )
        finally:
            _planned.reset(token)
        span.end(time.time_ns())

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()


def make_tracer(environment: Mapping[str, str], *, service: str) -> Tracer | None:
    """Return a tracer that sends to the collector the environment names, or None when it names none.

    Raises:
        ConfigurationError: One is named, and the extra ``traces`` is not installed.
    """
    if not environment.get(ENDPOINT):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"{ENDPOINT} is set, and OpenTelemetry is not installed; install the extra `traces`, or unset it"
        ) from error
    return Tracer(BatchSpanProcessor(OTLPSpanExporter()), service=service)


def submitted_ns(task: UUID) -> int:
    """Return when the uuid7 was made, in nanoseconds since the epoch (to the millisecond)."""
    return (task.int >> 80) * (NS // 1000)


def _root_span_id(task: UUID) -> int:
    """Return 64 of the task's bits that hold its random part; never 0, which OpenTelemetry refuses."""
    return (task.int & ((1 << 64) - 1)) or 1


def _under_root(task: UUID) -> Any:  # noqa: ANN401 (a context of a library that may be missing)
    from opentelemetry import trace  # noqa: PLC0415 (an optional extra)

    root = trace.SpanContext(
        trace_id=task.int,
        span_id=_root_span_id(task),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(root))


def _no_context() -> Any:  # noqa: ANN401 (as above)
    from opentelemetry.context import Context  # noqa: PLC0415 (an optional extra)

    return Context()


def _make_ids() -> Any:  # noqa: ANN401 (as above)
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415 (an optional extra)

    class PlannedIds(RandomIdGenerator):
        """Random ids, but for the root span, whose ids everybody can work out."""

        def generate_trace_id(self) -> int:
            planned = _planned.get()
            return planned[0] if planned else super().generate_trace_id()

        def generate_span_id(self) -> int:
            planned = _planned.get()
            return planned[1] if planned else super().generate_span_id()

    return PlannedIds()
