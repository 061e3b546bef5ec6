// The unit texts that a machine keeps for itself, as one file and back: a line for each text, whoever and however many have
// it. Given to loops/. A line that is damaged costs its own units' texts and no others'.
import schema from "../../schemas/kept-text.json" with { type: "json" };
import { type UnitName, byName, parseUnitName } from "../domain/names.ts";
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";
import type { UnitSource } from "../domain/unit.ts";
import { canonicalJson } from "./canonical-json.ts";
import { compileSchema } from "./schema.ts";

/** What is kept of a unit. */
export interface KeptText {
  readonly name: UnitName;
  readonly source: UnitSource;
  readonly text: string;
  /** In the order in which systemd applies them. */
  readonly dropIns: readonly { readonly name: string; readonly text: string }[];
}

interface Line extends Omit<KeptText, "name"> {
  readonly names: readonly string[];
}

/** Far more than a machine's units have; whose text comes after it in name order is not kept. In UTF-16 units. */
const maxChars = 64 * 1024 * 1024;

const shape = compileSchema<Line>(schema, { code: "kept-text" });

/** In the order of the first name that has each text. */
export function encodeKeptTexts(units: Iterable<KeptText>): string {
  const lines = new Map<string, { readonly line: Omit<Line, "names">; readonly names: string[] }>();
  let chars = 0;
  for (const { name, source, text, dropIns } of [...units].sort((a, b) => byName(a.name, b.name))) {
    const plain = { source, text, dropIns: dropIns.map((each) => ({ name: each.name, text: each.text })) };
    const key = canonicalJson(plain);
    const known = lines.get(key);
    chars += known === undefined ? key.length : name.length;
    if (chars > maxChars) break;
    if (known === undefined) lines.set(key, { line: plain, names: [name] });
    else known.names.push(name);
  }
  return [...lines.values()].map(({ line, names }) => `${canonicalJson({ ...line, names })}\n`).join("");
}

/** Problems have code "kept-text" and no quotation of a text; what is beside them is good. */
export function parseKeptTexts(text: string): {
  readonly units: readonly KeptText[];
  readonly problems: readonly Problem[];
} {
  const units: KeptText[] = [];
  const problems: Problem[] = [];
  for (const [index, written] of text.split("\n").entries()) {
    if (written === "") continue;
    const read = parseLine(written);
    if (read.ok) units.push(...read.value);
    else problems.push(new Problem("kept-text", `Cannot read kept text ${index + 1}`, { cause: read.problems[0] }));
  }
  return { units, problems };
}

function parseLine(written: string): Checked<readonly KeptText[]> {
  let value: unknown;
  try {
    value = JSON.parse(written);
  } catch {
    // the parser's own message quotes the text
    return invalid(new Problem("kept-text", `Cannot read JSON of ${written.length} characters`));
  }
  const line = shape(value);
  if (!line.ok) return line;
  const { source, text, dropIns } = line.value;
  const names = line.value.names.map(parseUnitName);
  const problems = names.flatMap((name) => (name.ok ? [] : name.problems));
  if (problems.length > 0) return invalid(...problems);
  return valid(names.flatMap((name) => (name.ok ? [{ name: name.value, source, text, dropIns }] : [])));
}
