// Greets the person named in the query of a request. A request is a line `METHOD target`, header lines, an empty line,
// and the body; a response is the same with its status in the first line.

import { output, text } from "./fusebox";

/** Reserves memory for the request; called by the host. */
export function fusebox_alloc(len: usize): usize {
  return heap.alloc(len);
}

function answer(status: u32, body: string): usize {
  return output(status.toString() + "\ncontent-type: text/plain; charset=utf-8\n\n" + body);
}

/** Handles a request; called by the host. */
export function fusebox_http(ptr: usize, len: usize): usize {
  const request = text(ptr, len);
  const line = request.substring(0, request.indexOf("\n"));
  if (line != "GET /" && !line.startsWith("GET /?")) return answer(404, "no such page");
  const query = line.substring("GET /?".length);
  if (!query.startsWith("name=") || query.length == 5) return answer(400, "name whom to greet: ?name=Ada");
  return answer(200, "Hello, " + decodeURIComponent(query.substring(5)) + "!");
}
