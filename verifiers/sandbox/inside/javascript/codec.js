'use strict';
// JavaScript values as plain data: what may cross between the judge and the judged, and nothing else.
//
// A scalar stands for itself; everything else is a JSON array that begins with its tag:
//   ["l"|"s"|"m"|"o"|"O", items, frozen?]  array, Set, Map, object, object without prototype: by value; an array's
//                          properties that are no items of it come fourth
//   ["r", n]               the n-th mutable container of the call's table: identity and cycles
//   ["u"] ["n", text] ["i", digits] ["-"]  undefined; NaN, infinities and -0; BigInt; a hole of an array
//   ["D", ms] ["re", source, flags] ["ta", kind, hex]  Date, RegExp, typed arrays and buffers
//   ["sf", key] ["sw", name]  symbols of the registry, and well-known ones
//   anything else          is the business of `opaque`: what stays with its owner

const { types } = require('node:util');
const {
  Array, BigInt, Buffer, Date, Error, JSON, Map, Number, Object, Reflect, RegExp, Set, String, Symbol,
  Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
  Float64Array, BigInt64Array, BigUint64Array, ArrayBuffer,
} = globalThis;

const MAX_DEPTH = 100;
const MAX_NODES = 1_000_000;
const ITEM = /^(?:0|[1-9]\d{0,9})$/;
const MAX_PATTERN = 10_000; // characters of a regular expression
const HOLE = ['-'];
const NUMBERS = { nan: NaN, inf: Infinity, '-inf': -Infinity, '-0': -0 };
const WELL_KNOWN = new Map(
  Reflect.ownKeys(Symbol).filter((name) => typeof Symbol[name] === 'symbol').map((name) => [Symbol[name], name]),
);
const VIEWS = {
  Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
  Float64Array, BigInt64Array, BigUint64Array, Buffer, ArrayBuffer,
};
const PROTOTYPES = { l: Array.prototype, s: Set.prototype, m: Map.prototype, o: Object.prototype, O: null };

/** A value cannot be written, or what arrived is not a value. */
class CodecError extends Error {}

/** Return the tag of a mutable container that is exactly of a base type, or undefined. */
function tagOf(value) {
  const prototype = Object.getPrototypeOf(value);
  if (Array.isArray(value)) return prototype === Array.prototype ? 'l' : undefined;
  if (types.isMap(value)) return prototype === Map.prototype ? 'm' : undefined;
  if (types.isSet(value)) return prototype === Set.prototype ? 's' : undefined;
  if (types.isNativeError(value) || types.isBoxedPrimitive(value) || types.isDate(value)) return undefined;
  if (types.isArgumentsObject(value) || types.isGeneratorObject(value)) return undefined;
  if (prototype === Object.prototype) return 'o';
  return prototype === null ? 'O' : undefined;
}

/** Writes values as JSON nodes.
 *
 * opaque: writes what is not plain data; throws CodecError for what it will not.
 * isForeign: whether a value stands for something on the other side, and is to be left to `opaque` unseen.
 * staysHere: whether a container is to be left to `opaque` although it is of a base type.
 * numbers: Map of mutable containers that both sides know, to their number; written as references.
 * collect: give every mutable container a number and put its contents in `table`.
 */
class Encoder {
  constructor(opaque, { isForeign = () => false, staysHere = () => false, numbers = new Map(), collect = false } = {}) {
    this.table = [];
    this.objects = [];
    this.opaque = opaque;
    this.isForeign = isForeign;
    this.staysHere = staysHere;
    this.numbers = new Map(numbers);
    this.collect = collect;
    this.nNodes = 0;
    this.depth = 0;
  }

  encode(value) {
    switch (typeof value) {
      case 'boolean':
      case 'string':
        return value;
      case 'undefined':
        return ['u'];
      case 'number':
        if (Number.isNaN(value)) return ['n', 'nan'];
        if (!Number.isFinite(value)) return ['n', value > 0 ? 'inf' : '-inf'];
        return Object.is(value, -0) ? ['n', '-0'] : value;
      case 'bigint':
        return ['i', String(value)];
      case 'symbol':
        return this.symbol(value);
      case 'object':
        if (value === null) return null;
        break;
      default:
        return this.opaque(value, this);
    }
    const number = this.numbers.get(value);
    if (number !== undefined) return ['r', number];
    return this.object(value);
  }

