"""The embedded servers: data survives, nothing is left behind, nobody else gets in."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from benchmarks.waiting import until
from worker.embedded.errors import ServerStartError, StateDirectoryBusyError
from worker.embedded.server import command_line
from worker.embedded.services import Services, find_running
from worker.errors import ServiceError

pytestmark = pytest.mark.services

ROOT = Path(__file__).resolve().parents[2]

HOLD = """
import sys, time
from pathlib import Path
from worker.embedded.services import Services
with Services(Path(sys.argv[1])) as services:
    print(services.database_pid, services.broker_pid, services.state.sockets, flush=True)
    time.sleep(600)
"""


def query(services: Services, statement: str) -> str:
    with psycopg.connect(services.database_url.replace("+psycopg", "")) as connection:
        cursor = connection.execute(statement.encode())
        return str(cursor.fetchall()) if cursor.description else ""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("state")) as started:
        yield started


def test_both_servers_answer_at_their_urls(services: Services) -> None:
    assert query(services, "SHOW server_encoding") == "[('UTF8',)]"
    with redis.Redis.from_url(services.redis_url) as client:
        assert client.ping()
    assert services.faults() == []


def test_writes_are_made_durable(services: Services) -> None:
    assert query(services, "SHOW fsync") == "[('on',)]"
    with redis.Redis.from_url(services.redis_url) as client:
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("append*")["appendfsync"] == "everysec"


def test_no_server_listens_on_a_network(services: Services) -> None:
    assert query(services, "SHOW listen_addresses") == "[('',)]"
    with redis.Redis.from_url(services.redis_url) as client:
        assert client.config_get("port") == {"port": "0"}


def test_only_the_owner_may_enter_the_directory_of_the_sockets(services: Services) -> None:
    assert stat.S_IMODE(services.state.sockets.stat().st_mode) == 0o700


def test_the_servers_are_direct_children_of_the_caller(services: Services) -> None:
    for pid in (services.database_pid, services.broker_pid):
        parent = Path(f"/proc/{pid}/stat")
        if not parent.exists():
            pytest.skip("no /proc here")
        assert int(parent.read_text().rsplit(")", 1)[1].split()[1]) == os.getpid()


def test_a_second_start_of_the_same_services_is_harmless(services: Services) -> None:
    pid = services.database_pid
    services.start()
    assert services.database_pid == pid


def test_a_second_supervisor_is_refused_with_the_pid_of_the_first(services: Services) -> None:
    with pytest.raises(StateDirectoryBusyError, match=str(os.getpid())) as caught:
        Services(services.state.root).start()
    assert caught.value.pid == os.getpid()
    assert services.faults() == []


def test_other_processes_find_the_running_services(services: Services) -> None:
    found = find_running(services.state.root)
    assert found is not None
    assert (found.supervisor_pid, found.broker_url) == (os.getpid(), services.broker_url)


def test_a_killed_broker_comes_back_with_its_messages(services: Services) -> None:
    with redis.Redis.from_url(services.redis_url) as client:
        client.rpush("queue", "a", "b")
        until(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, "flushed")
    services.kill_broker()
    assert "valkey does not answer" in services.faults()[0]
    services.restart_broker()
    with redis.Redis.from_url(services.redis_url) as client:
        assert client.lrange("queue", 0, -1) == [b"a", b"b"]


def test_a_killed_database_comes_back_with_what_was_committed(services: Services) -> None:
    query(services, "CREATE TABLE kept (n int)")
    query(services, "INSERT INTO kept VALUES (7)")
    services.kill_database()
    assert "postgres has ended" in services.faults()[0]
    services.restart_database()
    assert query(services, "SELECT n FROM kept") == "[(7,)]"


def test_a_restart_keeps_the_data_although_the_path_has_spaces_and_is_long(tmp_path: Path) -> None:
    state = tmp_path / "my state, with 'quotes'" / ("x" * 120)
    with Services(state) as first:
        query(first, "CREATE TABLE kept (n int)")
        with redis.Redis.from_url(first.redis_url) as client:
            client.set("kept", "yes")
        sockets = first.state.sockets
    assert not sockets.exists()
    with Services(state) as second:
        assert query(second, "SELECT count(*) FROM kept") == "[(0,)]"
        with redis.Redis.from_url(second.redis_url) as client:
            assert client.get("kept") == b"yes"


def test_stop_can_be_called_twice_or_without_start(tmp_path: Path) -> None:
    services = Services(tmp_path)
    services.stop()
    services.start()
    pid = services.database_pid
    assert pid
    services.stop()
    services.stop()
    assert services.database_pid is None
    assert command_line(pid) == ""
    assert find_running(tmp_path) is None


def test_the_servers_outlive_the_thread_that_started_them(tmp_path: Path) -> None:
    # The kernel's parent-death signal is about the thread that forked, which is easily overlooked.
    services = Services(tmp_path)
    thread = threading.Thread(target=services.start)
    thread.start()
    thread.join()
    try:
        time.sleep(0.3)
        assert services.faults() == []
        assert query(services, "SELECT 1") == "[(1,)]"
    finally:
        services.stop()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_supervisor_leaves_no_process_or_socket(tmp_path: Path, how: signal.Signals) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells a child that its parent died; elsewhere the next start cleans up")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert holder.stdout is not None
    with holder.stdout:
        database, broker, sockets = holder.stdout.readline().split()
    os.kill(holder.pid, how)
    holder.wait()
    until(lambda: not command_line(int(database)) and not command_line(int(broker)), "the servers ended")
    assert list(Path(sockets).glob("*")) == []
    assert list(Path(sockets).glob(".s.*")) == []
    with Services(tmp_path) as services:
        assert services.faults() == []


def test_what_a_crash_of_the_machine_leaves_does_not_hinder_the_next_start(tmp_path: Path) -> None:
    with Services(tmp_path) as services:
        data = services.state.postgres / "data"
    # as after a power cut: pid files whose pid now belongs to an innocent process (this one)
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n0\n5432\n\n\n0 0\nready\n")
    (tmp_path / "logs" / "postgres.pid").write_text(f"{os.getpid()}\n")
    (tmp_path / "logs" / "valkey.pid").write_text(f"{os.getpid()}\n")
    with Services(tmp_path) as services:
        assert query(services, "SELECT 1") == "[(1,)]"


def test_an_interrupted_first_start_is_begun_again(tmp_path: Path) -> None:
    unfinished = tmp_path / "postgres" / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with Services(tmp_path) as services:
        assert query(services, "SELECT 1") == "[(1,)]"


def test_only_what_is_missing_is_started(tmp_path: Path) -> None:
    with Services(tmp_path, database_url="postgresql+psycopg://elsewhere/db") as services:
        assert services.database_url == "postgresql+psycopg://elsewhere/db"
        assert services.database_pid is None
        assert services.broker_pid is not None


def test_nothing_is_started_nor_written_when_both_are_given(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Services(
        state, database_url="postgresql+psycopg://db", broker_url="redis+socket:///r?virtual_host=2"
    ) as given:
        assert given.redis_url == "unix:///r?db=2"
        assert given.faults() == []
    assert not state.exists()


def test_a_server_that_cannot_start_names_its_log_and_quotes_it(tmp_path: Path) -> None:
    with Services(tmp_path) as services:
        data = services.state.postgres / "data"
    (data / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(ServerStartError, match="no_such_setting") as caught:
        Services(tmp_path).start()
    assert caught.value.log == tmp_path / "logs" / "postgres.log"
    assert find_running(tmp_path) is None


def test_data_of_another_version_is_refused_with_the_fix(tmp_path: Path) -> None:
    with Services(tmp_path) as services:
        data = services.state.postgres / "data"
    (data / "PG_VERSION").write_text("15\n")
    with pytest.raises(ServiceError, match="was made by Postgres 15"):
        Services(tmp_path).start()


def test_a_state_directory_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match="choose another"):
        Services(tmp_path / "file" / "state").start()
