"""Runs pairs of judge and judged in Docker containers that are kept ready."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from verifiers.sandbox.containers import ContainerCell, ContainerStation
from verifiers.sandbox.engine import IMAGE, Engine
from verifiers.sandbox.lanes import MAX_CLAIMS, Lane, Lanes
from verifiers.sandbox.pair import run_pair
from verifiers.sandbox.protocol import Isolation, Job, Limits, Trial

if TYPE_CHECKING:
    from verifiers.sandbox.cell import Cell
    from verifiers.sandbox.protocol import Sandbox


class DockerSandbox:
    """Pairs of containers, one for judges and one for the judged; a pair judges one claim at a time.

    Args:
        engine: The Docker engine.
        isolation: ``PROCESS``: a container serves many claims, each under a uid of its own. ``CONTAINER``: it serves
            one and is destroyed; the next ones are started ahead.
        image: The image to start.
        max_lanes: Pairs that run at once; further claims wait for one.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        isolation: Isolation = Isolation.PROCESS,
        image: str = IMAGE,
        max_lanes: int | None = None,
    ) -> None:
        n_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._limits = Limits(cpu_s=1, wall_s=1)  # of which only the sizes count here
        self._engine = engine
        once = isolation is Isolation.CONTAINER
        self.kind = f"docker, {isolation}"

        def lane() -> Lane:
            with contextlib.ExitStack() as stack:
                judge = ContainerStation(engine, image, "judge", self._limits)
                stack.callback(judge.close)
                judged = ContainerStation(engine, image, "judged", self._limits)
                stack.pop_all()
            return Lane(judge, judged)

        self._lanes = Lanes(
            lane,
            max_claims=1 if once else MAX_CLAIMS,
            max_lanes=max_lanes,
            n_ahead=n_processors if once else 0,
        )
        engine.sweep()

    def run(self, job: Job, limits: Limits) -> Trial:
        """Run one pair to its end and leave nothing of it behind.

        Raises:
            SandboxUnavailableError: The pair could not be started; says nothing about the program.
        """
        # The sizes of memory and scratch are the containers'; the verdict says those.
        with self._lanes.lane() as lane:

            def start(module: str, fds: tuple[int, ...], cpu_s: int) -> Cell:
                station = lane.judge if module == "judge" else lane.judged
                assert isinstance(station, ContainerStation)  # noqa: S101 - made above
                return ContainerCell(station, fds, limits, cpu_s=cpu_s)

            return run_pair(start, job, limits)

    def close(self) -> None:
        """Remove the containers that are kept."""
        self._lanes.close()


if TYPE_CHECKING:
    _conforms: type[Sandbox] = DockerSandbox
