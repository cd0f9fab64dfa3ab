// Counts the letters "a" of its input.
import { Host } from "@extism/as-pdk/lib/pdk";

export function abort_(message: string | null, file: string | null, line: u32, column: u32): void {}

export function count_a(): i32 {
  const text = Host.inputString();
  let count = 0;
  for (let at = 0; at < text.length; at++) if (text.charAt(at) == "a") count++;
  Host.outputString('{"count":' + count.toString() + "}");
  return 0;
}
