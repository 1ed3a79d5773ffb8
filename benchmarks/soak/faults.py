"""What can go wrong, each as a function that does it to a plant."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from uuid import uuid4

from benchmarks.soak.plant import Plant, children_of, shuffled

Fault = Callable[[Plant, random.Random], str]
"""Does it, and returns what it did."""

DISK_FULL_BYTES = 2000  # what still fits; a few messages


def kill_worker(plant: Plant, chance: random.Random) -> str:
    """``kill -9`` of a worker process."""
    name = chance.choice([name for name in plant.processes if name not in {"beat", "spare"}])
    plant.processes[name].popen.kill()
    return f"killed worker {name}"


def kill_child(plant: Plant, chance: random.Random) -> str:
    """``kill -9`` of a process that a worker started: a verifier at work, say."""
    children = [child for p in plant.processes.values() for child in children_of(p.popen.pid)]
    if not children:
        return "killed no child: there is none"
    victim = chance.choice(children)
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return "killed no child: it has ended"
    return "killed a worker's child"


def kill_beat(plant: Plant, _chance: random.Random) -> str:
    """``kill -9`` of both clocks and of a reconciler."""
    for name in ("beat", "spare", "control"):
        plant.processes[name].popen.kill()
    return "killed both clocks and the reconciler"


def kill_broker(plant: Plant, _chance: random.Random) -> str:
    """``kill -9`` of Valkey; it comes back on its log."""
    plant.services.kill_broker()
    plant.rest(1.0, while_=lambda: False)
    return "killed the broker"


def flush_broker(plant: Plant, _chance: random.Random) -> str:
    """Every message is gone."""
    plant.broker.flushall()
    return "flushed the broker"


def kill_database(plant: Plant, _chance: random.Random) -> str:
    """``kill -9`` of the postmaster; it recovers from its log."""
    plant.services.kill_database()
    return "killed the database"


def cut_network(plant: Plant, chance: random.Random) -> str:
    """Nobody reaches the broker for a while."""
    plant.proxy.cut()
    seconds = chance.uniform(1.0, 4.0)
    plant.rest(seconds)
    plant.proxy.restore()
    return f"cut the network for {seconds:.1f} s"


def swallow_network(plant: Plant, _chance: random.Random) -> str:
    """Present connections stay open and carry nothing."""
    plant.proxy.swallow()
    return "let the network swallow what goes over present connections"


def stop_worker(plant: Plant, chance: random.Random) -> str:
    """A worker stands still for longer than its leases, and then goes on writing."""
    name = chance.choice(["generate", "verify", "control", "all"])
    process = plant.processes[name].popen
    process.send_signal(signal.SIGSTOP)
    plant.rest(1.5 * plant.settings.lease_s)
    process.send_signal(signal.SIGCONT)
    return f"stopped worker {name} for one and a half leases"


def fill_disk(plant: Plant, chance: random.Random) -> str:
    """The broker's log can't grow for a while."""
    plant.limit_broker_files(DISK_FULL_BYTES)
    seconds = chance.uniform(2.0, 4.0)
    plant.rest(seconds)
    plant.limit_broker_files(None)
    return f"filled the broker's disk for {seconds:.1f} s"


def double_messages(plant: Plant, chance: random.Random) -> str:
    """Every waiting message is delivered twice, and in another order."""
    n = 0
    broker = plant.broker
    for key in _queues(plant):
        copies = []
        for raw in broker.lrange(key, 0, -1):
            message = json.loads(raw)
            message["properties"]["delivery_tag"] = str(uuid4())
            copies.append(json.dumps(message))
        if copies:
            n += broker.rpush(key, *copies)
        shuffled(broker, key, chance)
    return f"doubled and shuffled {n} messages"


def write_rubbish(plant: Plant, chance: random.Random) -> str:
    """Somebody writes to our queues what is no message, or one of another version."""
    key = chance.choice([b"generate", b"decide", b"verify.math"])
    plant.broker.lpush(key, b"\xff rubbish", json.dumps({"body": "x"}))
    return f"wrote rubbish to {key.decode()}"


def _queues(plant: Plant) -> list[bytes]:
    names = (b"generate", b"verify", b"decide")
    return [
        key for key in plant.broker.keys("*") if key.startswith(names) and plant.broker.type(key) == b"list"
    ]


ONCE: tuple[Fault, ...] = (
    flush_broker,
    kill_broker,
    kill_database,
    kill_beat,
    cut_network,
    swallow_network,
    stop_worker,
    fill_disk,
    double_messages,
    write_rubbish,
    kill_child,
)
"""Each happens once at least."""


def schedule(n: int, chance: random.Random) -> list[Fault]:
    """Return ``n`` faults in random order: all of ``ONCE``, the rest mostly killed workers."""
    more: list[Fault] = [chance.choice([kill_worker, kill_worker, *ONCE]) for _ in range(n - len(ONCE))]
    chosen = [*ONCE, *more]
    chance.shuffle(chosen)
    return chosen