  /** Return the node of a container itself, even if the other side knows it by number. */
  contents(value, tag = tagOf(value)) {
    this.depth += 1;
    if (this.depth > MAX_DEPTH) throw new CodecError('a value nested too deeply');
    const node = [tag, this.items(value, tag)];
    const named = tag === 'l' ? this.named(value) : [];
    this.depth -= 1;
    if (Object.isFrozen(value) || named.length) node.push(Object.isFrozen(value) ? 1 : 0);
    if (named.length) node.push(named);
    return node;
  }

  object(value) {
    if (this.isForeign(value)) return this.opaque(value, this);
    const scalar = this.scalar(value);
    if (scalar) return scalar;
    const tag = tagOf(value);
    if (tag === undefined || this.staysHere(value, tag)) return this.opaque(value, this);
    if (!this.collect) return this.contents(value, tag);
    const number = this.table.length;
    this.numbers.set(value, number);
    this.table.push(null);
    this.objects.push(value);
    this.table[number] = this.contents(value, tag);
    return ['r', number];
  }

  items(value, tag) {
    if (tag === 'l') {
      this.count(value.length);
      return Array.from({ length: value.length }, (_, i) => (Object.hasOwn(value, i) ? this.encode(value[i]) : HOLE));
    }
    if (tag === 's') {
      this.count(value.size);
      return [...value].map((item) => this.encode(item));
    }
    if (tag === 'm') {
      this.count(value.size);
      return [...value].map(([key, item]) => [this.encode(key), this.encode(item)]);
    }
    const keys = Reflect.ownKeys(value).filter((key) => Object.prototype.propertyIsEnumerable.call(value, key));
    this.count(keys.length);
    return keys.map((key) => [this.encode(key), this.encode(value[key])]);
  }

  /** Return the properties of an array that are no items of it, such as the index of a match. */
  named(array) {
    return Object.keys(array).filter((key) => !ITEM.test(key)).map((key) => [key, this.encode(array[key])]);
  }

  count(nItems) {
    this.nNodes += nItems;
    if (this.nNodes > MAX_NODES) throw new CodecError('a value too large');
  }

  symbol(value) {
    const key = Symbol.keyFor(value);
    if (key !== undefined) return ['sf', key];
    const name = WELL_KNOWN.get(value);
    return name === undefined ? this.opaque(value, this) : ['sw', name];
  }

  scalar(value) {
    const prototype = Object.getPrototypeOf(value);
    if (types.isDate(value)) return prototype === Date.prototype ? ['D', this.encode(value.getTime())] : undefined;
    if (types.isRegExp(value)) return prototype === RegExp.prototype ? ['re', value.source, value.flags] : undefined;
    for (const [kind, view] of Object.entries(VIEWS)) {
      if (prototype === view.prototype && (types.isTypedArray(value) || types.isArrayBuffer(value))) {
        const data = kind === 'ArrayBuffer' ? [value] : [value.buffer, value.byteOffset, value.byteLength];
        return ['ta', kind, Buffer.from(...data).toString('hex')];
      }
    }
    return undefined;
  }
}

/** Reads nodes that somebody else wrote, trusting nothing in them; makes exact base types.
 *
 * opaque: reads the tags that are not plain data; throws CodecError for what it does not know.
 * objects: the containers behind ["r", n].
 */
class Decoder {
  constructor(opaque, objects = []) {
    this.opaque = opaque;
    this.objects = objects;
    this.depth = 0;
  }

  decode(node) {
    if (node === null || typeof node !== 'object') return node;
    if (!Array.isArray(node) || typeof node[0] !== 'string') throw new CodecError('not a value');
    this.depth += 1;
    if (this.depth > MAX_DEPTH) throw new CodecError('a value nested too deeply');
    let value;
    try {
      value = this.tagged(node[0], node);
    } catch (error) {
      if (error instanceof CodecError || error.isStop) throw error;
      // One place for every way in which a hostile node can be ill-formed.
      throw new CodecError(`an ill-formed ${JSON.stringify(node[0].slice(0, 20))} value`);
    }
    this.depth -= 1;
    return value;
  }

