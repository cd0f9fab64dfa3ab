// The rest of what programs find in the global scope: console, timers, randomness, time since the start.

import native from 'fusebox:native';
import { describe } from 'fusebox:errors';

const LINE_DEPTH_MAX = 6;

// Returns a value as a line of a log shows it.
function shown(value, depth = 0) {
  if (typeof value === 'string') return depth === 0 ? value : JSON.stringify(value);
  if (value instanceof Error) return describe(value);
  if (typeof value === 'function') return `[function ${value.name || 'anonymous'}]`;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null) return String(value);
  if (depth >= LINE_DEPTH_MAX) return '…';
  const inner = (each) => shown(each, depth + 1);
  if (Array.isArray(value)) return `[${value.map(inner).join(', ')}]`;
  if (ArrayBuffer.isView(value)) return `${value.constructor.name}(${value.byteLength} bytes)`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof Map) return `Map {${[...value].map(([key, own]) => `${inner(key)} => ${inner(own)}`).join(', ')}}`;
  if (value instanceof Set) return `Set {${[...value].map(inner).join(', ')}}`;
  return `{${Object.entries(value).map(([key, own]) => `${key}: ${inner(own)}`).join(', ')}}`;
}

const line = (...values) => native.stderr(`${values.map((value) => shown(value)).join(' ')}\n`);

globalThis.console = {
  log: line, info: line, debug: line, warn: line, error: line, dir: (value) => line(value),
  trace: (...values) => line(...values, new Error('trace').stack),
  assert: (holds, ...values) => { if (!holds) line('Assertion failed:', ...values); },
};

// Timers by their numbers, as [when due in ms, function, arguments, interval in ms or undefined].
let timers = new Map();
let lastTimer = 0;

function start(call, ms, repeats, args) {
  if (typeof call !== 'function') throw new TypeError('a timer needs a function');
  const wait = Math.max(0, Number(ms) || 0);
  timers.set(++lastTimer, [native.now() + wait, call, args, repeats ? Math.max(1, wait) : undefined]);
  return lastTimer;
}

globalThis.setTimeout = (call, ms, ...args) => start(call, ms, false, args);
globalThis.setInterval = (call, ms, ...args) => start(call, ms, true, args);
globalThis.setImmediate = (call, ...args) => start(call, 0, false, args);
globalThis.clearTimeout = globalThis.clearInterval = globalThis.clearImmediate = (id) => { timers.delete(id); };

/** Waits for the next timer and calls it; returns false if there is none. */
export function tick() {
  let next;
  for (const [id, timer] of timers) if (next === undefined || timer[0] < next[1][0]) next = [id, timer];
  if (next === undefined) return false;
  const [id, [due, call, args, interval]] = next;
  native.sleep(Math.max(0, due - native.now()));
  if (interval === undefined) timers.delete(id); else timers.set(id, [native.now() + interval, call, args, interval]);
  call(...args);
  return true;
}

// The engine seeds its own generator when it is created, which is before the runtime's image is taken.
Object.defineProperty(Math, 'random', { value: () => native.fraction(), writable: true, configurable: true });

const RANDOM_BYTES_MAX = 65_536;

globalThis.crypto = {
  getRandomValues(view) {
    if (!ArrayBuffer.isView(view)) throw new TypeError('getRandomValues: expected a typed array');
    if (view.byteLength > RANDOM_BYTES_MAX) throw new RangeError(`getRandomValues: more than ${RANDOM_BYTES_MAX} bytes`);
    new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(native.random(view.byteLength));
    return view;
  },
  randomUUID() {
    const bytes = native.random(16);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  },
};

let origin;
globalThis.performance = {
  get timeOrigin() { return Date.now() - this.now(); },
  now() {
    origin ??= native.now();
    return native.now() - origin;
  },
};
