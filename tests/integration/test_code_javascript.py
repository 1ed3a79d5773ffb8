"""Programs and tests in JavaScript: the same promises as for Python, kept by a judge and a judged that are node."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import pytest

from reasoner.outcomes import Outcome
from verifiers.claims import ProgramClaim
from verifiers.code.verifier import CodeVerifier
from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.binary import bubblewrap_binaries
from verifiers.sandbox.bubblewrap import BubblewrapSandbox
from verifiers.sandbox.docker_image import build, is_ready
from verifiers.sandbox.docker_sandbox import DockerSandbox
from verifiers.sandbox.engine import Engine
from verifiers.sandbox.node import FIX, node_path
from verifiers.verdicts import Verdict

pytestmark = pytest.mark.sandbox

TESTS = "const assert = require('assert');\nassert.strictEqual(f(2), 4);\nassert.strictEqual(f(3), 9);\n"
HONEST = "function f(x) { return x * x; }\n"
PROGRAM = """
class EmptyError extends Error {
  constructor(message, size) { super(message); this.name = 'EmptyError'; this.size = size; }
}
class Stack {
  #items = [];
  push(item) { this.#items.push(item); return this; }
  pop() {
    if (!this.#items.length) throw new EmptyError('the stack is empty', 0);
    return this.#items.pop();
  }
  get size() { return this.#items.length; }
  [Symbol.iterator]() { return this.#items[Symbol.iterator](); }
  static of(...items) { const made = new Stack(); items.forEach((item) => made.push(item)); return made; }
}
const square = (x) => {
  if (typeof x !== 'number') throw new TypeError('no number: ' + x);
  return x * x;
};
function* count(n) { for (let i = 0; i < n; i += 1) yield i; }
const later = async (x) => { await new Promise((done) => setTimeout(done, 5)); return x; };
async function refuse() { throw new RangeError('too late'); }
function makeCounter() { let n = 0; return { up() { n += 1; return n; }, get value() { return n; } }; }
const sortInPlace = (items) => { items.sort((a, b) => a - b); };
function debounce(action, ms) {
  let timer;
  return (...args) => { clearTimeout(timer); timer = setTimeout(() => action(...args), ms); };
}
const LIMIT = 7;
module.exports = {
  Stack, EmptyError, square, count, later, refuse, makeCounter, sortInPlace, debounce, LIMIT,
  apply: (g, ...args) => g(...args), same: (x) => x, twice: (g) => async (x) => (await g(x)) + (await g(x)),
};
"""
REQUIRED = "const assert = require('node:assert');\nconst { Stack, EmptyError, square, count, later, refuse, makeCounter, sortInPlace, debounce, LIMIT, apply, same, twice } = require('./solution');\n"


@pytest.fixture(scope="session")
def engine() -> Engine:
    try:
        found = Engine()
        if not is_ready(found):
            build(found)
    except SandboxUnavailableError as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"no Docker engine here: {error}")
    return found


@pytest.fixture(scope="module", params=["warm", "cold", pytest.param("docker", marks=pytest.mark.docker)])
def verifier(request: pytest.FixtureRequest) -> Iterator[CodeVerifier]:
    if node_path() is None:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"no node: {FIX}")
        pytest.skip(f"no node here: {FIX}")
    if request.param == "docker":
        in_docker = DockerSandbox(request.getfixturevalue("engine"))
        yield CodeVerifier(in_docker)
        in_docker.close()
        return
    availability = CodeVerifier.availability()
    if not availability.ok:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"no sandbox: {availability.reason}")
        pytest.skip(f"no sandbox here: {availability.reason}; {availability.fix}")
    sandbox = BubblewrapSandbox(bubblewrap_binaries()[0], warm=request.param == "warm")
    made = CodeVerifier(sandbox)
    yield made
    made.close()
    assert sandbox.warm == (request.param == "warm")  # it has not gone on without, silently


@pytest.fixture(scope="module")
def one(request: pytest.FixtureRequest) -> CodeVerifier:
    """The default sandbox, for what does not depend on which one it is."""
    if node_path() is None:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"no node: {FIX}")
        pytest.skip(f"no node here: {FIX}")
    availability = CodeVerifier.availability()
    if not availability.ok:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"no sandbox: {availability.reason}")
        pytest.skip(f"no sandbox here: {availability.reason}; {availability.fix}")
    return CodeVerifier()


def judged(
    verifier: CodeVerifier,
    program: str,
    tests: str = TESTS,
    *,
    timeout_s: float = 3.0,
    entry_point: str | None = None,
) -> Verdict:
    claim = ProgramClaim(program=program, tests=tests, language="javascript", entry_point=entry_point)
    return verifier.verify(claim, timeout_s=timeout_s)


CONFIRMED = {
    "names without exports": (HONEST, TESTS),
    "const and class without exports": (
        "const f = x => x * x; class P { y = 1 }",
        "assert.equal(f(2), 4); assert.equal(new P().y, 1);",
    ),
    "required by name": (PROGRAM, REQUIRED + "assert.strictEqual(square(3), 9); assert.strictEqual(LIMIT, 7);"),
    "a function as all that is exported": (
        "module.exports = (a, b) => a + b;",
        "const add = require('../src/add.js');\nconst assert = require('assert').strict;\nassert.equal(add(1, 2), 3);",
    ),
    "modules on both sides": (
        "export function f(x) { return x * x }\nexport const one = 1;\nexport default f;",
        "import assert from 'node:assert/strict';\nimport g, { f, one } from './solution.mjs';\nimport test from 'node:test';\n"
        "test('squares', () => { assert.equal(f(2), 4); assert.equal(g(one), 1); });",
    ),
    "a module and bare names": ("export const f = (x) => x * x;", TESTS),
    "await at the top": (PROGRAM, REQUIRED + "assert.equal(await later(3), 3);"),
    "a class": (
        PROGRAM,
        REQUIRED
        + "const s = new Stack().push(1).push([2]);\nassert.equal(s.size, 2);\nassert.deepStrictEqual(s.pop(), [2]);\n"
        "assert(s instanceof Stack);\nassert.deepEqual([...Stack.of(1, 2)], [1, 2]);\nassert.equal(s.constructor.name, 'Stack');",
    ),
    "thrown errors": (
        PROGRAM,
        REQUIRED
        + "assert.throws(() => new Stack().pop(), EmptyError);\nassert.throws(() => square('a'), TypeError);\n"
        "assert.throws(() => square('a'), /no number: a/);\nassert.throws(() => new Stack().pop(), { name: 'EmptyError', message: 'the stack is empty', size: 0 });\n"
        "try { new Stack().pop(); assert.fail('no error'); } catch (e) { assert(e instanceof EmptyError && e instanceof Error); assert.equal(e.size, 0); }",
    ),
    "promises": (
        PROGRAM,
        REQUIRED
        + "(async () => { assert.equal(await later(1), 1); await assert.rejects(refuse(), RangeError);\n"
        "assert.deepEqual(await Promise.all([later(1), later(2)]), [1, 2]); assert(later(1) instanceof Promise); })();\n"
        "refuse().catch((e) => assert.equal(e.message, 'too late'));\nawait later(1).then((x) => assert.equal(x, 1));",
    ),
    "generators": (
        PROGRAM,
        REQUIRED + "assert.deepEqual([...count(3)], [0, 1, 2]);\nconst it = count(1);\nassert.deepEqual(it.next(), { value: 0, done: false });\nassert.equal(it.next().done, true);",
    ),
    "closures with getters": (
        PROGRAM,
        REQUIRED + "const c = makeCounter();\nc.up(); c.up();\nassert.strictEqual(c.value, 2);",
    ),
    "an array sorted in place": (
        PROGRAM,
        REQUIRED + "const a = [3, 1, 2];\nassert.equal(sortInPlace(a), undefined);\nassert.deepStrictEqual(a, [1, 2, 3]);\nassert.strictEqual(same(a), a);",
    ),
    "functions of the tests": (
        PROGRAM,
        REQUIRED
        + "assert.equal(apply((a, b) => a - b, 5, 3), 2);\nassert.throws(() => apply(() => { throw new RangeError('mine'); }), /mine/);\n"
        "assert.equal(apply(Math.max, 1, 2), 2);\nassert.equal(await twice(async (x) => x + 1)(2), 6);",
    ),
    "timers of the program": (
        PROGRAM,
        REQUIRED
        + "let n = 0;\nconst d = debounce((by) => { n += by; }, 20);\nd(1); d(2);\nassert.equal(n, 0);\n"
        "await new Promise((done) => setTimeout(done, 80));\nassert.equal(n, 2);",
    ),
    "every kind of value": (
        "const same = (x) => x;",
        "const values = [NaN, -0, Infinity, 10n, undefined, null, 'ä\\ud800', [1, , 3], { a: { b: [1] } }, new Map([[{ k: 1 }, [2]]]),\n"
        "  new Set([1, 'a']), new Date(5), /a+/gi, new Uint8Array([1, 2]), Buffer.from('hi'), Symbol.for('s'), Object.create(null)];\n"
        "for (const value of values) assert.deepStrictEqual(JSON.stringify === 1 ? 0 : make(value), value);\n"
        "function make(v) { return same(v); }",
    ),
    "a key named __proto__": (
        "const read = (text) => JSON.parse(text);",
        "const got = read('{\"__proto__\": {\"polluted\": 1}}');\nassert.equal({}.polluted, undefined);\nassert.deepEqual(Object.keys(got), ['__proto__']);",
    ),
    "describe and it": (
        PROGRAM,
        REQUIRED
        + "describe('Stack', () => {\n  let s;\n  beforeEach(() => { s = new Stack(); });\n  it('pushes', () => { s.push(1); assert.equal(s.size, 1); });\n"
        "  describe('pop', () => {\n    it('is async too', async () => { s.push(await later(4)); assert.equal(s.pop(), 4); });\n"
        "    it('calls back', (done) => { debounce(() => { assert.equal(s.size, 0); done(); }, 5)(); });\n  });\n});",
    ),
    "Jest's expect": (
        PROGRAM,
        "const { square, Stack, later, refuse, apply, EmptyError } = require('./solution');\n"
        "test('square', () => { expect(square(2)).toBe(4); expect(square(2)).not.toBe(5); expect([square(1)]).toEqual([1]);\n"
        "  expect(0.1 + 0.2).toBeCloseTo(0.3); expect(() => square('a')).toThrow('no number'); expect(() => new Stack().pop()).toThrow(EmptyError); });\n"
        "test('later', async () => { await expect(later(1)).resolves.toBe(1); await expect(refuse()).rejects.toThrow('too late'); });\n"
        "test('mock', () => { const g = jest.fn((x) => x + 1); expect(apply(g, 2)).toBe(3); expect(g).toHaveBeenCalledWith(2); });\n"
        "test.each([[1, 1], [2, 4]])('squares %i', (x, y) => { expect(square(x)).toBe(y); });",
    ),
    "console.assert": (HONEST, "console.assert(f(2) === 4, 'no');"),
    "errors thrown by hand": (HONEST, "if (f(2) !== 4) { throw new Error('wrong'); }\nconsole.log('ok');"),
    "an exit by hand": (HONEST, "if (f(2) !== 4) { console.error('wrong'); process.exit(1); }\nprocess.exit(0);"),
    "check of HumanEval": (HONEST, "function check(candidate) { assert.equal(candidate(2), 4); }"),
    "a builtin as the function under test": ("function parseInt(x) { return 5; }", "assert.equal(parseInt('7'), 5);"),
    "names that the runtime uses": (
        "class Map { get(x) { return 1 } }\nclass Set {}\nclass Promise {}\nfunction Array() {}\nconst JSON = 1, Object = 2, process = 3;\nconst f = (x) => x * x;",
        TESTS,
    ),
    "cases with /dev/stdin": (
        "const n = Number(require('fs').readFileSync('/dev/stdin', 'utf8'));\nconsole.log((n / 3).toFixed(9));",
        json.dumps([{"stdin": "1\n", "stdout": "0.3333333\n"}, {"stdin": "6", "stdout": "2.0"}]),
    ),
    "cases with readline": (
        "const lines = [];\nrequire('readline').createInterface({ input: process.stdin }).on('line', (l) => lines.push(l)).on('close', () => console.log(lines.reverse().join('\\n')));",
        json.dumps([{"stdin": "a\nb\n", "stdout": "b\na"}]),
    ),
    "cases of a module": (
        "import fs from 'node:fs';\nconsole.log(fs.readFileSync(0, 'utf8').trim().length);",
        json.dumps([{"stdin": "abc\n", "stdout": "3"}]),
    ),
}


@pytest.mark.parametrize(("program", "tests"), CONFIRMED.values(), ids=CONFIRMED.keys())
def test_what_passes_in_node_is_confirmed(one: CodeVerifier, program: str, tests: str) -> None:
    needs_name = "check(candidate)" in tests or "parseInt" in tests
    entry_point = ("f" if "check" in tests else "parseInt") if needs_name else None
    verdict = judged(one, program, tests, entry_point=entry_point)
    assert verdict.outcome is Outcome.CONFIRMED, (verdict.reason, verdict.evidence.get("stderr"))


# program, tests, what the reason says
WRONG = {
    "a wrong value": ("const f = (x) => x + x;", TESTS, r"line 3: .*strictEqual\(f\(3\), 9\); failed: left 6, right 9"),
    "a value of another type": ("const f = (x) => String(x * x);", TESTS, "left '4', right 4"),
    "an object that is not deeply equal": ("const f = () => ({ a: [1] });", "assert.deepStrictEqual(f(), { a: [2] });", "left { a: .* 1 .*, right"),
    "nothing thrown": ("const f = () => 1;", "assert.throws(() => f(), /x/);", "Missing expected exception"),
    "another error": ("const f = () => { throw new TypeError('a'); };", "assert.throws(() => f(), RangeError);", 'Received "TypeError"'),
    "a promise that gives something else": ("const f = async () => 1;", "assert.equal(await f(), 2);", "left 1, right 2"),
    "a promise that is refused": ("const f = async () => { throw new Error('no'); };", "assert.equal(await f(), 2);", "stopped with Error: no"),
    "a promise that nobody awaits": ("const f = async () => { throw new Error('no'); };", "f();\nassert(true);", "Error: no"),
    "an assertion in then": ("const f = async () => 1;", "f().then((x) => assert.equal(x, 2));\nassert(true);", "left 1, right 2"),
    "a failing test among passing ones": (
        HONEST,
        "test('two', () => assert.equal(f(2), 4));\ntest('three', () => assert.equal(f(3), 8));",
        "three: line 2: .*left 9, right 8",
    ),
    "an expectation": ("const f = () => [1];", "test('x', () => { expect(f()).toEqual([2]); });", r"x: line 1: .*toEqual: left \[ 1 \], right \[ 2 \]"),
    "console.assert": ("const f = () => 1;", "console.assert(f() === 2, 'bad');\nassert(true);", "line 1: .*value false; last, f.. gave 1"),
    "an exit by hand": ("const f = () => 1;", "if (f() !== 2) process.exit(1);", "exit code 1"),
    "a syntax error": ("function f( {", TESTS, "not valid JavaScript"),
    "an error while loading": ("throw new Error('at once');", TESTS, "Error: at once while it is loaded"),
    "a module that is not there": ("const _ = require('lodash');", TESTS, "Cannot find module 'lodash'"),
    "a missing name": ("const g = 1;", TESTS, "does not define: ReferenceError: f is not defined"),
    "a missing import": ("export const g = 1;", "import { f } from './solution.js';\nimport assert from 'assert';\nassert(f(1));", "does not define what the tests import"),
    "a stale copy": ("const f = () => ({ n: 0, up() { return this.n; } });", "const o = f();\no.up();\nassert.equal(o.n, 1);", "left 0, right 1"),
    "a case": ("console.log(3)", json.dumps([{"stdin": "", "stdout": "4"}]), "printed '3', expected '4'"),
    "a case that throws": ("throw new Error('x')", json.dumps([{"stdin": "", "stdout": "4"}]), "exit code 1"),
}


@pytest.mark.parametrize(("program", "tests", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_program_is_refuted_with_the_values(
    one: CodeVerifier, program: str, tests: str, reason: str
) -> None:
    verdict = judged(one, program, tests)
    assert verdict.outcome is Outcome.REFUTED, verdict.reason
    assert re.search(reason, verdict.reason, re.DOTALL), verdict.reason


ABSTAINED = {
    "no assertion": (HONEST, "f(2);", "no assertion"),
    "tests that never ask the program": (HONEST, "assert(true);", "never used the program"),
    "tests that do not parse": (HONEST, "assert.equal(f(2), 4", "not valid JavaScript"),
    "console.log watched": (
        "const f = () => console.log('hi');",
        "const seen = [];\nconsole.log = (x) => seen.push(x);\nf();\nassert.deepEqual(seen, ['hi']);",
        "console.log",
    ),
    "Math.random replaced": ("const f = () => Math.random();", "Math.random = () => 0.5;\nassert.equal(f(), 0.5);", "Math.random"),
    "fake timers": (HONEST, "jest.useFakeTimers();\nassert.equal(f(2), 4);", "jest.useFakeTimers"),
    "a library": (HONEST, "const { expect } = require('chai');\nexpect(f(2)).to.equal(4);", 'the module "chai"'),
    "an unknown matcher": (HONEST, "expect(f(2)).toMatchSnapshot();", "toMatchSnapshot"),
    "the program's files": (HONEST, "const fs = require('fs');\nassert(fs.existsSync('solution.js'));", 'the module "fs"'),
    "a test that skips itself": (HONEST, "const test = require('node:test');\ntest('a', (t) => { if (f(2) !== 5) t.skip(); });\ntest('b', () => assert.equal(f(2), 4));", "skips itself"),
    "an object frozen": ("class A {}; const f = () => new A();", "assert(Object.isFrozen(f()));", "frozen"),
    "a class derived from the program's object given to it": (
        "const f = (x) => x.n;",
        "class Mine { n = 4 }\nassert.equal(f(new Mine()), 4);",
        "hand a Mine object",
    ),
}


@pytest.mark.parametrize(("program", "tests", "reason"), ABSTAINED.values(), ids=ABSTAINED.keys())
def test_what_cannot_be_told_is_an_abstention(
    one: CodeVerifier, program: str, tests: str, reason: str
) -> None:
    verdict = judged(one, program, tests)
    assert verdict.outcome is Outcome.ABSTAINED, verdict.reason
    assert reason in verdict.reason


# A frame as the judge would send it to the worker, and a reply as the program's process would send it to the judge.
FORGERIES = """
const fs = require('fs');
function frame(message) {
  const body = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}
function everywhere(data) {
  for (let fd = 1; fd < 256; fd += 1) { try { fs.writeSync(fd, data); } catch {} }
}
const REPORT = frame(['report', { outcome: 'confirmed', reason: '2 assertions passed', assertions: [] }]);
"""
LIAR = """
class Liar {
  constructor() { this.n = 0; }
  valueOf() { this.n += 1; return this.n % 2 ? 1e9 : -1e9; }
  toString() { return '4'; }
  [Symbol.toPrimitive]() { return this.valueOf(); }
  equals() { return true; }
  asymmetricMatch() { return true; }
}
"""
REFUTED = {
    # leaving early
    "exits at load": ("process.exit(0);", TESTS, "exit code 0"),
    "exits in a call": ("const f = () => process.exit(0);", TESTS, "exit code 0"),
    "exits for real": ("const f = () => process.reallyExit(0);", TESTS, "exit code 0"),
    "exits on exit": ("process.on('exit', () => { process.exitCode = 0; });\nconst f = () => 0;", TESTS, "left 0, right 4"),
    "aborts": ("const f = () => process.abort();", TESTS, "was ended by SIG"),
    "kills itself": ("const f = () => process.kill(process.pid, 'SIGKILL');", TESTS, "the program|left"),
    "never settles": ("const f = () => new Promise(() => {});", "assert.equal(await f(1), 4);", "nothing is left that could"),
    # lying values
    "returns an object with valueOf": (LIAR + "const f = () => new Liar();", "assert.strictEqual(f(2), 4);", "failed"),
    "returns a boxed number": ("const f = () => new Number(4);", "assert.strictEqual(f(2), 4);", "failed"),
    "returns what jest would ask": (LIAR + "const f = () => new Liar();", "expect(f(2)).toEqual(4);", "toEqual"),
    "returns lies in an array": (LIAR + "const f = () => [new Liar()];", "assert.deepStrictEqual(f(2), [4]);", "failed"),
    "returns a Proxy": (
        "const f = () => new Proxy({}, { get: () => 4, has: () => true, ownKeys: () => ['a'], getOwnPropertyDescriptor: () => ({ value: 4, configurable: true, enumerable: true }) });",
        "assert.deepStrictEqual(f(2), { a: 5 });",
        "failed",
    ),
    "returns a subclass of Array": (
        "class All extends Array { includes() { return true; } get length() { return 1; } }\nconst f = () => new All();",
        "assert.deepStrictEqual(f(2), [4]);",
        "failed",
    ),
    "returns a getter that waits for the comparison": (
        "let n = 0;\nconst f = () => ({ get a() { n += 1; return n; } });",
        "assert.deepStrictEqual(f(2), { a: 99 });",
        "failed",
    ),
    # patched things
    "patches assert": (
        "const a = require('assert');\nfor (const name of Object.keys(a)) { try { a[name] = () => {}; } catch {} }\nglobalThis.assert = () => {};\nconst f = () => 0;",
        TESTS,
        "left 0, right 4",
    ),
    "defines assert": ("function assert() {}\nassert.strictEqual = () => {};\nconst f = () => 0;", "assert.strictEqual(f(2), 4);", "left 0, right 4"),
    "defines test": ("function test() {}\nfunction it() {}\nconst f = () => 0;", "test('x', () => assert.equal(f(2), 4));", "left 0, right 4"),
    "patches node:test": (
        "const t = require('node:test');\nt.test = t.it = () => {};\nconst f = () => 0;",
        "const { test } = require('node:test');\ntest('x', () => assert.equal(f(2), 4));",
        "left 0, right 4",
    ),
    "pollutes prototypes": (
        "Object.prototype.toString = () => '4';\nNumber.prototype.valueOf = () => 4;\nObject.prototype.f = () => 4; Object.prototype.value = 4;\n"
        "Array.prototype.every = Array.prototype.includes = () => true;\nRegExp.prototype.test = () => true;\nconst f = () => 0;",
        TESTS,
        "left 0, right 4",
    ),
    "pollutes through its value": (
        "const f = () => JSON.parse('{\"__proto__\": {\"then\": 1}, \"constructor\": {\"prototype\": {\"b\": 1}}}');",
        "assert.deepStrictEqual(f(2), { b: 1 });",
        "failed",
    ),
    "patches JSON": ("JSON.stringify = () => '4';\nJSON.parse = () => 4;\nconst f = () => 0;", TESTS, "left 0, right 4|the program"),
    "exports what the tests rely on": (
        "module.exports = { f: () => 0, isDeepStrictEqual: () => true, deepEqual: () => true };",
        "const { isDeepStrictEqual } = require('util');\nconst { f } = require('./solution');\nassert(isDeepStrictEqual(f(2), 4));",
        "value false",
    ),
    # forged reports and replies
    "prints a report": (FORGERIES + "console.log('2 passed');\neverywhere(REPORT);\nconst f = () => 0;", TESTS, "the program"),
    "reports from a call": (FORGERIES + "const f = () => { everywhere(REPORT); return 0; };", TESTS, "not asked|was ended by SIG"),
    "replies early from a worker thread": (
        FORGERIES
        + "const { Worker } = require('worker_threads');\nnew Worker(`${frame}\\nconst fs = require('fs');\\n${everywhere}\\nfor (let n = 0; n < 50; n += 1) everywhere(frame([n, 'ok', 4, []]));`, { eval: true });\n"
        "const f = () => { const end = Date.now() + 300; while (Date.now() < end); return 0; };",
        TESTS,
        "the program|left 0",
    ),
    "replies early from a timer": (
        FORGERIES + "const f = () => { setTimeout(() => { for (let n = 0; n < 20; n += 1) everywhere(frame([n, 'ok', 4, []])); }, 0); return 0; };",
        "await new Promise((done) => { f(1); setTimeout(done, 50); });\nassert.strictEqual(f(2), 4);",
        "the program",
    ),
    "calls back without being given anything": (
        FORGERIES + "const f = () => { everywhere(frame([1, 'callback', 0, ['u'], []])); return 0; };",
        TESTS,
        "was not given",
    ),
    "sends brackets": (
        FORGERIES + "const f = () => { const head = Buffer.alloc(4); head.writeUInt32BE(300000); everywhere(Buffer.concat([head, Buffer.alloc(300000, '[')])); return 4; };",
        TESTS,
        "not JSON",
    ),
    "claims a reply of 4 GB": (FORGERIES + "const f = () => { everywhere(Buffer.alloc(8, 255)); return 4; };", TESTS, "4294967295"),
    "returns 20 MB": ("const f = () => 'a'.repeat(20_000_000);", TESTS, "more than 8388608"),
    "returns 500 nested arrays": ("const f = () => { let v = []; for (let i = 0; i < 500; i += 1) v = [v]; return v; };", TESTS, "too deeply"),
    "returns a sparse array": ("const f = () => { const v = []; v[4e9] = 1; return v; };", TESTS, "too large"),
    # looking for the expected values
    "reads the judge's memory": ("const f = () => require('fs').readFileSync('/proc/1/mem');", TESTS, "ENOENT|EACCES"),
    "reads the judge's command line": ("const f = () => require('fs').readFileSync('/proc/self/../1/environ');", TESTS, "ENOENT|EACCES"),
    "reads /etc/passwd": ("const f = () => require('fs').readFileSync('/etc/passwd', 'utf8');", TESTS, "ENOENT|left 'root"),
    "looks for the tests on the disk": (
        "const fs = require('fs');\nconst f = () => { const all = []; for (const d of ['/tmp', '/tmp/program', '/runtime']) { try { all.push(...fs.readdirSync(d)); } catch {} } throw new Error('tests: ' + all.some((n) => n.startsWith('tests'))); };",
        TESTS,
        "tests: false",
    ),
    "debugs the judge": ("process._debugProcess(1);\nconst f = () => 0;", TESTS, "the program|left 0"),
    # using things up
    "loops for ever": ("const f = () => { for (;;); };", TESTS, "0.5 s of CPU time"),
    "loops in a microtask": ("const f = async () => { const again = () => Promise.resolve().then(again); return again(); };", "assert.equal(await f(1), 4);", "0.5 s of CPU time"),
    "yields for ever": ("function* f() { for (;;) yield 1; }", "assert.deepEqual([...f()], [1]);", "the program"),
    "fills the heap": ("const f = () => { const all = []; while (all) all.push(new Array(1e6).fill(1.5)); };", TESTS, "MiB of memory"),
    "fills buffers": (
        "const f = () => { const all = []; for (let i = 0; i < 200; i += 1) all.push(Buffer.alloc(64 << 20, 1)); return 4; };",
        TESTS,
        "memory|Array buffer allocation failed|SIGABRT|SIGKILL|out of memory",
    ),
    "starts processes for ever": (
        "const { spawn } = require('child_process');\nconst f = () => { for (let i = 0; i < 200; i += 1) spawn(process.execPath || '/node/bin/node', ['-e', 'for(;;);']).on('error', () => {}); const end = Date.now() + 500; while (Date.now() < end); return 0; };",
        TESTS,
        "the program|left 0|line 2",
    ),
    "fills the disk": (
        "const fs = require('fs');\nconst f = () => { for (let i = 0; i < 50; i += 1) fs.writeFileSync('/tmp/' + i, Buffer.alloc(4e6)); return 4; };",
        TESTS,
        "ENOSPC",
    ),
    "prints 100 MB": ("const f = (x) => { for (let i = 0; i < 100; i += 1) console.log('x'.repeat(1e6)); return x * x; };", TESTS, "printed"),
    # getting out
    "runs a shell": ("const f = () => require('child_process').execSync('id');", TESTS, "ENOENT"),
    "writes to the root": ("const f = () => require('fs').writeFileSync('/python/x', '');", TESTS, "EROFS|EACCES|ENOENT"),
    "becomes root": ("const f = () => process.setuid(0);", TESTS, "EINVAL|EPERM|not permitted|raised"),
    "listens": (
        "const f = () => new Promise((done, fail) => require('net').createServer().on('error', fail).listen(0, done));",
        "assert.equal(await f(), 4);",
        "EAFNOSUPPORT|address family",
    ),
}


@pytest.mark.parametrize(("program", "tests", "reason"), REFUTED.values(), ids=REFUTED.keys())
def test_a_hostile_program_is_refuted_for_the_right_reason(
    one: CodeVerifier, program: str, tests: str, reason: str
) -> None:
    verdict = judged(one, program, tests, timeout_s=0.5 if "for (;;)" in program or "again" in program else 2.0)
    assert verdict.outcome is Outcome.REFUTED, verdict.reason
    assert re.search(reason, verdict.reason), verdict.reason


@pytest.mark.parametrize("name", ["exits in a call", "reports from a call", "fills the heap", "starts processes for ever"])
def test_every_sandbox_judges_the_next_claim_rightly_after_a_hostile_one(verifier: CodeVerifier, name: str) -> None:
    program, tests, reason = REFUTED[name]
    verdict = judged(verifier, program, tests, timeout_s=2.0)
    assert verdict.outcome is Outcome.REFUTED, verdict.reason
    assert re.search(reason, verdict.reason), verdict.reason
    assert judged(verifier, HONEST).outcome is Outcome.CONFIRMED
    assert judged(verifier, "console.log(1)", '[{"stdin": "", "stdout": "1"}]').outcome is Outcome.CONFIRMED


@pytest.mark.parametrize(
    "tests",
    [
        "assert(Math.abs(f(1) - 2.5) < 1e-6);",
        "assert(f(1) > 3 && f(1) < 5);",
        "assert.equal(f(1), 4);",
        "expect(f(1)).toBeGreaterThan(3);",
    ],
)
def test_a_value_that_could_lie_about_arithmetic_is_an_abstention(one: CodeVerifier, tests: str) -> None:
    verdict = judged(one, LIAR + "const f = () => new Liar();", tests)
    assert verdict.outcome is Outcome.ABSTAINED
    assert "only it could say" in verdict.reason


def test_a_failed_assertion_in_a_function_given_to_the_program_cannot_be_swallowed(one: CodeVerifier) -> None:
    program = "const f = (g) => { try { g(0); } catch {} };"
    verdict = judged(one, program, "f((x) => assert.equal(x, 1));\nassert(true);")
    assert verdict.outcome is Outcome.REFUTED
    program = "const f = (g) => { g(0).catch(() => {}); };"
    verdict = judged(one, program, "f(async (x) => assert.equal(x, 1));\nassert(true);")
    assert verdict.outcome is Outcome.REFUTED


def test_tests_that_catch_everything_do_not_catch_the_end_of_the_program(one: CodeVerifier) -> None:
    tests = "try { assert.equal(f(1), 3); } catch {}\nassert(true);"
    assert judged(one, "const f = () => process.exit(0);", tests).outcome is Outcome.REFUTED


def test_the_program_is_not_told_a_key_that_it_has_not_named(one: CodeVerifier) -> None:
    program = (
        "const seen = [];\nclass Spy {}\nconst f = () => new Proxy(new Spy(), { get: (t, k) => { seen.push(String(k)); return t[k]; } });\n"
        "const g = () => seen;"
    )
    tests = "const o = f();\nassert.notDeepEqual(o, { secret: 1 });\nassert(!('secret' in o));\nassert(!g().includes('secret'));"
    verdict = judged(one, program, tests)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason


def test_the_evidence_names_tests_assertions_limits_and_outputs(one: CodeVerifier) -> None:
    tests = "const assert = require('assert');\ntest('right', () => assert.equal(f(2), 4));\ntest('wrong', () => assert.equal(f(3), 9));"
    verdict = judged(one, "const f = (x) => { console.log('seen', x); return x + x; };", tests)
    evidence = verdict.evidence
    assert [one["state"] for one in evidence["per_test"]] == ["passed", "failed"]
    assert [one["state"] for one in evidence["assertions"]] == ["passed", "failed"]
    assert evidence["assertions"][1]["detail"] == "left 6, right 9"
    assert "seen 2" in evidence["stdout"]
    assert evidence["limits"]["cpu_s"] == 3.0
    assert evidence["cpu_s"] > 0
    json.dumps(evidence)


def test_programs_that_do_the_same_behave_the_same(one: CodeVerifier) -> None:
    first, second, third = (
        judged(one, f"const f = (x) => {body};").evidence["behaviour"]
        for body in ("x * x", "x ** 2", "x < 2 || x > 3 ? 7 : x * x")
    )
    assert first == second
    assert first != third


def test_chance_is_seeded(one: CodeVerifier) -> None:
    outputs = {
        tuple(judged(one, "const f = () => Math.random();", "assert(f(1) < 1);").evidence["behaviour"]["outputs"])
        for _ in range(2)
    }
    assert len(outputs) == 1
