'use strict';
// The process that runs the tests and alone says how they went; the program is somewhere else.

const fs = require('node:fs');
const { types } = require('node:util');
const vm = require('node:vm');
const wire = require('./wire.js');
const { observe } = require('./behaviour.js');
const { makeExpect } = require('./expect.js');
const { Link } = require('./link.js');
const { Modules, SUPPLIED } = require('./modules.js');
const { Recorder, cut } = require('./asserts.js');
const { Conclusion, Judging } = require('./judging.js');
const { Suite } = require('./suite.js');
const { shortly } = require('./proxies.js');

const MAX_REPORTED = 50; // assertions spelled out in the evidence
const MODULE_ONLY = /import|export|await is only valid/;
const FAILS_BY_HAND = /\bthrow\b|\bprocess\s*\.\s*exit\s*\(|\bfail\s*\(/;
const exitCode = Symbol('exit code');

/** One program before one set of tests. */
class Trial {
  constructor(job, link) {
    this.job = job;
    this.link = link;
    this.recorder = new Recorder(job.tests, link);
    this.assert = this.recorder.assert();
    this.suite = new Suite(link);
    this.stray = null; // a promise of the tests that was rejected, with nobody to hear of it
    this.names = [];
    this.whole = undefined; // the one function that the program exports
    this.hasPlainValues = false;
    this.modules = new Modules({
      link,
      assert: this.assert,
      suiteNames: this.suite.names(),
      expect: makeExpect(this.recorder, link),
      program: () => this.program(),
      files: job.files,
    });
  }

  /** Return the report: outcome, reason, assertions. */
  async run() {
    let conclusion;
    try {
      conclusion = await this.conclude();
    } catch (error) {
      conclusion = error instanceof Conclusion ? error : this.explained(error, true);
    }
    const done = [...this.recorder.assertions.values()].sort((one, other) => one.line - other.line);
    return {
      outcome: conclusion.outcome,
      reason: conclusion.reason,
      assertions: done.slice(0, MAX_REPORTED).map((a) => [a.line, a.text, stateOf(a), a.failure]),
      n_assertions: done.length,
      n_passed: done.filter((a) => stateOf(a) === 'passed').length,
      own_comparisons: this.link.nTrusted,
      own_helpers: [],
      first_failure: done.filter((a) => a.failure !== null).map((a) => [a.line, a.text, a.failure])[0] || null,
      n_tests: this.suite.nTests,
      tests: reported(this.judging ? this.judging.results : []),
      ...conclusion.facts,
    };
  }

  async conclude() {
    const compiled = this.compile();
    await this.load();
    this.offerNames();
    process.on('unhandledRejection', (error) => { this.stray = this.stray || { error }; });
    await this.runFile(compiled);
    this.judging = new Judging(this);
    const ended = this.explained(undefined, false);
    if (ended) throw ended;
    if (this.suite.nTests) {
      await this.suite.run(this.judging);
      if (!this.judging.fatal) await this.waitForStrays({ ownCallbacks: false });
      if (this.judging.fatal || this.judging.failed) throw this.judging.fatal || this.judging.failed;
      const after = this.explained(undefined, false);
      if (after) throw after;
      return this.counted(this.remark());
    }
    return this.counted('');
  }

  remark() {
    const count = (state) => this.judging.results.filter((result) => result[1] === state).length;
    const skipped = count('skipped');
    return `${count('passed')} tests passed${skipped ? `, ${skipped} skipped` : ''}: `;
  }

  // Reading the tests

  compile() {
    const source = this.job.tests;
    try {
      try {
        // One line before and one after, none in between: lines keep their numbers.
        const text = `(async function (require, module, exports, __finish) {${source}\n;await __finish(typeof check === 'function' ? check : undefined);})`;
        return { script: new vm.Script(text, { filename: 'tests.js' }) };
      } catch (error) {
        if (!(error instanceof SyntaxError && MODULE_ONLY.test(error.message))) throw error;
        return { module: new vm.SourceTextModule(source, { identifier: 'tests.mjs' }) };
      }
    } catch (error) {
      throw new Conclusion('abstained', `the tests are not valid JavaScript: ${oneLine(error)}`);
    }
  }

  async load() {
    try {
      [this.names, this.whole] = this.link.load(this.job.program, this.job.files);
    } catch (error) {
      const { fatal } = this.link;
      if (fatal) {
        throw new Conclusion('refuted', `the program ${fatal.reason}`, { stopped: fatal.kind, where: 'its top level' });
      }
      if (error.isStop) throw error;
      const how = error instanceof SyntaxError ? 'is not valid JavaScript:' : 'raises';
      const end = error instanceof SyntaxError ? '' : ' while it is loaded';
      throw new Conclusion('refuted', `the program ${how} ${oneLine(error)}${end}`);
    }
    if (this.job.entry_point && this.whole === undefined && !this.names.includes(this.job.entry_point)) {
      throw new Conclusion('refuted', `the program does not define ${JSON.stringify(this.job.entry_point)}`);
    }
  }

  // The program's names

  /** Put what the tests may expect of the program into the global scope.
   *
   * A builtin stays the judge's own even where the program redefines it, unless it is the function under test.
   */
  offerNames() {
    const { entry_point: entryPoint } = this.job;
    for (const [name, value] of Object.entries(this.modules.globals)) {
      Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
    }
    this.watchConsole();
    for (const name of this.names) {
      if (name !== entryPoint && (name in globalThis || SUPPLIED.includes(name))) continue;
      this.offer(name, name);
    }
    if (entryPoint) {
      if (!this.names.includes(entryPoint)) this.offer(entryPoint, null);
      if (!('candidate' in globalThis)) this.offer('candidate', this.names.includes(entryPoint) ? entryPoint : null);
    }
  }

  /** Make a name give the program's value; null stands for the one function that it exports. */
  offer(name, own) {
    Object.defineProperty(globalThis, name, {
      get: () => (own === null ? this.whole : this.value(own)),
      set: () => {
        throw this.link.cannot(`the tests cannot be kept apart from the program: they change its ${name}`);
      },
      configurable: true,
    });
  }

  value(name) {
    const [found, value] = this.link.get(name);
    if (!found) return undefined;
    this.hasPlainValues = this.hasPlainValues || this.link.proxies.handleOf(value) === undefined;
    return value;
  }

  /** Return what the tests get when they import the program. */
  program() {
    if (this.whole !== undefined) return this.whole;
    if (!this.namespace) {
      const changed = () => {
        throw this.link.cannot('the tests cannot be kept apart from the program: they change what it exports');
      };
      this.namespace = new Proxy({}, {
        get: (_, name) => (this.names.includes(name) ? this.value(name) : undefined),
        has: (_, name) => this.names.includes(name),
        ownKeys: () => this.names,
        getOwnPropertyDescriptor: (_, name) => (this.names.includes(name)
          ? { value: this.value(name), enumerable: true, configurable: true, writable: true } : undefined),
        set: changed,
        defineProperty: changed,
        deleteProperty: changed,
      });
    }
    return this.namespace;
  }

  handleOfEntryPoint() {
    const { entry_point: name } = this.job;
    if (!name || this.link.fatal || this.link.unsupported) return undefined;
    return this.link.proxies.handleOf(this.names.includes(name) ? this.value(name) : this.whole);
  }

  // Running the tests

  watchConsole() {
    const { recorder } = this;
    const silent = () => {};
    const watched = (value, ...message) => {
      const assertion = recorder.enter();
      if (value) recorder.passed(assertion);
      else {
        recorder.failed(assertion, undefined, `${recorder.ofExpression(value)} ${message.map(shortly).join(' ')}`.trim());
        this.failedQuietly = this.failedQuietly || assertion;
      }
    };
    globalThis.console = Object.assign(Object.create(console), {
      assert: watched, log: silent, info: silent, debug: silent, warn: silent, error: silent, table: silent, dir: silent,
    });
    process.exit = (code = process.exitCode || 0) => {
      this.exited = this.exited === undefined ? Number(code) : this.exited;
      throw Object.assign(new Error('the tests exit'), { [exitCode]: true });
    };
    this.link.expectOwnConsole();
  }

  async runFile({ script, module }) {
    this.stray = null;
    try {
      if (script) await this.link.settle(this.runScript(script));
      else await this.link.settle(this.runModule(module));
    } catch (error) {
      if (error && error[exitCode] && !this.exited) return;
      throw this.explained(error, true) || error;
    }
    await this.waitForStrays({ ownCallbacks: !this.suite.nTests });
  }

  async waitForStrays(options) {
    await this.link.drain(options);
    if (this.stray) throw this.explained(this.stray.error, true);
  }

  async runScript(script) {
    const require = (name) => this.modules.require(name);
    require.main = undefined;
    const exports = {};
    const finish = (check) => this.finish(check);
    await script.runInThisContext()(require, { exports }, exports, finish);
  }

  async runModule(module) {
    await module.link((name) => this.linked(name));
    await module.evaluate();
  }

  linked(name) {
    const found = this.modules.require(name);
    const isProgram = found === this.whole || found === this.namespace;
    const exported = isProgram && found !== this.whole
      ? { ...Object.fromEntries(this.names.map((own) => [own, this.value(own)])), default: this.defaultExport(found) }
      : this.modules.exportsOf(name, found);
    return new vm.SyntheticModule(Object.keys(exported), function () {
      for (const [key, value] of Object.entries(exported)) this.setExport(key, value);
    }, { identifier: name });
  }

  defaultExport(namespace) {
    return this.names.includes('default') ? this.value('default') : namespace;
  }

  /** Run HumanEval's check(candidate), if the tests define it and nobody calls it. */
  async finish(check) {
    if (!check || check.length !== 1 || /^[ \t]*(await )?check\(/m.test(this.job.tests)) return;
    if (!this.job.entry_point) {
      throw new Conclusion('abstained', 'the tests are check(candidate), and no entry_point says which function');
    }
    await check(globalThis.candidate);
  }

  // Conclusions

  /** Return what follows from what a piece of the tests threw, if anything does.
   *
   * What ended the program, or cannot be judged, is remembered by the link, so it counts even if the tests caught it.
   */
  explained(error, hasError) {
    const { link, recorder } = this;
    if (error instanceof Conclusion) return error;
    if (link.fatal) return this.fatalConclusion(link.fatal);
    if (link.unsupported) return new Conclusion('abstained', link.unsupported.message);
    try {
      link.requireUnchanged();
    } catch (changed) {
      return new Conclusion('abstained', changed.message);
    }
    if (this.exited) return new Conclusion('refuted', `the tests ended themselves with exit code ${this.exited}`);
    if (hasError && typeof error === 'object' && error !== null && recorder.own.has(error)) {
      const failed = recorder.lastFailed;
      return new Conclusion('refuted', `line ${failed.line}: ${failed.text} failed: ${failed.failure}`, { failed: true });
    }
    if (hasError) return this.raised(error);
    if (this.failedQuietly) {
      const { line, text, failure } = this.failedQuietly;
      return new Conclusion('refuted', `line ${line}: ${text} failed: ${failure}`, { failed: true });
    }
    return null;
  }

  fatalConclusion(fatal) {
    const { current } = this.recorder;
    const where = current ? `line ${current.line}: ${current.text}` : 'the tests';
    if (current) current.failure = `the program ${fatal.reason}`;
    return new Conclusion('refuted', `the program ${fatal.reason}`, { stopped: fatal.kind, where });
  }

  raised(error) {
    const { current } = this.recorder;
    const ofProgram = this.link.thrown.has(error);
    if (error instanceof ReferenceError && !ofProgram) {
      return new Conclusion('refuted', `the tests use a name that the program does not define: ${oneLine(error)}`, { failed: true });
    }
    if (error instanceof SyntaxError && /does not provide an export/.test(error.message)) {
      if (!/module '[./]/.test(error.message)) return new Conclusion('abstained', `the tests cannot be run here: ${oneLine(error)}`);
      return new Conclusion('refuted', `the program does not define what the tests import: ${oneLine(error)}`);
    }
    if (!current) return new Conclusion('refuted', `the tests stopped with ${oneLine(error)}`, { failed: true });
    current.failure = oneLine(error);
    return new Conclusion('refuted', `line ${current.line}: ${current.text} raised ${oneLine(error)}`, { failed: true });
  }

  counted(remark) {
    const done = [...this.recorder.assertions.values()];
    const nRun = done.reduce((sum, assertion) => sum + assertion.nPassed, 0);
    const byHand = FAILS_BY_HAND.test(this.job.tests);
    const nPassed = this.judging.results.filter((result) => result[1] === 'passed').length;
    if (this.suite.nTests && !nPassed) return new Conclusion('abstained', 'no test was run');
    if (!nRun && !byHand) return new Conclusion('abstained', 'no assertion of the tests was reached');
    if (!this.link.nUses && !this.hasPlainValues) return new Conclusion('abstained', 'the tests never used the program');
    const trusted = this.link.nTrusted ? `; ${this.link.nTrusted} comparisons were the program's own` : '';
    return new Conclusion('confirmed', `${remark}${nRun} assertions passed${trusted}`);
  }
}

/** Return the first results, and the first that failed if it came later. */
function reported(results) {
  const failed = results.findIndex((result) => result[1] === 'failed');
  return [...results.slice(0, MAX_REPORTED), ...(failed >= MAX_REPORTED ? [results[failed]] : [])];
}

function stateOf(assertion) {
  if (assertion.failure !== null) return 'failed';
  return assertion.nPassed ? 'passed' : 'not reached';
}

function oneLine(error) {
  const isError = types.isNativeError(error);
  const text = isError ? String(error.message).split(/\s+/).join(' ').trim() : shortly(error);
  const name = isError ? error.name : 'thrown';
  return cut(text ? `${name}: ${text}` : String(name));
}

/** Read the job, judge, report: the same frames as judge.py. */
async function main(jobFd, reportFd, linkFd) {
  const job = JSON.parse(fs.readFileSync(jobFd, 'utf8'));
  const link = new Link(linkFd, () => wire.send(reportFd, ['called']));
  const exit = process.exit.bind(process);
  const trial = new Trial(job, link);
  wire.send(reportFd, ['report', await trial.run()]);
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', () => exit(0));
  const behaviour = await observe(link, trial.handleOfEntryPoint());
  if (behaviour) wire.send(reportFd, ['behaviour', behaviour]);
  exit(0);
}

main(...process.argv.slice(2, 5).map(Number));
