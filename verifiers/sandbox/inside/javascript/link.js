'use strict';
// The judge's end of the pipe to the program: requests out, plain data back, every answer doubted.

const { AssertionError } = require('node:assert');
const { types } = require('node:util');
const wire = require('./wire.js');
const { CodecError, Decoder, Encoder } = require('./codec.js');
const { Proxies } = require('./proxies.js');

const MAX_REQUESTS = 200_000;
const MAX_NESTING = 20; // judge calls program calls judge calls ...
const MAX_TEXT = 300;
const MAX_CALLS_KEPT = 200;
const TURN_MS = 5;
const N_IDLE_TURNS = 4; // in a row, with nothing to wait for on either side, until it is clear that nothing will come
// What the tests can change for themselves alone, although they mean to change it for the program.
const SHARED = [
  ...['log', 'error', 'warn', 'info', 'debug'].map((name) => ['console', console, name]),
  ['Math', Math, 'random'], ['Date', Date, 'now'], ['process', process, 'exit'], ['process.stdout', process.stdout, 'write'],
  ...['Date', 'setTimeout', 'setInterval', 'fetch', 'Promise'].map((name) => ['globalThis', globalThis, name]),
];

/** Nothing more can be asked of the program; thrown through the tests. */
class ProgramFatal extends Error {
  constructor(reason, kind) {
    super(`the program ${reason}`);
    this.reason = reason;
    this.kind = kind;
    this.isStop = true;
  }
}

/** The tests need something that cannot cross to the program; thrown through the tests. */
class UnsupportedTestError extends Error {
  constructor(why) {
    super(why);
    this.isStop = true;
  }
}

/** Asks the judged process, one request at a time. */
class Link {
  constructor(fd, onFirstCall) {
    this.fatal = null;
    this.unsupported = null;
    this.nUses = 0;
    this.nRequests = 0;
    this.nTrusted = 0;
    this.lastCall = null; // says what the program was last asked, and gave
    this.thrown = new Set(); // what the program threw, as the tests got it
    this.calls = []; // handle and arguments of the first calls, as nodes
    this.fd = fd;
    this.onFirstCall = onFirstCall;
    this.nesting = 0;
    this.callbacks = [];
    this.numberOfCallback = new Map();
    this.promises = new Map(); // handle: how to settle our promise
    this.promiseOf = new Map(); // handle: our promise
    this.numberOfPromise = new Map();
    this.proxies = new Proxies(this);
    this.shared = [];
  }

  // What the tests do with it

  /** Call, or construct with, an object of the program; arguments it changed in place are changed here too. */
  call(operation, handle, name, self, args) {
    this.countUse();
    const encoder = this.encoder({ collect: true });
    const [owner, nodes] = this.written(() => [encoder.encode(self), args.map((arg) => encoder.encode(arg))]);
    if (operation === 'call' && !encoder.hasOpaque && this.nesting === 0) this.remember(handle, encoder.table, nodes);
    const given = operation === 'call' ? [handle, owner, encoder.table, nodes] : [handle, encoder.table, nodes];
    const [result, changes] = this.request(2, operation, ...given);
    const decoder = new Decoder((node) => this.incoming(node), encoder.objects);
    return this.read(() => {
      changes.forEach(([number, node]) => decoder.refill(encoder.objects[number], node));
      return decoder.decode(result);
    });
  }

  countUse() {
    if (!this.nUses) this.onFirstCall();
    this.nUses += 1;
  }

  /** Keep the arguments of the first calls: other programs are told apart from this one by running them on these. */
  remember(handle, table, nodes) {
    if (this.calls.length < MAX_CALLS_KEPT) this.calls.push([handle, table, nodes]);
  }

  /** Return whether the program has a name, and its value. */
  get(name) {
    const [found, node] = this.request(2, 'get', name);
    return [found === true, this.decode(node)];
  }

  /** Return the value that one operation on an object of the program gives. */
  value(operation, ...given) {
    this.countUse();
    return this.decode(this.request(1, operation, ...given)[0]);
  }

  /** Return what `value` does, if it is exactly of that type. */
  exactly(type, operation, ...given) {
    const answer = this.value(operation, ...given);
    if (typeof answer !== type) throw this.violated(`gave no ${type} to ${operation}`);
    return answer;
  }

  /** Write a value that the tests send outside a call. */
  node(value) {
    return this.written(() => this.encoder().encode(value));
  }

  /** Run the program's top level; return its names and, if all that it exports is a function, that function. */
  load(program, files) {
    const [names, node] = this.request(2, 'load', program, files);
    if (!Array.isArray(names)) throw this.violated('sent an ill-formed reply');
    return [names.filter((name) => typeof name === 'string'), this.decode(node)];
  }

