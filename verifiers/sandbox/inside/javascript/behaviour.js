'use strict';
// What a program does with the arguments that the tests gave it and with mutations of them, as short texts that are
// equal when the behaviour is. The first text is the digest of the inputs.

const { createHash } = require('node:crypto');
const { inspect } = require('node:util');
const { Decoder } = require('./codec.js');

const MAX_INPUTS = 24;
const MAX_ORIGINALS = 16; // so that there is room for mutations
const MAX_INPUT_CHARACTERS = 20_000;
const MAX_TEXT = 60; // characters; a longer text is represented by its digest
const MAX_YIELDED = 200; // items taken from a generator
const EXACT = { depth: 50, sorted: true, compact: true, breakLength: Infinity, maxArrayLength: null, maxStringLength: null };

/** Return the texts; null when the tests called nothing of the program with plain data. */
async function observe(link, entryPoint) {
  const handle = entryPoint === undefined ? mostCalled(link.calls) : entryPoint;
  const calls = link.calls.filter((call) => call[0] === handle).map(([, ...input]) => JSON.stringify(input));
  const originals = [...new Set(calls)].filter((text) => text.length <= MAX_INPUT_CHARACTERS).slice(0, MAX_ORIGINALS);
  if (!originals.length || link.fatal || link.unsupported) return null;
  const inputs = [...new Set([...originals, ...mutations(originals)])].slice(0, MAX_INPUTS);
  const outputs = [`inputs ${digest(JSON.stringify(inputs))}`];
  for (const input of inputs) {
    outputs.push(await output(link, handle, input));
    if (link.fatal || link.unsupported) break;
  }
  return outputs;
}

function mostCalled(calls) {
  const counts = new Map();
  calls.forEach(([handle]) => counts.set(handle, (counts.get(handle) || 0) + 1));
  return [...counts].sort((one, other) => other[1] - one[1]).map(([handle]) => handle)[0];
}

async function output(link, handle, input) {
  try {
    const [table, nodes] = JSON.parse(input);
    const decoder = new Decoder(() => undefined);
    decoder.table(table);
    const args = nodes.map((node) => decoder.decode(node));
    const standIn = link.proxies.standIns.get(handle);
    const result = await link.settle(Promise.resolve(standIn(...args)));
    return canonical(link, result === undefined ? ['changed', args] : result);
  } catch (error) {
    if (link.fatal) return `!${link.fatal.kind}`;
    return link.unsupported ? '!unsupported' : `!${error && error.name}`;
  }
}

/** Return a short text that is the same for values that are equal. */
function canonical(link, value) {
  const text = inspect(link.proxies.handleOf(value) === undefined ? value : yielded(value), EXACT);
  return text.length <= MAX_TEXT ? text : `#${digest(text)}`;
}

function yielded(value) {
  if (typeof value !== 'object' || typeof value[Symbol.iterator] !== 'function') return `?${typeof value}`;
  const items = [];
  for (const item of value) if (items.push(item) >= MAX_YIELDED) break;
  return ['yields', items];
}

function digest(text) {
  return createHash('sha256').update(text).digest('hex').slice(0, 24);
}

/** Return mutations of the inputs: the same ones every time, of the same types, and no number much larger. */
function* mutations(inputs) {
  let state = 1;
  const below = (bound) => {
    state = (state * 48271) % 2147483647; // Park and Miller
    return Math.floor((state / 2147483647) * bound);
  };
  for (let round = 0; round < 4; round += 1) {
    for (const input of inputs) {
      const [table, nodes] = JSON.parse(input);
      if (!nodes.length) continue;
      const place = below(nodes.length);
      const node = nodes[place];
      if (Array.isArray(node) && node[0] === 'r') table[node[1]] = mutated(table[node[1]], below);
      else nodes[place] = mutated(node, below);
      yield JSON.stringify([table, nodes]);
    }
  }
}

function mutated(node, below) {
  if (typeof node === 'boolean') return !node;
  if (typeof node === 'number') return [node + 1, node - 1, -node || 0, Math.trunc(node / 2), 0, 1][below(6)];
  if (typeof node === 'string') {
    const at = below(node.length + 1);
    return [node.slice(0, at) + node.slice(at + 1), [...node].reverse().join(''), node.slice(0, at), `${node}a`][below(4)];
  }
  if (!Array.isArray(node) || node[0] !== 'l' || !node[1].length) return node;
  const [, items] = node;
  const at = below(items.length);
  switch (below(5)) {
    case 0: return ['l', items.filter((_, i) => i !== at)];
    case 1: return ['l', [...items, items[at]]];
    case 2: return ['l', [...items].reverse()];
    default: return ['l', items.map((item, i) => (i === at ? mutated(item, below) : item))];
  }
}

module.exports = { observe };
