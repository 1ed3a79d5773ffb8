'use strict';
// `expect(value).toBe(...)` as Jest and Vitest have it: the matchers that tests of programs use.

const { AssertionError } = require('node:assert');
const { isDeepStrictEqual, types } = require('node:util');
const { shortly } = require('./proxies.js');

const MATCHERS = {
  toBe: (value, expected) => Object.is(value, expected),
  toEqual: (value, expected) => isDeepStrictEqual(plain(value), plain(expected)),
  toStrictEqual: (value, expected) => isDeepStrictEqual(value, expected),
  toBeTruthy: (value) => Boolean(value),
  toBeFalsy: (value) => !value,
  toBeNull: (value) => value === null,
  toBeUndefined: (value) => value === undefined,
  toBeDefined: (value) => value !== undefined,
  toBeNaN: (value) => Number.isNaN(value),
  toBeGreaterThan: (value, bound) => value > bound,
  toBeGreaterThanOrEqual: (value, bound) => value >= bound,
  toBeLessThan: (value, bound) => value < bound,
  toBeLessThanOrEqual: (value, bound) => value <= bound,
  toBeCloseTo: (value, expected, digits = 2) => value === expected || Math.abs(value - expected) < 10 ** -digits / 2,
  toBeInstanceOf: (value, kind) => value instanceof kind,
  toBeTypeOf: (value, type) => typeof value === type,
  toHaveLength: (value, length) => value !== null && value !== undefined && value.length === length,
  toContain: (value, item) => (typeof value === 'string' ? value.includes(item) : [...value].includes(item)),
  toContainEqual: (value, item) => [...value].some((one) => isDeepStrictEqual(plain(one), plain(item))),
  toMatch: (value, pattern) => (typeof pattern === 'string' ? value.includes(pattern) : pattern.test(value)),
  toMatchObject: (value, part) => matches(value, part),
  toHaveProperty: (value, path, ...expected) => hasProperty(value, path, expected),
  toThrow: (value, expected) => throws(value, expected),
  toHaveBeenCalled: (mock) => mock.mock.calls.length > 0,
  toHaveBeenCalledTimes: (mock, n) => mock.mock.calls.length === n,
  toHaveBeenCalledWith: (mock, ...args) => mock.mock.calls.some((call) => isDeepStrictEqual(plain([...call]), plain(args))),
};
MATCHERS.toThrowError = MATCHERS.toThrow;
MATCHERS.toBeCalledTimes = MATCHERS.toHaveBeenCalledTimes;

/** Return `expect`, whose assertions `recorder` watches; what it does not know ends the trial as an abstention. */
function makeExpect(recorder, link) {
  const expect = (value) => matchers(value, false);
  const unknown = (name) => link.cannot(`the tests use ${name}, which is not supported`);

  function matchers(value, not) {
    return new Proxy({}, {
      get(_, name) {
        if (name === 'not') return matchers(value, !not);
        if (name === 'resolves' || name === 'rejects') return later(value, not, name);
        if (!Object.hasOwn(MATCHERS, name)) throw unknown(`expect().${String(name)}`);
        return (...expected) => check(value, not, name, expected);
      },
    });
  }

  function later(promise, not, how) {
    const settled = () => (how === 'resolves' ? promise : Promise.resolve(promise).then(
      () => { throw new AssertionError({ message: 'the promise was not rejected' }); },
      (error) => (error && error.isStop ? Promise.reject(error) : error),
    ));
    return new Proxy({}, {
      get(_, name) {
        if (name === 'not') return later(promise, !not, how);
        if (!Object.hasOwn(MATCHERS, name)) throw unknown(`expect().${how}.${String(name)}`);
        return (...expected) => recorder.watch(
          async () => {
            const value = await settled();
            require1(name.startsWith('toThrow') ? () => { throw value; } : value, not, name, expected);
          },
          (error) => error.message,
        );
      },
    });
  }

  function check(value, not, name, expected) {
    recorder.watch(() => require1(value, not, name, expected), (error) => error.message);
  }

  for (const name of ['any', 'anything', 'objectContaining', 'arrayContaining', 'stringContaining', 'stringMatching']) {
    expect[name] = () => { throw unknown(`expect.${name}`); };
  }
  expect.assertions = expect.hasAssertions = () => {};
  return expect;
}

function require1(value, not, name, expected) {
  if (Boolean(MATCHERS[name](value, ...expected)) !== not) return;
  const right = expected.length ? `, right ${expected.map((one) => shortly(one)).join(', ')}` : '';
  throw new AssertionError({ message: `${not ? 'not ' : ''}${name}: left ${shortly(value)}${right}` });
}

/** Return `value` as toEqual sees it: without classes and undefined properties. */
function plain(value, depth = 0) {
  if (typeof value !== 'object' || value === null || depth > 100) return value;
  if (Array.isArray(value)) return Array.from(value, (item) => plain(item, depth + 1));
  if (types.isDate(value) || types.isRegExp(value) || types.isPromise(value) || ArrayBuffer.isView(value)) return value;
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, plain(item, depth + 1)]));
  if (value instanceof Set) return new Set([...value].map((item) => plain(item, depth + 1)));
  if (value instanceof Error) return { message: value.message };
  const entries = Object.keys(value).map((key) => [key, plain(value[key], depth + 1)]);
  return Object.fromEntries(entries.filter(([, item]) => item !== undefined));
}

function matches(value, part) {
  if (typeof part !== 'object' || part === null) return Object.is(value, part);
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(part) && (!Array.isArray(value) || value.length !== part.length)) return false;
  return Object.keys(part).every((key) => key in value && matches(value[key], part[key]));
}

function hasProperty(value, path, expected) {
  const keys = Array.isArray(path) ? path : String(path).split('.');
  let at = value;
  for (const key of keys) {
    if (at === null || at === undefined || !(key in Object(at))) return false;
    at = at[key];
  }
  return !expected.length || isDeepStrictEqual(plain(at), plain(expected[0]));
}

function throws(act, expected) {
  let error;
  try {
    act();
    return false;
  } catch (raised) {
    error = raised;
  }
  if (error && error.isStop) throw error;
  if (expected === undefined) return true;
  const message = String(error && error.message !== undefined ? error.message : error);
  if (typeof expected === 'string') return message.includes(expected);
  if (expected instanceof RegExp) return expected.test(message);
  return typeof expected === 'function' ? error instanceof expected : message === expected.message;
}

module.exports = { makeExpect };
