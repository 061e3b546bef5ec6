// The result of a boot as text in one file, and back. Given to bootstrap/.
import schema from "../../schemas/boot-result.json" with { type: "json" };
import type { BootResult } from "../domain/boot-result.ts";
import { type Checked, Problem, invalid } from "../domain/problem.ts";
import { compileSchema } from "./schema.ts";

const shape = compileSchema<BootResult>(schema, { code: "boot-result" });

/** For people as well, so in many lines. */
export function encodeBootResult(result: BootResult): string {
  return `${JSON.stringify(result, undefined, 2)}\n`;
}

/** Problems have code "boot-result". */
export function parseBootResult(text: string): Checked<BootResult> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // the parser's own message quotes the text
    return invalid(
      new Problem("boot-result", `Cannot read the result of a boot: no JSON in ${text.length} characters`),
    );
  }
  return shape(value);
}
