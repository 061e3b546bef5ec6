// What a boot found, kept whole for the next one: a machine whose metadata service is away comes up all the same. The
// user-data in it may hold secrets; the disk keeps it to its owner.
import { Problem, type Checked, invalid, valid } from "../domain/problem.ts";
import { type FoundUserData, sourceNames } from "../ports/user-data-sources.ts";
import { checkBootFound } from "../text/boot-found.ts";

export interface Kept {
  readonly found: FoundUserData;
  /** Of the machine that found it: a copied disk is another machine, and its user-data may be another one. */
  readonly machineId: string;
}

export function encodeKept({ found, machineId }: Kept): string {
  const { userData, ...rest } = found;
  return `${JSON.stringify({ machineId, ...rest, userData: base64(userData) })}\n`;
}

/** Problem "boot-kept"; it says nothing of the text, which may be secret. */
export function parseKept(text: string): Checked<Kept> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return damaged();
  }
  const read = checkBootFound(value);
  if (!read.ok) return damaged();
  const { machineId, where, metadata, userData } = read.value;
  const source = sourceNames.find((each) => each === read.value.source);
  const content = bytes(userData);
  // What is no base64 would be left out of it in silence
  if (source === undefined || base64(content) !== userData) return damaged();
  return valid({ machineId, found: { source, where, metadata, userData: content } });
}

function damaged(): Checked<Kept> {
  return invalid(
    new Problem("boot-kept", "Cannot read what the last boot found: the file is damaged", {
      hint: "It is written anew as soon as a source answers",
    }),
  );
}

function base64(content: Uint8Array): string {
  return Buffer.from(content).toString("base64");
}

function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}