  // Time

  /** Wait for a promise of the tests, letting the program's event loop turn meanwhile. */
  async settle(promise) {
    let done = false;
    const end = () => { done = true; };
    promise.then(end, end);
    const gaveUp = await this.turnWhile(() => !done);
    if (gaveUp) throw this.stop('never did what the tests wait for: nothing is left that could', 'stuck');
    return promise;
  }

  /** Wait for what the tests have begun and nobody awaits, as node does before it exits.
   *
   * ownCallbacks: wait for the program's timers too, which may call functions of the tests.
   */
  async drain({ ownCallbacks }) {
    await this.turnWhile((idle) => hasTimers() || this.promises.size > 0
      || (ownCallbacks && this.callbacks.length > 0 && !idle));
    await new Promise(setImmediate);
  }

  /** Let both event loops turn for as long as `goesOn`; return whether it was given up, both having nothing to do. */
  async turnWhile(goesOn) {
    let idle = false;
    for (let nIdle = 0; nIdle <= N_IDLE_TURNS; nIdle = idle && !hasTimers() ? nIdle + 1 : 0) {
      await new Promise(setImmediate);
      if (this.fatal) throw this.fatal;
      if (this.unsupported) throw this.unsupported;
      if (!goesOn(idle)) return false;
      idle = this.turn();
    }
    return true;
  }

  /** Let the program's event loop turn; return whether it has nothing to do there and nothing was settled. */
  turn() {
    const waiting = [...this.promises.keys()];
    const [settled, idle] = this.request(2, 'turn', waiting, TURN_MS);
    if (!Array.isArray(settled)) throw this.violated('sent an ill-formed reply');
    for (const entry of settled) {
      const [handle, how, node] = Array.isArray(entry) ? entry : [];
      const waits = this.promises.get(handle);
      if (!waits) throw this.violated('settled a promise that nobody waits for');
      this.promises.delete(handle);
      const value = this.decode(node);
      if (how === 'ok') waits.resolve(value);
      else waits.reject(this.raisedByProgram(value));
    }
    return idle === true && !settled.length;
  }

  // Requests and replies

  request(nFields, ...request) {
    if (this.fatal) throw this.fatal;
    if (this.unsupported) throw this.unsupported;
    this.requireUnchanged();
    this.nRequests += 1;
    const number = this.nRequests;
    if (number > MAX_REQUESTS) {
      throw this.stop(`was asked for more than ${MAX_REQUESTS} things, as by an endless iterator`, 'messages');
    }
    try {
      wire.send(this.fd, [number, ...request]);
    } catch (error) {
      throw error instanceof wire.PeerGoneError ? this.gone() : this.cannot(`the tests hand ${error.message} to the program`);
    }
    return this.reply(number, nFields);
  }

  reply(number, nFields) {
    for (;;) {
      let reply;
      try {
        reply = wire.receive(this.fd);
      } catch (error) {
        throw error instanceof wire.PeerGoneError ? this.gone() : this.violated(`sent ${error.message}`);
      }
      if (reply[1] !== 'callback') return this.understood(reply, number, nFields);
      this.calledBack(reply);
    }
  }

  understood(reply, number, nFields) {
    const [answered, word, ...fields] = reply;
    if (answered !== number) throw this.violated('answered something that was not asked');
    if (word === 'ok' && fields.length === nFields) return fields;
    if (word === 'unwritable' && typeof fields[0] === 'string') {
      throw this.stop(`returned ${fields[0].slice(0, 200)}`, 'value');
    }
    if (word === 'threw' && fields.length === 1) throw this.raisedByProgram(this.decode(fields[0]));
    throw this.violated('sent an ill-formed reply');
  }

  raisedByProgram(value) {
    this.thrown.add(value);
    return value;
  }

  calledBack(message) {
    const [number, , place, self, args] = message;
    this.nesting += 1;
    if (this.nesting > MAX_NESTING) throw this.stop('called back and forth too deeply', 'recursion');
    if (!Number.isInteger(place) || !this.callbacks[place] || !Array.isArray(args)) {
      throw this.violated('called something that it was not given');
    }
    let reply;
    try {
      const result = Reflect.apply(this.callbacks[place], this.decode(self), args.map((arg) => this.decode(arg)));
      reply = [number, 'returned', this.node(result)];
    } catch (error) {
      reply = [number, 'failed', this.failureNode(error)];
    }
    wire.send(this.fd, reply);
    this.nesting -= 1;
  }

