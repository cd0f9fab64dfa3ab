// Texts as bytes: TextEncoder, TextDecoder, atob, btoa.

import native from 'fusebox:native';

class TextEncoder {
  get encoding() { return 'utf-8'; }

  encode(text = '') { return native.encode(String(text)); }

  encodeInto(text, target) {
    let read = 0, written = 0;
    for (const letter of String(text)) {
      const bytes = native.encode(letter);
      if (written + bytes.length > target.length) break;
      target.set(bytes, written);
      written += bytes.length;
      read += letter.length;
    }
    return { read, written };
  }
}

class TextDecoder {
  #fatal;
  #keepsMark;
  #rest = new Uint8Array(0);

  constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
    if (!/^\s*(utf-?8|unicode-1-1-utf-8)\s*$/i.test(label)) {
      throw new RangeError(`TextDecoder: ${label} is not supported: use utf-8`);
    }
    this.#fatal = Boolean(fatal);
    this.#keepsMark = Boolean(ignoreBOM);
  }

  get encoding() { return 'utf-8'; }
  get fatal() { return this.#fatal; }
  get ignoreBOM() { return this.#keepsMark; }

  decode(input = new Uint8Array(0), { stream = false } = {}) {
    let bytes = asBytes(input);
    if (bytes === undefined) throw new TypeError('TextDecoder.decode: expected bytes');
    if (this.#rest.length > 0) bytes = joined([this.#rest, bytes]);
    const end = stream ? wholeLetters(bytes) : bytes.length;
    this.#rest = bytes.slice(end);
    const text = native.decode(bytes.subarray(0, end), this.#fatal);
    if (text === undefined) throw new TypeError('TextDecoder.decode: the bytes are not UTF-8');
    return this.#keepsMark || text.charCodeAt(0) !== 0xfeff ? text : text.slice(1);
  }
}

// Returns the number of bytes before a letter that is cut off at the end.
function wholeLetters(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

/** Returns the bytes of a buffer or a view of one; undefined for anything else. */
export function asBytes(value) {
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return undefined;
}

/** Returns the bytes of a text, or of a buffer or a view of one; undefined for anything else. */
export function toBytes(value) {
  return typeof value === 'string' ? native.encode(value) : asBytes(value);
}

export function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

function btoa(text) {
  let out = '';
  const units = String(text);
  const at = (place) => {
    const unit = place < units.length ? units.charCodeAt(place) : 0;
    if (unit > 0xff) throw new RangeError('btoa: the text has characters beyond U+00FF');
    return unit;
  };
  for (let i = 0; i < units.length; i += 3) {
    const word = (at(i) << 16) | (at(i + 1) << 8) | at(i + 2);
    out += LETTERS[word >> 18] + LETTERS[(word >> 12) & 63];
    out += i + 1 < units.length ? LETTERS[(word >> 6) & 63] : '=';
    out += i + 2 < units.length ? LETTERS[word & 63] : '=';
  }
  return out;
}

function atob(text) {
  const letters = String(text).replace(/[\t\n\f\r ]/g, '').replace(/={1,2}$/, '');
  if (letters.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(letters)) throw new RangeError('atob: the text is not base64');
  let out = '', word = 0, bits = 0;
  for (const letter of letters) {
    word = ((word << 6) | LETTERS.indexOf(letter)) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += String.fromCharCode((word >> bits) & 0xff);
    }
  }
  return out;
}

Object.assign(globalThis, { TextEncoder, TextDecoder, atob, btoa });
