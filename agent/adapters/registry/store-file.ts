// The embedded registry's one durable file: a line with version and checksum, then the keys as JSON. Given to embedded.ts.
// A file that is not whole is set aside and refused, never taken for an empty store.
import { createHash } from "node:crypto";
import { Problem } from "../../domain/problem.ts";
import type { Disk } from "../../ports/disk.ts";
import type { Entry } from "../../ports/registry.ts";

export const storeFile = "registry.db";
export const damagedStoreFile = `${storeFile}.damaged`;
const magic = "flotilla-registry-1";

export interface StoredState {
  /** No revision above this has been given out. */
  readonly ceiling: number;
  /** Without leases. */
  readonly entries: readonly Entry[];
}

type Row = readonly [key: string, value: string, createRevision: number, modRevision: number];

/**
 * What was last saved; undefined where nothing ever was. Rejects with "registry-damaged" when the file is damaged, after
 * setting it aside, and again at every later try until somebody has decided what becomes of it.
 */
export async function loadState(disk: Disk): Promise<StoredState | undefined> {
  const text = await disk.read(storeFile);
  if (text === undefined) {
    if ((await disk.read(damagedStoreFile)) !== undefined) throw damaged("It was set aside earlier");
    return undefined;
  }
  const state = decode(text);
  if (typeof state !== "string") return state;
  await disk.write(damagedStoreFile, text);
  await disk.remove(storeFile);
  throw damaged(state);
}

export async function saveState(disk: Disk, state: StoredState): Promise<void> {
  const rows = state.entries.map((entry): Row => [entry.key, entry.value, entry.createRevision, entry.modRevision]);
  const body = JSON.stringify({ ceiling: state.ceiling, entries: rows });
  await disk.write(storeFile, `${magic} ${checksum(body)}\n${body}\n`);
}

function damaged(why: string): Problem {
  return new Problem("registry-damaged", `Cannot read the embedded registry's file "${storeFile}"`, {
    hint: `It is kept as "${damagedStoreFile}": put a good copy back as "${storeFile}", or remove it to begin empty`,
    cause: new Error(why),
  });
}

/** The state, or in a word why the text is none. */
function decode(text: string): StoredState | string {
  const [head = "", body = ""] = text.split("\n", 2);
  const [word, sum] = head.split(" ");
  if (word !== magic) return "It does not begin as such a file does";
  if (sum !== checksum(body)) return "Its checksum does not match";
  const state = stateIn(body);
  return state ?? "It has the checksum of a text that is no such state";
}

/** Undefined: an older or a newer program's, or a person's; a damaged one has another checksum. */
function stateIn(body: string): StoredState | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined; // its checksum holds and it is no JSON: the caller says so
  }
  const { ceiling, entries } = (value ?? {}) as { readonly ceiling?: unknown; readonly entries?: unknown };
  if (!Number.isSafeInteger(ceiling) || !Array.isArray(entries) || !entries.every(isRow)) return undefined;
  const rows = entries.map(([key, each, createRevision, modRevision]) => ({
    ...{ key, value: each, createRevision, modRevision },
  }));
  return { ceiling: ceiling as number, entries: rows };
}

function isRow(row: unknown): row is Row {
  if (!Array.isArray(row)) return false;
  const [key, value, ...revisions] = row as unknown[];
  const isText = typeof key === "string" && typeof value === "string";
  return isText && revisions.length === 2 && revisions.every((each) => Number.isSafeInteger(each));
}

function checksum(body: string): string {
  return createHash("sha256").update(body).digest("hex");
}
