// Finds and reads modules: relative to their file, or by a bare name in /app/node_modules, of either kind that npm has.

import native from 'fusebox:native';

const ROOT = '/app';
const PACKAGES = `${ROOT}/node_modules`;
const CONDITIONS = ['import', 'module', 'default', 'require', 'browser'];
const NODE = 'assert buffer child_process cluster crypto dgram dns events fs http http2 https net os path process '
  + 'punycode querystring readline stream string_decoder timers tls tty url util v8 vm worker_threads zlib';

/** Returns the path of a module; throws an error that names the import where there is none. */
export function resolve(base, name) {
  const path = name.startsWith('/') ? file(name)
    : /^\.\.?(\/|$)/.test(name) ? file(normal(`${folder(base)}/${name}`))
    : bare(name);
  if (path !== undefined) return path;
  const plain = name.replace(/^node:/, '').split('/')[0];
  const isNode = name.startsWith('node:') || NODE.split(' ').includes(plain);
  const reason = isNode ? 'a part of Node.js, which functions do not have' : 'which is not among the files of the function';
  const error = new ReferenceError(`cannot find module "${name}", ${reason}`);
  error.place = importOf(base, name);
  throw error;
}

// Returns the place of the first line that imports a name.
function importOf(path, name) {
  const lines = native.read(path)?.split('\n') ?? [];
  for (const [at, line] of lines.entries()) {
    const column = Math.max(line.indexOf(`'${name}'`), line.indexOf(`"${name}"`));
    if (column >= 0) return { file: path, line: at + 1, column: column + 1 };
  }
  return undefined;
}

const folder = (path) => path.slice(0, path.lastIndexOf('/'));

function normal(path) {
  const parts = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.' && part !== '') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

// Returns a file by its path, with what people leave out.
function file(path) {
  const endings = ['', '.js', '.mjs', '.cjs', '.json', '/index.js', '/index.mjs', '/index.cjs', '/index.json'];
  return endings.map((ending) => path + ending).find((each) => native.isFile(each));
}

function bare(name) {
  const [, own, rest] = /^((?:@[^/]+\/)?[^/]+)(\/.*)?$/.exec(name) ?? [];
  if (own === undefined) return undefined;
  const root = `${PACKAGES}/${own}`;
  const about = native.read(`${root}/package.json`);
  if (about === undefined) return file(root + (rest ?? ''));
  const { exports, module, main } = JSON.parse(about);
  if (exports !== undefined && exports !== null) {
    const target = exported(exports, `.${rest ?? ''}`);
    return target === undefined ? undefined : file(normal(`${root}/${target}`));
  }
  return file(rest === undefined ? normal(`${root}/${module ?? main ?? 'index.js'}`) : root + rest);
}

// Returns the target of a path in the "exports" of a package.
function exported(exports, path) {
  const isTable = typeof exports === 'object' && !Array.isArray(exports) && Object.keys(exports).every((key) => key.startsWith('.'));
  if (!isTable) return path === '.' ? conditional(exports) : undefined;
  if (exports[path] !== undefined) return conditional(exports[path]);
  for (const [key, target] of Object.entries(exports)) {
    const [start, end] = key.split('*');
    if (end === undefined || !path.startsWith(start) || !path.endsWith(end)) continue;
    return conditional(target)?.replaceAll('*', path.slice(start.length, path.length - end.length));
  }
  return undefined;
}

function conditional(target) {
  if (typeof target === 'string') return target;
  if (Array.isArray(target)) return target.map(conditional).find(Boolean);
  if (typeof target !== 'object' || target === null) return undefined;
  for (const condition of CONDITIONS) {
    const found = condition in target ? conditional(target[condition]) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Returns the source of a module as the engine reads it. */
export function load(path) {
  const source = native.read(path);
  if (path.endsWith('.json')) return `export default ${JSON.stringify(JSON.parse(source))};`;
  return isCommon(path, source) ? wrapper(path) : source;
}

// Statements that only ES modules have, and names that only CommonJS modules find.
const ES = /(?:^|[;}\n])\s*(?:import\s*[\w$*{"']|export\s*(?:[{*]|(?:default|const|let|var|function|class|async)\b))/;
const COMMON = /\bmodule\.exports\b|\bexports\b|\brequire\s*\(/;

const isEs = (path, source) => path.endsWith('.mjs') || (!path.endsWith('.cjs') && ES.test(source));
const isCommon = (path, source) => path.endsWith('.cjs') || (!isEs(path, source) && COMMON.test(source));

const NAME = /^[A-Za-z_$][\w$]*$/;
const RESERVED = new Set(('arguments await break case catch class const continue debugger default delete do else enum eval '
  + 'export extends false finally for function if implements import in instanceof interface let new null package private '
  + 'protected public return static super switch this throw true try typeof var void while with yield').split(' '));

// Runs a CommonJS module, and returns one for the engine that exports what it has exported.
function wrapper(path) {
  const value = required(path);
  const names = value !== null && (typeof value === 'object' || typeof value === 'function') ? Object.keys(value) : [];
  const known = names.filter((name) => NAME.test(name) && !RESERVED.has(name));
  const lines = known.map((name) => `export const ${name} = value[${JSON.stringify(name)}];`);
  return [
    "import { required } from 'fusebox:modules';",
    `const value = required(${JSON.stringify(path)});`,
    'export default value?.__esModule && "default" in value ? value.default : value;',
    ...lines,
  ].join('\n');
}

const loaded = new Map();

/** Returns what a CommonJS module exports; it runs once. */
export function required(path) {
  const before = loaded.get(path);
  if (before) return before.exports;
  const module = { exports: {}, id: path, filename: path };
  loaded.set(path, module);
  const source = native.read(path);
  if (path.endsWith('.json')) {
    module.exports = JSON.parse(source);
    return module.exports;
  }
  const require = (name) => {
    const target = resolve(path, name);
    if (isEs(target, native.read(target) ?? '')) throw new TypeError(`require("${name}"): it is an ES module: import it`);
    return required(target);
  };
  const run = native.script(path, `(function (exports, require, module, __filename, __dirname) { ${source}\n})`);
  run.call(module.exports, module.exports, require, module, path, folder(path));
  return module.exports;
}
