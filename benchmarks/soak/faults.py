"""What can go wrong, each as a function that does it to a plant."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from uuid import uuid4

import redis

from benchmarks.soak.plant import Plant, children_of, shuffled
from benchmarks.soak.rubbish import rubbish

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
    children: list[int] = []
    for _ in range(20):
        if children := [child for p in plant.processes.values() for child in children_of(p.popen.pid)]:
            break
        plant.rest(0.3)  # they come with the first work
    else:
        return kill_worker(plant, chance) + " since none has a child"
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
    stages = [plant.processes[name].popen for name in ("generate", "verify", "all")]
    for process in stages:  # stand still until there is something to double
        process.send_signal(signal.SIGSTOP)
    for _ in range(30):
        if n := sum(_double(plant.broker, key, chance) for key in _queues(plant)):
            break
        plant.rest(0.2)
    for process in stages:
        process.send_signal(signal.SIGCONT)
    return f"doubled and shuffled {n} messages"


def _double(broker: redis.Redis, key: bytes, chance: random.Random) -> int:
    copies = []
    for raw in broker.lrange(key, 0, -1):
        message = json.loads(raw)
        message["properties"]["delivery_tag"] = str(uuid4())
        copies.append(json.dumps(message))
    if copies:
        broker.rpush(key, *copies)
    shuffled(broker, key, chance)
    return len(copies)


def write_rubbish(plant: Plant, chance: random.Random) -> str:
    """Somebody writes to our queues what is no message, or none of ours."""
    queue = chance.choice(["generate", "decide", "verify.math"])
    plant.broker.lpush(queue, *rubbish(queue).values())
    return f"wrote rubbish to {queue}"


def _queues(plant: Plant) -> list[bytes]:
    names, broker = (b"generate", b"verify", b"decide"), plant.broker
    keys = [key if isinstance(key, bytes) else key.encode() for key in broker.keys("*")]
    return [key for key in keys if key.startswith(names) and broker.type(key) == b"list"]


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
    """Return ``n`` faults: first all of ``ONCE`` in random order, then mostly killed workers."""
    first = list(ONCE)
    chance.shuffle(first)
    more: list[Fault] = [chance.choice([kill_worker, kill_worker, *ONCE]) for _ in range(n - len(ONCE))]
    return [*first, *more][:n]
