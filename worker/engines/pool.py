"""Several engines as one: each chain goes to the model it names, and to another while that one is away."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING

from worker.engines.cancellation import Cancellation, cancellation_of
from worker.engines.protocol import (
    Capabilities,
    ChainRequest,
    Engine,
    Health,
    SampledChain,
    Score,
    ScoreRequest,
    refuse_schemas,
)
from worker.errors import (
    ConfigurationError,
    EngineFaultError,
    EngineUnavailableError,
    GenerationError,
    RequestRefusedError,
    WorkerError,
)

RETRY_S = 30.0  # a model that is away is asked again after so long
CALLS_AT_ONCE = 64


class Member:
    """One model of the pool; its engine is built when it is first needed, and again after it failed to load."""

    def __init__(self, name: str, build: Callable[[], Engine]) -> None:
        self.name = name
        self._build = build
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._away_until = 0.0
        self.fault = ""
        """Why it is away, or empty."""

    @property
    def health(self) -> Health:
        """Return that of its engine; one that is not loaded yet, and did not fail to, is well. Never raises."""
        engine = self._engine
        if engine is None:
            return Health(ok=not self.fault, detail=self.fault)
        health = engine.health()
        if health.ok and self.is_away:
            return replace(health, ok=False, detail=self.fault)
        return health

    @property
    def is_away(self) -> bool:
        """Whether it failed a moment ago."""
        return bool(self.fault) and time.monotonic() < self._away_until

    def engine(self) -> Engine:
        """Return the engine.

        Raises:
            EngineUnavailableError: It cannot be built now.
            EngineFaultError: Nor later, as this worker is set up.
        """
        with self._lock:
            if self._engine is None:
                try:
                    self._engine = self._build()
                except WorkerError as error:
                    # A mistake in the settings is nothing that a task could wait for.
                    lasting = isinstance(error, ConfigurationError)
                    told = (EngineFaultError if lasting else EngineUnavailableError)(f"{self.name}: {error}")
                    self.note_fault(error)
                    raise told from error
            return self._engine

    def capabilities(self, *, otherwise: Capabilities) -> Capabilities:
        """Return what its engine promises, or ``otherwise`` while it is not built."""
        return self._engine.capabilities if self._engine is not None else otherwise

    def note_fault(self, error: WorkerError) -> None:
        """Leave it alone for a while."""
        self.fault = str(error)
        self._away_until = time.monotonic() + RETRY_S

    def note_success(self) -> None:
        """It answered."""
        self.fault = ""

    def close(self) -> None:
        """Free its model."""
        with self._lock:
            if self._engine is not None:
                self._engine.close()


@dataclass(frozen=True, slots=True)
class _Ended:
    """A member's part is over; what it did not answer is asked of others."""

    member: Member
    requests: list[ChainRequest]
    error: Exception | None
    is_away: bool = False
    """Whether others can do for it what it did not."""


