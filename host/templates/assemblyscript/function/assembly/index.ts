// Greets the person named in the input.

import { error, output, text } from "./fusebox";

/** Reserves memory for the input; called by the host. */
export function fusebox_alloc(len: usize): usize {
  return heap.alloc(len);
}

/** Handles a call; called by the host. */
export function fusebox_handle(ptr: usize, len: usize): usize {
  const name = text(ptr, len).trim();
  if (name == "") return error("the input is a name, and it is empty");
  return output("Hello, " + name + "!");
}
