"""JavaScript: the confined Python processes of a pair become node, before they have met the program.

So whatever starts and confines a pair (bubblewrap, a container) need not know of languages. The limits are those that
the Python has set itself: they survive.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any, NoReturn

NODES = ("/node/bin/node", "/usr/local/bin/node", "/usr/bin/node")
_LIBRARIES = "/node/lib:/lib"
_SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "javascript")  # noqa: PTH100, PTH118, PTH120 - pathlib is slow to import
_HEAP_MIB = 384  # below the limit of a control group: V8 then says itself that memory is full
_ENVIRONMENT = {
    "LD_LIBRARY_PATH": _LIBRARIES,
    "HOME": "/tmp",  # noqa: S108 - the sandbox's own
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "UV_THREADPOOL_SIZE": "2",
    "MALLOC_ARENA_MAX": "2",
}


def node() -> str | None:
    """Return this sandbox's node, if it has one."""
    return next((path for path in NODES if os.access(path, os.X_OK)), None)


def become_judge(job: dict[str, Any], report_fd: int, link_fd: int) -> NoReturn:
    """Become the judge of a job."""
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(job).encode())
        file.seek(0)
        _become("judge.js", job["seed"], file.fileno(), report_fd, link_fd)


def become_judged(fd: int, seed: int) -> NoReturn:
    """Become the process under test."""
    _become("judged.js", seed, fd)


def become_script(path: str) -> NoReturn:
    """Become the program at ``path``, its standard streams as they are."""
    command, environment = _command(0)
    os.execve(command[0], [*command, "--require", f"{_SOURCES}/script.js", path], environment)  # noqa: S606 - no shell


def _become(module: str, seed: int, *fds: int) -> NoReturn:
    command, environment = _command(seed)
    for fd in fds:
        os.set_inheritable(fd, True)  # noqa: FBT003 - positional only
    os.execve(command[0], [*command, f"{_SOURCES}/{module}", *map(str, fds)], environment)  # noqa: S606


def _command(seed: int) -> tuple[list[str], dict[str, str]]:
    options = (
        f"--max-old-space-size={_HEAP_MIB}",
        f"--random-seed={1 + seed % (2**31 - 1)}",  # 0 would mean any
        "--disable-wasm-trap-handler",  # which would reserve more address space than there is
        "--experimental-vm-modules",
        "--no-warnings",
    )
    return [node() or NODES[0], *options], _ENVIRONMENT
