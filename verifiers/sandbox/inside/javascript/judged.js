'use strict';
// The process under test: runs the program and answers the judge's requests about it.
//
// Everything in here shares its process with a hostile program, which may change any of it. That is fine: it sees
// arguments and never expected values, and what it answers is only ever taken as the program's own word.

const fs = require('node:fs');
const { inspect, types } = require('node:util');
const wire = require('./wire.js');
const { CodecError, Decoder, Encoder } = require('./codec.js');
const { Program } = require('./program.js');
// Taken before a program can redefine them: its top level shares the global scope with this module.
const {
  Error, JSON, Map, Number, Object, Promise, Reflect, Set, String, clearTimeout, process, setImmediate,
  setTimeout,
} = globalThis;

const MAX_HANDLES = 50_000;
const MAX_TEXT = 200_000; // characters of a text asked for by the tests
const MAX_PROPERTIES = 20; // of an error
const MAX_NESTED_ERRORS = 4;

class Judged {
  constructor(fd) {
    this.fd = fd;
    this.handles = [];
    this.handleOf = new Map();
    this.callbacks = new Map();
    this.nCallbacks = 0;
    this.nResources = process.getActiveResourcesInfo().length; // of this process itself
    this.settled = new Map(); // handle of a promise: how it ended
    this.wake = () => {};
    this.promised = new Map(); // promises of the tests: how to settle ours
    this.program = new Program();
    this.writing = new Set(); // errors: they may hold each other, in circles too
  }

  async serve() {
    for (;;) {
      const [number, name, ...rest] = wire.receive(this.fd);
      const operation = ASYNCHRONOUS[name];
      if (operation) await this.answerLater(number, operation, rest);
      else this.answer(number, name, rest);
    }
  }

  answer(number, name, rest) {
    let reply;
    try {
      reply = [number, 'ok', ...OPERATIONS[name].apply(this, rest)];
    } catch (error) {
      reply = this.failure(number, error);
    }
    this.reply(number, reply);
  }

  async answerLater(number, operation, rest) {
    let reply;
    try {
      reply = [number, 'ok', ...await operation.apply(this, rest)];
    } catch (error) {
      reply = this.failure(number, error);
    }
    this.reply(number, reply);
  }

  failure(number, error) {
    if (error instanceof CodecError) return [number, 'unwritable', error.message];
    try {
      return [number, 'threw', this.encoder().encode(error)];
    } catch {
      return [number, 'threw', ['X', [], 'Error', 'Error', 'an error that cannot be written', []]];
    }
  }

  reply(number, reply) {
    try {
      wire.send(this.fd, reply);
    } catch (error) {
      if (!(error instanceof wire.MalformedFrameError)) process.exit(0);
      wire.send(this.fd, [number, 'unwritable', error.message]);
    }
  }

  // Objects that stay here

  encoder(options) {
    return new Encoder((value) => this.opaque(value), { staysHere, ...options });
  }

  decoder() {
    return new Decoder((node) => this.incoming(node));
  }

  opaque(value) {
    if (typeof value === 'symbol') return ['sy', this.handle(value), String(value.description).slice(0, 100)];
    if (types.isNativeError(value)) return this.error(value);
    if (types.isPromise(value)) return ['co', this.promise(value)];
    if (typeof value === 'function') return ['p', this.handle(value), 'f', nameOf(value), 0];
    const prototype = Object.getPrototypeOf(value);
    const kind = prototype === null ? -1 : prototype === Object.prototype ? 0 : this.handle(prototype) + 1;
    return ['p', this.handle(value), 'o', nameOf(classOf(value)), kind];
  }

  handle(value) {
    let handle = this.handleOf.get(value);
    if (handle === undefined) {
      handle = this.handles.length;
      if (handle >= MAX_HANDLES) throw new CodecError('too many objects that are not plain data');
      this.handles.push(value);
      this.handleOf.set(value, handle);
    }
    return handle;
  }

  /** Write an error: its classes that are the program's own, the builtin they derive from, name, message, the rest. */
  error(value) {
    const own = [];
    let builtin = 'Error';
    for (let kind = classOf(value); typeof kind === 'function' && own.length < 20; kind = Object.getPrototypeOf(kind)) {
      if (kind === globalThis[kind.name] && this.program.builtins.has(kind.name)) {
        builtin = kind.name;
        break;
      }
      own.push([this.handle(kind), nameOf(kind)]);
    }
    return ['X', own, builtin, text(value.name), text(value.message), this.propertiesOf(value)];
  }

  propertiesOf(value) {
    const properties = [];
    if (this.writing.size >= MAX_NESTED_ERRORS || this.writing.has(value)) return properties;
    this.writing.add(value);
    for (const key of [...Object.keys(value), 'cause', 'errors'].slice(0, MAX_PROPERTIES)) {
      if (key === 'name' || key === 'message' || key === 'stack' || !Object.hasOwn(value, key)) continue;
      try {
        properties.push([key, this.encoder().encode(value[key])]);
      } catch {
        continue; // it stays over here
      }
    }
    this.writing.delete(value);
    return properties;
  }

  promise(value) {
    const known = this.handleOf.has(value);
    const handle = this.handle(value);
    if (known) return handle;
    const settle = (how) => (result) => {
      this.settled.set(handle, [how, result]);
      this.wake();
    };
    Promise.prototype.then.call(value, settle('ok'), settle('threw'));
    return handle;
  }

  incoming(node) {
    switch (node[0]) {
      case 'h':
        return this.handles[node[1]];
      case 'cb':
        return this.callback(node[1], node[2], node[3]);
      case 'pr':
        return this.promiseOfTheTests(node[1]);
      case 'g':
        return globalThis[node[1]];
      case 'X': {
        const kind = this.program.builtins.has(node[1]) ? globalThis[node[1]] : Error;
        const error = new kind(node[3]);
        if (error.name !== node[2]) Object.defineProperty(error, 'name', { value: node[2], configurable: true });
        return error;
      }
      default:
        throw new CodecError('unknown tag');
    }
  }

  promiseOfTheTests(place) {
    if (!this.promised.has(place)) {
      const made = {};
      made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
      this.promised.set(place, made);
    }
    return this.promised.get(place).promise;
  }

  /** Return a function that calls one of the tests' own, over there. */
  callback(place, name, length) {
    if (this.callbacks.has(place)) return this.callbacks.get(place);
    const judged = this;
    const call = function (...args) {
      judged.nCallbacks += 1;
      const encoder = judged.encoder();
      const self = this === undefined || this === globalThis ? ['u'] : encoder.encode(this);
      wire.send(judged.fd, [judged.nCallbacks, 'callback', place, self, args.map((arg) => encoder.encode(arg))]);
      for (;;) {
        const [number, word, ...rest] = wire.receive(judged.fd);
        if (word === 'returned') return judged.decoder().decode(rest[0]);
        if (word === 'failed') throw judged.decoder().decode(rest[0]);
        judged.answer(number, word, rest);
      }
    };
    Object.defineProperty(call, 'name', { value: name, configurable: true });
    Object.defineProperty(call, 'length', { value: length, configurable: true });
    this.callbacks.set(place, call);
    this.handle(call); // the tests may be given it back
    return call;
  }

  invoke(table, act) {
    const decoder = this.decoder();
    const known = decoder.table(table);
    const result = act(decoder);
    const encoder = this.encoder({ numbers: new Map(known.map((thing, number) => [thing, number])) });
    const changes = [];
    known.forEach((thing, number) => {
      const now = encoder.contents(thing, table[number][0]);
      if (JSON.stringify(now) !== JSON.stringify(table[number])) changes.push([number, now]);
    });
    return [encoder.encode(result), changes];
  }

  /** Let the event loop turn until one of these promises is settled, or some milliseconds are over. */
  async turn(waiting, milliseconds) {
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      const check = () => {
        if (!waiting.some((handle) => this.settled.has(handle))) return;
        clearTimeout(timer);
        resolve();
      };
      this.wake = check;
      setImmediate(check);
    });
    this.wake = () => {};
    const found = [];
    for (const handle of waiting) {
      const how = this.settled.get(handle);
      if (how) found.push([handle, how[0], this.encoder().encode(how[1])]);
    }
    return [found, process.getActiveResourcesInfo().length <= this.nResources];
  }
}

function text(value) {
  return typeof value === 'string' ? value.slice(0, MAX_TEXT) : '';
}

function nameOf(kind) {
  return typeof kind === 'function' && typeof kind.name === 'string' ? kind.name.slice(0, 80) : '';
}

function classOf(value) {
  const found = value.constructor;
  return typeof found === 'function' ? found : Object;
}

/** Objects that do something stay with the program: a copy of them would go stale. */
function staysHere(value, tag) {
  if (tag !== 'o' && tag !== 'O') return false;
  return Reflect.ownKeys(value).some((key) => {
    const property = Object.getOwnPropertyDescriptor(value, key);
    return !('value' in property) || typeof property.value === 'function';
  });
}

function keysInChain(value) {
  const keys = new Set();
  for (let at = value, n = 0; at !== null && n < 50; at = Object.getPrototypeOf(at), n += 1) {
    Reflect.ownKeys(at).forEach((key) => keys.add(key));
  }
  return [...keys];
}

const ASYNCHRONOUS = {
  async load(program, files) {
    await this.program.load(program, files);
    const { own, names } = this.program;
    return [names, typeof own === 'function' ? this.opaque(own) : ['u']];
  },
  turn: Judged.prototype.turn,
};

const OPERATIONS = {
  get(name) {
    const [found, value] = this.program.get(name);
    return found ? [true, this.encoder().encode(value)] : [false, ['u']];
  },
  call(target, self, table, args) {
    return this.invoke(table, (decoder) => {
      const values = args.map((arg) => decoder.decode(arg));
      return Reflect.apply(this.handles[target], decoder.decode(self), values);
    });
  },
  new(target, table, args) {
    return this.invoke(table, (decoder) => Reflect.construct(
      this.handles[target], args.map((arg) => decoder.decode(arg)),
    ));
  },
  attr(handle, key) {
    return [this.encoder().encode(this.handles[handle][this.decoder().decode(key)])];
  },
  'set attr'(handle, key, node) {
    const decoder = this.decoder();
    return [Reflect.set(this.handles[handle], decoder.decode(key), decoder.decode(node))];
  },
  'del attr'(handle, key) {
    return [Reflect.deleteProperty(this.handles[handle], this.decoder().decode(key))];
  },
  keys(handle) {
    const value = this.handles[handle];
    const encoder = this.encoder();
    return [Reflect.ownKeys(value).map((key) => {
      const property = Object.getOwnPropertyDescriptor(value, key) || {};
      return [encoder.encode(key), property.enumerable === true, property.writable !== false];
    })];
  },
  'keys in chain'(handle) {
    const encoder = this.encoder();
    return [keysInChain(this.handles[handle]).map((key) => encoder.encode(key))];
  },
  text(handle) {
    return [`${this.handles[handle]}`.slice(0, MAX_TEXT)];
  },
  inspect(handle) {
    return [String(inspect(this.handles[handle], { depth: 2 })).slice(0, MAX_TEXT)];
  },
  'is instance'(handle, kind) {
    return [this.handles[handle] instanceof this.handles[kind]];
  },
  settle(place, isFine, node) {
    this.promiseOfTheTests(place);
    const { resolve, reject, promise } = this.promised.get(place);
    Promise.prototype.then.call(promise, undefined, () => {});
    (isFine ? resolve : reject)(this.decoder().decode(node));
    return [];
  },
};

function main(fd) {
  for (const stream of [process.stdout, process.stderr]) {
    if (stream._handle && stream._handle.setBlocking) stream._handle.setBlocking(true); // or what is printed would wait
  }
  new Judged(fd).serve().catch((error) => {
    if (!(error instanceof wire.PeerGoneError)) fs.writeSync(2, `${inspect(error)}\n`);
    process.exit(0);
  });
}

main(Number(process.argv[2]));