class PoolEngine:
    """Serves tasks that name one model or several.

    Chains say which member sampled them. While a member is away its chains are sampled by the others that the task
    names; the task's record then shows fewer models than it asked for. When none of them is there, the task waits.

    Args:
        members: By name; the first is the default, and is built at once.
        offers: What the others will promise, as far as that is known before they are built.

    Raises:
        EngineUnavailableError: The default member cannot be built now.
        EngineFaultError: Nor later, as this worker is set up.
    """

    def __init__(
        self, members: Mapping[str, Callable[[], Engine]], *, offers: Mapping[str, Capabilities] | None = None
    ) -> None:
        self._offers = offers or {}
        self._members = {name: Member(name, build) for name, build in members.items()}
        self._default = next(iter(self._members.values()))
        self._closed = threading.Event()
        first = self._default.engine()
        self._name = first.name
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="pool")

    @property
    def name(self) -> str:
        """The default member's engine; each chain names its own model."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Return those of the default member, with every model's name and what it promises.

        But for what the others might not do: an explanation is weighed by the chain of the model that named it.
        """
        ours = self._default.engine().capabilities
        return replace(
            ours,
            models=frozenset(self._members),
            members={
                name: member.capabilities(otherwise=self._offers.get(name, ours))
                for name, member in self._members.items()
            },
            scores=False,
            structured=False,
        )

    def sample(self, task_id: str, requests: list[ChainRequest]) -> Generator[SampledChain, None, None]:
        """Yield chains as they finish; see the protocol.

        Raises:
            RequestRefusedError: No model has a name that a request asks for.
            SamplingCancelledError: The requests were cancelled under way.
        """
        if self._closed.is_set():
            raise EngineUnavailableError("the pool is closed")
        named = dict.fromkeys(request.model for request in requests)
        unknown = [name for name in named if name not in self._members]
        if unknown:
            raise RequestRefusedError(f"no model of the pool is called {unknown[0]!r}")
        refuse_schemas("pool", requests)
        members = [self._members[name] for name in named]
        if len(members) == 1:
            return self._of_one(members[0], task_id, requests)
        return self._of_several(members, task_id, requests)

    def score(
        self,
        requests: Sequence[ScoreRequest],  # noqa: ARG002 - the protocol's
    ) -> list[Score]:
        """Refuse: a score is one model's, and the request names none.

        Raises:
            RequestRefusedError: Always.
        """
        raise RequestRefusedError("a pool cannot score a text: a score is one model's word")

    def health(self) -> Health:
        """Return whether the default model answers, and what is wrong with any; never raises."""
        if self._closed.is_set():
            return Health(ok=False, detail="closed")
        healths = {name: member.health for name, member in self._members.items()}
        ill = {name: health.detail for name, health in healths.items() if not health.ok}
        default = healths[self._default.name]
        return Health(
            ok=default.ok,
            detail="; ".join(f"{name}: {detail}" for name, detail in ill.items()),
            lost=any(health.lost for health in healths.values()),
            facts={**default.facts, **{f"away: {name}": detail for name, detail in ill.items()}},
        )

    def close(self) -> None:
        """Close every engine."""
        self._closed.set()
        for member in self._members.values():
            member.close()
        self._threads.shutdown(cancel_futures=True)

    def _of_one(
        self, member: Member, task_id: str, requests: list[ChainRequest]
    ) -> Generator[SampledChain, None, None]:
        with closing(member.engine().sample(task_id, requests)) as chains:
            for chain in chains:
                yield self._signed(member, chain)

    def _of_several(
        self, members: list[Member], task_id: str, requests: list[ChainRequest]
    ) -> Generator[SampledChain, None, None]:
        results: SimpleQueue[SampledChain | _Ended] = SimpleQueue()
        ours, theirs = (
            cancellation_of(requests),
            Cancellation(),
        )  # by the members' threads, also when we are closed
        requests = [replace(request, cancellation=theirs) for request in requests]
        failed: dict[str, Exception] = {}  # by member; of those that are away

        def begin(parts: Iterable[tuple[Member, list[ChainRequest]]]) -> int:
            n = 0
            for member, part in parts:
                self._threads.submit(self._part, member, task_id, part, results)
                n += 1
            return n

        try:
            with ours.telling(theirs.give):
                n_running = begin(
                    _shared_out(requests, members, avoid={m.name for m in members if m.is_away})
                )
                while n_running:
                    result = results.get()
                    if isinstance(result, SampledChain):
                        yield result
                        continue
                    n_running -= 1
                    if result.error is None:
                        continue
                    if not result.is_away:
                        raise result.error
                    failed[result.member.name] = result.error
                    if len(failed) == len(members):
                        raise _worst(failed.values())
                    n_running += begin(_shared_out(result.requests, members, avoid=set(failed)))
        except RuntimeError as error:  # the threads are shut down
            raise EngineUnavailableError("the pool was closed under way") from error
        finally:
            theirs.give()

    def _part(
        self,
        member: Member,
        task_id: str,
        requests: list[ChainRequest],
        results: SimpleQueue[SampledChain | _Ended],
    ) -> None:
        waiting = {request.index: request for request in requests}
        engine: Engine | None = None
        error: Exception | None = None
        is_away = False
        try:
            engine = member.engine()
            with closing(engine.sample(task_id, requests)) as chains:
                for chain in chains:
                    waiting.pop(chain.index, None)
                    results.put(self._signed(member, chain))
            member.note_success()
        except GenerationError as caught:
            error = caught
            # One that cannot even be built is away, whatever the reason; one that is there and at fault is not.
            is_away = engine is None or isinstance(caught, EngineUnavailableError)
            if is_away and engine is not None:
                member.note_fault(caught)
        except Exception as caught:  # noqa: BLE001 - raised again in the thread that asked
            error = caught
        results.put(_Ended(member, list(waiting.values()), error, is_away))

    def _signed(self, member: Member, chain: SampledChain) -> SampledChain:
        # The default model keeps its engine's name for it, as without a pool.
        if member is self._default:
            return chain
        return replace(chain, model=member.name, engine=member.engine().name)


def _worst(errors: Iterable[Exception]) -> Exception:
    """Return why none answered: as long as one may come back the task waits for it."""
    return next((one for one in errors if isinstance(one, EngineUnavailableError)), next(iter(errors)))


def _shared_out(
    requests: Sequence[ChainRequest], members: Sequence[Member], *, avoid: set[str]
) -> Iterable[tuple[Member, list[ChainRequest]]]:
    """Return each member with its requests; those of a member to avoid go to the others in turn."""
    there = [member for member in members if member.name not in avoid] or list(members)
    by_name = {member.name: member for member in there}
    parts: dict[str, list[ChainRequest]] = defaultdict(list)
    for number, request in enumerate(requests):
        name = request.model if request.model in by_name else there[number % len(there)].name
        parts[name].append(request)
    return [(by_name[name], part) for name, part in parts.items()]


if TYPE_CHECKING:
    _conforms: type[Engine] = PoolEngine
