"""The embedded servers under other users: an ordinary one, one without a name, root without user namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(
        os.geteuid() != 0 or sys.platform != "linux", reason="becoming another user takes root"
    ),
]

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
NAMELESS = 54_321

START_TWICE = """
import os, sys
from pathlib import Path
from worker.embedded.services import Services
import psycopg
for statement in ["CREATE TABLE kept (n int)", "SELECT n FROM kept"]:
    with Services(Path(sys.argv[1])) as services:
        with psycopg.connect(services.database_url.replace("+psycopg", "")) as connection:
            connection.execute(statement)
        assert services.faults() == []
        print("data belongs to", (Path(sys.argv[1]) / "postgres/data").stat().st_uid)
"""

# Runs a command as another uid in a user namespace, optionally one in which no further namespace may be made: a
# container's policy, made of the kernel's own parts. The uid stands for root outside, so that an interpreter in
# root's home can be run. The parent writes the map, which needs rights in the outer namespace.
IN_NAMESPACE = """
import ctypes, os, sys
uid, uid_map, may_nest, *command = sys.argv[1:]
ready, mapped = os.pipe(), os.pipe()
child = os.fork()
if child:
    os.read(ready[0], 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{child}/{name}", "w") as file:
            file.write(uid_map)
    os.write(mapped[1], b"x")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
assert ctypes.CDLL(None).unshare(0x10000000) == 0
os.write(ready[1], b"x")
os.read(mapped[0], 1)
if may_nest == "no":
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")
os.setgid(int(uid)), os.setuid(int(uid))
os.execv(sys.executable, [sys.executable, *command])
"""


@pytest.fixture
def state() -> Iterator[Path]:
    # not tmp_path, whose parents nobody else may enter
    directory = Path(tempfile.mkdtemp(prefix="mr-state-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory / "state"
    shutil.rmtree(directory)


def run_as(uid: int, state: Path, *, deny_namespaces: bool = False) -> subprocess.CompletedProcess[str]:
    _require_user_namespaces()
    uid_map = "0 0 65536" if uid == 0 else f"{uid} 0 1"
    may_nest = "no" if deny_namespaces else "yes"
    return run("-c", IN_NAMESPACE, str(uid), uid_map, may_nest, "-c", START_TWICE, str(state))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def _require_user_namespaces() -> None:
    probe = f"import ctypes,sys; sys.exit(ctypes.CDLL(None).unshare({0x10000000}) != 0)"
    if subprocess.run([sys.executable, "-c", probe], check=False).returncode != 0:
        stop = pytest.fail if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip
        stop("user namespaces are denied here, so neither their use nor their denial can be tried")


def test_an_ordinary_user_runs_the_servers_without_any_namespace(state: Path) -> None:
    done = run_as(NOBODY, state, deny_namespaces=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"data belongs to {NOBODY}") == 2


def test_root_runs_postgres_as_someone_else_without_giving_the_files_away(state: Path) -> None:
    done = run_as(0, state)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("data belongs to 0") == 2


def test_a_user_without_a_name_runs_the_servers_where_namespaces_are_allowed(state: Path) -> None:
    done = run_as(NAMELESS, state)
    assert done.returncode == 0, done.stderr


def test_a_user_without_a_name_is_told_the_fix_where_namespaces_are_denied(state: Path) -> None:
    done = run_as(NAMELESS, state, deny_namespaces=True)
    assert done.returncode != 0
    assert f"uid {NAMELESS} has no entry in /etc/passwd" in done.stderr.splitlines()[-1]


def test_root_gives_the_files_to_another_user_where_namespaces_are_denied(state: Path) -> None:
    done = run_as(0, state, deny_namespaces=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"data belongs to {NOBODY}") == 2


def test_files_given_away_come_back_where_namespaces_are_allowed_again(state: Path) -> None:
    assert run_as(0, state, deny_namespaces=True).returncode == 0
    with_table = START_TWICE.replace('"CREATE TABLE kept (n int)", ', "")
    done = run("-c", with_table, str(state))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "data belongs to 0"


def test_root_is_told_which_directory_stops_the_other_user(state: Path) -> None:
    state.parent.chmod(0o700)
    done = run_as(0, state, deny_namespaces=True)
    assert f"no other user may enter {state.parent}" in done.stderr
