"""Runs pairs of judge and judged with bubblewrap: no daemon, no root, two cells that share one socket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.cell import Builder, Cell
from verifiers.sandbox.image import image_path, runtime_path
from verifiers.sandbox.lanes import MAX_CLAIMS, Lanes
from verifiers.sandbox.node import node_path
from verifiers.sandbox.pair import run_pair
from verifiers.sandbox.protocol import Job, Limits, Pool, Trial
from verifiers.sandbox.station import Station, StationPair, WarmCell

if TYPE_CHECKING:
    from verifiers.sandbox.protocol import Sandbox


class BubblewrapSandbox:
    """The daemonless sandbox; two cells for every job, nothing kept between them.

    Args:
        bubblewrap: The binary.
        warm: Fork the cells in long-lived bubblewraps, each into namespaces of its own, instead of starting two
            bubblewraps for every job. Where a kernel or a policy forbids that, it goes on without by itself.
    """

    kind = "bubblewrap"

    def __init__(self, bubblewrap: Path, *, warm: bool = True) -> None:
        self._builder = Builder(bubblewrap, image_path(), runtime_path(), node_path())
        self._sizes = Limits(cpu_s=1, wall_s=1)  # of which only the sizes count here
        self._lanes = Lanes(self._lane, usual=None, max_claims=MAX_CLAIMS) if warm else None
        self._warmed = False

    @property
    def warm(self) -> bool:
        """Whether cells are forked in long-lived bubblewraps."""
        return self._lanes is not None

    def run(self, job: Job, limits: Limits) -> Trial:
        """Run one pair to its end and leave nothing of it behind.

        Raises:
            SandboxUnavailableError: The pair could not be started; says nothing about the program.
        """
        lanes = self._lanes
        if lanes is None or not _same_size(limits, self._sizes):
            return self._run_cold(job, limits)
        try:
            trial = _run_warm(lanes, job, limits)
        except SandboxUnavailableError:
            if self._warmed:  # it can work here, so this is an accident
                raise
            trial = self._run_cold(job, limits)
            self._lanes = None
            lanes.close()
        else:
            self._warmed = True
        return trial

    def pool(self) -> Pool | None:
        """Return how the long-lived bubblewraps stand; None where there can be none."""
        return None if self._lanes is None else self._lanes.pool()

    def close(self) -> None:
        """End what is kept running between jobs."""
        if self._lanes is not None:
            self._lanes.close()

    def _lane(self, _: None) -> StationPair:
        judge = Station(self._builder, "judge", self._sizes)
        try:
            return StationPair(judge, Station(self._builder, "judged", self._sizes))
        except SandboxUnavailableError:
            judge.close()
            raise

    def _run_cold(self, job: Job, limits: Limits) -> Trial:
        def start(module: str, fds: tuple[int, ...], cpu_s: int) -> Cell:
            return self._builder.start(module, fds, limits, cpu_s=cpu_s)

        return run_pair(start, job, limits)


def _run_warm(lanes: Lanes[None, StationPair], job: Job, limits: Limits) -> Trial:
    with lanes.lane(None) as lane:

        def start(module: str, fds: tuple[int, ...], cpu_s: int) -> Cell:
            station = lane.judge if module == "judge" else lane.judged
            return WarmCell(station, fds, limits, cpu_s=cpu_s)

        return run_pair(start, job, limits)


def _same_size(limits: Limits, kept: Limits) -> bool:
    """Return whether what is limited for a station as a whole is the same."""
    return (limits.memory_bytes, limits.n_processes) == (kept.memory_bytes, kept.n_processes)


if TYPE_CHECKING:
    _conforms: type[Sandbox] = BubblewrapSandbox
