"""The Celery application: its settings with their reasons, and the stages by name.

Celery is the conveyor, not the book-keeper: what must survive stands in Postgres, messages are hints that may be
lost, doubled or late, and every stage asks the row before it works.
"""

from __future__ import annotations

from celery import Celery
from kombu import Queue

from worker.messages import BROKER_PRIORITIES, QUEUES

CALIBRATE_RING_S = 60.0
UPKEEP_RING_S = 600.0
VISIBILITY_TIMEOUT_S = 3600
"""Longer than any stage.

A message that was not acknowledged for so long is delivered again, and a stage that takes longer would see its own
message again and again; the lease makes those deliveries harmless, but they are noise. It can be so long because
nothing waits for it: a killed worker's tasks are found by their leases and published anew within seconds.
"""


def make_app(broker_url: str, *, sweep_s: float = 1.0) -> Celery:
    """Return an application that talks to ``broker_url``; it opens no connection yet."""
    app = Celery("merge-reasoner", broker=broker_url, set_as_current=False)
    app.conf.update(
        # No result backend: results are rows. Storing them in Redis too would be a second truth.
        result_backend=None,
        task_ignore_result=True,
        # JSON only: a pickle from the broker would be code execution for whoever can write to it.
        task_serializer="json",
        accept_content=["json"],
        # A message is acknowledged when the stage is over, so that a clean stop in between gives it back at once.
        # It is not what makes a killed worker's tasks come back: FACTS.md saw messages lost between BRPOP and HSET,
        # and the visibility timeout is an hour. Leases and the reconciler do that.
        task_acks_late=True,
        # A stage that raised is acknowledged all the same: its tasks' leases run out, each delivery is counted on
        # its row, and after a few it is parked. Celery's own retries know of no such count.
        task_acks_on_failure_or_timeout=True,
        # One message a thread: prefetched ones would wait behind a slow one while other workers idle.
        worker_prefetch_multiplier=1,
        # After a reconnect Celery would take fewer messages at first, as many as were at work before the cut are
        # left out, and a worker whose count comes to nothing never hears again.
        worker_enable_prefetch_count_reduction=False,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            # The look for messages older than that is one query a minute; every worker of a queue makes it.
            "unacked_restore_interval": 60,
            "unacked_restore_throttle": 1,
            "priority_steps": list(BROKER_PRIORITIES),
            # Higher priorities of all queues first, and within one priority round robin over a worker's queues.
            "queue_order_strategy": "round_robin",
            # A broker that swallows packets is noticed: kombu drops a BRPOP that has had no answer for a second
            # (its own timeout) plus the health check's interval, any other call gives up after the socket's
            # timeout, and the kernel asks an idle connection for a sign of life.
            "socket_timeout": 5,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 5,
        },
        # For ever: a worker outlives its broker's restart.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # And one that refuses, its disk or memory full: it is asked again, once a second, until it takes messages.
        broker_channel_error_retry=True,
        # Leases, not connections, say who owns a task: what is at work goes on while the broker is away.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Ours is in worker.stopping: Celery's sleeps the whole time, waits for every thread after it all the same, and
        # knows of no leases.
        worker_soft_shutdown_timeout=0.0,
        # No ETA, no countdown: such messages sit unacknowledged in a worker's memory. A row's not_before waits in
        # Postgres instead.
        # Chatter between workers that nothing of ours reads, and a way in for whoever can write to the broker.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        # A closed set: a misspelt queue is an error and no new list that nobody reads.
        task_queues=[Queue(name) for name in QUEUES],
        task_create_missing_queues=False,
        # No `expires` in any of them: it is a time by the sender's clock, and a worker whose own is ahead would drop
        # every one of them, without a word. What nobody takes is bounded by the clock itself (``worker.clock``).
        beat_schedule={
            "reconcile": {
                "task": "reconcile",
                "schedule": sweep_s,
                "options": {"queue": "reconcile"},
            },
            # Whether a night is due is asked of Postgres, so one that passed while nothing ran is not lost.
            "calibrate": {
                "task": "calibrate",
                "schedule": CALIBRATE_RING_S,
                "options": {"queue": "calibrate"},
            },
            # Finds nothing to do nearly always: months are made two ahead.
            "upkeep": {
                "task": "upkeep",
                "schedule": UPKEEP_RING_S,
                "options": {"queue": "calibrate"},
            },
            # Beside the nightly one on its queue: neither is in a hurry, and both are few.
            "seal": {
                "task": "seal",
                "schedule": CALIBRATE_RING_S,
                "options": {"queue": "calibrate"},
            },
        },
        # The clock looks at least so often, so that a stopped spare takes over soon.
        beat_max_loop_interval=max(1.0, sweep_s),
        timezone="UTC",
    )
    return app
