'use strict';
// Frames of JSON over a file descriptor, capped: the same as wire.py, on either side of the border.

const fs = require('node:fs');
// Taken before a program can redefine them: its top level shares the global scope with this module.
const { JSON, Error, Buffer, Array, Math } = globalThis;

const MAX_FRAME_BYTES = 8 * 1024 * 1024; // one value
const HEADER_BYTES = 4;
const PART_BYTES = 1 << 20;

/** The other side closed its end: it died, or wants us to believe so. */
class PeerGoneError extends Error {}

/** A frame is oversized or not the JSON it should be. */
class MalformedFrameError extends Error {}

/** Write one frame. Throws MalformedFrameError for what the other side would not accept, PeerGoneError. */
function send(fd, message) {
  // ASCII only, as the other language writes it; lone surrogates are escaped by JSON.stringify itself.
  const text = JSON.stringify(message).replace(/[\u0080-\uffff]/g, escaped);
  if (text.length > MAX_FRAME_BYTES) {
    throw new MalformedFrameError(`a message of ${text.length} bytes, more than ${MAX_FRAME_BYTES}`);
  }
  const frame = Buffer.allocUnsafe(HEADER_BYTES + text.length);
  frame.writeUInt32BE(text.length, 0);
  frame.write(text, HEADER_BYTES, 'latin1');
  for (let sent = 0; sent < frame.length;) {
    sent += attempt(() => fs.writeSync(fd, frame, sent, frame.length - sent));
  }
}

/** Read one frame; waits for it. Throws PeerGoneError, MalformedFrameError. */
function receive(fd) {
  const size = readExactly(fd, HEADER_BYTES).readUInt32BE(0);
  if (size > MAX_FRAME_BYTES) {
    throw new MalformedFrameError(`a message that claims ${size} bytes, more than ${MAX_FRAME_BYTES}`);
  }
  return parse(readExactly(fd, size));
}

/** Return the message in a frame's body: an array. Throws MalformedFrameError. */
function parse(body) {
  let message;
  try {
    message = JSON.parse(body.toString('latin1'));
  } catch (error) {
    throw new MalformedFrameError(`a message that is not JSON: ${error.name}`);
  }
  if (!Array.isArray(message)) throw new MalformedFrameError('a message that is no list');
  return message;
}

function escaped(character) {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function readExactly(fd, nBytes) {
  const data = Buffer.alloc(nBytes);
  for (let read = 0; read < nBytes;) {
    const part = attempt(() => fs.readSync(fd, data, read, Math.min(nBytes - read, PART_BYTES), null));
    if (!part) throw new PeerGoneError('the other side is gone');
    read += part;
  }
  return data;
}

function attempt(operation) {
  for (;;) {
    try {
      return operation();
    } catch (error) {
      if (error.code !== 'EAGAIN' && error.code !== 'EINTR') throw new PeerGoneError('the other side is gone');
    }
  }
}

module.exports = { MAX_FRAME_BYTES, MalformedFrameError, PeerGoneError, parse, receive, send };
