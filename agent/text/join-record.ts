// What a machine keeps of its way into etcd, written and read back: the decision, and the note that it makes before it
// changes something elsewhere. Given to discovery/.
import schema from "../../schemas/etcd-cluster.json" with { type: "json" };
import type { JoinNote, JoinRecord } from "../domain/discovery.ts";
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";
import { canonicalJson } from "./canonical-json.ts";
import { compileSchema } from "./schema.ts";

const checkRecord = compileSchema<JoinRecord>(schema, { code: "join-record" });

export const encodeJoinRecord = (record: JoinRecord): string => `${canonicalJson(record)}\n`;
export const encodeJoinNote = (note: JoinNote): string => `${canonicalJson(note)}\n`;

/** Problems have the code "join-record", and show no token. */
export function parseJoinRecord(text: string): Checked<JoinRecord> {
  const value = parseJson(text, "record of this machine's etcd");
  return value.ok ? checkRecord(value.value) : value;
}

/** Problem "join-record". */
export function parseJoinNote(text: string): Checked<JoinNote> {
  const value = parseJson(text, "note of a registration");
  if (!value.ok) return value;
  const { kind, token, id } = (value.value ?? {}) as Readonly<Record<string, unknown>>;
  const isGood =
    (kind === "registering" || kind === "replacing") && typeof token === "string" && typeof id === "string";
  if (isGood) return valid({ kind, token, id });
  return invalid(new Problem("join-record", "Cannot understand the note of a registration"));
}

function parseJson(text: string, what: string): Checked<unknown> {
  try {
    return valid(JSON.parse(text) as unknown);
  } catch {
    // The cause would show a part of the text, and with it perhaps the token
    return invalid(new Problem("join-record", `Cannot understand the ${what}: it is no JSON`));
  }
}
