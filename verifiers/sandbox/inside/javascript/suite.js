'use strict';
// `test`, `describe`, `it` and their hooks, as node:test, Mocha, Jest and Vitest share them; made for the judge.

const MAX_TESTS = 10_000;
const HOOKS = ['before', 'after', 'beforeEach', 'afterEach'];

class Group {
  constructor(name, parent, skipped) {
    this.name = name;
    this.parent = parent;
    this.skipped = skipped;
    this.members = [];
    this.hooks = Object.fromEntries(HOOKS.map((hook) => [hook, []]));
  }

  get path() {
    return this.parent ? [...this.parent.path, this.name] : [];
  }
}

/** Collects tests while the tests' file runs, and runs them afterwards, one after another. */
class Suite {
  constructor(link) {
    this.link = link;
    this.root = new Group('', null, false);
    this.group = this.root;
    this.nTests = 0;
    this.hasOnly = false;
    this.skippedNow = null; // the reason with which the running test has skipped itself
  }

  /** Return the names that a file of tests can use. */
  names() {
    const test = this.tester();
    const describe = this.describer();
    const hooks = Object.fromEntries(HOOKS.map((hook) => [hook, (action) => { this.group.hooks[hook].push(action); }]));
    return { test, it: test, describe, suite: describe, ...hooks, beforeAll: hooks.before, afterAll: hooks.after };
  }

  tester() {
    const add = (fixed) => (...given) => this.add({ ...readArguments(given), ...fixed });
    const test = add({});
    Object.assign(test, { skip: add({ skip: true }), todo: add({ skip: true }), only: add({ only: true }) });
    test.each = (rows) => (name, action) => [...rows].forEach((row, place) => {
      const args = Array.isArray(row) ? row : [row];
      this.add({ name: `${name} [${place}]`, action: () => action(...args) });
    });
    return this.checked(test, 'test');
  }

  describer() {
    const open = (fixed) => (...given) => this.open({ ...readArguments(given), ...fixed });
    const describe = open({});
    Object.assign(describe, { skip: open({ skip: true }), todo: open({ skip: true }), only: open({ only: true }) });
    describe.each = (rows) => (name, action) => [...rows].forEach((row, place) => {
      this.open({ name: `${name} [${place}]`, action: () => action(...(Array.isArray(row) ? row : [row])) });
    });
    return this.checked(describe, 'describe');
  }

  checked(functions, label) {
    return new Proxy(functions, {
      get: (target, name) => {
        if (name in target || typeof name !== 'string') return target[name];
        throw this.link.cannot(`the tests use ${label}.${name}, which is not supported`);
      },
    });
  }

  add(test) {
    if (this.nTests >= MAX_TESTS) throw this.link.cannot(`there are more than ${MAX_TESTS} tests`);
    this.nTests += 1;
    this.hasOnly = this.hasOnly || Boolean(test.only);
    this.group.members.push({ ...test, group: this.group });
  }

  open({ name, action, skip, only }) {
    const group = new Group(name, this.group, Boolean(skip));
    group.only = Boolean(only);
    this.hasOnly = this.hasOnly || group.only;
    this.group.members.push(group);
    this.group = group;
    try {
      const result = action ? action() : undefined;
      if (result && typeof result.then === 'function') throw this.link.cannot('a describe() of the tests is asynchronous');
    } finally {
      this.group = group.parent;
    }
  }

  /** Run all tests; `judging` hears of each, and says when nothing more is to be run. */
  async run(judging, group = this.root, chosen = false) {
    const live = group.members.length > 0 && !group.skipped;
    if (live) await this.hooks(judging, group, 'before');
    for (const member of group.members) {
      if (judging.fatal) return;
      const isChosen = chosen || !this.hasOnly || Boolean(member.only);
      if (member instanceof Group) {
        member.skipped = member.skipped || group.skipped;
        await this.run(judging, member, isChosen && (chosen || Boolean(member.only)));
      } else if (isChosen && !group.skipped && !member.skip && member.action) {
        await this.one(judging, member);
      } else {
        judging.begin();
        judging.skip(label(member), typeof member.skip === 'string' ? member.skip : 'marked to be skipped');
      }
    }
    if (live && !judging.fatal) await this.hooks(judging, group, 'after');
  }

  async hooks(judging, group, hook) {
    judging.begin();
    for (const action of group.hooks[hook]) {
      try {
        await this.link.settle(invoked(action, {}));
      } catch (error) {
        judging.end([...group.path, `${hook}()`].join(' > '), error);
      }
    }
  }

  async one(judging, test) {
    judging.begin();
    this.skippedNow = null;
    const chain = [];
    for (let group = test.group; group; group = group.parent) chain.unshift(group);
    let error = null;
    try {
      for (const group of chain) await this.each(group, 'beforeEach');
      await this.link.settle(invoked(test.action, this.context(judging, test)));
    } catch (raised) {
      error = { raised };
    }
    try {
      for (const group of chain.reverse()) await this.each(group, 'afterEach');
    } catch (raised) {
      error = error || { raised };
    }
    if (this.skippedNow !== null && !error) judging.skip(label(test), this.skippedNow);
    else judging.end(label(test), error ? error.raised : undefined, Boolean(error));
  }

  async each(group, hook) {
    for (const action of group.hooks[hook]) await this.link.settle(invoked(action, {}));
  }

  /** Return what a test function is given: node's test context. */
  context(judging, test) {
    const known = {
      name: test.name,
      diagnostic() {},
      plan() {},
      skip: (reason) => { this.skippedNow = String(reason || 'skipped itself'); },
      todo: (reason) => { this.skippedNow = String(reason || 'marked todo'); },
      test: (...given) => this.one(judging, { ...readArguments(given), group: new Group(test.name, test.group, false) }),
      assert: judging.assert,
    };
    return new Proxy(known, {
      get: (target, name) => {
        if (name in target || typeof name !== 'string' || name === 'then') return target[name];
        throw this.link.cannot(`the tests use t.${name}, which is not supported`);
      },
    });
  }
}

/** Run an action that takes a context, or Mocha's `done`; return a promise of its end. */
function invoked(action, context) {
  return new Promise((resolve, reject) => {
    const takesDone = action.length === 1 && /^(?:async\s*)?(?:function\s*\w*\s*)?\(?\s*(?:done|cb|callback)\b/.test(action);
    if (takesDone) action((error) => (error ? reject(error) : resolve()));
    else resolve(action(context, (error) => (error ? reject(error) : resolve())));
  });
}

function readArguments(given) {
  const action = given.find((one) => typeof one === 'function');
  const options = given.find((one) => typeof one === 'object' && one !== null) || {};
  const name = typeof given[0] === 'string' ? given[0] : (action && action.name) || '<anonymous>';
  return { name, action, skip: options.skip || options.todo || false, only: options.only || false };
}

function label(test) {
  return [...test.group.path, test.name].join(' > ').slice(0, 300);
}

module.exports = { Suite };