  /** Write what a function of the tests threw; a failed assertion must not depend on what the program makes of it. */
  failureNode(error) {
    if (this.fatal) throw this.fatal;
    if (this.unsupported) throw this.unsupported;
    if (error instanceof AssertionError && !this.thrown.has(error)) {
      throw this.stop('made an assertion fail in a function of the tests that it was given', 'callback');
    }
    return this.node(error);
  }

  // Ends

  stop(reason, kind) {
    this.fatal = this.fatal || new ProgramFatal(reason, kind);
    return this.fatal;
  }

  gone() {
    return this.stop('ended before it had answered', 'gone');
  }

  violated(what) {
    return this.stop(what, 'protocol');
  }

  cannot(why) {
    this.unsupported = this.unsupported || new UnsupportedTestError(why);
    return this.unsupported;
  }

  /** Take the console and process.exit of this moment for those that the tests have found. */
  expectOwnConsole() {
    this.shared = SHARED.map(([where, owner, name]) => [where, where === 'console' ? console : owner, name])
      .map(([where, owner, name]) => [`${where}.${name}`, owner, name, owner[name]]);
  }

  /** Refuse tests that change for themselves what they mean to change for the program. */
  requireUnchanged() {
    const changed = this.shared.find(([, owner, name, value]) => owner[name] !== value);
    if (changed) throw this.cannot(`the tests cannot be kept apart from the program: they change its ${changed[0]}`);
  }

  // Values

  written(write) {
    try {
      return write();
    } catch (error) {
      if (error instanceof CodecError) throw this.cannot(`the tests hand ${error.message} to the program`);
      throw error;
    }
  }

  read(decode) {
    try {
      return decode();
    } catch (error) {
      if (error.isStop) throw error;
      throw this.violated(`sent ${error instanceof CodecError ? error.message : 'an ill-formed reply'}`);
    }
  }

  decode(node) {
    return this.read(() => new Decoder((one) => this.incoming(one)).decode(node));
  }

  incoming(node) {
    switch (node[0]) {
      case 'p':
      case 'sy':
      case 'X':
        return this.proxies.standIn(node);
      case 'co':
        return this.promise(node[1]);
      default:
        throw new CodecError(`unknown tag ${JSON.stringify(node[0].slice(0, 20))}`);
    }
  }

  /** Return our promise for one of the program's. */
  promise(handle) {
    if (!Number.isInteger(handle)) throw new CodecError('an ill-formed promise');
    if (!this.promiseOf.has(handle)) {
      this.promiseOf.set(handle, new Promise((resolve, reject) => this.promises.set(handle, { resolve, reject })));
      this.proxies.know(this.promiseOf.get(handle), handle);
    }
    return this.promiseOf.get(handle);
  }

  encoder(options) {
    const isForeign = (value) => this.proxies.handleOf(value) !== undefined;
    return new Encoder((value, encoder) => this.outgoing(value, encoder), { isForeign, ...options });
  }

  outgoing(value, encoder) {
    encoder.hasOpaque = true;
    const handle = this.proxies.handleOf(value);
    if (handle !== undefined) return ['h', handle];
    if (typeof value === 'function') return this.functionNode(value);
    if (types.isPromise(value)) return this.promiseNode(value);
    if (types.isNativeError(value)) return ['X', builtinOf(value), String(value.name), String(value.message)];
    const what = typeof value === 'symbol' ? 'symbol' : (value.constructor && value.constructor.name) || 'strange';
    throw new CodecError(`a ${what} object`);
  }

  functionNode(value) {
    if (globalThis[value.name] === value) return ['g', value.name];
    if (!this.numberOfCallback.has(value)) {
      this.numberOfCallback.set(value, this.callbacks.length);
      this.callbacks.push(value);
    }
    return ['cb', this.numberOfCallback.get(value), String(value.name).slice(0, MAX_TEXT), value.length];
  }

  promiseNode(value) {
    let place = this.numberOfPromise.get(value);
    if (place === undefined) {
      place = this.numberOfPromise.size;
      this.numberOfPromise.set(value, place);
      const settle = (isFine, result) => {
        if (!this.fatal && !this.unsupported) this.request(0, 'settle', place, isFine, result);
      };
      value.then((result) => settle(true, this.node(result)), (error) => settle(false, this.failureNode(error)))
        .catch(() => {}); // the end of the program, which the link remembers
    }
    return ['pr', place];
  }
}

function hasTimers() {
  return process.getActiveResourcesInfo().includes('Timeout');
}

function builtinOf(error) {
  for (let kind = error.constructor; typeof kind === 'function'; kind = Object.getPrototypeOf(kind)) {
    if (kind.name && globalThis[kind.name] === kind) return kind.name;
  }
  return 'Error';
}

module.exports = { Link, ProgramFatal, UnsupportedTestError };
