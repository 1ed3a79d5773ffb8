'use strict';
// Watches the tests' assertions: each reports where it stands, what it compared and how it went.

const assert = require('node:assert');
const { types } = require('node:util');
const { shortly } = require('./proxies.js');

const MAX_TEXT = 300;
const FRAME = /tests\.m?js:(\d+)/;
const COMPARING = new Set([
  'equal', 'notEqual', 'strictEqual', 'notStrictEqual', 'deepEqual', 'notDeepEqual', 'deepStrictEqual',
  'notDeepStrictEqual', 'partialDeepStrictEqual', 'match', 'doesNotMatch',
]);

/** What has become of each assertion, by line. */
class Recorder {
  constructor(source, link) {
    this.lines = source.split('\n');
    this.link = link;
    this.assertions = new Map(); // line: assertion
    this.current = null; // the one being evaluated, to be named when something else goes wrong in it
    this.lastFailed = null;
    this.own = new WeakSet(); // errors that assertions of the tests have thrown
  }

  /** Note that an assertion begins, and return it. */
  enter() {
    const line = lineOf(new Error().stack);
    if (!this.assertions.has(line)) {
      const text = (this.lines[line - 1] || '').trim();
      this.assertions.set(line, { line, text: cut(text), nPassed: 0, failure: null });
    }
    this.current = this.assertions.get(line);
    return this.current;
  }

  passed(assertion) {
    assertion.nPassed += 1;
    if (this.current === assertion) this.current = null;
  }

  failed(assertion, error, description) {
    if (assertion.failure === null) assertion.failure = cut(description);
    this.current = null;
    this.lastFailed = assertion;
    if (typeof error === 'object' && error !== null) this.own.add(error);
  }

  forget() {
    this.current = this.lastFailed = null;
  }

  /** Run one assertion; `describe` says what was compared when it fails. */
  watch(check, describe) {
    const assertion = this.enter();
    let result;
    try {
      result = check();
    } catch (error) {
      this.judgeError(assertion, error, describe);
      throw error;
    }
    if (!types.isPromise(result)) {
      this.passed(assertion);
      return result;
    }
    return result.then(
      (value) => { this.passed(assertion); return value; },
      (error) => { this.judgeError(assertion, error, describe); throw error; },
    );
  }

  judgeError(assertion, error, describe) {
    if (error && error.isStop) return;
    const isAssertion = error instanceof assert.AssertionError && !this.link.thrown.has(error);
    if (isAssertion) this.failed(assertion, error, describe(error));
    else this.current = assertion;
  }

  /** Return node's `assert`, watched. */
  assert(original = assert) {
    const watched = (...args) => this.watch(() => original(...args), () => this.ofExpression(args[0]));
    for (const [name, value] of Object.entries(original)) {
      watched[name] = typeof value === 'function' && name !== 'AssertionError' && name !== 'CallTracker'
        ? this.method(original, name) : value;
    }
    watched.strict = original === assert ? this.assert(assert.strict) : watched;
    return watched;
  }

  method(original, name) {
    if (name === 'strict') return undefined; // set above
    return (...args) => this.watch(() => original[name](...args), (error) => {
      if (COMPARING.has(name)) return `left ${shortly(args[0])}, right ${shortly(args[1])}`;
      if (name === 'ok') return this.ofExpression(args[0]);
      return cut(String(error.message).split(/\s+/).join(' ').trim());
    });
  }

  ofExpression(value) {
    const last = this.link.lastCall;
    return `value ${shortly(value)}${last ? `; last, ${last()}` : ''}`;
  }
}

function lineOf(stack) {
  for (const frame of stack.split('\n')) {
    const match = FRAME.exec(frame);
    if (match) return Number(match[1]);
  }
  return 0;
}

function cut(text) {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}...`;
}

module.exports = { Recorder, cut, lineOf };
