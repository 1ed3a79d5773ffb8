'use strict';
// How a trial ends, and how each of its tests did.

const { cut } = require('./asserts.js');

/** How a trial ends. */
class Conclusion extends Error {
  constructor(outcome, reason, facts = {}) {
    super(reason);
    this.outcome = outcome;
    this.reason = reason;
    this.facts = facts;
  }
}

/** Notes how each test ended; some ends are the end of all tests. */
class Judging {
  constructor(trial) {
    this.trial = trial;
    this.assert = trial.assert;
    this.results = [];
    this.fatal = null;
    this.failed = null;
    this.nRequests = 0;
  }

  begin() {
    this.trial.recorder.forget();
    this.trial.stray = null;
    this.nRequests = this.trial.link.nRequests;
  }

  end(name, error, hasError = true) {
    const stray = this.trial.stray;
    const conclusion = this.trial.explained(error, hasError || stray) || (stray && this.trial.explained(stray.error, true));
    if (!conclusion) {
      this.results.push([name, 'passed', null]);
      return;
    }
    this.results.push([name, 'failed', conclusion.reason]);
    if (!conclusion.facts.failed) {
      this.fatal = this.fatal || conclusion;
    } else if (!this.failed) {
      conclusion.reason = `${name}: ${conclusion.reason}`;
      this.failed = conclusion;
    }
  }

  skip(name, reason) {
    const { link } = this.trial;
    if (link.nRequests !== this.nRequests) {
      // It asked the program something first: a program must not choose which tests it has to pass.
      link.cannot(`${name} skips itself depending on the program`);
      this.fatal = this.fatal || this.trial.explained(undefined, false);
    }
    this.results.push([name, 'skipped', cut(String(reason))]);
  }
}

module.exports = { Conclusion, Judging };