  /** Return the containers of a call's table, filled; they may refer to each other in circles. */
  table(nodes) {
    this.objects = nodes.map((node) => empty(node[0]));
    nodes.forEach((node, number) => this.fill(this.objects[number], node));
    nodes.forEach((node, number) => node[2] === 1 && Object.freeze(this.objects[number]));
    return this.objects;
  }

  /** Make a container hold what `node` says, in place. */
  refill(container, node) {
    if (!Array.isArray(node) || node[0] !== tagOf(container)) throw new CodecError('a container that changed its kind');
    const fresh = this.fill(empty(node[0]), node);
    if (node[0] === 'l') {
      container.length = 0;
      container.length = fresh.length;
      Object.keys(fresh).forEach((i) => { container[i] = fresh[i]; });
    } else if (node[0] === 's' || node[0] === 'm') {
      container.clear();
      fresh.forEach((item, key) => (node[0] === 's' ? container.add(item) : container.set(key, item)));
    } else {
      Reflect.ownKeys(container).forEach((key) => Reflect.deleteProperty(container, key));
      Reflect.ownKeys(fresh).forEach((key) => define(container, key, fresh[key]));
    }
    if (node[2] === 1) Object.freeze(container);
  }

  fill(container, node) {
    const [tag, items] = node;
    if (tag === 'l') {
      container.length = items.length;
      items.forEach((item, i) => { if (!isHole(item)) container[i] = this.decode(item); });
      (node[3] || []).forEach(([key, item]) => define(container, propertyKey(key), this.decode(item)));
    } else if (tag === 's') {
      items.forEach((item) => container.add(this.decode(item)));
    } else if (tag === 'm') {
      items.forEach(([key, item]) => container.set(this.decode(key), this.decode(item)));
    } else {
      items.forEach(([key, item]) => define(container, propertyKey(this.decode(key)), this.decode(item)));
    }
    return container;
  }

  tagged(tag, node) {
    if (Object.hasOwn(PROTOTYPES, tag)) {
      const container = this.fill(empty(tag), node);
      return node[2] === 1 ? Object.freeze(container) : container;
    }
    switch (tag) {
      case 'r': {
        const number = node[1];
        if (!Number.isInteger(number) || number < 0 || number >= this.objects.length) {
          throw new CodecError('a reference to nothing');
        }
        return this.objects[number];
      }
      case 'u':
        return undefined;
      case 'n':
        if (!Object.hasOwn(NUMBERS, node[1])) throw new CodecError('not a number');
        return NUMBERS[node[1]];
      case 'i':
        return BigInt(node[1]);
      default:
        return this.special(tag, node);
    }
  }

  special(tag, node) {
    switch (tag) {
      case 'D':
        return new Date(this.decode(node[1]));
      case 're':
        if (node[1].length > MAX_PATTERN) throw new CodecError('a regular expression too long');
        return new RegExp(node[1], node[2]);
      case 'ta':
        return view(node[1], node[2]);
      case 'sf':
        return Symbol.for(String(node[1]));
      case 'sw':
        if (typeof Symbol[node[1]] !== 'symbol') throw new CodecError('no such symbol');
        return Symbol[node[1]];
      default:
        return this.opaque(node, this);
    }
  }
}

function empty(tag) {
  switch (tag) {
    case 'l': return [];
    case 's': return new Set();
    case 'm': return new Map();
    case 'o': return {};
    case 'O': return Object.create(null);
    default: throw new CodecError('not a mutable container');
  }
}

function isHole(node) {
  return Array.isArray(node) && node.length === 1 && node[0] === '-';
}

// Not an assignment, which would give the prototype away under the key "__proto__".
function define(container, key, value) {
  Object.defineProperty(container, key, { value, writable: true, enumerable: true, configurable: true });
}

function propertyKey(key) {
  if (typeof key !== 'string' && typeof key !== 'symbol') throw new CodecError('not a key');
  return key;
}

function view(kind, hex) {
  if (!Object.hasOwn(VIEWS, kind)) throw new CodecError('no such array');
  const bytes = Buffer.from(hex, 'hex');
  if (kind === 'Buffer') return bytes;
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  return kind === 'ArrayBuffer' ? buffer : new VIEWS[kind](buffer);
}

module.exports = { CodecError, Decoder, Encoder, tagOf };
