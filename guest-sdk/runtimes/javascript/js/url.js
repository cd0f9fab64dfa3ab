// URL and URLSearchParams, over a parser for URLs as browsers read them.

import native from 'fusebox:native';

class URLSearchParams {
  #pairs = [];
  #changed;

  constructor(init = '') {
    if (typeof init === 'object' && init !== null) {
      const pairs = typeof init[Symbol.iterator] === 'function' ? init : Object.entries(init);
      for (const [name, value] of pairs) this.#pairs.push([String(name), String(value)]);
    } else {
      this.#parse(String(init).replace(/^\?/, ''));
    }
  }

  // The parameters of a URL, which is told of their changes.
  static _of(url, query, changed) {
    const params = new URLSearchParams(query);
    params.#changed = changed;
    return params;
  }

  _replace(query) {
    this.#pairs = [];
    this.#parse(query.replace(/^\?/, ''));
  }

  #parse(text) {
    for (const part of text.split('&')) {
      if (part === '') continue;
      const at = part.indexOf('=');
      const [name, value] = at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)];
      this.#pairs.push([decoded(name), decoded(value)]);
    }
  }

  #set(pairs) {
    this.#pairs = pairs;
    this.#changed?.(this.toString());
  }

  get size() { return this.#pairs.length; }
  append(name, value) { this.#set([...this.#pairs, [String(name), String(value)]]); }
  delete(name, value) {
    this.#set(this.#pairs.filter(([key, own]) => key !== String(name) || (value !== undefined && own !== String(value))));
  }
  get(name) { return this.#pairs.find(([key]) => key === String(name))?.[1] ?? null; }
  getAll(name) { return this.#pairs.filter(([key]) => key === String(name)).map(([, value]) => value); }
  has(name, value) {
    return this.#pairs.some(([key, own]) => key === String(name) && (value === undefined || own === String(value)));
  }
  set(name, value) {
    const key = String(name);
    const first = this.#pairs.findIndex(([own]) => own === key);
    if (first < 0) return this.append(key, value);
    const others = this.#pairs.filter(([own], at) => own !== key || at === first);
    others[first] = [key, String(value)];
    this.#set(others);
  }
  sort() { this.#set([...this.#pairs].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))); }
  forEach(each, self) { for (const [name, value] of this.#pairs) each.call(self, value, name, this); }
  *entries() { for (const pair of this.#pairs) yield [...pair]; }
  *keys() { for (const [name] of this.#pairs) yield name; }
  *values() { for (const [, value] of this.#pairs) yield value; }
  [Symbol.iterator]() { return this.entries(); }
  toString() { return this.#pairs.map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join('&'); }
}

function decoded(text) {
  const bytes = native.encode(text.replace(/\+/g, ' '));
  const out = [];
  for (let at = 0; at < bytes.length; at++) {
    const code = bytes[at] === 0x25 ? Number.parseInt(String.fromCharCode(bytes[at + 1], bytes[at + 2]), 16) : NaN;
    const isEscape = bytes[at] === 0x25 && /^[0-9a-f]{2}$/i.test(String.fromCharCode(bytes[at + 1], bytes[at + 2]));
    out.push(isEscape ? code : bytes[at]);
    if (isEscape) at += 2;
  }
  return native.decode(new Uint8Array(out), false);
}

function encoded(text) {
  return encodeURIComponent(text.toWellFormed())
    .replace(/[!'()~]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/%20/g, '+');
}

const PARTS = ['href', 'origin', 'protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname', 'search', 'hash'];

class URL {
  #parts;
  #params;

  constructor(url, base) {
    this.#parts = native.url(String(url), base === undefined ? undefined : String(base));
    if (this.#parts === undefined) throw new TypeError(`Invalid URL: ${url}`);
    this.#params = URLSearchParams._of(this, this.#parts[9], (query) => this.#set('search', query));
  }

  #set(part, value) {
    this.#parts = native.urlWith(this.#parts[0], part, String(value)) ?? this.#parts;
  }

  static {
    PARTS.forEach((part, at) => {
      Object.defineProperty(this.prototype, part, {
        enumerable: true,
        get() { return this.#parts[at]; },
        set(value) {
          if (part === 'href') {
            this.#parts = new URL(value).#parts;
          } else if (part !== 'origin') {
            this.#set(part, value);
          }
          this.#params._replace(this.#parts[9]);
        },
      });
    });
  }

  static canParse(url, base) { return native.url(String(url), base === undefined ? undefined : String(base)) !== undefined; }
  static parse(url, base) { return URL.canParse(url, base) ? new URL(url, base) : null; }
  get searchParams() { return this.#params; }
  toString() { return this.href; }
  toJSON() { return this.href; }
}

Object.assign(globalThis, { URL, URLSearchParams });
