'use strict';
// Loaded before a program that runs as a script: there is no /proc here, and so no /dev/stdin, which many read from.

const fs = require('node:fs');

const STREAMS = { '/dev/stdin': 0, '/dev/stdout': 1, '/dev/stderr': 2, '/proc/self/fd/0': 0, '/dev/fd/0': 0 };

for (const name of ['readFileSync', 'readFile', 'writeFileSync', 'writeFile']) {
  const original = fs[name];
  fs[name] = (file, ...rest) => original(Object.hasOwn(STREAMS, file) ? STREAMS[file] : file, ...rest);
}
const { openSync, createReadStream } = fs;
fs.openSync = (file, ...rest) => (Object.hasOwn(STREAMS, file) ? STREAMS[file] : openSync(file, ...rest));
fs.createReadStream = (file, options) => (Object.hasOwn(STREAMS, file)
  ? createReadStream(null, { ...(typeof options === 'string' ? { encoding: options } : options), fd: STREAMS[file] })
  : createReadStream(file, options));
