"""What the code verifier may ask of a sandbox, whatever it is built of.

A sandbox runs a *pair* of processes: the judge, which has the tests and says how they went, and the judged, which has
the program. Both are confined, neither sees the other's memory, files or processes, and all that joins them is a stream
of plain data (``verifiers.sandbox.inside``). How the pair is started, joined and confined is the sandbox's business,
so that a pool of containers can stand where bubblewrap stands now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one pair is to do."""

    program: str
    tests: str
    entry_point: str | None = None
    inputs: tuple[Any, ...] = ()
    """Argument lists to run the program on after the tests, as nodes of ``inside.codec``."""

    inputs_for: str | None = None
    """The function to run them on."""

    files: Mapping[str, str] = field(default_factory=dict)
    """More files of the program, by relative path."""

    seed: int = 0
    """Of the random numbers on both sides."""

    language: str = "python"
    """Of the program and the tests: ``python`` or ``javascript``."""

    inner: bool = False
    """Run the tests in the program's own process, where a pass can be forged; the judge only hears of them."""

    def message(self) -> dict[str, Any]:
        """Return the job as the judge reads it."""
        return {
            "program": self.program,
            "tests": self.tests,
            "entry_point": self.entry_point,
            "inputs": list(self.inputs),
            "inputs_for": self.inputs_for,
            "files": dict(self.files),
            "seed": self.seed,
            "language": self.language,
            "inner": self.inner,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one pair may use; CPU time decides, wall time only ends what waits for ever."""

    cpu_s: float
    """CPU time of the program for all of its tests."""

    wall_s: float
    """Wall time of the pair, from the moment both run."""

    behaviour_cpu_s: float = 0.5
    """CPU time of the program for the generated inputs, beyond ``cpu_s``."""

    memory_bytes: int = 512 * 1024 * 1024
    """Resident memory of the judged and all it starts, where there are cgroups."""

    address_space_bytes: int = 1024 * 1024 * 1024
    """Address space of each process."""

    n_processes: int = 32
    """Processes and threads of each side."""

    file_bytes: int = 8 * 1024 * 1024
    """Size of one file."""

    scratch_bytes: int = 16 * 1024 * 1024
    """Size of the scratch folder, /tmp, the only place to write to."""

    output_bytes: int = 1024 * 1024
    """Standard output and standard error together."""

    def as_evidence(self) -> dict[str, float]:
        """Return the limits as JSON."""
        return asdict(self)


class Isolation(StrEnum):
    """What keeps one claim apart from the next."""

    PROCESS = "process"
    """Processes of their own in a sandbox that lives on."""

    CONTAINER = "container"
    """A container of their own."""


class Limit(StrEnum):
    """Which limit ended a process from outside."""

    CPU = "cpu"
    WALL = "wall"
    OUTPUT = "output"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one of the two processes ended."""

    exit_code: int | None
    """Exit code, 128 + signal when a signal ended it; ``None`` when it was ended from outside."""

    cpu_s: float
    limit: Limit | None
    """The limit that ended it, if one did."""

    stdout: str = ""
    """The last of it."""

    stderr: str = ""
    """The last of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of a pair."""

    report: dict[str, Any] | None
    """The judge's report; ``None`` when there was none, or none that could be read."""

    behaviour: tuple[str, ...] | None
    """What the program did with the job's inputs, one short text each; ``None`` when that could not be seen."""

    used: bool
    """The judge called the program at least once."""

    judge: Ending
    judged: Ending
    starved: bool
    """It ran out of wall time while waiting for a processor: worth another try on a quieter machine."""

    warnings: tuple[str, ...] = field(default=())
    """Protections that this machine could not give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """Whether a sandbox works on this machine."""

    ok: bool
    reason: str = ""
    """Why not."""

    fix: str = ""
    """The one command, or the one change, that would make it work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What a sandbox keeps ready, and what became of it since the process began."""

    n_warm: int
    """Lanes that wait for a claim."""

    n_busy: int
    """Claims that have a lane, or wait for theirs to start."""

    n_started: int
    n_not_started: int
    """Lanes that could not be started."""

    n_broken: int
    """Lanes given up because a claim ended in an error."""

    n_served: int
    """Claims that ended well, whatever the verdict."""


class Sandbox(Protocol):
    """Runs pairs; safe to call from any thread."""

    @property
    def kind(self) -> str:
        """What it is built of, as it stands on every verdict."""
        ...

    def run(self, job: Job, limits: Limits) -> Trial:
        """Run one pair to its end and leave nothing of it behind.

        Raises:
            SandboxUnavailableError: The pair could not be started; says nothing about the program.
        """
        ...

    def pool(self) -> Pool | None:
        """Return how what is kept ready stands; None when nothing is."""
        ...

    def close(self) -> None:
        """Stop what is kept running between pairs."""
        ...
