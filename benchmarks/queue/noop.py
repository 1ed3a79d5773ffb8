"""A Celery worker whose only task does nothing: the peer of the overhead benchmark, on our own settings."""

from __future__ import annotations

import os
import sys

from worker.app import make_app

app = make_app(os.environ["BROKER_URL"])


@app.task(name="generate")
def noop(_message: object) -> None:
    """Do nothing."""


if __name__ == "__main__":
    app.worker_main(
        [
            "worker",
            "--pool=threads",
            f"--concurrency={sys.argv[1]}",
            "--queues=generate",
            f"--hostname=noop{os.getpid()}@%h",
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )
