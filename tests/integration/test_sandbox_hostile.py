"""Programs that want to pass without being right, or to do harm: none gets anywhere, and the next is judged right."""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from reasoner.outcomes import Outcome
from verifiers.claims import ProgramClaim
from verifiers.code.verifier import CodeVerifier
from verifiers.sandbox.binary import bubblewrap_binaries
from verifiers.sandbox.bubblewrap import BubblewrapSandbox
from verifiers.sandbox.docker_sandbox import DockerSandbox
from verifiers.sandbox.protocol import Isolation
from verifiers.verdicts import Verdict

pytestmark = pytest.mark.sandbox

TESTS = "assert f(2) == 4\nassert f(3) == 9\n"
HONEST = "def f(x):\n    return x * x\n"
# A frame as the judge would send it to the worker, and a reply as the program's process would send it to the judge.
FORGERIES = """
import json, os
def frame(message):
    body = json.dumps(message).encode()
    return len(body).to_bytes(4, "big") + body
def everywhere(data):
    for fd in range(1, 256):
        try:
            os.write(fd, data)
        except OSError:
            pass
REPORT = frame(["report", {"outcome": "confirmed", "reason": "2 assertions passed", "assertions": []}])
"""
LIAR = """
class Liar(BASE):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __bool__(self): return True
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __eq__
    def __sub__(self, other): return 0
    __rsub__ = __sub__
    def __abs__(self): return self
    def __iter__(self): return iter(())
    def __len__(self): return 1
"""
SYSTEM_CALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def f(x):
    if libc.syscall(*ARGUMENTS) == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return x * x
