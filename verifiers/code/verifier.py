"""The ``code`` verifier: a program passes its tests, or it does not, in a sandbox it cannot talk its way out of."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from reasoner.outcomes import Outcome
from verifiers.claims import ProgramClaim
from verifiers.code.behaviour import digest, entry_point_of, generated_inputs
from verifiers.code.languages import LANGUAGES, PYTHON
from verifiers.code.proof import Proof, Proofs, Tried, prove
from verifiers.code.reading import limit_of, outcome_of
from verifiers.code.turns import Turns
from verifiers.sandbox.choice import SandboxFinder
from verifiers.sandbox.docker_image import BUILD_COMMAND
from verifiers.sandbox.node import FIX as NODE_FIX
from verifiers.sandbox.protocol import Availability, Job, Limit, Limits, Pool, Sandbox, Trial
from verifiers.verdicts import Verdict

if TYPE_CHECKING:
    from verifiers.verdicts import Verifier

MAX_PROGRAM_CHARACTERS = 200_000
MAX_TESTS_CHARACTERS = 1_000_000
MAX_FILES = 30
_FILE_PATH = re.compile(r"(?:\w[\w-]*/){0,5}\w[\w-]*(?:\.\w+)*", re.ASCII)
_GIB = 1024**3
# V8 reserves more than it uses.
_ADDRESS_SPACE_BYTES = {"python": Limits(cpu_s=1, wall_s=1).address_space_bytes, "javascript": 3 * _GIB}
_WALL_FACTOR = 2.0  # of the CPU time; generous, since only what sleeps or starves gets there
_WALL_EXTRA_S = 3.0
_ALONE_FACTOR = 5.0  # more wall time for a claim that is tried again alone
_WORKS = Availability(ok=True)
_FINDER = SandboxFinder()  # one probe per process, at the first question


class Mode(StrEnum):
    """Where the tests ran."""

    APART = "apart"
    """In the judge; the program could not forge a pass."""

    INNER = "inner"
    """In the program's own process; a hostile program could forge a pass."""


_MODES = {
    Mode.APART: "judge and judged in separate cells",
    Mode.INNER: "tests and program in one cell, the judge in another",
}


