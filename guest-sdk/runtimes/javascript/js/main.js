// What the runtime does with a function: runs it, serves a request with it, or checks it.

import native from 'fusebox:native';
import { context } from 'fusebox:host';
import { describe, problem } from 'fusebox:errors';
import { tick } from 'fusebox:globals';
import { asBytes } from 'fusebox:text';
import { cgiRequest, cgiResponse } from 'fusebox:web';
import { load, resolve } from 'fusebox:modules';
import 'fusebox:url';

const isJson = (type) => /^[^/;\s]+\/([^;\s]+\+)?json\s*(;|$)/i.test(type.trim());

// Returns the input as the function gets it: parsed if it is JSON, else as bytes.
function parsed(input) {
  const type = native.env().CONTENT_TYPE;
  if (!type && input.length === 0) return null;
  if (type && !isJson(type)) return input;
  try {
    const text = native.decode(input, true);
    if (text === undefined) throw new SyntaxError('it is not UTF-8');
    return JSON.parse(text);
  } catch (error) {
    if (!type) return input;
    throw new TypeError(`the input is not JSON, as its content type says: ${error.message}`);
  }
}

function written(value) {
  const bytes = asBytes(value);
  return bytes ?? native.encode(JSON.stringify(value) ?? 'null');
}

// Returns the functions of a module; a default export is the handler, or an object that has them.
function handlers(module) {
  const own = module.default;
  const has = (name) => [module[name], own?.[name]].find((each) => typeof each === 'function');
  return { handle: has('handle') ?? (typeof own === 'function' ? own : undefined), handle_http: has('handle_http') };
}

const named = (path) => path.slice(path.lastIndexOf('/') + 1);

function called(call, argument) {
  return call.length >= 2 ? call(argument, context()) : call(argument);
}

/** Runs a function; returns the parts of its output. */
export async function run(path, input) {
  const { handle, handle_http } = handlers(await import(path));
  const isHttp = native.env().GATEWAY_INTERFACE !== undefined;
  if (isHttp && handle_http) return cgiResponse(await called(handle_http, cgiRequest(input)));
  if (!handle) {
    const other = handle_http ? 'only handle_http, which serves HTTP requests' : 'neither handle nor a default function';
    throw new TypeError(`${named(path)} exports ${other}`);
  }
  const value = await called(handle, parsed(input));
  return isHttp ? cgiResponse(value) : [written(value)];
}

/** Checks a function; returns what is wrong with it, or the handlers that it has. */
export async function check(path) {
  try {
    const { handle, handle_http } = handlers(await import(path));
    if (handle || handle_http) return { handle: Boolean(handle), handle_http: Boolean(handle_http) };
    const message = `${named(path)} exports neither handle, nor a default function, nor handle_http`;
    return { message, file: named(path), line: null, column: null };
  } catch (error) {
    return problem(error);
  }
}

export { describe, load, problem, resolve, tick };
