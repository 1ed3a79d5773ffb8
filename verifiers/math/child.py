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
from typing import Any

MEMORY_BYTES = 1 << 30
STOPPED_S = 2  # CPU seconds after the budget at which a computation that ignores the signal is killed


class OutOfTimeError(Exception):
    """Raised by the CPU timer in the middle of a claim."""


def main() -> None:
    """Serve claims until standard input ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing that prints can write into the replies
    import verifiers.math.symbolic  # noqa: F401 - loaded before the first claim's clock starts

    signal.signal(signal.SIGPROF, _out_of_time)
    claims: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(claims,), daemon=True).start()
    _write(replies, {"ready": True})
    while True:
        _write(replies, _judged(json.loads(claims.get())))


def _read(claims: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        claims.put(line)
    os._exit(0)


def _judged(claim: dict[str, Any]) -> dict[str, Any]:
    from verifiers.math.equality import decide
    from verifiers.math.rational import NeedsAlgebraError
    from verifiers.math.symbolic import AlgebraScalars, NoValueError

    budget_s = float(claim["cpu_s"])
    _limit_cpu(budget_s)
    try:
        signal.setitimer(signal.ITIMER_PROF, budget_s)
        judgement = decide(claim["gold"], claim["answer"], AlgebraScalars())
        signal.setitimer(signal.ITIMER_PROF, 0)
    except OutOfTimeError:
        return {"abstained": f"the comparison took more than {budget_s:g} s of CPU time"}
    except NoValueError as error:
        return {"abstained": str(error)}
    except NeedsAlgebraError:
        return {"abstained": "a value could not be computed"}
    except MemoryError:
        return {"abstained": f"the comparison took more than {MEMORY_BYTES >> 20} MB of memory", "exit": True}
    except Exception as error:  # noqa: BLE001 - SymPy raises anything on odd input; a claim must not kill the server
        return {"abstained": f"the comparison failed: {type(error).__name__}: {error}"[:300]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return {
        "outcome": str(judgement.outcome), "reason": judgement.reason, "method": judgement.method,
        "gold": judgement.gold, "answer": judgement.answer,
    }  # fmt: skip


def _out_of_time(signum: int, frame: FrameType | None) -> None:
    raise OutOfTimeError


def _limit_cpu(budget_s: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + budget_s) + STOPPED_S)


def _limit(what: int, amount: int) -> None:
    _, hard = resource.getrlimit(what)
    soft = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(what, (soft, hard))


def _write(replies: Any, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
