'use strict';
// What the tests can import: some of node's own modules, the program, and the names of a test framework.

const { createRequire } = require('node:module');
const path = require('node:path');

const own = createRequire(__filename);
const HARMLESS = new Set([
  'assert/strict', 'buffer', 'crypto', 'events', 'path', 'perf_hooks', 'querystring', 'stream', 'string_decoder',
  'timers/promises', 'timers', 'url', 'util', 'zlib', 'async_hooks',
]);
const NODE_TEST = new Set(['node:test', 'test']);
const FRAMEWORKS = new Set(['@jest/globals', 'vitest', 'mocha']);
const PROGRAM = 'solution';
const SUPPLIED = ['assert', 'expect', 'test', 'it', 'describe', 'suite', 'before', 'after', 'beforeEach', 'afterEach',
  'beforeAll', 'afterAll', 'jest', 'vi', 'sinon', 'chai', 'should', 'cy'];

/** The modules that the tests of one trial can import. */
class Modules {
  constructor({ link, assert, suiteNames, expect, program, files }) {
    this.link = link;
    this.assert = assert;
    this.program = program; // gives the program's namespace
    this.files = files;
    this.mock = { fn: (...given) => own('node:test').mock.fn(...given) };
    this.framework = { ...suiteNames, expect, mock: this.refusing(this.mock, 'mock'), assert };
    this.globals = {
      ...this.framework,
      jest: this.refusing({ fn: mockFunction }, 'jest'),
      vi: this.refusing({ fn: mockFunction }, 'vi'),
    };
    delete this.globals.mock;
  }

  refusing(known, label) {
    return new Proxy(known, {
      get: (target, name) => {
        if (name in target || typeof name !== 'string') return target[name];
        throw this.link.cannot(`the tests cannot be kept apart from the program: they use ${label}.${name}`);
      },
    });
  }

  /** Return the module of that name, as `require` does. */
  require(name) {
    const bare = String(name).replace(/^node:/, '');
    if (bare === 'assert') return this.assert;
    if (bare === 'assert/strict') return this.assert.strict;
    if (NODE_TEST.has(name)) return this.nodeTest();
    if (FRAMEWORKS.has(name)) return { ...this.globals };
    if (HARMLESS.has(bare)) return own(`node:${bare}`);
    if (/^\.{0,2}\//.test(name)) return this.ofProgram(name);
    throw this.link.cannot(`the tests need what the sandbox does not have: the module ${JSON.stringify(name)}`);
  }

  nodeTest() {
    const { test } = this.framework;
    return new Proxy(test, {
      get: (target, name) => (name in this.framework ? this.framework[name] : name === 'default' ? test : target[name]),
      has: (target, name) => name in this.framework || name in target,
    });
  }

  /** A file of the program of that path; any other path is the program itself, since tests name it as they like. */
  ofProgram(name) {
    const wanted = path.posix.normalize(name).replace(/^(\.\.\/)+/, '');
    const found = Object.keys(this.files).find((file) => file === wanted || file.replace(/\.[cm]?js(on)?$/, '') === wanted);
    if (found) {
      throw this.link.cannot(`the tests import ${found}, another file of the program; only the program itself can be`);
    }
    return this.program();
  }

  /** Return the names that `import` can take from a module, and the module's default. */
  exportsOf(name, module) {
    if (NODE_TEST.has(name)) return { ...this.framework, default: module };
    const isRecord = (typeof module === 'object' && module !== null) || typeof module === 'function';
    const found = Object.fromEntries((isRecord ? Object.keys(module) : []).map((key) => [key, module[key]]));
    return { default: module, ...found };
  }
}

/** Return `jest.fn(...)`: a function that remembers its calls. */
function mockFunction(implementation) {
  let act = implementation;
  const once = [];
  const mock = { calls: [], results: [] };
  const call = function (...args) {
    mock.calls.push(args);
    const now = once.length ? once.shift() : act;
    const value = now ? now.apply(this, args) : undefined;
    mock.results.push({ type: 'return', value });
    return value;
  };
  const acting = (wrap, where) => (value) => {
    if (where === 'once') once.push(wrap(value));
    else act = wrap(value);
    return call;
  };
  const ways = {
    Implementation: (value) => value,
    ReturnValue: (value) => () => value,
    ResolvedValue: (value) => () => Promise.resolve(value),
    RejectedValue: (value) => () => Promise.reject(value),
  };
  for (const [name, wrap] of Object.entries(ways)) {
    call[`mock${name}`] = acting(wrap, 'always');
    call[`mock${name}Once`] = acting(wrap, 'once');
  }
  call.mockClear = call.mockReset = () => { mock.calls.length = mock.results.length = 0; return call; };
  return Object.assign(call, { mock });
}

module.exports = { Modules, PROGRAM, SUPPLIED };