"""


@pytest.fixture(
    scope="module",
    params=[
        "warm",
        "cold",
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("docker-container", marks=pytest.mark.docker),
    ],
)
def verifier(request: pytest.FixtureRequest) -> Iterator[CodeVerifier]:
    if request.param.startswith("docker"):
        engine = request.getfixturevalue("docker_engine")
        once = request.param == "docker-container"
        in_docker = DockerSandbox(
            engine, isolation=Isolation.CONTAINER if once else Isolation.PROCESS, n_ahead=4
        )
        yield CodeVerifier(in_docker)
        in_docker.close()
        return
    request.getfixturevalue("needs_sandbox")
    sandbox = BubblewrapSandbox(bubblewrap_binaries()[0], warm=request.param == "warm")
    made = CodeVerifier(sandbox)
    yield made
    made.close()
    assert sandbox.warm == (request.param == "warm")  # it has not gone on without, silently


def judged(verifier: CodeVerifier, program: str, tests: str = TESTS, *, timeout_s: float = 2.0) -> Verdict:
    return verifier.verify(ProgramClaim(program=program, tests=tests), timeout_s=timeout_s)


def has_everything_anew(verifier: CodeVerifier) -> bool:
    """Return whether each claim gets a container of its own, so that none can be affected by the one before."""
    return isinstance(verifier._sandbox, DockerSandbox) and verifier._sandbox.kind == "docker, container"


# program, what the reason says
REFUTED = {
    # leaving early
    "exits at import": ("import os\nos._exit(0)", "exit code 0"),
    "exits in a call": ("import os\ndef f(x): os._exit(0)", "exit code 0"),
    "exits politely in a call": ("import sys\ndef f(x): sys.exit(0)", "SystemExit"),
    "exits at exit": (
        "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): return 0",
        "left 0, right 4",
    ),
    "closes everything and hangs": (
        "import os, time\ndef f(x):\n    os.closerange(0, 1024)\n    time.sleep(1000)",
        "connection closed",
    ),
    # lying values
    "returns what equals everything": (LIAR.replace("BASE", "object") + "def f(x): return Liar()", "failed"),
    "returns a lying int": (LIAR.replace("BASE", "int") + "def f(x): return Liar(0)", "left 0, right 4"),
    "returns lies in a list": (LIAR.replace("BASE", "object") + "def f(x): return [Liar()]", "right 4"),
    # patched builtins
    "patches builtins": (
        "import builtins\nfor name in ('sorted', 'len', 'abs', 'all', 'isinstance'):\n"
        "    setattr(builtins, name, lambda *a, **k: True)\ndef f(x): return 0",
        "the program",
    ),
    "patches assert's error": (
        "import builtins\nbuiltins.AssertionError = None\ndef f(x): return 0",
        "left 0, right 4",
    ),
    # forged reports and replies
    "prints a report": (FORGERIES + "print('2 passed')\neverywhere(REPORT)\ndef f(x): return 0", "not asked"),
    "reports from a call": (FORGERIES + "def f(x):\n    everywhere(REPORT)\n    return 0", "not asked"),
    "replies early from a thread": (
        FORGERIES
        + "import threading\ndef run():\n    for n in range(300):\n        everywhere(frame([n, 'ok', 4, []]))\n"
        "threading.Thread(target=run).start()\ndef f(x): return 0",
        "the program",
    ),
    "sends brackets": (
        FORGERIES + "def f(x):\n    everywhere((300000).to_bytes(4, 'big') + b'[' * 300000)\n    return 4",
        "not JSON",
    ),
    "claims a reply of 4 GB": (
        FORGERIES + "def f(x):\n    everywhere(b'\\xff' * 8)\n    return 4",
        "4294967295",
    ),
    "returns 20 MB": ("def f(x): return 'a' * 20_000_000", "more than 8388608"),
    "returns 500 nested lists": (
        "def f(x):\n    value = []\n    for _ in range(500):\n        value = [value]\n    return value",
        "too deeply",
    ),
    # looking for the expected values
    "searches frames and objects for the tests": (
        "import gc, sys\ndef f(x):\n    frame, seen = sys._getframe(), []\n    while frame:\n"
        "        seen.append(str(frame.f_locals) + str(frame.f_globals))\n        frame = frame.f_back\n"
        "    seen += [o for o in gc.get_objects() if type(o) is str]\n"
        "    raise ValueError('found' if any('f(3) == 9' in text for text in seen) else 'nothing')",
        "ValueError: nothing",
    ),
    "reads its parent's memory": (
        "def f(x): return open('/proc/1/mem', 'rb').read(8)",
        "No such file|Permission denied",
    ),
    "reads the worker's environment": (
        "def f(x): return open('/proc/1/environ').read()",
        "No such file|Permission denied",
    ),
    "reads /etc/passwd": ("def f(x): return open('/etc/passwd').read()", "No such file"),
    "kills everybody": (
        "import os\ndef f(x):\n    try:\n        os.kill(-1, 9)\n    except OSError:\n"
        "        os.kill(os.getppid(), 9)\n    return 0",
        "line 1",
    ),
    # using things up
    "forks for ever": ("import os\ndef f(x):\n    while True:\n        os.fork()", "the program"),
    "counts its processes": (
        "import os, time\ndef f(x):\n    n = 0\n    try:\n        while n < 1000:\n            if os.fork() == 0:\n"
        "                time.sleep(100)\n            n += 1\n    except OSError:\n        raise ValueError(n < 64)",
        "ValueError: True",
    ),
    "counts its threads": (
        "import threading, time\ndef f(x):\n    n = 0\n    try:\n        while n < 1000:\n"
        "            threading.Thread(target=time.sleep, args=(100,)).start()\n            n += 1\n"
        "    except RuntimeError:\n        raise ValueError(n < 64)",
        "ValueError: True",
    ),
    "takes 2 GB": ("def f(x): return len(bytearray(2 << 30))", "MemoryError"),
    "fills the disk": (
        "def f(x):\n    for n in range(50):\n        open(f'/tmp/{n}', 'wb').write(b'x' * 4_000_000)\n    return 4",
        "No space left",
    ),
    "writes a large file": ("def f(x): open('/tmp/a', 'wb').write(b'x' * 14_000_000)", "File too large"),
    "prints 100 MB": (
        "def f(x):\n    for _ in range(100):\n        print('x' * 1_000_000)\n    return x * x",
        "printed",
    ),
    "dumps core": ("import ctypes\ndef f(x): ctypes.string_at(0)", "SIGSEGV"),
    # getting out
    "writes to the root": ("def f(x): open('/python/x', 'w')", "Read-only"),
    "opens an internet socket": ("import socket\ndef f(x): socket.socket()", "Address family not supported"),
    "opens a raw socket": (
        "import socket\ndef f(x): socket.socket(socket.AF_INET, socket.SOCK_RAW)",
        "Address family not supported",
    ),
    "opens vsock": (
        "import socket\ndef f(x): socket.socket(40, socket.SOCK_STREAM)",
        "Address family not supported",
    ),
    "opens netlink": (
        "import socket\ndef f(x): socket.socket(16, socket.SOCK_RAW)",
        "Address family not supported",
    ),
    "becomes root": ("import os\ndef f(x): os.setuid(0)", "Invalid argument|not permitted"),
    "has no capabilities": ("import os\ndef f(x): os.chown('/tmp', 1, 1)", "Invalid argument|not permitted"),
}


@pytest.mark.parametrize(("program", "reason"), REFUTED.values(), ids=REFUTED.keys())
def test_a_hostile_program_is_refuted_for_the_right_reason(
    verifier: CodeVerifier, program: str, reason: str
) -> None:
    verdict = judged(verifier, program)
    assert verdict.outcome is Outcome.REFUTED, verdict.reason
    assert re.search(reason, verdict.reason), verdict.reason
    if not has_everything_anew(verifier):
        assert judged(verifier, HONEST).outcome is Outcome.CONFIRMED


CALLS = {  # number on x86_64 and the generic table, arguments
    "ptrace": ((101, 117), (0, 0, 0, 0)),
    "process_vm_readv": ((310, 270), (1, 0, 0, 0, 0, 0)),
    "unshare": ((272, 97), (0x10000000,)),
    "clone with a new user namespace": ((56, 220), (0x10000011, 0, 0, 0, 0)),
    "mount": ((165, 40), (0, 0, 0, 0, 0)),
    "io_uring_setup": ((425, 425), (1, 0)),
    "userfaultfd": ((323, 282), (1,)),
    "keyctl": ((250, 219), (0, 0, 0)),
    "bpf": ((321, 280), (0, 0, 0)),
    "perf_event_open": ((298, 241), (0, 0, -1, -1, 0)),
    "memfd_create": ((319, 279), (0, 0)),
}


@pytest.mark.parametrize(("numbers", "arguments"), CALLS.values(), ids=CALLS.keys())
def test_a_dangerous_system_call_is_not_permitted(
    verifier: CodeVerifier, numbers: tuple[int, int], arguments: tuple[int, ...]
) -> None:
    number = numbers[0] if os.uname().machine == "x86_64" else numbers[1]
    verdict = judged(verifier, SYSTEM_CALL.replace("ARGUMENTS", str((number, *arguments))))
    assert verdict.outcome is Outcome.REFUTED
    assert "[Errno 1] refused" in verdict.reason


@pytest.mark.parametrize(
    "tests",
    ["assert abs(f(1) - 2.5) < 1e-6", "assert f(1) < 1e-6", "assert 2.5 - f(1) == 0", "assert f(1) + 1 == 2"],
)
def test_a_value_that_could_lie_about_arithmetic_is_an_abstention(verifier: CodeVerifier, tests: str) -> None:
    program = LIAR.replace("BASE", "object") + "    __add__ = __sub__\ndef f(x): return Liar()"
    verdict = judged(verifier, program, tests)
    assert verdict.outcome is Outcome.ABSTAINED
    assert "only it could say" in verdict.reason


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        (LIAR.replace("BASE", "object") + "def f(x): return Liar()", "assert 3 in f(1)"),
        (LIAR.replace("BASE", "object") + "def f(x): return Liar()", "assert f(1) in [3]"),
        (LIAR.replace("BASE", "str") + "def f(x): return Liar('no')", "assert f(1) == 'yes'"),
        (LIAR.replace("BASE", "list") + "def f(x): return Liar()", "assert f(1) == [1]"),
        (LIAR.replace("BASE", "float") + "def f(x): return Liar(0)", "assert abs(f(1) - 2.5) < 1e-6"),
        (LIAR.replace("BASE", "dict") + "def f(x): return Liar()", "assert f(1)['a'] == 1"),
        ("def len(x): return 3\ndef f(x): return []", "assert len(f(1)) == 3"),
        ("def sorted(x): return [1, 2]\ndef f(x): return []", "assert sorted(f(1)) == [1, 2]"),
        ("def isinstance(x, y): return True\ndef f(x): return 1", "assert isinstance(f(1), str)"),
        (
            "class math:\n    isclose = lambda *a, **k: True\ndef f(x): return 1",
            "assert math.isclose(f(1), 9)",
        ),
        ("def len(x): return 3\nITEMS = []", "assert len(ITEMS) == 3"),
        ("def isclose(*a, **k): return True\ndef f(x): return 1", "assert isclose(f(1), 9)"),
        (
            "def f(g):\n    try: g(0)\n    except Exception: pass",
            "def g(x):\n    assert x == 1\nf(g)\nassert True",
        ),
        ("def f(g): return g(lambda h: f(g))", "def g(k):\n    return k(1)\nassert f(g) == 3"),
        ("def f(x): raise AssertionError", "assert f(1) == 3"),
        ("def f(x):\n    while True:\n        yield 1", "assert list(f(1)) == [1]"),
        (
            "import sys\nclass E(Exception):\n    def __str__(self): sys.exit(0)\ndef f(x): raise E",
            "assert f(1) == 3",
        ),
    ],
)
def test_other_ways_to_please_a_test_fail_too(verifier: CodeVerifier, program: str, tests: str) -> None:
    verdict = judged(verifier, program, tests, timeout_s=0.5)
    assert verdict.outcome is Outcome.REFUTED, verdict.reason


def test_a_test_that_swallows_everything_does_not_swallow_the_end_of_the_program(
    verifier: CodeVerifier,
) -> None:
    tests = "try:\n    assert f(1) == 3\nexcept BaseException:\n    pass\nassert True"
    verdict = judged(verifier, "import os\ndef f(x): os._exit(0)", tests)
    assert verdict.outcome is Outcome.REFUTED


@pytest.mark.parametrize(
    "program",
    [
        "def f(x):\n    while True:\n        pass",
        "import signal\nfor n in range(1, 65):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\ndef f(x):\n    while True:\n        pass",
    ],
    ids=["loops", "ignores signals"],
)
def test_a_program_that_never_ends_runs_into_its_cpu_limit(verifier: CodeVerifier, program: str) -> None:
    verdict = judged(verifier, program, timeout_s=0.5)
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.evidence["limit_hit"] == "cpu"
    assert "0.5 s of CPU time" in verdict.reason


def test_a_program_that_sleeps_for_ever_runs_into_the_wall_limit(verifier: CodeVerifier) -> None:
    # CPU time enough for a slow machine to start an interpreter.
    verdict = judged(verifier, "import time\ndef f(x): time.sleep(1000)", timeout_s=0.7)
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.evidence["limit_hit"] == "wall"


def test_memory_is_limited_for_all_processes_together_where_there_are_control_groups(
    verifier: CodeVerifier,
) -> None:
    program = """
import os, time
def f(x):
    for _ in range(4):  # each alone is within the limit, all together are not
        if os.fork() == 0:
            held = bytearray(300 << 20)
            time.sleep(2)
            os._exit(0)
    return x * x if all(os.wait()[1] == 0 for _ in range(4)) else 0  # right only if nobody was killed
"""
    if judged(verifier, HONEST).evidence["warnings"]:
        pytest.skip("no control groups can be made here; the verdicts say so")
    verdict = judged(verifier, program)
    assert verdict.outcome is Outcome.REFUTED


def test_a_listener_on_the_loopback_hears_nothing(verifier: CodeVerifier) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        program = (
            f"import socket\ndef f(x): return socket.create_connection({listener.getsockname()!r}, 1) and 4"
        )
        assert judged(verifier, program).outcome is Outcome.REFUTED
        with pytest.raises(TimeoutError):
            listener.accept()


def test_an_abstract_unix_socket_of_the_host_is_out_of_reach(verifier: CodeVerifier) -> None:
    name = f"\0merge-reasoner-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        program = (
            f"import socket\ndef f(x):\n    socket.socket(socket.AF_UNIX).connect({name!r})\n    return x * x"
        )
        assert "refused" in judged(verifier, program).reason


def test_a_leftover_daemon_dies_with_its_claim(verifier: CodeVerifier) -> None:
    name = f"left{uuid.uuid4().hex[:8]}"
    program = f"""
