"""The Celery application: its settings with their reasons, and the stages by name.

Celery is the conveyor, not the book-keeper: what must survive stands in Postgres, messages are hints that may be
lost, doubled or late, and every stage asks the row before it works.
"""

from __future__ import annotations

from celery import Celery
from kombu import Queue

from worker.messages import BROKER_PRIORITIES, QUEUES

CALIBRATE_RING_S = 60.0
VISIBILITY_TIMEOUT_S = 3600  # longer than any stage, else a running message is delivered again and again


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
        # A message is acknowledged when the stage is over, so a killed worker's message comes back by itself;
        # the reconciler catches those that FACTS.md saw lost between BRPOP and HSET.
        task_acks_late=True,
        # One message a thread: prefetched ones would wait behind a slow one while other workers idle.
        worker_prefetch_multiplier=1,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            # A sweep every few seconds brings a killed worker's message back in about 11 s instead of 100 s.
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            "priority_steps": list(BROKER_PRIORITIES),
            "queue_order_strategy": "priority",
            # A silent broker is noticed: a blocked read gives up, and reconnecting starts.
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "health_check_interval": 10,
        },
        # For ever: a worker outlives its broker's restart.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # leases, not connections, say who owns a task
        # SIGTERM stops taking messages; what runs gets this long, then goes back to the queue.
        worker_soft_shutdown_timeout=10.0,
        worker_enable_soft_shutdown_on_idle=False,
        # Chatter between workers that nothing of ours reads.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        task_queues=[Queue(name) for name in QUEUES],
        task_create_missing_queues=False,
        beat_schedule={
            "reconcile": {
                "task": "reconcile",
                "schedule": sweep_s,
                # A sweep that waited longer than this is pointless: the next one is there already.
                "options": {"queue": "reconcile", "expires": 5 * sweep_s},
            },
            # Whether a night is due is asked of Postgres, so one that passed while nothing ran is not lost.
            "calibrate": {
                "task": "calibrate",
                "schedule": CALIBRATE_RING_S,
                "options": {"queue": "calibrate", "expires": CALIBRATE_RING_S},
            },
        },
        timezone="UTC",
    )
    return app
