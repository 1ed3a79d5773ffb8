"""The process that runs the tests and alone says how they went; the program is somewhere else."""

from __future__ import annotations

import ast
import functools
import importlib
import os
import sys
import types
from typing import Any

from verifiers.sandbox.inside import names, wire
from verifiers.sandbox.inside.asserts import MAX_TEXT, RECORDER, Ended, Recorder, Rewriter
from verifiers.sandbox.inside.behaviour import observe
from verifiers.sandbox.inside.codec import Value
from verifiers.sandbox.inside.conclusion import MAX_REPORTED, Conclusion, one_line, reported, state_of
from verifiers.sandbox.inside.confine import confine
from verifiers.sandbox.inside.link import Link, ProgramFatal, UnsupportedTestError
from verifiers.sandbox.inside.proxies import Proxy


class Trial:
    """One program before one set of tests."""

    def __init__(self, job: dict[str, Any], link: Link) -> None:
        self._job = job
        self._tests: str = job["tests"]
        self._program: str = job["program"]
        self._entry_point: str | None = job["entry_point"]
        self._files: dict[str, str] = job.get("files", {})
        self._seed: int = job.get("seed", 0)
        self._language: str = job.get("language", "python")
        self._link = link
        self._recorder = Recorder()
        self._in_suite = False
        self._own_modules = names.program_modules(self._files, self._entry_point)
        self._helpers: list[str] = []
        self._has_plain_values = (
            False  # constants of the program: to compare one of those is to use the program
        )
        self._results: list[Ended] = []
        self._namespace: dict[str, Any] = {"__name__": "__main__", RECORDER: self._recorder}

    def run_javascript(self, report_fd: int, link_fd: int) -> dict[str, Any]:
        """Return the report about cases; for any other tests both processes become node and this never returns."""
        node = importlib.import_module("verifiers.sandbox.inside.node")
        if node.node() is None:
            return {
                "outcome": "abstained",
                "reason": "this sandbox has no node to run JavaScript",
                "missing": "node",
            }
        if self._tests.lstrip().startswith("[") and self._has_cases():
            return self.run()
        self._link.prepare("become node", self._seed)
        return node.become_judge(self._job, report_fd, link_fd)  # type: ignore[no-any-return] # it never does

    def _has_cases(self) -> bool:
        """Return whether what begins with a bracket is cases, right or wrong, and not a program of tests."""
        try:
            return self._cases() is not None
        except Conclusion:
            return True

    def run(self) -> dict[str, Any]:
        """Return the report: outcome, reason, assertions."""
        try:
            cases = self._cases()
            if self._files:
                self._link.prepare("files", self._files)
            conclusion = self._run_cases(cases) if cases else self._run_tests()
        except Conclusion as ended:
            conclusion = ended
        except ProgramFatal as fatal:  # between the tests, as when a name of theirs is asked for
            conclusion = Conclusion(
                "refuted", f"the program {fatal.reason}", stopped=fatal.kind, where="the tests"
            )
        except UnsupportedTestError as error:
            conclusion = Conclusion("abstained", str(error), needs_inside=error.inside)
        except Exception as error:
            if error is not self._link.last_raised:
                raise
            conclusion = Conclusion(
                "refuted", f"the program raises {one_line(error)} when it is only looked at"
            )
        done = self._recorder.assertions
        return {
            "outcome": conclusion.outcome,
            "reason": conclusion.reason,
            "assertions": [[a.line, a.text, state_of(a), a.failure] for a in done[:MAX_REPORTED]],
            "n_assertions": len(done),
            "n_passed": sum(a.passed for a in done),
            "own_comparisons": self._link.n_trusted,
            "own_helpers": self._helpers,
            "first_failure": next(([a.line, a.text, a.failure] for a in done if a.failure is not None), None),
            "n_tests": len(self._results),
            "tests": [[r.name[:MAX_TEXT], r.state, r.detail] for r in reported(self._results)],
            **conclusion.facts,
        }

    def _cases(self) -> list[tuple[str, str]] | None:
        if not self._tests.lstrip().startswith("["):
            return None
        cases = importlib.import_module(
            "verifiers.sandbox.inside.cases"
        )  # what few claims need is loaded for them
        try:
            found: list[tuple[str, str]] | None = cases.read_cases(self._tests)
        except cases.IllFormedCasesError as error:
            raise Conclusion("abstained", str(error)) from error
        return found

    def _run_cases(self, cases: list[tuple[str, str]]) -> Conclusion:
        run_case = importlib.import_module("verifiers.sandbox.inside.cases").run_case
        done = self._recorder.assertions
        facts: dict[str, Value] = {"form": "cases"}
        for number, (stdin, stdout) in enumerate(cases, 1):
            case, limit = run_case(self._link, self._program, number, stdin, stdout, language=self._language)
            done.append(case)
            if limit:
                facts["limit"] = limit
                break
        failed = next((case for case in done if case.failure is not None), None)
        if failed:
            return Conclusion("refuted", f"{failed.text}: {failed.failure}", **facts)
        return Conclusion("confirmed", f"{len(done)} cases passed", **facts)

    def _run_tests(self) -> Conclusion:
        tree = self._read()
        self._load()
        suite = None
        if names.is_suite(tree, names.free_names(self._tests) - {self._tested(tree)}):
            suite = importlib.import_module("verifiers.sandbox.inside.suite")
            module = suite.prepare(self._link)
            module.__dict__.update({**self._namespace, "__name__": suite.MODULE})
            self._namespace = module.__dict__
        if "redirect_stdout" in self._tests:
            self._watch_output()
        self._offer_names(tree)
        if suite is None:
            self._run(tree)
            return self._count()
        self._run_statements(tree)
        return self._run_suite(suite, tree)

    def _run_suite(self, suite: types.ModuleType, tree: ast.Module) -> Conclusion:
        """Run the tests that the file has defined; every one is heard of, the first that failed is the reason."""
        self._in_suite = True
        judging = self._judging()
        self._results = judging.results
        suite.run(self._namespace, judging)
        ended = judging.fatal or self._explained(None) or judging.failed
        if ended is not None:
            raise ended
        n_passed = sum(result.state == "passed" for result in self._results)
        if not n_passed:
            return self._count()
        by_hand = names.fails_by_hand(tree)
        n_skipped = sum(result.state == "skipped" for result in self._results)
        skipped = f", {n_skipped} skipped" if n_skipped else ""
        return self._count(f"{n_passed} tests passed{skipped}: ", needs_assertions=not by_hand)

    def _judging(self) -> Any:  # noqa: ANN401 - of a module that few claims need
        suite = importlib.import_module("verifiers.sandbox.inside.suite")
        return suite.Judging(self._link, self._recorder, self._explained)

    def _watch_output(self) -> None:
        importlib.import_module("verifiers.sandbox.inside.capture").redirect(self._link)

    def _needs_inside(self, tree: ast.Module) -> str | None:
        return names.reaches_inside(tree)

    def _read(self) -> ast.Module:
        try:
            tree = ast.parse(self._tests, "tests")
            compile(tree, "tests", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise Conclusion("abstained", f"the tests are not valid Python: {one_line(error)}") from error
        found = names.framework(tree)
        if found:
            raise Conclusion(
                "abstained", f"the tests use {found}, which is not supported; what draws from `random` is"
            )
        if not names.has_assertions(tree):
            raise Conclusion("abstained", "the tests contain no assertion")
        needed = self._needs_inside(tree)
        if needed:
            why = f"the tests cannot be kept apart from the program: {needed}"
            raise Conclusion("abstained", why, needs_inside=True)
        return tree

    def _load(self) -> None:
        try:
            self._link.load(self._program, seed=self._seed if self._draws() else None)
        except ProgramFatal as fatal:
            raise Conclusion(
                "refuted", f"the program {fatal.reason}", stopped=fatal.kind, where="its top level"
            ) from fatal
        except SyntaxError as error:
            raise Conclusion("refuted", f"the program is not valid Python: {one_line(error)}") from error
        except Exception as error:
            raise Conclusion("refuted", f"the program raises {one_line(error)} while it is loaded") from error

    def _tested(self, tree: ast.Module) -> str | None:
        return self._entry_point or names.called_function(tree)

    def _draws(self) -> bool:
        return any("random" in source for source in (self._program, *self._files.values()))

    def _offer_names(self, tree: ast.Module) -> None:
        """Put what the tests expect of the program into their namespace, as stand-ins.

        A builtin stays the judge's own even where the program redefines it (``sorted``, ``len``): a hostile program
        would redefine exactly those. The exception is a builtin that is the function under test: named as the entry
        point, or the only thing that the asserts call when they use no other name of the program.
        """
        used = names.free_names(self._tests)
        tested = self._tested(tree)
        if self._entry_point is None and tested in names.BUILTINS and used - names.BUILTINS:
            tested = None
        for name, module in names.judges_own(tree, used - {tested}).items():
            own = importlib.import_module(module or name)
            self._namespace[name] = getattr(own, name) if module else own
        wanted = used - names.BUILTINS - self._namespace.keys() | ({tested} & used if tested else set())
        if self._entry_point:
            wanted.add(self._entry_point)
        found = {name: value for name in sorted(wanted) for ok, value in [self._link.get(name)] if ok}
        self._namespace.update(found)
        self._has_plain_values |= any(not isinstance(value, Proxy) for value in found.values())
        if "candidate" in wanted - found.keys() and self._entry_point in found:
            # The customary name, outside of a check().
            self._namespace["candidate"] = found[self._entry_point]
        self._helpers += sorted(set(found) - {tested}) if tested else []
        if self._entry_point and self._entry_point not in found:
            raise Conclusion("refuted", f"the program does not define {self._entry_point!r}")
        if self._entry_point is None and names.check_function(tree):
            functions = self._link.functions()
            if len(functions) != 1:
                raise Conclusion(
                    "abstained", "the tests are check(candidate), and no entry_point says which function"
                )
            self._entry_point = functions[0]
            self._namespace.setdefault(self._entry_point, self._link.get(self._entry_point)[1])

    def _run(self, tree: ast.Module) -> None:
        check = names.check_function(tree)
        tests = [] if check else names.test_functions(tree)
        self._run_statements(tree)
        if check:
            self._namespace["__candidate__"] = self._namespace[str(self._entry_point)]
            self._guard(compile("check(__candidate__)", "tests", "exec"))
        for name in tests:
            self._guard(compile(f"{name}()", "tests", "exec"))

    def _run_statements(self, tree: ast.Module) -> None:
        rewritten = Rewriter(self._recorder).visit(tree)
        failed: Conclusion | None = None
        self._make_importable()
        for statement in rewritten.body:
            try:
                self._guard(compile(ast.Module([statement], []), "tests", "exec"))
            except Conclusion as ended:
                # A failed top-level assert does not keep the later ones from being reported; all else does.
                if "failed" not in ended.facts:
                    raise
                failed = failed or ended
        if failed:
            raise failed

    def _guard(self, code: types.CodeType) -> None:
        """Run a piece of the tests; whatever stops it is a conclusion."""
        caught: BaseException | None = None
        try:
            exec(code, self._namespace)  # noqa: S102 - the judge is in a sandbox of its own
        except BaseException as error:  # noqa: BLE001 - explained below
            caught = error
        conclusion = self._explained(caught)
        if conclusion is not None:
            raise conclusion from caught

    def _explained(self, error: BaseException | None) -> Conclusion | None:
        """Return what follows from what a piece of the tests raised, if anything does.

        What ended the program, or cannot be judged, is remembered by the link, so it counts even if the tests
        swallowed it.
        """
        recorder, link = self._recorder, self._link
        if isinstance(error, UnsupportedTestError):
            return Conclusion("abstained", str(error), needs_inside=error.inside)
        if link.fatal is not None:
            where = (
                f"line {recorder.current.line}: {recorder.current.text}" if recorder.current else "the tests"
            )
            if recorder.current:
                recorder.current.failure = f"the program {link.fatal.reason}"
            return Conclusion(
                "refuted", f"the program {link.fatal.reason}", stopped=link.fatal.kind, where=where
            )
        if link.unsupported is not None:
            return Conclusion("abstained", str(link.unsupported), needs_inside=link.unsupported.inside)
        if isinstance(error, AssertionError):
            return self._failed_assertion(error)
        return self._raised(error) if error is not None else None

    def _failed_assertion(self, error: AssertionError) -> Conclusion:
        current = self._recorder.current
        failed = current or self._recorder.last_failed
        if error is self._link.last_raised or failed is None:
            return self._raised(error)
        if current is not None:
            current.failure = one_line(error).removeprefix("AssertionError: ")
        return Conclusion(
            "refuted", f"line {failed.line}: {failed.text} failed: {failed.failure}", failed=True
        )

    def _raised(self, error: BaseException) -> Conclusion:
        current = self._recorder.current
        of_program = error is self._link.last_raised
        in_a_test: dict[str, Value] = {"failed": True} if self._in_suite else {}
        if isinstance(error, ImportError) and error.name in self._own_modules:
            return Conclusion(
                "refuted", f"the program does not define what the tests import: {one_line(error)}"
            )
        if isinstance(error, ImportError) and not of_program:
            return Conclusion(
                "abstained", f"the tests need what the sandbox does not have: {one_line(error)}"
            )
        if isinstance(error, NameError) and not of_program:
            return Conclusion(
                "refuted", f"the tests use a name that the program does not define: {one_line(error)}"
            )
        if current is None:
            return Conclusion("refuted", f"the tests stopped with {one_line(error)}", **in_a_test)
        current.failure = one_line(error)
        return Conclusion(
            "refuted", f"line {current.line}: {current.text} raised {one_line(error)}", failed=True
        )

    def _count(self, remark: str = "", *, needs_assertions: bool = True) -> Conclusion:
        assertions = self._recorder.assertions
        n_run = sum(assertion.n_passed for assertion in assertions)
        if needs_assertions and not any(a.n_passed or a.failure for a in assertions):
            return Conclusion("abstained", "no assertion of the tests was reached")
        if not self._link.n_uses and not self._has_plain_values:
            return Conclusion("abstained", "the tests never used the program")
        own = self._link.n_trusted
        remark = f"{remark}{n_run} assertions passed"
        if own:
            remark += f"; {own} comparisons were the program's own"
        if self._helpers:
            remark += f"; the tests rely on the program's own {', '.join(self._helpers[:5])}"
        return Conclusion("confirmed", remark)

    def _make_importable(self) -> None:
        """Let the tests import the program by one of its customary names."""
        for name, own in self._own_modules.items():
            module = types.ModuleType(name)
            module.__dict__.update(__getattr__=functools.partial(self._fetch, own), __path__=[])
            if sys.modules.setdefault(name, module) is module and "." in name:
                parent, _, child = name.rpartition(".")
                setattr(sys.modules[parent], child, module)

    def _fetch(self, module: str, wanted: str) -> Value:
        """Return what the program's module has under a name; ``__getattr__`` of the judge's module of that name."""
        found, value = self._link.get(wanted, module) if not wanted.startswith("__") else (False, None)
        if not found:
            raise AttributeError(wanted)
        self._has_plain_values |= not isinstance(value, Proxy)
        if module != names.PROGRAM and module not in self._helpers:
            self._helpers.append(module)
        return value


def main(report_fd: int, link_fd: int, *limits: int) -> None:
    """Confine this process, read the job, judge, report.

    Frames sent at ``report_fd``, in order: ``["called"]`` before the first call of the program, ``["report", ...]``,
    ``["behaviour", ...]``. The worker believes the first report and no later one.
    """
    confine({report_fd, link_fd}, limits)
    job = wire.receive(report_fd)
    if "random" in job["tests"]:
        importlib.import_module("random").seed(job.get("seed", 0))  # the same claim gets the same verdict
    if job.get("inner"):
        wire.send(report_fd, ["called"])
        report = importlib.import_module("verifiers.sandbox.inside.witness").attend(link_fd, job)
        wire.send(report_fd, ["report", report])
        os._exit(0)
    link = Link(link_fd, on_first_call=lambda: wire.send(report_fd, ["called"]))
    trial = Trial(job, link)
    report = trial.run_javascript(report_fd, link_fd) if job.get("language") == "javascript" else trial.run()
    wire.send(report_fd, ["report", report])
    if job["inputs"]:
        wire.send(report_fd, ["behaviour", observe(link, job["inputs_for"], job["inputs"])])
    os._exit(0)
