"""The first process of a container: Python with everything imported, which forks judge and judged of each claim.

It takes no byte of any claim. What the worker sends to the judge, and what the two say, is moved by the kernel from
one descriptor to another: so there is nothing in here for a later claim to find, and nothing of the tests for the
judged, both of which are forks of this process.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
from typing import NoReturn

from verifiers.sandbox.inside import kernel
from verifiers.sandbox.inside.claim import Claim
from verifiers.sandbox.inside.relay import Intake, tell
from verifiers.sandbox.inside.side import Kind

N_CLAIMS = 500


def main(seccomp: str, first_uid: int, room: str) -> NoReturn:
    """Serve one claim at a time, at standard input and output, until the worker hangs up.

    In come ``["pair", limits of the judge, limits of the judged]``, as for ``confine``, and ``["stop", which]``, beside
    the pieces of the judge's job. Out come ``["up"]``, ``["broken", why]``, again and again ``["times", of the judge,
    of the judged]`` (each CPU seconds and seconds waited), and, when nothing is left of the claim, ``["ended", the
    judge, the judged, killed for memory, clean]`` (each wait status, if it ended by itself, and CPU seconds), beside
    the pieces of what the two say.

    Args:
        seccomp: The system call filter, in hexadecimal digits.
        first_uid: The first of two numbers for each claim that no other container uses.
        room: The judged's root folder.
    """
    kernel.hide_memory()
    # A handler of Python's could be made to run from inside; without any, the kernel spares a first process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    judge, judged = (
        Kind(
            run=importlib.import_module(f"verifiers.sandbox.inside.{name}").main,
            root=root,
            oom_score=oom_score,
            system_calls=bytes.fromhex(seccomp),
            nothing=nothing,
        )
        for name, root, oom_score in (("judge", "/", b"500"), ("judged", room, b"1000"))
    )
    out = os.dup(1)
    os.dup2(2, 1)  # nobody but this process writes to the stream
    intake = Intake(0, nothing)
    gc.collect()
    gc.freeze()  # so that no collection in a child copies all pages
    tell(out, ["up"])
    for uid in range(first_uid, first_uid + 2 * N_CLAIMS, 2):
        word, *limits = intake.message()
        while word != "pair":  # a stop for the claim before, which had ended
            word, *limits = intake.message()
        Claim(judge, judged, uid, limits, intake=intake, out=out).serve()
    os._exit(0)