class CodeVerifier:
    """Judges whether programs pass tests; safe to call from any thread.

    Args:
        sandbox: Where programs run; by default the one that works on this machine, if there is one.
        parallel: How many claims are judged at once; by default as many as there are processors.
    """

    name = "code"
    version = "3"

    def __init__(self, sandbox: Sandbox | None = None, *, parallel: int | None = None) -> None:
        self._sandbox = sandbox
        n_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._parallel = parallel or n_processors
        self._turns = Turns(self._parallel)
        self._proofs = Proofs()

    @staticmethod
    def availability() -> Availability:
        """Return whether programs can be run here; found out by running one, and remembered."""
        return _FINDER.find()[1]

    @staticmethod
    def pool() -> tuple[str, Pool] | None:
        """Return the kind of this process's sandbox and how what it keeps ready stands; None before the first claim."""
        sandbox = _FINDER.found()
        pool = None if sandbox is None else sandbox.pool()
        return None if sandbox is None or pool is None else (sandbox.kind, pool)

    def verify(self, claim: ProgramClaim, *, timeout_s: float) -> Verdict:
        """Judge ``claim``.

        Args:
            claim: The program, its tests and the function under test.
            timeout_s: CPU time that the program may use for all of its tests, in seconds.

        Raises:
            SandboxUnavailableError: The sandbox worked before and could not run this now.
            ValueError: ``timeout_s`` is not positive.
        """
        if not timeout_s > 0:
            raise ValueError(f"timeout_s must be positive, not {timeout_s}")
        began = time.monotonic()
        refusal = _refusal(claim)
        if refusal:
            return self._verdict(Outcome.ABSTAINED, refusal, began, {})
        sandbox, availability = (self._sandbox, _WORKS) if self._sandbox else _FINDER.find()
        if sandbox is None:
            reason = f"programs cannot be run safely here: {availability.reason}"
            return self._verdict(Outcome.ABSTAINED, reason, began, {"fix": availability.fix})
        proof = self._proof(sandbox, claim, timeout_s)
        if proof is not None and proof.problem is not None:
            reason = f"the tests do not count: {proof.problem}"
            return self._verdict(Outcome.ABSTAINED, reason, began, {"tests": str(proof)})
        limits = _limits(timeout_s, claim.language)
        job, inputs_digest = _job(claim)
        trial = self._run(sandbox, job, limits)
        mode = Mode.APART
        if _needs_inside(trial) and claim.inner == "allowed":
            trial, mode = self._run(sandbox, replace(job, inner=True, inputs=()), limits), Mode.INNER
        outcome, reason = outcome_of(trial, limits, inner=mode is Mode.INNER)
        if mode is Mode.APART and _needs_inside(trial):
            reason = f'{reason} (the option `inner`: "allowed" would run them in the program\'s own process)'
        evidence = _evidence(sandbox, trial, limits, inputs_digest, mode)
        if (trial.report or {}).get("missing") == "node":
            evidence["fix"] = (
                f"{NODE_FIX} && {BUILD_COMMAND}" if sandbox.kind.startswith("docker") else NODE_FIX
            )
            reason = f"{reason}: {evidence['fix']}"
        # Whether somebody has checked that they tell right programs from wrong ones.
        evidence["tests"] = str(proof) if proof else "unproved"
        return self._verdict(outcome, reason, began, evidence)

    def verify_many(self, claims: Sequence[ProgramClaim], *, timeout_s: float) -> list[Verdict]:
        """Judge several claims at once; the verdicts come in the order of the claims.

        Raises:
            SandboxUnavailableError: As for ``verify``, for any of them.
        """
        with ThreadPoolExecutor(self._parallel, thread_name_prefix="code-verifier") as pool:
            return list(pool.map(lambda claim: self.verify(claim, timeout_s=timeout_s), claims))

    def close(self) -> None:
        """Stop what the sandbox keeps running between claims."""
        if self._sandbox is not None:
            self._sandbox.close()

    def _proof(self, sandbox: Sandbox, claim: ProgramClaim, timeout_s: float) -> Proof | None:
        known_good = claim.known_good
        if known_good is None:
            return None
        if claim.language != PYTHON.name:
            return Proof(f"mutants are made of programs in {PYTHON.title} only")

        def attempt(tried: ProgramClaim, cpu_s: float) -> Tried:
            limits = _limits(cpu_s, claim.language)
            job = replace(_job(tried)[0], inputs=())
            trial = self._run(sandbox, job, limits)
            if _needs_inside(trial) and claim.inner == "allowed":
                job = replace(job, inner=True)
                trial = self._run(sandbox, job, limits)
            return Tried(*outcome_of(trial, limits, inner=job.inner), trial.judged.cpu_s)

        return self._proofs.get(
            claim, timeout_s, lambda: prove(claim, known_good, timeout_s=timeout_s, attempt=attempt)
        )

    def _run(self, sandbox: Sandbox, job: Job, limits: Limits) -> Trial:
        with self._turns.together():
            trial = sandbox.run(job, limits)
        if trial.judged.limit is Limit.WALL and (trial.starved or _runs_in_children(job)):
            # The machine was too busy to let it use its CPU time: no verdict may depend on that.
            with self._turns.alone():
                trial = sandbox.run(job, _with_wall(limits, limits.wall_s * _ALONE_FACTOR))
        return trial

    def _verdict(self, outcome: Outcome, reason: str, began: float, evidence: dict[str, Any]) -> Verdict:
        return Verdict(
            verifier=self.name,
            version=self.version,
            outcome=outcome,
            reason=str(_storable(reason)),
            elapsed_s=time.monotonic() - began,
            evidence={name: _storable(value) for name, value in evidence.items()},
        )


def _limits(cpu_s: float, language: str) -> Limits:
    return Limits(
        cpu_s=cpu_s,
        wall_s=_WALL_FACTOR * cpu_s + _WALL_EXTRA_S,
        address_space_bytes=_ADDRESS_SPACE_BYTES[language],
    )


