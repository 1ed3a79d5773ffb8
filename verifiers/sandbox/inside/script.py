"""Runs the program as a script, in a fork of the judged process: standard input given, standard output kept.

A fork for each case, so that what one case leaves behind (globals, an exit, closed descriptors) is not there for the
next. Like everything on this side it may be deceived by the program; what it returns is only the program's own word.
"""

from __future__ import annotations

import importlib
import math
import os
import re
import resource
import signal
import sys
import types
from collections.abc import Callable

MAX_OUTPUT_BYTES = 2 * 1024 * 1024
_SCRIPT = "solution.py"
_COMMON, _MODULE = "solution.js", "solution.mjs"
_IS_MODULE = r"(?m)^\s*(?:import\s[^(]|export\s)"


def run_script(program: str, stdin: str, close: int, language: str) -> tuple[int, float, bytes]:
    """Return how it ended, its CPU time in seconds, and what it printed, cut one byte beyond the limit.

    How it ended: as ``os.waitstatus_to_exitcode`` says it, the exit code or minus the signal.

    Args:
        program: Source, run as ``__main__``.
        stdin: What it can read.
        close: A descriptor that it must not have.
        language: Its language, ``python`` or ``javascript``.
    """
    given, printed = _scratch_file(), _scratch_file()
    try:
        _write_all(given, stdin.encode("utf-8", "surrogatepass"))
        os.lseek(given, 0, os.SEEK_SET)
        child = os.fork()
        if child == 0:
            _be_the_script(_runner(language), program, given, printed, close)
        _, status, usage = os.wait4(child, 0)
        _end_what_it_left(child)
        os.lseek(printed, 0, os.SEEK_SET)
        return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, _read_all(printed)
    finally:
        os.close(given)
        os.close(printed)


def _end_what_it_left(child: int) -> None:
    """Kill what the script has started; the first process of a process namespace may say all and mean its own."""
    alone = os.getpid() == 1
    try:
        os.kill(-1, signal.SIGKILL) if alone else os.killpg(child, signal.SIGKILL)
        while alone and os.waitpid(-1, 0)[0]:
            continue
    except OSError:  # nothing was left
        return


def _scratch_file() -> int:
    """Return a file without a name; a file and not a pipe, since nobody has to read it while the program runs."""
    with importlib.import_module("tempfile").TemporaryFile() as file:
        return os.dup(file.fileno())


def _write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _read_all(fd: int) -> bytes:
    parts: list[bytes] = []
    wanted = MAX_OUTPUT_BYTES + 1
    while wanted and (part := os.read(fd, wanted)):
        parts.append(part)
        wanted -= len(part)
    return b"".join(parts)


def _be_the_script(run: Callable[[str], int], program: str, given: int, printed: int, close: int) -> None:
    """Become the script; never return."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(given, 0)
        os.dup2(printed, 1)
        for fd in (given, printed, close):
            os.close(fd)
        _spend_what_is_left()
        code = run(program)
    finally:
        os._exit(code)


def _spend_what_is_left() -> None:
    """Let the cases together have the CPU time of one claim: a fork would begin to count at zero."""
    soft, _ = resource.getrlimit(resource.RLIMIT_CPU)
    if soft == resource.RLIM_INFINITY:
        return
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    # RUSAGE_SELF is this fork's own, about nothing; the judged's own time before it was little.
    left = max(1, math.ceil(soft - sum(usage.ru_utime + usage.ru_stime for usage in used)))
    resource.setrlimit(resource.RLIMIT_CPU, (left, left))


def _runner(language: str) -> Callable[[str], int]:
    return _run_in_node if language == "javascript" else _run


def _run_in_node(program: str) -> int:
    path = f"{os.getcwd()}/{_MODULE if re.search(_IS_MODULE, program) else _COMMON}"  # noqa: PTH109 - slow to import
    if os.path.lexists(path):
        os.unlink(path)  # noqa: PTH108 - of an earlier case, which may have changed it
    with open(path, "w", encoding="utf-8", errors="surrogatepass") as file:  # noqa: PTH123
        file.write(program)
    importlib.import_module("verifiers.sandbox.inside.node").become_script(path)
    return 1


def _run(program: str) -> int:
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - for good
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = [_SCRIPT]
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    code = 0
    try:
        exec(compile(program, _SCRIPT, "exec"), module.__dict__)  # noqa: S102 - this is what a sandbox is for
    except SystemExit as error:
        code = _exit_code(error.code)
    except BaseException as error:  # noqa: BLE001 - a script that ends with an exception
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()  # noqa: SLF001 - what the interpreter does at its end
    importlib.import_module("atexit")._run_exitfuncs()  # noqa: SLF001
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1
