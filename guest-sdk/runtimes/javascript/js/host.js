// The context of a run: its task, and what the host offers by grants.

import native from 'fusebox:native';
import { toBytes } from 'fusebox:text';

/** Reason for which the host refused a call; its code is a word of `CODES`. */
class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'Refused';
    this.code = code;
  }
}

// By the numbers of the host's interface.
const CODES = {
  '-2': ['conflict', 'the entry was changed since it was read: read it again'],
  '-3': ['too-large', 'it is larger than the host allows'],
  '-4': ['quota', 'the quota of stored data is used up: delete what is not needed'],
  '-5': ['refused', 'the version lacks the grant for it, or the address is not allowed'],
  '-6': ['unavailable', 'the service is not available now: try again'],
  '-7': ['timed-out', 'no answer arrived in time'],
  '-8': ['invalid', 'it is malformed: check names, URL and headers'],
};
const ABSENT = -1;

// Returns the number or bytes that a call gave, undefined for what does not exist.
function checked(what, result) {
  if (typeof result !== 'number' || result >= 0) return result;
  if (result === ABSENT) return undefined;
  const [code, reason] = CODES[result] ?? CODES['-6'];
  throw new Refused(code, `${what}: ${reason}`);
}

const text = (bytes) => (bytes === undefined ? undefined : native.decode(bytes, false));

function settings(kind, read) {
  return Object.freeze({
    /** Returns a value by its name; `otherwise` if there is none. */
    get(name, otherwise) { return text(checked(`${kind} ${name}`, read(String(name)))) ?? otherwise; },
  });
}

function bytesOf(what, value) {
  const bytes = toBytes(value);
  if (bytes === undefined) throw new TypeError(`${what} must be a string or bytes: use JSON.stringify for other values`);
  return bytes;
}

const ANYTHING = -1;

// The number of a condition: null is "no entry", undefined is none, and others are revisions.
const expected = (revision) => (revision === undefined ? ANYTHING : revision === null ? 0 : revision);

const kv = Object.freeze({
  /** Returns a value as text; undefined if there is none. */
  get(key) { return text(this.entry(key)?.value); },
  /** Returns a value as bytes with its revision; undefined if there is none. */
  entry(key) {
    const bytes = checked(`kv.get ${key}`, native.kvGet(bytesOf('a key', key)));
    if (bytes === undefined) return undefined;
    const revision = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    return { value: bytes.slice(8), revision };
  },
  /** Sets a value; returns its revision. */
  set(key, value, { ttlMs = 0, revision } = {}) {
    return checked(`kv.set ${key}`, native.kvSet(bytesOf('a key', key), bytesOf('a value', value), ttlMs, expected(revision)));
  },
  /** Deletes an entry; returns whether there was one. */
  delete(key, { revision } = {}) {
    return checked(`kv.delete ${key}`, native.kvDelete(bytesOf('a key', key), expected(revision))) === 1;
  },
  /** Lists the keys that start with a prefix, in no order. */
  *keys(prefix = '') {
    let after = new Uint8Array(0);
    do {
      const page = checked('kv.keys', native.kvKeys(bytesOf('a prefix', prefix), after)) ?? new Uint8Array(0);
      const [place, ...keys] = texts(page);
      after = place ?? new Uint8Array(0);
      yield* keys.map(text);
    } while (after.length > 0);
  },
});

// Splits bytes into those behind each length of 4 bytes.
function texts(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const all = [];
  for (let at = 0; at < bytes.length;) {
    const length = view.getUint32(at, true);
    all.push(bytes.slice(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return all;
}

/** Sends an HTTP request; returns status, headers as pairs, and body. */
export function http(method, url, headers, body) {
  const head = [`${method} ${url}`, ...headers.map(([name, value]) => `${name}: ${value}`), '', ''].join('\n');
  const answer = checked(`${method} ${url}`, native.http(native.encode(head), body));
  const end = headEnd(answer);
  const [status, ...lines] = native.decode(answer.subarray(0, end), false).split('\n').filter(Boolean);
  const pairs = lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
  return [Number(status), pairs, answer.slice(end)];
}

function headEnd(bytes) {
  for (let at = 1; at < bytes.length; at++) if (bytes[at] === 10 && bytes[at - 1] === 10) return at + 1;
  return bytes.length;
}

const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'];

function log(message, level = 'info') {
  const number = LEVELS.indexOf(level) + 1;
  if (number === 0) throw new RangeError(`${level} is not a level: ${LEVELS.join(', ')}`);
  native.log(number, typeof message === 'string' ? message : JSON.stringify(message) ?? String(message));
}

/** Returns the context of this run. */
export function context() {
  const [task, attempt, deadline, tenant, name] = native.context().split('\n');
  return Object.freeze({
    task: task || null,
    attempt: Number(attempt),
    deadline: Number(deadline),
    tenant,
    function: name,
    log,
    config: settings('config', native.config),
    secrets: settings('secret', native.secret),
    kv,
    http: Object.freeze({ fetch: (input, init) => globalThis.fetch(input, init) }),
  });
}

export { Refused };
