// Headers, Request, Response and fetch, as far as whole messages go.

import native from 'fusebox:native';
import { http } from 'fusebox:host';
import { toBytes } from 'fusebox:text';

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

class Headers {
  #values = new Map();

  constructor(init = {}) {
    const pairs = typeof init[Symbol.iterator] === 'function' ? init : Object.entries(init);
    for (const [name, value] of pairs) this.append(name, value);
  }

  append(name, value) {
    const key = Headers.#checked(name, value);
    this.#values.set(key, [...(this.#values.get(key) ?? []), String(value).trim()]);
  }
  set(name, value) { this.#values.set(Headers.#checked(name, value), [String(value).trim()]); }
  get(name) { return this.#values.get(String(name).toLowerCase())?.join(', ') ?? null; }
  has(name) { return this.#values.has(String(name).toLowerCase()); }
  delete(name) { this.#values.delete(String(name).toLowerCase()); }
  getSetCookie() { return [...(this.#values.get('set-cookie') ?? [])]; }
  forEach(each, self) { for (const [name, value] of this) each.call(self, value, name, this); }
  *entries() {
    for (const name of [...this.#values.keys()].sort()) {
      if (name === 'set-cookie') for (const value of this.getSetCookie()) yield [name, value];
      else yield [name, this.get(name)];
    }
  }
  *keys() { for (const [name] of this) yield name; }
  *values() { for (const [, value] of this) yield value; }
  [Symbol.iterator]() { return this.entries(); }

  static #checked(name, value) {
    if (!NAME.test(name)) throw new TypeError(`${JSON.stringify(String(name))} is not a header's name`);
    if (/[\r\n\0]/.test(value)) throw new TypeError(`the value of header ${name} contains a line break`);
    return String(name).toLowerCase();
  }
}

class Message {
  #bytes;
  #isUsed = false;

  constructor(headers, body) {
    this.headers = new Headers(headers);
    if (body === undefined || body === null) return;
    this.#bytes = toBytes(body);
    let type = 'text/plain;charset=UTF-8';
    if (body instanceof URLSearchParams) {
      this.#bytes = toBytes(body.toString());
      type = 'application/x-www-form-urlencoded;charset=UTF-8';
    }
    if (this.#bytes === undefined) throw new TypeError('a body must be a string, bytes or URLSearchParams');
    const isText = typeof body === 'string' || body instanceof URLSearchParams;
    if (isText && !this.headers.has('content-type')) this.headers.set('content-type', type);
  }

  get bodyUsed() { return this.#isUsed; }

  _body() { return this.#bytes ?? new Uint8Array(0); }

  #take() {
    if (this.#isUsed) throw new TypeError('the body has been read before');
    this.#isUsed = this.#bytes !== undefined;
    return this._body();
  }

  async bytes() { return this.#take(); }
  async arrayBuffer() { return this.#take().slice().buffer; }
  async text() { return native.decode(this.#take(), false); }
  async json() { return JSON.parse(await this.text()); }
  async formData() { throw new TypeError('forms are not parsed here: use text() and URLSearchParams'); }
}

class Request extends Message {
  constructor(input, init = {}) {
    const from = input instanceof Request ? input : undefined;
    const body = init.body ?? (from && from._body().length > 0 ? from._body() : undefined);
    super(init.headers ?? from?.headers, body);
    this.url = from ? from.url : new URL(input).href;
    this.method = String(init.method ?? from?.method ?? 'GET').toUpperCase();
    if (!NAME.test(this.method)) throw new TypeError(`${JSON.stringify(this.method)} is not a method`);
    if (body !== undefined && ['GET', 'HEAD'].includes(this.method)) {
      throw new TypeError(`a request with method ${this.method} has no body`);
    }
  }
}

class Response extends Message {
  constructor(body, { status = 200, headers } = {}) {
    super(headers, body);
    if (!Number.isInteger(status) || status < 200 || status > 599) throw new RangeError(`${status} is not a status: 200 to 599`);
    this.status = status;
  }

  get ok() { return this.status < 300; }

  static json(value, init = {}) {
    const headers = new Headers(init.headers);
    if (!headers.has('content-type')) headers.set('content-type', 'application/json');
    return new Response(JSON.stringify(value), { ...init, headers });
  }
  static redirect(url, status = 302) { return new Response(null, { status, headers: { location: String(url) } }); }
}

async function fetch(input, init) {
  const request = new Request(input, init);
  const [status, headers, body] = http(request.method, request.url, [...request.headers], request._body());
  return new Response(body.length > 0 ? body : null, { status, headers });
}

Object.assign(globalThis, { Headers, Request, Response, fetch });

/** Returns the request of a CGI program. */
export function cgiRequest(input) {
  const env = native.env();
  const headers = new Headers();
  for (const [name, value] of Object.entries(env)) {
    if (name.startsWith('HTTP_')) headers.set(name.slice(5).replace(/_/g, '-'), value);
  }
  for (const name of ['CONTENT_TYPE', 'CONTENT_LENGTH']) {
    if (env[name]) headers.set(name.replace('_', '-'), env[name]);
  }
  const host = headers.get('host') ?? env.SERVER_NAME ?? 'localhost';
  const scheme = env.HTTPS === 'on' || headers.get('x-forwarded-proto') === 'https' ? 'https' : 'http';
  const query = env.QUERY_STRING ? `?${env.QUERY_STRING}` : '';
  const path = (env.PATH_INFO || '/').split('/').map(encodeURIComponent).join('/');
  const method = env.REQUEST_METHOD ?? 'GET';
  const body = ['GET', 'HEAD'].includes(method) || input.length === 0 ? undefined : input;
  return new Request(`${scheme}://${host}${path}${query}`, { method, headers, body });
}

/** Returns a response, or anything else that a function returns, as a CGI program writes it. */
export function cgiResponse(value) {
  const response = value instanceof Response ? value : answer(value);
  const lines = [`Status: ${response.status}`, ...[...response.headers].map(([name, own]) => `${name}: ${own}`)];
  return [native.encode(`${lines.join('\r\n')}\r\n\r\n`), response._body()];
}

function answer(value) {
  if (typeof value === 'string') return new Response(value);
  const bytes = toBytes(value);
  if (bytes) return new Response(bytes, { headers: { 'content-type': 'application/octet-stream' } });
  return value === undefined ? new Response(null, { status: 204 }) : Response.json(value);
}