def _runs_in_children(job: Job) -> bool:
    """Return whether the program runs in children of the judged process, as for cases of standard input.

    Their CPU time is known only when they have ended, so whether they starved or slept cannot be told.
    """
    return job.tests.lstrip().startswith("[")


def _refusal(claim: ProgramClaim) -> str | None:
    if claim.language not in LANGUAGES:
        return f"programs in {claim.language[:50]!r} are not supported, only in {', '.join(LANGUAGES)}"
    if not claim.tests.strip():
        return "there are no tests"
    for program in (claim.program, claim.known_good or "", *claim.files.values()):
        if len(program) > MAX_PROGRAM_CHARACTERS:
            return f"the program is longer than {MAX_PROGRAM_CHARACTERS} characters"
    if len(claim.files) > MAX_FILES:
        return f"the program has more than {MAX_FILES} files"
    odd = next((path for path in claim.files if not _FILE_PATH.fullmatch(path)), None)
    if odd is not None:
        return f"{odd[:100]!r} is not the relative path of a file"
    if len(claim.tests) > MAX_TESTS_CHARACTERS:
        return f"the tests are longer than {MAX_TESTS_CHARACTERS} characters"
    return None


def _job(claim: ProgramClaim) -> tuple[Job, str]:
    python = claim.language == "python"  # other programs are run on what the tests themselves call them with
    inputs_for = (claim.entry_point or entry_point_of(claim.tests)) if python else claim.entry_point
    inputs_digest, inputs = digest(
        generated_inputs(claim.tests, inputs_for, seed=0) if inputs_for and python else []
    )
    job = Job(
        program=claim.program,
        tests=claim.tests,
        entry_point=claim.entry_point,
        inputs=tuple(inputs),
        inputs_for=inputs_for,
        files=claim.files,
        seed=claim.seed,
        language=claim.language,
    )
    return job, inputs_digest


def _storable(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return ``value`` without what a database refuses in a text: zero characters and lone surrogates."""
    match value:
        case str():
            return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        case list():
            return [_storable(item) for item in value]
        case dict():
            return {str(_storable(name)): _storable(item) for name, item in value.items()}
    return value


def _with_wall(limits: Limits, wall_s: float) -> Limits:
    return replace(limits, wall_s=wall_s)


def _first_failure(report: dict[str, Any]) -> dict[str, Any] | None:
    """Return the first assertion or case that failed, with the values."""
    found = report.get("first_failure")
    return dict(zip(("line", "text", "detail"), found, strict=True)) if found else None


def _needs_inside(trial: Trial) -> bool:
    """Return whether the tests, whatever the program does, need to be where it is."""
    return trial.report is not None and trial.report.get("needs_inside") is True


def _evidence(
    sandbox: Sandbox, trial: Trial, limits: Limits, inputs_digest: str, mode: Mode
) -> dict[str, Any]:
    report = trial.report or {}
    limit = limit_of(trial.judged) if trial.report is None or "stopped" in report else None
    evidence: dict[str, Any] = {
        "mode": mode.value,
        "sandbox": {"kind": sandbox.kind, "mode": _MODES[mode]},
        "limits": limits.as_evidence(),
        "limit_hit": limit.value if limit else report.get("limit"),
        "n_assertions": report.get("n_assertions", 0),
        "n_passed": report.get("n_passed", 0),
        "own_comparisons": report.get("own_comparisons", 0),
        "own_helpers": report.get("own_helpers", []),
        "assertions": [
            {"line": line, "text": text, "state": state, "detail": detail}
            for line, text, state, detail in report.get("assertions", [])
        ],
        "first_failure": _first_failure(report),
        "n_tests": report.get("n_tests", 0),
        "per_test": [
            {"name": name, "state": state, "detail": detail}
            for name, state, detail in report.get("tests", [])
        ],
        "cpu_s": trial.judged.cpu_s,
        "stdout": trial.judged.stdout,
        "stderr": trial.judged.stderr,
        "warnings": list(trial.warnings),
    }
    if trial.behaviour is not None:
        evidence["behaviour"] = {"inputs": inputs_digest, "outputs": list(trial.behaviour)}
    return evidence


if TYPE_CHECKING:
    _conforms: type[Verifier[ProgramClaim]] = CodeVerifier
