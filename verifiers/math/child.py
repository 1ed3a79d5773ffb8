"""The process that touches SymPy: reads claims as JSON lines on standard input, writes judgements on standard output.

It is meant to be killed. It limits its own memory and CPU time, stops a claim that outlives its CPU budget, and dies
when its parent does: a thread reads standard input and ends the process at its end, whatever the main thread computes.
(``PR_SET_PDEATHSIG`` would fire when the *thread* that started us ends, and worker threads come and go.)
"""

from __future__ import annotations

import json
import os
import queue
import resource
import signal
import sys
import threading
from types import FrameType
from typing import Any, TextIO

from reasoner.outcomes import Outcome
from verifiers.math.judgement import Judgement
from verifiers.math.rational import NeedsAlgebraError
from verifiers.math.requests import judged
from verifiers.math.symbolic import AlgebraScalars

MEMORY_BYTES = 1 << 30
GRACE_S = 2  # CPU seconds after the budget at which a computation that ignores the timer is killed


class OutOfTimeError(Exception):
    """Raised by the CPU timer in the middle of a claim."""


def main() -> None:
    """Serve claims until standard input ends."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing that prints can write into the replies
    signal.signal(signal.SIGPROF, _out_of_time)
    claims: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(claims,), daemon=True).start()
    _write(replies, {"ready": True})
    while True:
        claim = json.loads(claims.get())
        _write(replies, _judged(claim, float(claim["cpu_s"])))


def _read(claims: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        claims.put(line)
    os._exit(0)


def _judged(claim: dict[str, Any], cpu_s: float) -> dict[str, object]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + cpu_s) + GRACE_S)
    spent = False
    try:
        try:
            signal.setitimer(signal.ITIMER_PROF, cpu_s)
            judgement = judged(claim, AlgebraScalars())
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except OutOfTimeError:
        judgement = Judgement(Outcome.ABSTAINED, f"it took more than {cpu_s:g} s of CPU time")
        spent = True  # it was interrupted anywhere, perhaps in the middle of a cache
    except NeedsAlgebraError:
        judgement = Judgement(Outcome.ABSTAINED, "a value could not be computed")
    except MemoryError:
        judgement = Judgement(Outcome.ABSTAINED, f"it took more than {MEMORY_BYTES >> 20} MB of memory")
        spent = True
    except Exception as error:  # noqa: BLE001 - SymPy raises anything on odd input, and a claim must not end the server
        judgement = Judgement(Outcome.ABSTAINED, f"it failed: {type(error).__name__}: {error}"[:300])
    return {
        "outcome": judgement.outcome, "reason": judgement.reason, "evidence": judgement.evidence, "spent": spent,
    }  # fmt: skip


def _out_of_time(_signal: int, _frame: FrameType | None) -> None:
    raise OutOfTimeError


def _limit(what: int, amount: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (amount if hard == resource.RLIM_INFINITY else min(amount, hard), hard))


def _write(replies: TextIO, reply: dict[str, object]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