import ctypes, os, time
def f(x):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(15, {name.encode()!r}, 0, 0, 0)
            time.sleep(1000)
        os._exit(0)  # or there would be two who answer
    return x * x
"""
    assert judged(verifier, program).outcome is Outcome.CONFIRMED
    assert name not in _process_names()


def _process_names() -> set[str]:
    names = set()
    for file in Path("/proc").glob("[0-9]*/comm"):
        try:
            names.add(file.read_text().strip())
        except OSError:
            continue
    return names


def test_a_file_of_one_claim_is_not_there_for_the_next(verifier: CodeVerifier) -> None:
    assert judged(verifier, HONEST + "open('/tmp/left', 'w').write('9')").outcome is Outcome.CONFIRMED
    verdict = judged(verifier, "def f(x): return int(open('/tmp/left').read())", "assert f(1) == 9")
    assert "No such file" in verdict.reason


def test_the_sandbox_shows_nothing_of_the_host_but_an_interpreter(verifier: CodeVerifier) -> None:
    program = "import os\ndef f(): return sorted(os.listdir('/')), sorted(os.environ), os.getuid(), os.listdir('/tmp')"
    tests = (
        "folders, names, uid, scratch = f()\n"
        "assert set(folders) <= {'dev', 'lib', 'lib64', 'node', 'python', 'runtime', 'tmp'}\n"
        "assert not any('TOKEN' in n or 'KEY' in n or 'URL' in n for n in names)\n"
        "assert uid >= 65534\nassert scratch == []"
    )
    os.environ["SOME_TOKEN"] = "secret"
    try:
        assert judged(verifier, program, tests).outcome is Outcome.CONFIRMED
    finally:
        del os.environ["SOME_TOKEN"]


def test_no_descriptor_of_the_worker_reaches_the_program(verifier: CodeVerifier) -> None:
    program = """
import os
def f():
    found = []
    for fd in range(3, 1024):
        try:
            found.append(os.fstat(fd).st_mode)
        except OSError:
            pass
    return found
"""
    # One, and it is the socket to the judge.
    assert (
        judged(verifier, program, "import stat\n(mode,) = f()\nassert stat.S_ISSOCK(mode)").outcome
        is Outcome.CONFIRMED
    )


LEAVERS = {
    "a daemon that listens": """
import os, socket, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\\0left-behind")
        listener.listen()
        time.sleep(1000)
time.sleep(0.1)
""",
    "a daemon that kills": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            try:
                os.kill(-1, 9)
            except OSError:
                pass
""",
    "files wherever they can be": """
for folder in ("/tmp", "/dev/shm", "/dev/mqueue", "/dev", "/var/tmp", "/run", "/"):
    try:
        open(folder + "/left-behind", "w").write("16")
    except OSError:
        pass
""",
    "changes to what is preloaded": """
import builtins, json, os, socket, sys
json.loads = json.dumps = socket.recv_fds = os.read = None
builtins.LEFT = 16
sys.modules["left_behind"] = sys
""",
    "a kill of whoever is there": """
import os
for pid in (0, os.getppid(), *range(2, 50)):
    try:
        if pid != os.getpid():
            os.kill(pid, 9)
    except OSError:
        pass
""",
    "a seized terminal, group and priority": """
import os, signal
os.nice(19)
for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
    signal.signal(number, signal.SIG_IGN)
os.umask(0o777)
""",
}
SEEKER = """
import builtins, os, socket, sys, time
def look():
    found = [f"file in {folder}" for folder in ("/tmp", "/dev/shm", "/dev/mqueue", "/dev", "/var/tmp", "/run", "/")
             if os.path.exists(folder + "/left-behind")]
    try:
        socket.socket(socket.AF_UNIX).connect("\\0left-behind")
        found.append("daemon")
    except OSError:
        pass
    if hasattr(builtins, "LEFT") or "left_behind" in sys.modules:
        found.append("module")
    time.sleep(0.1)
    return found, os.umask(0o22) == 0o777
"""


