"""Runs pairs of judge and judged in Docker containers that are kept ready."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from verifiers.sandbox.containers import ContainerStation, judge_in_container
from verifiers.sandbox.engine import IMAGE, Engine
from verifiers.sandbox.lanes import MAX_CLAIMS, Lanes
from verifiers.sandbox.protocol import Isolation, Job, Limits, Pool, Trial

if TYPE_CHECKING:
    from verifiers.sandbox.protocol import Sandbox


class _Size(NamedTuple):
    """The limits that belong to a container as a whole; the others are a claim's own."""

    memory_bytes: int
    n_processes: int
    scratch_bytes: int


class DockerSandbox:
    """Containers that judge one claim at a time, judge and judged in the same one.

    Args:
        engine: The Docker engine.
        isolation: ``PROCESS``: a container serves many claims, each side of each under a uid of its own.
            ``CONTAINER``: it serves one and is destroyed; the next ones are started ahead.
        image: The image to start.
        max_lanes: Containers at once, by default two for each processor; further claims wait for one.
        n_ahead: With ``CONTAINER``, how many are started before a claim comes, by default one for each processor.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        isolation: Isolation = Isolation.PROCESS,
        image: str = IMAGE,
        max_lanes: int | None = None,
        n_ahead: int | None = None,
    ) -> None:
        n_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        once = isolation is Isolation.CONTAINER
        self.kind = f"docker, {isolation}"

        def start(size: _Size) -> ContainerStation:
            return ContainerStation(engine, image, Limits(cpu_s=1, wall_s=1, **size._asdict()))

        self._lanes = Lanes(
            start,
            usual=_size(Limits(cpu_s=1, wall_s=1)),
            max_claims=1 if once else MAX_CLAIMS,
            max_lanes=max_lanes,
            n_ahead=(n_processors if n_ahead is None else n_ahead) if once else 0,
        )
        engine.sweep()

    def run(self, job: Job, limits: Limits) -> Trial:
        """Run one pair to its end and leave nothing of it behind.

        Raises:
            SandboxUnavailableError: The pair could not be started; says nothing about the program.
        """
        with self._lanes.lane(_size(limits)) as station:
            return judge_in_container(station, job, limits)

    def pool(self) -> Pool:
        """Return how the containers stand."""
        return self._lanes.pool()

    def close(self) -> None:
        """Remove the containers that are kept."""
        self._lanes.close()


def _size(limits: Limits) -> _Size:
    return _Size(limits.memory_bytes, limits.n_processes, limits.scratch_bytes)


if TYPE_CHECKING:
    _conforms: type[Sandbox] = DockerSandbox
