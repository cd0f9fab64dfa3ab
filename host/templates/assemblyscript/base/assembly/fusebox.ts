// The host's interface: buffers for inputs, results, errors and the log.

@external("fusebox", "fail")
declare function hostFail(ptr: usize, len: usize): void;

@external("fusebox", "log")
declare function hostLog(level: u32, ptr: usize, len: usize): void;

/** Result that the host reads: 0 for an output or 1 for an error, and the place of its bytes. */
@unmanaged
class Result {
  tag: u32;
  ptr: usize;
  len: usize;
}

const result = changetype<Result>(memory.data(12));

/** Returns a text from bytes that the host wrote. */
export function text(ptr: usize, len: usize): string {
  return String.UTF8.decodeUnsafe(ptr, len);
}

function ended(tag: u32, answer: string): usize {
  const bytes = Uint8Array.wrap(String.UTF8.encode(answer));
  result.tag = tag;
  result.ptr = bytes.dataStart;
  result.len = bytes.length;
  return changetype<usize>(result);
}

/** Ends the run with this output. */
export function output(answer: string): usize {
  return ended(0, answer);
}

/** Ends the run with this error. */
export function error(reason: string): usize {
  return ended(1, reason);
}

/** Appends a line to the log. */
export function log(line: string): void {
  const bytes = Uint8Array.wrap(String.UTF8.encode(line));
  hostLog(3, bytes.dataStart, bytes.length);
}

/** Called where the program cannot go on: a failed assertion, an exception, an index out of bounds. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const place = (file === null ? "" : file) + ":" + line.toString() + ":" + column.toString();
  const bytes = Uint8Array.wrap(String.UTF8.encode((message === null ? "aborted" : message) + " at " + place));
  hostFail(bytes.dataStart, bytes.length);
}