@pytest.mark.parametrize("leaver", LEAVERS.values(), ids=LEAVERS.keys())
def test_nothing_that_one_claim_leaves_reaches_the_next(verifier: CodeVerifier, leaver: str) -> None:
    judged(verifier, leaver + HONEST)
    for _ in range(2):
        verdict = judged(verifier, SEEKER, "assert look() == ([], False)")
        assert verdict.outcome is Outcome.CONFIRMED, verdict.reason


def test_memory_of_others_is_out_of_reach(verifier: CodeVerifier) -> None:
    program = """
import glob, os
def look():
    found = []
    for path in glob.glob("/proc/[0-9]*/mem") + glob.glob("/proc/[0-9]*/environ") + ["/proc/1/mem", "/dev/mem"]:
        if path.split("/")[2] in (str(os.getpid()), "self"):
            continue
        try:
            open(path, "rb").read(1)
            found.append(path)
        except OSError:
            pass
    return found
"""
    verdict = judged(verifier, program, "assert look() == []")
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason


SCAN = """
import ctypes, os
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
OWN = "".join(["a needle", " of its own"])
def holds(first, second):
    first, second = first.encode(), second.encode()
    pipe, far = os.pipe()
    arenas, heap = id([]) & ~0xfff, libc.sbrk(0) & ~0xfff
    for start in (*range(arenas - (16 << 20), arenas + (16 << 20), 4096), *range(heap - (16 << 20), heap, 4096)):
        if libc.write(far, ctypes.c_void_p(start), 4096) != 4096:
            continue  # no memory there
        page = os.read(pipe, 4096)
        place = page.find(first)
        while place >= 0:
            if page.startswith(second, place + len(first)):
                return True
            place = page.find(first, place + 1)
    return False
"""


def test_neither_the_tests_nor_the_claim_before_are_in_the_memory_of_the_program(
    verifier: CodeVerifier,
) -> None:
    before, secret = uuid.uuid4().hex, uuid.uuid4().hex
    program = f"def f(x): return {before!r}"
    assert judged(verifier, program, f"assert f(1) == {before!r}").outcome is Outcome.CONFIRMED
    tests = f"""
secret = {secret!r}
assert holds('a needle', ' of its own')
assert not holds(secret[:16], secret[16:])
assert not holds({before[:16]!r}, {before[16:]!r})
"""
    verdict = judged(verifier, SCAN, tests, timeout_s=5)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason
