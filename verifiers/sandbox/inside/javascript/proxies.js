'use strict';
// Stand-ins, in the judge, for what stays in the program: functions, classes, instances, errors, symbols.
//
// The program is never asked whether something of its own equals a value of the tests, and never told a key that it has
// not named itself. Comparing an object of the program as a number cannot be judged: it could answer differently each
// time. Everything read from it is the program's own word, as a returned value is.

const { inspect } = require('node:util');
const { CodecError } = require('./codec.js');

const MAX_TEXT = 300;
const UNMAKEABLE = new Set(['AggregateError']); // from a message alone

class Proxies {
  constructor(link) {
    this.link = link;
    this.standIns = new Map(); // handle: stand-in
    this.handles = new Map(); // stand-in: handle
    this.classes = new Map(); // handle of an error class: our class
    this.chains = new WeakMap(); // error: handles of its classes
    this.prototypes = new Map();
  }

  /** Return the program's handle of a stand-in. */
  handleOf(value) {
    return this.handles.get(value);
  }

  /** Note that `value` stands for the object of that handle. */
  know(value, handle) {
    this.standIns.set(handle, value);
    this.handles.set(value, handle);
  }

  standIn(node) {
    if (node[0] === 'X') return this.error(node);
    const [tag, handle, ...about] = node;
    if (!Number.isInteger(handle)) throw new CodecError('an ill-formed handle');
    if (!this.standIns.has(handle)) {
      this.know(tag === 'sy' ? Symbol(String(about[0])) : this.make(handle, ...about), handle);
    }
    return this.standIns.get(handle);
  }

  make(handle, kind, name, prototype) {
    if (typeof name !== 'string' || !Number.isInteger(prototype)) throw new CodecError('an ill-formed object');
    const label = /^[\p{ID_Continue}$]{0,80}$/u.test(name) ? name : '';
    // A bound function can be called and constructed, and has no property that a stand-in would have to show.
    const target = kind === 'f' ? function () {}.bind() : Object.create(null);
    Object.defineProperty(target, inspect.custom, { value: () => this.shown(handle, label), configurable: true });
    const made = new Proxy(
      target, kind === 'f' ? this.functionTraps(handle, label, () => made) : this.traps(handle, label, prototype),
    );
    return made;
  }

  functionTraps(handle, name, self) {
    return {
      ...this.traps(handle, name, 0),
      apply: (_, owner, args) => this.called(name, args, () => this.link.call('call', handle, name, owner, args)),
      construct: (_, args, newTarget) => {
        if (newTarget !== self()) throw this.link.cannot('the tests derive a class of their own from a class of the program');
        return this.called(`new ${name}`, args, () => this.constructed(handle, name, args));
      },
      getPrototypeOf: () => Function.prototype,
    };
  }

  constructed(handle, name, args) {
    const made = this.link.call('new', handle, name, undefined, args);
    if (typeof made !== 'object' && typeof made !== 'function') throw this.link.violated('constructed no object');
    return made;
  }

  called(name, args, call) {
    this.link.lastCall = null;
    const result = call();
    this.link.lastCall = () => `${name}(${args.map((arg) => shortly(arg)).join(', ')}) gave ${shortly(result)}`;
    return result;
  }

  traps(handle, name, prototype) {
    const { link } = this;
    return {
      get: (_, key) => this.read(handle, name, key),
      set: (_, key, value) => link.exactly('boolean', 'set attr', handle, link.node(key), link.node(value)),
      deleteProperty: (_, key) => link.exactly('boolean', 'del attr', handle, link.node(key)),
      has: (_, key) => this.keys('keys in chain', handle).includes(key),
      ownKeys: () => this.ownKeys(handle).map(([key]) => key),
      getOwnPropertyDescriptor: (_, key) => this.property(handle, key),
      getPrototypeOf: () => this.prototype(prototype),
      defineProperty: () => { throw link.cannot('the tests define properties of an object of the program'); },
      isExtensible: () => { throw link.cannot('the tests ask whether an object of the program is frozen'); },
      preventExtensions: () => { throw link.cannot('the tests freeze an object of the program'); },
      setPrototypeOf: () => { throw link.cannot('the tests change the class of an object of the program'); },
    };
  }

  read(handle, name, key) {
    const { link } = this;
    if (key === Symbol.toPrimitive) return (hint) => this.primitive(handle, name, hint);
    if (key === Symbol.hasInstance) return (value) => this.isInstance(handle, value);
    return link.value('attr', handle, link.node(key));
  }

  primitive(handle, name, hint) {
    if (hint === 'string') return this.link.exactly('string', 'text', handle);
    throw this.link.cannot(
      `the program gave a ${name || 'function'} object of its own, and only it could say what that and a plain value give`,
    );
  }

  shown(handle, name) {
    try {
      return this.link.exactly('string', 'inspect', handle).slice(0, MAX_TEXT);
    } catch {
      return `<a ${name} object>`;
    }
  }

  isInstance(handle, value) {
    const chain = typeof value === 'object' && value !== null ? this.chains.get(value) : undefined;
    if (chain) return chain.includes(handle);
    const other = this.handleOf(value);
    if (other === undefined) return false;
    this.link.nTrusted += 1;
    return this.link.exactly('boolean', 'is instance', other, handle);
  }

  keys(operation, handle) {
    const [nodes] = this.link.request(1, operation, handle);
    if (!Array.isArray(nodes)) throw this.link.violated('sent an ill-formed reply');
    return nodes.map((node) => this.key(node));
  }

  key(node) {
    const key = this.link.decode(node);
    if (typeof key !== 'string' && typeof key !== 'symbol') throw this.link.violated('sent an ill-formed key');
    return key;
  }

  ownKeys(handle) {
    const [entries] = this.link.request(1, 'keys', handle);
    if (!Array.isArray(entries) || !entries.every(Array.isArray)) throw this.link.violated('sent an ill-formed reply');
    const found = new Map(entries.map(([node, ...about]) => [this.key(node), about]));
    return [...found];
  }

  property(handle, key) {
    const known = this.ownKeys(handle).find(([name]) => name === key);
    if (!known) return undefined;
    const [enumerable, writable] = known[1];
    const value = this.link.value('attr', handle, this.link.node(key));
    return { value, enumerable: enumerable === true, writable: writable === true, configurable: true };
  }

  /** Return what stands for a prototype: the same for all instances of one class. */
  prototype(kind) {
    if (kind < 0) return null;
    if (kind === 0) return Object.prototype;
    if (!this.prototypes.has(kind)) this.prototypes.set(kind, Object.create(Object.prototype));
    return this.prototypes.get(kind);
  }

  /** Return a real error, of a class that stands for the program's and derives from the same builtin. */
  error([, own, builtin, name, message, properties]) {
    if (!Array.isArray(own) || !Array.isArray(properties) || typeof message !== 'string' || typeof name !== 'string') {
      throw new CodecError('an ill-formed error');
    }
    const base = errorClass(builtin);
    const kinds = own.slice(0, 20).reverse();
    const kind = kinds.reduce((parent, entry) => this.classOf(parent, entry), base);
    const error = new kind(message);
    if (error.name !== name) hide(error, 'name', name);
    properties.slice(0, 20).forEach(([key, node]) => {
      if (typeof key !== 'string') throw new CodecError('an ill-formed error');
      const value = this.link.decode(node);
      if (key === 'cause' || key === 'errors') hide(error, key, value);
      else Object.defineProperty(error, key, { value, writable: true, enumerable: true, configurable: true });
    });
    this.chains.set(error, kinds.map(([handle]) => handle));
    return error;
  }

  classOf(parent, entry) {
    const [handle, name] = Array.isArray(entry) ? entry : [];
    if (!Number.isInteger(handle)) throw new CodecError('an ill-formed error');
    if (!this.classes.has(handle)) {
      const made = { [name]: class extends parent {} }[name];
      hide(made.prototype, 'constructor', this.standIn(['p', handle, 'f', String(name), 0]));
      this.classes.set(handle, made);
    }
    return this.classes.get(handle);
  }
}

function errorClass(name) {
  const found = typeof name === 'string' ? globalThis[name] : undefined;
  const isError = typeof found === 'function' && (found === Error || Object.getPrototypeOf(found) === Error);
  return isError && !UNMAKEABLE.has(name) ? found : Error;
}

function hide(object, key, value) {
  Object.defineProperty(object, key, { value, writable: true, configurable: true });
}

/** Return a short text for any value, never failing. */
function shortly(value) {
  try {
    const text = inspect(value, { depth: 6, breakLength: Infinity, maxStringLength: MAX_TEXT });
    return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}... (${text.length} characters)`;
  } catch (error) {
    return `<a value that cannot be shown: ${error && error.name}>`;
  }
}

module.exports = { Proxies, shortly };
