"""The system call filter, run by a small interpreter of classic BPF on made-up calls."""

from __future__ import annotations

import errno
import struct

import pytest

from verifiers.sandbox.seccomp import filter_program, machines

AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL = 0x7FFF0000, 0x80000000
NUMBERS = {  # machine: name to number
    "x86_64": {
        "read": 0,
        "execve": 59,
        "clone": 56,
        "clone3": 435,
        "socket": 41,
        "ptrace": 101,
        "mount": 165,
        "bpf": 321,
    },
    "aarch64": {
        "read": 63,
        "execve": 221,
        "clone": 220,
        "clone3": 435,
        "socket": 198,
        "ptrace": 117,
        "mount": 40,
        "bpf": 280,
    },
}

PROGRAMS = {machine: list(struct.iter_unpack("<HBBI", filter_program(machine))) for machine in machines()}
ERRORS = {0x00050000 | error for error in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT)}


def decision(machine: str, call: str | int, *arguments: int, audit: int | None = None) -> int:
    """Return what the filter says to one call."""
    number = NUMBERS[machine][call] if isinstance(call, str) else call
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<II Q 6Q".replace(" ", ""), number, audit or AUDIT[machine], 0, *padded)
    program = PROGRAMS[machine]
    accumulator = place = 0
    while True:
        code, if_true, if_false, value = program[place]
        place += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code == 0x06:
            return int(value)
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[
                code
            ]
            place += if_true if holds else if_false


@pytest.fixture(params=machines())
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_ordinary_calls_are_allowed(machine: str) -> None:
    assert decision(machine, "read") == decision(machine, "execve") == ALLOW


@pytest.mark.parametrize("call", ["ptrace", "mount", "bpf"])
def test_dangerous_calls_are_refused(machine: str, call: str) -> None:
    assert decision(machine, call) == 0x00050000 | errno.EPERM


def test_threads_and_forks_are_allowed_but_no_new_namespaces(machine: str) -> None:
    assert decision(machine, "clone", 0x3D0F00) == decision(machine, "clone", 17) == ALLOW
    for namespace in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert decision(machine, "clone", 17 | namespace) == 0x00050000 | errno.EPERM
    assert decision(machine, "clone3") == 0x00050000 | errno.ENOSYS


def test_only_unix_sockets_are_allowed(machine: str) -> None:
    assert decision(machine, "socket", 1, 1, 0) == ALLOW
    for family in (0, 2, 10, 16, 17, 40):
        assert decision(machine, "socket", family, 1, 0) == 0x00050000 | errno.EAFNOSUPPORT


def test_another_architectures_calls_kill(machine: str) -> None:
    assert decision(machine, "read", audit=0x40000003) == KILL


def test_the_second_set_of_numbers_of_x86_64_is_closed() -> None:
    assert decision("x86_64", 0x40000000 | 101) == 0x00050000 | errno.ENOSYS


def test_every_jump_stays_inside_the_filter(machine: str) -> None:
    for number in range(500):
        assert decision(machine, number) in {
            ALLOW,
            *(0x00050000 | e for e in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT)),
        }
