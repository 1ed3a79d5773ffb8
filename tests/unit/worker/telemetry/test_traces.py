"""A task's spans form one trace, whoever writes them."""

from __future__ import annotations

import time

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from uuid_utils.compat import uuid7

from worker.errors import ConfigurationError
from worker.telemetry.traces import ENDPOINT, Tracer, make_tracer, submitted_ns


def test_stages_of_two_workers_hang_below_the_task_s_own_span() -> None:
    exporter, task = InMemorySpanExporter(), uuid7()
    one, other = (Tracer(SimpleSpanProcessor(exporter), service=name) for name in ("generate", "decide"))
    began_ns = time.time_ns()
    one.ran("generate", [task, uuid7()], began_ns=began_ns, error=ValueError("no"))
    other.ran("decide", [task], began_ns=began_ns, error=None)
    other.decided(task, {"state": "answered"})
    mine = [s for s in exporter.get_finished_spans() if s.context and s.context.trace_id == task.int]
    by_name = {span.name: span for span in mine}
    assert sorted(by_name) == ["decide", "generate", "task"]
    root = by_name["task"].context
    assert root is not None
    assert by_name["task"].parent is None
    for name in ("generate", "decide"):
        parent = by_name[name].parent
        assert parent is not None
        assert parent.span_id == root.span_id
    assert (by_name["generate"].attributes or {})["error.type"] == "ValueError"


def test_a_task_s_span_begins_when_it_was_submitted() -> None:
    before = time.time_ns()
    task = uuid7()
    after = time.time_ns()
    assert before - 1_000_000 <= submitted_ns(task) <= after
    exporter = InMemorySpanExporter()
    Tracer(SimpleSpanProcessor(exporter), service="decide").decided(task, {})
    (span,) = exporter.get_finished_spans()
    assert span.start_time == submitted_ns(task)
    assert span.end_time is not None
    assert span.end_time >= span.start_time


def test_nobody_who_collects_means_no_tracer() -> None:
    assert make_tracer({}, service="x") is None


def test_without_the_extra_the_setting_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        __import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None
    )
    with pytest.raises(ConfigurationError, match="extra `traces`"):
        make_tracer({ENDPOINT: "http://127.0.0.1:4318"}, service="x")
