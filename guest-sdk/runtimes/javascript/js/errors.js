// Errors as their author needs them: with file, line and source line, without frames of this runtime.

import native from 'fusebox:native';

const ROOT = '/app/';
const FRAMES_MAX = 20;
const SOURCE_CHARS_MAX = 200;

/** Returns the place that a line of a stack names, if it is in the function's files. */
function place(frame) {
  const found = /(\/app\/[^():]+):(\d+)(?::(\d+))?\)?\s*$/.exec(frame);
  return found ? { file: found[1], line: Number(found[2]), column: Number(found[3] ?? 1) } : undefined;
}

function source({ file, line }) {
  const text = native.read(file)?.split(/\r\n|[\n\r]/)[line - 1]?.trim();
  return text ? `\n        ${text.slice(0, SOURCE_CHARS_MAX)}` : '';
}

/** Returns an error's message, its frames in the function's files with their source, and its causes. */
export function describe(error) {
  const seen = new Set();
  const parts = [];
  for (let each = error; each !== undefined && !seen.has(each); each = each instanceof Error ? each.cause : undefined) {
    seen.add(each);
    parts.push(one(each));
  }
  return parts.join('\ncaused by: ');
}

function one(error) {
  if (!(error instanceof Error)) return `Uncaught ${said(error)}`;
  const lines = [said(error)];
  const places = error.place ? [`    at ${error.place.file}:${error.place.line}:${error.place.column}`] : [];
  for (const frame of [...places, ...String(error.stack ?? '').split('\n')].slice(0, FRAMES_MAX)) {
    const at = place(frame);
    if (at) lines.push(`${frame.trimEnd()}${source(at)}`);
  }
  return lines.join('\n');
}

/** Returns what an error says, in a line. */
export function said(error) {
  if (error instanceof Error) return error.message ? `${error.name}: ${error.message}` : error.name;
  try {
    return typeof error === 'object' ? JSON.stringify(error) ?? String(error) : String(error);
  } catch {
    return Object.prototype.toString.call(error);
  }
}

/** Returns what `check` says of an error: its message, and its place in the function's files, null where unknown. */
export function problem(error) {
  const frames = error instanceof Error ? String(error.stack ?? '').split('\n') : [];
  const at = error?.place ?? frames.map(place).find(Boolean);
  const file = at ? at.file.slice(ROOT.length) : null;
  return { message: said(error), file, line: at?.line ?? null, column: at?.column ?? null };
}
